"""save, load."""

from __future__ import annotations

from mydocker.cli import progress
from mydocker.cli.streams import note
from mydocker.engine import archives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def save(params: dict[str, Any]) -> int:
    archives.save(params["images"], params["output"] or "", params["platform"] or "")
    return 0


def load(params: dict[str, Any]) -> int:
    watcher = progress.Quiet() if params["quiet"] else progress.Loading()
    for image in archives.load(params["input"] or "", params["platform"] or "", watcher):
        for name in image.names:
            print(f"Loaded image: {name}", flush=True)
        if not image.names:
            print(f"Loaded image ID: {image.id}", flush=True)
        if image.tag:
            note(f"the archive has only a tag for it: 'mydocker tag {image.id[7:19]} NAME:{image.tag}'")
    return 0
