"""inspect."""

from __future__ import annotations

from mydocker.cli import output
from mydocker.cli.streams import tell
from mydocker.engine import inspect as inspection
from mydocker.errors import MydockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def inspect(params: dict[str, Any]) -> int:
    kind = params["type"]
    return _show(params, "names", inspection.of_kind(kind) if kind else inspection.anything)


def containers(params: dict[str, Any]) -> int:
    return _show(params, "containers", inspection.of_kind("container"))


def _show(params: dict[str, Any], names: str, look: Callable[[str], output.Document]) -> int:
    return show(params[names], params["format"], inspection.with_sizes(look) if params["size"] else look)


def show(names: list[str], form: str | None, look: Callable[[str], output.Document]) -> int:
    """Print the objects of these names, and an error for each unknown name. Returns the last error's exit code."""
    documents, code = [], 0
    for name in names:
        try:
            documents.append(look(name))
        except MydockerError as error:
            code = tell(error)
    if documents or not form:
        output.emit(output.inspection(documents, form, output.terminal_width() is not None))
    return code
