"""ps."""

from __future__ import annotations

from time import time_ns

from mydocker import state
from mydocker.cli import output
from mydocker.cli.rows import container
from mydocker.cli.streams import tell
from mydocker.engine import listing
from mydocker.errors import CorruptRecord, InvalidArgument
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
    records, broken = listing.containers(params["all"], params["filter"], last)
    now = time_ns()
    images = listing.image_ids(records) if records and not params["quiet"] else None
    kind, form = output.CONTAINERS, params["format"]
    sized = params["size"] or (form and ("Size" in form or "json" in form))
    rows = []
    for record in records:
        try:
            row = container(record, now, not params["no_trunc"], images)
            if sized:
                from mydocker.cli.rows import size

                row["Size"] = size(record)
            rows.append(row)
        except (ValueError, LookupError, InvalidArgument, CorruptRecord) as error:  # an invalid time, for example
            broken.append(error if isinstance(error, CorruptRecord) else state.unusable(record, error))
    if params["size"]:
        kind = output.with_size(kind)
    columns = output.terminal_width()
    output.emit(output.listing(kind, rows, form, params["quiet"], not params["no_trunc"], columns))
    return max(map(tell, broken), default=0)
