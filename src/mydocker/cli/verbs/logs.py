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

    from mydocker.model.container import Container

_MAX_LINES = 10**9


def logs(params: dict[str, Any]) -> int:
    container = state.find(params["container"])
    now = time_ns()
    since, until = (times.moment(params[key], now) if params[key] else None for key in ("since", "until"))

    def ended() -> bool:
        try:
            return not state.load(container.id).is_active()
        except MydockerError:
            return True  # it was removed

    logview.show(
        f"{container.directory}/container.log",
        _tail(params["tail"]),
        since,
        until,
        params["timestamps"],
        ended if params["follow"] else None,
        _details(container) if params["details"] else None,
    )
    return 0


def _details(container: Container) -> str:
    """Return the labels and variables that the log options name, as docker writes them: sorted, escaped as in a URL."""
    from urllib.parse import quote_plus

    from mydocker.engine import bundle

    request = bundle.load_request(container)
    named = {key: request.log_options.get(key, "").split(",") for key in ("labels", "env")}
    env = dict(pair.split("=", 1) for pair in request.env if "=" in pair)
    shown = {key: value for key, value in request.labels.items() if key in named["labels"]}
    shown.update((key, value) for key, value in env.items() if key in named["env"])
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(shown.items()))


def _tail(text: str | None) -> int | None:
    """The number of lines; None for all, which -1 means, too, as for docker."""
    number = -1 if text in (None, "", "all") else units.integer(text or "", "number of lines", -_MAX_LINES, _MAX_LINES)
    return None if number < 0 else number
