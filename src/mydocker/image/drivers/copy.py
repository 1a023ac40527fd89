"""copy: every container has a full copy of the root. Slow and large, but it works on any file system."""

from __future__ import annotations

import os
import stat

from mydocker import paths
from mydocker.image.drivers import overlay
from mydocker.kernel import files
from mydocker.kernel.copying import copy_tree
from mydocker.kernel.mounts import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    from mydocker.image.comparison import Change
    from mydocker.image.layer import Entry
    from mydocker.ops.base import Op

name = "copy"
form = ""


def why_not(try_it: bool = True) -> str:
    return ""


missing, holds, host_ops = overlay.missing, overlay.holds, overlay.host_ops


def prepare(directory: str, layers: list[str]) -> None:
    if os.path.isdir(f"{directory}/rootfs"):
        return
    unfinished = f"{directory}/rootfs.new"
    files.remove_tree(unfinished)
    os.mkdir(unfinished, 0o755)
    for layer in layers:
        copy_tree(paths.layer(layer), unfinished, flatten=True)
    os.rename(unfinished, f"{directory}/rootfs")


def root_ops(directory: str, layers: list[str], shared: bool = False) -> list[Op]:
    from mydocker.ops.rootfs import Mount

    return [Mount(f"{directory}/rootfs", f"{directory}/rootfs", flags=FLAGS["bind"])]


def view_ops(directory: str, layers: list[str]) -> list[Op]:
    return []


def upper(directory: str) -> str:
    return ""


def changes(directory: str, layers: list[str], out: BinaryIO) -> list[str]:
    """Compare the root with the layers. As with docker, a file is unchanged if its attributes, size and time are.

    A device 0:0 that the container has made would be a whiteout in a layer, so it counts as a removal here, too."""
    from mydocker.image.packing import Packer

    before = _merged(layers)
    with Packer(f"{directory}/rootfs", out) as packer:
        changed, gone = _compare(before, packer.entries())
        for path in [*changed, *gone]:
            while path := os.path.dirname(path):
                changed.add(path)
        for entry in packer.changes():
            if entry.path in changed and not files.is_whiteout(entry.info):
                packer.add(entry)
        for path in sorted(gone):
            packer.whiteout(path)
    return packer.left_out


def _compare(before: dict[str, tuple[Any, ...]], entries: Iterable[Entry]) -> tuple[set[str], list[str]]:
    """Return (the paths that are new or look otherwise than before, those that are gone, each without its content)."""
    after = {entry.path: _signature(entry) for entry in entries if not files.is_whiteout(entry.info)}
    directories = {"", *(path for path, (mode, *_) in after.items() if stat.S_ISDIR(mode))}
    gone = [path for path in before if path not in after and os.path.dirname(path) in directories]
    return {path for path, signature in after.items() if before.get(path) != signature}, gone


def differences(directory: str, layers: list[str]) -> list[Change]:
    from mydocker.image import comparison, layer

    before = _merged(layers)
    root = os.open(f"{directory}/rootfs", files.DIR)
    try:
        entries = (each for each in layer.walk(root) if each.path in before or not comparison.is_made(each))
        changed, gone = _compare(before, entries)
    finally:
        os.close(root)
    kinds = {path: comparison.CHANGED if path in before else comparison.ADDED for path in changed}
    return comparison.listed({**kinds, **dict.fromkeys(gone, comparison.DELETED)})


def _merged(layers: list[str]) -> dict[str, tuple[Any, ...]]:
    """Map each path in the merged layers to its signature: the root as it was before the container's changes."""
    from mydocker.image.layer import walk

    merged: dict[str, tuple[Any, ...]] = {}
    for lower in layers:
        root = os.open(paths.layer(lower), files.DIR)
        try:
            for entry in walk(root):
                merges = stat.S_ISDIR(entry.info.st_mode) and not files.is_opaque(entry.here)
                if entry.path in merged and not merges:
                    inside = f"{entry.path}/"
                    merged = {path: value for path, value in merged.items() if not f"{path}/".startswith(inside)}
                if not files.is_whiteout(entry.info):
                    merged[entry.path] = _signature(entry)
        finally:
            os.close(root)
    return merged


def _signature(entry: Entry) -> tuple[Any, ...]:
    from mydocker.image.layer import attributes

    info = entry.info
    common = info.st_mode, info.st_uid, info.st_gid
    if stat.S_ISREG(info.st_mode):
        return (*common, info.st_size, info.st_mtime_ns, attributes(entry.here))
    if stat.S_ISDIR(info.st_mode):
        return (*common, attributes(entry.here))
    if stat.S_ISLNK(info.st_mode):
        return (*common, os.readlink(entry.name, dir_fd=entry.parent))
    return (*common, info.st_rdev)
