"""images, tag, rmi, import, commit, export."""

from __future__ import annotations

from time import time_ns

from mydocker.cli import output, rows
from mydocker.cli.streams import tell
from mydocker.engine import images as engine
from mydocker.errors import MydockerError, NotFound

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
