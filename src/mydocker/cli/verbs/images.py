"""images, tag, rmi, import, commit, export."""

from __future__ import annotations

import os
import sys
from time import time_ns

from mydocker.cli import output, rows
from mydocker.cli.streams import note, tell
from mydocker.engine import images as engine
from mydocker.errors import InvalidArgument, MydockerError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_NOTES = 20


def images(params: dict[str, Any]) -> int:
    now = time_ns()
    trunc = not params["no_trunc"]
    images = engine.images(params["image"], params["filter"])  # --all adds nothing: there are no intermediate images
    listed = [row for image in images for row in rows.image(image, engine.size(image), now, trunc)]
    columns = output.terminal_width()
    output.emit(output.listing(output.IMAGES, listed, params["format"], params["quiet"], trunc, columns))
    return 0


def tag(params: dict[str, Any]) -> int:
    engine.tag(params["source"], params["target"])
    return 0


def rmi(params: dict[str, Any]) -> int:
    code = 0
    for name in params["images"]:
        try:
            output.emit("".join(f"{line}\n" for line in engine.remove(name, params["force"])))
        except NotFound as error:
            failed = tell(error)
            code = code if params["force"] else failed
        except MydockerError as error:
            code = tell(error)
    return code


def import_(params: dict[str, Any]) -> int:
    print(
        engine.import_image(
            params["file"],
            params["image"] or "",
            params["change"],
            params["message"] or "",
            params["platform"] or "",
        )
    )
    return 0


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
    _show(engine.export(params["container"], target or ""))
    return 0


def _show(notes: list[str]) -> None:
    for text in notes[:_MAX_NOTES]:
        note(output.printable(text))
    if len(notes) > _MAX_NOTES:
        note(f"… and {len(notes) - _MAX_NOTES} more")
