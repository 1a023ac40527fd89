"""`netmap`."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.cli import netmap as drawing
from mydocker.cli import output
from mydocker.cli.streams import tell
from mydocker.engine.network import netmap as engine
from mydocker.engine.network import networks
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def netmap(params: dict[str, Any]) -> int:
    form = params["format"] or "tree"
    if form not in ("tree", "dot", "json"):
        raise InvalidArgument(f"unknown format '{form}'", "tree, dot or json")
    survey = engine.survey()
    code = max(map(tell, networks.broken().values()), default=0)
    if form == "json":
        output.emit(jsontext.pretty(survey) + "\n")
    else:
        output.emit(drawing.dot(survey) if form == "dot" else drawing.tree(survey, output.terminal_width()))
    return code
