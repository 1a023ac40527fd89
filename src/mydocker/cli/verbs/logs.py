"""logs."""

from __future__ import annotations

from time import time_ns

from mydocker import state
from mydocker.cli import logview
from mydocker.errors import MydockerError
from mydocker.model.options import times, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX = 10**9


def logs(params: dict[str, Any]) -> int:
    found = state.find(params["container"])
    now = time_ns()
    since, until = (times.moment(params[key], now) if params[key] else None for key in ("since", "until"))

    def ended() -> bool:
        try:
            return not state.load(found.id).is_active()
        except MydockerError:
            return True  # it was removed

    logview.show(
        f"{found.directory}/container.log",
        _tail(params["tail"]),
        since,
        until,
        params["timestamps"],
        ended if params["follow"] else None,
    )
    return 0


def _tail(text: str | None) -> int | None:
    """None for all lines, which docker's `-1` means, too."""
    number = -1 if text in (None, "", "all") else units.integer(text or "", "number of lines", -_MAX, _MAX)
    return None if number < 0 else number
