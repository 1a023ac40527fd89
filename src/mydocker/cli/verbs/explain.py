"""explain: the kernel steps of a container's last start, from their record."""

from __future__ import annotations

from mydocker import state
from mydocker.cli import explain as rendering
from mydocker.engine import explain as engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def explain(params: dict[str, Any]) -> int:
    trace = engine.trace(state.find(params["container"]))
    rendering.print_trace(trace, params["format"], descriptor=1, every=params["all"])
    return 0
