"""Mount a file system by fsopen(2), fsconfig(2) and fsmount(2): options have no page limit there, and one may be given
several times."""

from __future__ import annotations

import os

from mydocker.kernel.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# <linux/mount.h>
_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
_AT_FDCWD, _FROM_DESCRIPTOR = -100, 4


def mount_readonly(fstype: str, source: str, options: Iterable[tuple[str, str]], target: str) -> None:
    """Mount a file system, read-only, without devices and set-user-ID programs. options: (key, value).

    Raises OSError with the kernel's own words, where it has some."""
    context = syscall("fsopen", fstype, _CLOEXEC, about=fstype)
    try:
        try:
            syscall("fsconfig", context, _SET_STRING, "source", source, 0)
            for key, value in options:
                syscall("fsconfig", context, _SET_STRING, key, value, 0)
            syscall("fsconfig", context, _SET_FLAG, "ro", None, 0)
            syscall("fsconfig", context, _CREATE, None, None, 0)
        except OSError as error:
            raise OSError(error.errno, _message(context) or os.strerror(error.errno or 0), source) from None
        mount = syscall("fsmount", context, _CLOEXEC, _READ_ONLY | _NO_SUID | _NO_DEVICES, about=source)
    finally:
        os.close(context)
    try:
        syscall("move_mount", mount, "", _AT_FDCWD, target, _FROM_DESCRIPTOR, about=target)
    finally:
        os.close(mount)


def _message(context: int) -> str:
    """Return the last error that the kernel has noted for a context, "" if there is none."""
    words = ""
    while True:
        try:
            line = os.read(context, 4096).decode(errors="replace").strip()
        except OSError:  # ENODATA: that was the last one
            return words
        if line.startswith("e "):
            words = line[2:]
