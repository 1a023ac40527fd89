"""commit, export."""

from __future__ import annotations

import os
import sys

from mydocker.cli import output
from mydocker.cli.streams import note
from mydocker.engine import commit as engine
from mydocker.engine import export as exporting
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_NOTES = 20


def commit(params: dict[str, Any]) -> int:
    image_id, notes = engine.commit(
        params["container"],
        params["image"],
        params["change"],
        params["message"] or "",
        params["author"] or "",
        params["output"] or "",
        params["pause"],
    )
    print(image_id)
    _show(notes)
    return 0


def export(params: dict[str, Any]) -> int:
    target = params["output"]
    if not target and os.isatty(1):
        raise InvalidArgument("cowardly refusing to save to a terminal", "use -o FILE, or redirect stdout")
    sys.stdout.flush()
    _show(exporting.export(params["container"], target or ""))
    return 0


def _show(notes: list[str]) -> None:
    for text in notes[:_MAX_NOTES]:
        note(output.printable(text))
    if len(notes) > _MAX_NOTES:
        note(f"… and {len(notes) - _MAX_NOTES} more")
