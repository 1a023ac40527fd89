"""ps."""

from __future__ import annotations

from time import time_ns

from mydocker.cli import output, rows
from mydocker.cli.streams import tell
from mydocker.engine import listing
from mydocker.errors import CorruptRecord, InvalidArgument
from mydocker.model.container import unusable
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_LAST = 10**6


def ps(params: dict[str, Any]) -> int:
    if params["last"] is not None and params["latest"]:
        raise InvalidArgument("conflicting options: --last and --latest", "leave one out")
    last = -1 if params["last"] is None else units.integer(params["last"], "number", -1, _MAX_LAST)
    last = 1 if params["latest"] else last
    containers, broken = listing.containers(params["all"], params["filter"], last)
    now = time_ns()
    images = listing.image_ids(containers) if containers and not params["quiet"] else None
    kind, form = output.CONTAINERS, params["format"]
    sized = params["size"] or (form and ("Size" in form or "json" in form))
    listed = []
    for container in containers:
        try:
            row = rows.container(container, now, not params["no_trunc"], images)
            if sized:
                row["Size"] = rows.size(container)
            listed.append(row)
        except (ValueError, LookupError, InvalidArgument, CorruptRecord) as error:  # an invalid time, for example
            broken.append(error if isinstance(error, CorruptRecord) else unusable(container, error))
    if params["size"]:
        kind = output.with_size(kind)
    columns = output.terminal_width()
    output.emit(output.listing(kind, listed, form, params["quiet"], not params["no_trunc"], columns))
    return max(map(tell, broken), default=0)
