"""top, diff."""

from __future__ import annotations

from mydocker.cli import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TOP_WIDTH = 20  # columns, at least, for a field of top: docker's


def top(params: dict[str, Any]) -> int:
    from mydocker.engine import top as processes

    container, *options = params["container_and_options"]
    rows = processes.top(container, options)
    output.emit(output.aligned([[output.printable(field) for field in row] for row in rows], _TOP_WIDTH))
    return 0


def diff(params: dict[str, Any]) -> int:
    from mydocker.engine import diff as differences

    rows = differences.diff(params["container"])
    shown = output.printable if output.terminal_width() is not None else str
    output.emit("".join(f"{kind} {shown(path)}\n" for kind, path in rows))
    return 0
