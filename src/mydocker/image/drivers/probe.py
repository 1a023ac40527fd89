"""Test whether overlay and erofs work below paths.ROOT. A success is recorded in /run, so that one boot needs one test.

/proc/filesystems does not tell: the module may not be loaded yet, or the file system below (another overlay, NFS, xfs
without ftype) can't hold an upper directory.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker import paths
from mydocker.kernel import files, mounts, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_FIRST = 6, 12  # the first version of the kernel with CONFIG_EROFS_FS_BACKED_BY_FILE
_REASONS = {
    errno.ENODEV: "the kernel has no such file system",
    errno.ENOTBLK: "the kernel does not mount erofs from files of the file system below",
}
_CONTENT = b"of the test"


def overlay(try_it: bool) -> str:
    """Return why overlay does not work, "" if it does. try_it: if False, nothing is written, and without a test it
    counts as working."""
    return _answer("overlay", _try_overlay, try_it)


def erofs(try_it: bool) -> str:
    """Return why erofs does not work on files, and overlay on that, "" if it does. try_it: as for overlay()."""
    release = os.uname().release
    if _version(release) < _FIRST:
        return f"the kernel is {release}, and mounts erofs from files from 6.12 on"
    return _answer("erofs", _try_erofs, try_it, final=True)


def _answer(driver: str, test: Callable[[], str], try_it: bool, final: bool = False) -> str:
    """Return the recorded answer of a test, or else its answer now. final: a failure is not tried again in this boot:
    another driver serves."""
    answer = f"{paths.RUN}/.{driver}"
    why = None
    try:
        about = f"{paths.ROOT} {os.stat(paths.ROOT).st_dev}\n"
        with open(answer, encoding="utf-8") as file:
            known = file.read()
        if known.startswith(about):
            why = known[len(about) :]
    except FileNotFoundError:
        pass
    if why == "" or not try_it or (final and why):
        return why or ""
    why = test()  # also after a failure, which may have been fixed
    files.make_private(paths.RUN)
    files.write_atomic(answer, f"{paths.ROOT} {os.stat(paths.ROOT).st_dev}\n{why}".encode())
    return why


def _version(release: str) -> tuple[int, int]:
    major, minor = (*release.replace("-", ".").split("."), "")[:2]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _try_overlay() -> str:
    """Mount an overlay, and remove and make a directory in it."""
    from mydocker.image import writer

    with writer.Workspace() as work:
        for name in ("lower", "upper", "work", "merged", "lower/directory"):
            os.mkdir(f"{work.path}/{name}", 0o700)
        return _apart(lambda: _use(work.path))


def _try_erofs() -> str:
    """Mount an index of a small tar, and an overlay on that; read a file, and remove and make a directory."""
    from mydocker.image import writer
    from mydocker.image.erofs import filesystem, nodes

    with writer.Workspace() as work:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{work.path}/{name}", 0o700)
        root, file = nodes.Node(stat.S_IFDIR | 0o755), nodes.Node(stat.S_IFREG | 0o644)
        file.size, file.extents = len(_CONTENT), [(0, len(_CONTENT), 0, nodes.BLOCK)]
        root.children = {"directory": nodes.Node(stat.S_IFDIR | 0o755), "file": file}
        files.write_new(f"{work.path}/data", bytes(nodes.BLOCK) + _CONTENT.ljust(nodes.BLOCK, b"\0"))
        with open(f"{work.path}/index", "wb") as out:
            filesystem.write(root, [2 * nodes.BLOCK], os.urandom(16), out)
        return _apart(lambda: _use_erofs(work.path))


def _apart(use: Callable[[], str]) -> str:
    """Call `use` in a child with its own mount namespace. Returns what it returns, or its error."""
    from mydocker.kernel.child import in_child

    def work() -> list[str]:
        try:
            process.unshare(process.NAMESPACES["mount"])
            mounts.mount("none", "/", flags=mounts.FLAGS["private"] | mounts.FLAGS["rec"])
            return [use()]
        except OSError as error:
            return [_REASONS.get(error.errno or 0) or f"{error.strerror} ({error.filename})".lower()]

    return in_child(work, "the test of a storage driver")[0]


def _use_erofs(directory: str) -> str:
    from mydocker.kernel.filesystems import mount_readonly

    mount_readonly("erofs", f"{directory}/index", [("device", f"{directory}/data")], f"{directory}/lower")
    with open(f"{directory}/lower/file", "rb") as file:
        if file.read() != _CONTENT:
            return "a file of erofs has not its content"
    return _use(directory)


def _use(directory: str) -> str:
    options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work"
    mounts.mount("overlay", f"{directory}/merged", "overlay", 0, options)
    os.rmdir(f"{directory}/merged/directory")
    if not files.is_whiteout(os.lstat(f"{directory}/upper/directory")):
        return "the file system below can't hold whiteouts"
    os.mkdir(f"{directory}/merged/directory")
    upper = f"{directory}/upper/directory"
    if not stat.S_ISDIR(os.lstat(upper).st_mode) or not files.is_opaque(upper):
        return "the file system below can't hold trusted extended attributes"
    return ""
