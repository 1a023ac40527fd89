"""images, history, tag, rmi, import, image inspect, image prune."""

from __future__ import annotations

from time import time_ns

from mydocker.cli import output, removal, rows
from mydocker.cli.streams import tell
from mydocker.engine import images as engine
from mydocker.errors import MydockerError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def images(params: dict[str, Any]) -> int:
    now = time_ns()
    trunc, form = not params["no_trunc"], params["format"]
    digests = params["digests"] or ".Digest" in (form or "")
    images = engine.images(params["image"], params["filter"])  # --all adds nothing: there are no intermediate images
    listed = [row for image in images for row in rows.image(image, engine.size(image), now, trunc, digests)]
    kind = output.with_digests(output.IMAGES) if params["digests"] else output.IMAGES
    output.emit(output.listing(kind, listed, form, params["quiet"], trunc, output.terminal_width()))
    return 0


def history(params: dict[str, Any]) -> int:
    from mydocker.engine.history import history as steps_of

    now = time_ns()
    trunc = not params["no_trunc"]
    human = params["human"]
    listed = [rows.step(step, now, trunc, human) for step in steps_of(params["image"])]
    kind = output.STEPS if human else output.EXACT_STEPS
    output.emit(output.listing(kind, listed, params["format"], params["quiet"], trunc, output.terminal_width()))
    return 0


def inspect(params: dict[str, Any]) -> int:
    from mydocker.cli.verbs.inspect import show
    from mydocker.engine.inspect import image

    return show(params["images"], params["format"], lambda name: ("image", image(name)))


def prune(params: dict[str, Any]) -> int:
    engine.check_prune_filters(params["filter"])
    which = "all images without at least one container associated to them" if params["all"] else "all dangling images"
    question = f"WARNING! This will remove {which}.\nAre you sure you want to continue?"
    lines, reclaimed = removal.pruned(
        params, question, lambda dry_run: engine.prune(params["all"], params["filter"], dry_run)
    )
    tell_pruned(lines, params["dry_run"])
    removal.tell_reclaimed(reclaimed, params["dry_run"])
    return 0


def tell_pruned(lines: list[str], dry_run: bool) -> None:
    removal.tell_pruned("Images", [line[0].lower() + line[1:] for line in lines], dry_run)


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
