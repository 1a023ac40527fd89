"""images, tag, rmi, import, commit, export."""

from __future__ import annotations

import os
import sys
from time import time_ns

from mydocker.cli import output, rows
from mydocker.cli.streams import tell
from mydocker.engine import images as engine
from mydocker.errors import InvalidArgument, MydockerError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_SENTENCES = 20


def images(params: dict[str, Any]) -> int:
    now = time_ns()
    trunc = not params["no_trunc"]
    found = engine.images(params["image"], params["filter"], params["all"])
    listed = [row for each in found for row in rows.image(each, now, trunc)]
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
    made, notes = engine.commit(
        params["container"],
        params["image"],
        params["change"],
        params["message"] or "",
        params["author"] or "",
        params["output"] or "",
        params["pause"],
    )
    print(made)
    _tell_left_out(notes)
    return 0


def export(params: dict[str, Any]) -> int:
    target = params["output"]
    if not target and os.isatty(1):
        raise InvalidArgument("export writes a tar, and stdout is a terminal", "add -o FILE, or redirect it")
    sys.stdout.flush()
    _tell_left_out(engine.export(params["container"], target or ""))
    return 0


def _tell_left_out(sentences: list[str]) -> None:
    for sentence in sentences[:_MAX_SENTENCES]:
        print(f"mydocker: {output.printable(sentence)}", file=sys.stderr)
    if len(sentences) > _MAX_SENTENCES:
        print(f"mydocker: … and {len(sentences) - _MAX_SENTENCES} more", file=sys.stderr)
