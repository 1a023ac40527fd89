"""The two forms of a layer, and a walk through an unpacked one.

In a layer's tar, a removal is a file `.wh.NAME`, and a directory that hides the one below it holds a file
`.wh..wh..opq` (image-spec, layer.md). In an unpacked layer and in a container's upper directory they have overlay's
form: a character device 0:0, and the extended attribute trusted.overlay.opaque.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.image import tar
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Callable

WHITEOUT = ".wh."
OPAQUE_MARK = ".wh..wh..opq"
IN_PLACE = files.STRICT | files.RESOLVE_NO_XDEV  # neither through a link nor into a mount


class Entry:
    """A file of a tree, of any type. parent: a descriptor of its directory. path: from the tree's root. info: its
    lstat."""

    __slots__ = ("info", "name", "parent", "path")

    def __init__(self, parent: int, name: str, path: str, info: os.stat_result) -> None:
        self.parent, self.name, self.path, self.info = parent, name, path, info

    @property
    def here(self) -> str:
        """A path for the system calls that take no descriptor of a directory. Its last part must not be followed."""
        return f"/proc/self/fd/{self.parent}/{self.name}"


def walk(
    root: int,
    too_deep: list[str] | None = None,
    resolve: int = IN_PLACE,
    barred: Callable[[os.stat_result], bool] | None = None,
) -> Iterator[Entry]:
    """Yield everything below a directory in a fixed order, each directory before its content. tar(1) relies on that
    for directories' times.

    Mounts are entered only if `resolve` lets openat2(2) do so, and no directory that is `barred`. The tree may change
    meanwhile: what vanishes is left out. So is the content of a directory whose path is too long for the kernel; that
    path is added to `too_deep`."""
    # The directories from the root down to the current one, each with the names that are left to visit.
    todo: list[tuple[str, Iterator[str] | None]] = [("", None)]
    while todo:
        above, names = todo[-1]
        try:
            parent = files.open_in_root(root, above or ".", files.DIR, resolve=resolve)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                if too_deep is not None:
                    too_deep.append(above)
            elif error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):  # gone, replaced, a mount
                raise
            todo.pop()
            continue
        try:
            if names is None:
                is_barred = barred is not None and barred(os.fstat(parent))
                names = iter(() if is_barred else sorted(os.listdir(parent)))
                todo[-1] = above, names
            for name in names:
                try:
                    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                entry = Entry(parent, name, f"{above}/{name}" if above else name, info)
                yield entry
                if stat.S_ISDIR(info.st_mode):
                    todo.append((entry.path, None))
                    break
            else:
                todo.pop()
        finally:
            os.close(parent)


def is_mark(entry: Entry) -> bool:
    """True for a file that every container gets at its start (ops.rootfs.MarkRoot)."""
    if entry.path == ".dockerenv":
        return stat.S_ISREG(entry.info.st_mode) and not entry.info.st_size
    return (
        entry.path == "etc/mtab"
        and stat.S_ISLNK(entry.info.st_mode)
        and os.readlink(entry.name, dir_fd=entry.parent) == "/proc/mounts"
    )


def attributes(place: int | str) -> dict[str, bytes] | None:
    """Return the extended attributes that images carry; None if the file has more than the kernel lists. place: a
    descriptor, or a path whose last part is not followed."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
        names = sorted(filter(tar.is_carried, names)) if names else names  # nearly always there are none
        return {name: os.getxattr(place, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno == errno.E2BIG:
            return None
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return {}
