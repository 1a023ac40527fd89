"""logs. Imports are restricted: this is a hot command."""

from __future__ import annotations

from time import time_ns

from mydocker import state
from mydocker.cli import logview
from mydocker.errors import MydockerError
from mydocker.model import times, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 10**9


def logs(params: dict[str, Any]) -> int:
    found = state.find(params["container"])
    now = time_ns()
    since, until = (times.moment(params[key], now) if params[key] else None for key in ("since", "until"))

    def ended() -> bool:
        try:
            return state.load(found.id).status not in state.BUSY
        except MydockerError:
            return True  # it was removed

    logview.show(
        f"{found.folder}/container.log",
        None if params["tail"] in (None, "all") else units.whole(params["tail"], "number of lines", 0, _MOST),
        since,
        until,
        params["timestamps"],
        ended if params["follow"] else None,
    )
    return 0
