"""Remove from a step's changes what the start of its container has put there: mount points, /.dockerenv, /etc/mtab.

A step of a build leaves only what its program has made. BuildKit leaves the directories in which it made a mount point,
which say nothing but the time; they are removed, too.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.image import layer
from mydocker.image.unpacking import as_below
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def made_points(file: str) -> list[str]:
    """Read what ops.rootfs.NoteMade has written: paths in the root, in the order in which they were made."""
    try:
        text = files.read_regular(file).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []  # the start failed before
    return [line.replace("\\012", "\n") for line in text.split("\n") if line]


def tidy(changes: str, made: Iterable[str], layers: list[str]) -> None:
    """Remove the marks of a container and the mount points that its start has made, where nothing is in them.

    changes: the directory with the changes, in overlay's form. layers: the directories of the layers below it, top
    first."""
    root = os.open(changes, files.DIR)
    try:
        above: set[str] = set()
        for path in [*reversed([*made]), "/.dockerenv", "/etc/mtab"]:
            if _remove_stub(root, path):
                above.update(_parents(path))
        for path in sorted(above, key=lambda path: path.count("/"), reverse=True):
            if _is_as_below(root, path, layers):
                _remove_directory(root, path)
    finally:
        os.close(root)


def _parents(path: str) -> Iterable[str]:
    while (path := os.path.dirname(path)) not in ("", "/"):
        yield path


def _open(root: int, path: str) -> int:
    """Open a directory of the changes; -1 if it is not there or not a directory."""
    try:
        return files.open_in_root(root, path.lstrip("/") or ".", files.DIR, resolve=layer.IN_PLACE)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return -1


def _remove_stub(root: int, path: str) -> bool:
    """Remove an empty file, an empty directory, or a mark of a container. Returns False if it is anything else."""
    above, name = os.path.split(path)
    parent = _open(root, above)
    if parent < 0:
        return False
    try:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.rmdir(name, dir_fd=parent)
            return True
        entry = layer.Entry(parent, name, path.lstrip("/"), info)
        stub = stat.S_ISREG(info.st_mode) and not info.st_size
        if stub or layer.is_mark(entry):
            os.unlink(name, dir_fd=parent)
            return True
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
    finally:
        os.close(parent)
    return False


def _is_as_below(root: int, path: str, layers: list[str]) -> bool:
    """True if a directory of the changes only repeats what the layers below say of it."""
    there = as_below(layers, path.lstrip("/"))
    directory = _open(root, path)
    if directory < 0:
        return False
    try:
        here = os.fstat(directory)
        opaque = files.is_opaque(f"/proc/self/fd/{root}{path}")
        same = there and (there.st_mode, there.st_uid, there.st_gid) == (here.st_mode, here.st_uid, here.st_gid)
        return bool(same) and not opaque and not layer.attributes(directory)
    finally:
        os.close(directory)


def _remove_directory(root: int, path: str) -> None:
    above, name = os.path.split(path)
    parent = _open(root, above)
    if parent < 0:
        return
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
    finally:
        os.close(parent)
