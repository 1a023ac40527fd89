"""netmap."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.cli import netmap as drawing
from mydocker.cli import output
from mydocker.engine import netmap as engine
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def netmap(params: dict[str, Any]) -> int:
    form = params["format"] or "tree"
    if form not in ("tree", "dot", "json"):
        raise InvalidArgument(f"unknown format '{form}'", "tree, dot or json")
    found = engine.survey()
    if form == "json":
        output.emit(jsontext.pretty(found) + "\n")
    else:
        output.emit(drawing.dot(found) if form == "dot" else drawing.tree(found, output.terminal_width()))
    return 0
