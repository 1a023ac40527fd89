"""build, builder prune."""

from __future__ import annotations

import os
import sys

from mydocker.cli import buildview, removal
from mydocker.cli.streams import note
from mydocker.engine import host
from mydocker.engine.build import build as engine
from mydocker.engine.build import pruning
from mydocker.errors import HostError, InvalidArgument, MydockerError
from mydocker.model.options import build as options
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROGRESS = ("auto", "plain", "tty", "quiet")


def build(params: dict[str, Any]) -> int:
    form = "quiet" if params["quiet"] else params["progress"] or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if form not in _PROGRESS:
        raise InvalidArgument(f"progress '{form}' is not supported", f"one of {', '.join(_PROGRESS)}")
    if form == "tty" and not os.isatty(2):
        raise InvalidArgument("progress 'tty' needs a terminal", "plain")
    request = options.from_params(params, os.environ, host.look())
    view = buildview.view(form)
    try:
        built = engine.build(request, view.report, view.tick if view.moves else None)
    except MydockerError as error:
        view.failed(getattr(error, "stage", ""), quiet=form == "quiet")
        excerpt = getattr(error, "excerpt", "")
        if excerpt:
            sys.stderr.write(f"{excerpt}\n")
        raise
    finally:
        view.close()
    for text in built.warnings if form != "quiet" else []:
        note(text)
    if built.image and request.iidfile:
        _write_id(request.iidfile, built.image.id)
    if built.image and form == "quiet":
        print(built.image.id)
    return 0


def _write_id(path: str, image_id: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(image_id)
    except OSError as error:
        raise HostError(f"can't write {path}: {error.strerror}", "give another --iidfile") from None


def prune(params: dict[str, Any]) -> int:
    what = "all build cache" if params["all"] else "all build cache that no image shares"
    keep = units.size(params["keep_storage"], "size to keep") if params["keep_storage"] else 0
    removed, reclaimed = removal.pruned(
        params, f"Remove {what}?", lambda dry_run: pruning.prune(params["all"], params["filter"], keep, dry_run)
    )
    removal.tell_pruned("build cache objects", removed, params["dry_run"])
    removal.tell_reclaimed(reclaimed, params["dry_run"])
    return 0
