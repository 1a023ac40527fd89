"""stats."""

from __future__ import annotations

from time import sleep

from mydocker import state
from mydocker.cli import output, rows
from mydocker.cli.streams import tell
from mydocker.engine import listing
from mydocker.engine.stats import Gauge
from mydocker.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container

_FIRST, _INTERVAL = 0.2, 1.0  # seconds between two samples: before the first table, and before each other
_CLEAR, _HOME, _END_OF_LINE, _REST = "\x1b[2J\x1b[H", "\x1b[H", "\x1b[K", "\x1b[J"


def stats(params: dict[str, Any]) -> int:
    names, code = params["containers"], 0
    containers, broken = _containers(names, params["all"])
    for error in broken:
        code = tell(error)
    gauges = {container.id: Gauge(container) for container in containers}
    output.listing(output.STATS, [], params["format"])  # a wrong format is an error now
    sleep(_FIRST if any(container.is_up() for container in containers) else 0)
    if params["no_stream"]:
        output.emit(_table(containers, gauges, params))
        return code
    start = _CLEAR
    while containers or not names:
        table = _table(containers, gauges, params)
        output.emit(f"{start}{table}" if start == _CLEAR else _over(table))
        start = _HOME
        sleep(_INTERVAL)
        containers, _ = _containers(names, params["all"], there=False)
    return code


def _containers(names: list[str], everything: bool, there: bool = True) -> tuple[list[Container], list[Any]]:
    """Return (the containers to show, an error for each whose record can't be read). there: an unknown name is an
    error, and is left out otherwise."""
    if not names:
        return listing.containers(everything, [])
    known = []
    for name in names:
        try:
            known.append(state.find(name))
        except NotFound:
            if there:
                raise
    return known, []


def _table(containers: list[Container], gauges: dict[str, Gauge], params: dict[str, Any]) -> str:
    shown = []
    for at, container in enumerate(containers):
        gauge = gauges.get(container.id)
        if gauge is None or not gauge.is_of(container):
            gauge = gauges[container.id] = Gauge(container)  # it has been started meanwhile
        typed = params["containers"][at] if len(params["containers"]) == len(containers) else ""
        shown.append(rows.usage(container, gauge.measure(container), typed, not params["no_trunc"]))
    return output.listing(
        output.STATS, shown, params["format"], trunc=not params["no_trunc"], columns=output.terminal_width()
    )


def _over(table: str) -> str:
    """Print the table over the one before, without an empty screen in between."""
    lines = "".join(f"{line}{_END_OF_LINE}\n" for line in table.splitlines())
    return f"{_HOME}{lines}{_REST}"
