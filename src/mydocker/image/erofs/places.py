"""Where erofs's layers are, and which of their indexes make a stack. A start needs no more of them than this."""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.kernel.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORM = "erofs"
UNWRITTEN = 1  # ns since 1970: the mtime of index and data; whoever writes to them gives them another
_GROUP = 4


def directory(chain_id: str) -> str:
    return paths.layer(chain_id, FORM)


def spans(count: int) -> list[tuple[int, int]]:
    """Return (first, last) of the layers that each index in a stack of `count` layers shows, bottom first. The index is
    that of the last one."""
    rows: list[tuple[int, int]] = []
    first = 0
    while first < count:
        size = 1
        while first % (size * _GROUP) == 0 and first + size * _GROUP <= count:
            size *= _GROUP
        rows.append((first, first + size - 1))
        first += size
    return rows


def stack(layers: list[str]) -> list[tuple[str, list[str]]]:
    """Return (directory of an index, its files of data) for each index of a stack, bottom first. layers: chain ids,
    bottom first."""
    rows = []
    for first, last in spans(len(layers)):
        data = [f"{directory(chain_id)}/data" for chain_id in reversed(layers[first : last + 1])]
        rows.append((directory(layers[last]), data))
    return rows


def about(place: str) -> dict[str, Any]:
    """Read what is recorded of an index. Raises OSError or ValueError if it is missing or damaged."""
    document = jsontext.loads(read_regular(f"{place}/about.json"))
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in ("root", "files")):
        raise ValueError("it is malformed")
    return document


def missing(layers: list[str]) -> list[int]:
    """List the places of the layers whose index or data is missing or has been changed. layers: chain ids, bottom
    first."""
    if not damage(layers):
        return []
    return [at for at in range(len(layers)) if damage(layers[: at + 1], last=True)]


def damage(layers: list[str], last: bool = False) -> str:
    """Return what is missing or changed of the files that show the layers, "" if nothing is. last: look only at the
    uppermost index."""
    return examine(layers, last)[0]


def examine(layers: list[str], last: bool = False) -> tuple[str, dict[str, Any]]:
    """Do what damage() does. Returns what is recorded of the uppermost index, too."""
    recorded: dict[str, Any] = {}
    for place, data in stack(layers)[-1 if last else 0 :]:
        try:
            recorded = about(place)
        except (OSError, ValueError) as error:
            return f"{place}/about.json: {getattr(error, 'strerror', '') or error}", {}
        for path, known in zip([f"{place}/index", *data], recorded["files"]):
            try:
                actual = stamp(path)
            except OSError as error:
                return f"{path}: {error.strerror}", {}
            if actual != known:
                return f"{path}: it has been changed since it was made", {}
    return "", recorded


def stamp(path: str) -> list[int]:
    """Return the size of a file and the time of its last change, which show a change of its content. A layer that is
    made twice, by two commands at once, has the same: the indexes above it fit both."""
    info = os.stat(path)
    return [info.st_size, info.st_mtime_ns]
