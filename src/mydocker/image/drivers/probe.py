"""Test whether overlay works below paths.ROOT. A success is recorded in /run, so that one boot needs one test.

/proc/filesystems does not tell: the module may not be loaded yet, or the file system below (another overlay, NFS, xfs
without ftype) can't hold an upper directory.
"""

from __future__ import annotations

import os
import stat

from mydocker import paths
from mydocker.kernel import files, mounts, process


def overlay(try_it: bool) -> str:
    """Return why overlay does not work, "" if it does. try_it: if False, nothing is written, and without a test it
    counts as working."""
    answer = f"{paths.RUN}/.overlay"
    why = None
    try:
        about = f"{paths.ROOT} {os.stat(paths.ROOT).st_dev}\n"
        with open(answer, encoding="utf-8") as file:
            known = file.read()
        if known.startswith(about):
            why = known[len(about) :]
    except FileNotFoundError:
        pass
    if why == "" or not try_it:
        return why or ""
    why = _try_overlay()  # also after a failure, which may have been fixed
    files.make_private(paths.RUN)
    files.write_atomic(answer, f"{paths.ROOT} {os.stat(paths.ROOT).st_dev}\n{why}".encode())
    return why


def _try_overlay() -> str:
    """Mount an overlay in a child's own mount namespace, and remove and make a directory in it."""
    from mydocker.image import writer

    with writer.Workspace() as work:
        for name in ("lower", "upper", "work", "merged", "lower/directory"):
            os.mkdir(f"{work.path}/{name}", 0o700)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            why = "the test was cut short"
            try:
                why = _use(work.path)
            except OSError as error:
                why = f"{error.strerror} ({error.filename})".lower()
            finally:
                os.write(theirs, why.encode())
                os._exit(0)
        os.close(theirs)
        try:
            return os.read(ours, 4096).decode()
        finally:
            os.close(ours)
            os.waitpid(child, 0)


def _use(directory: str) -> str:
    process.unshare(process.NAMESPACES["mount"])
    mounts.mount("none", "/", flags=mounts.FLAGS["private"] | mounts.FLAGS["rec"])
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
