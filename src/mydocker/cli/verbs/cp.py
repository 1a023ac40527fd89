"""cp."""

from __future__ import annotations

import os

from mydocker.cli import output
from mydocker.cli.streams import note
from mydocker.engine import cp as engine
from mydocker.errors import InvalidArgument
from mydocker.model.options.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def cp(params: dict[str, Any]) -> int:
    source, destination = engine.parse(params["source"], params["destination"])
    if destination.path == engine.STREAM and os.isatty(1):
        raise InvalidArgument("cowardly refusing to write an archive to a terminal", "redirect stdout")
    if source.path == engine.STREAM and os.isatty(0):
        raise InvalidArgument("stdin is a terminal, not a tar archive", "redirect stdin")
    size, notes = engine.copy(source, destination, params["follow_link"])
    for text in notes:
        note(output.printable(text))
    if not params["quiet"] and os.isatty(1) and engine.STREAM not in (source.path, destination.path):
        output.emit(f"Successfully copied {human_size(size, 3)} to {output.printable(destination.text)}\n", 2)
    return 0
