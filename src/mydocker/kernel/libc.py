"""syscall(2) for the other modules of kernel/: it returns the kernel's result or raises OSError.

`_ctypes` is the C half of ctypes: it loads in 0.4 ms instead of 2.8 ms. Calls keep the interpreter's lock
(FUNCFLAG_PYTHONAPI), so that a clone by one of them leaves the child with a consistent interpreter.
"""

from __future__ import annotations

import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    dlopen,
    dlsym,
    get_errno,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MACHINE = os.uname().machine

# From the kernel's tables: name -> (x86-64, aarch64). Numbers from 424 up are the same on both.
_NUMBERS = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "unshare": (272, 97),
    "setns": (308, 268),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "seccomp": (317, 277),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "renameat2": (316, 276),
    "execveat": (322, 281),
    "ioctl": (16, 29),
    "syncfs": (306, 267),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
}
_COLUMN = {"x86_64": 0, "aarch64": 1}.get(MACHINE)


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Char(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI | FUNCFLAG_USE_ERRNO
    _restype_ = _Long


_syscall = _Function(dlsym(dlopen(None, 0), "syscall"))  # type: ignore[arg-type]


def address_of(buffer: bytearray) -> int:
    """Return the buffer's address, for a struct that points to it. Do not resize or free the buffer meanwhile."""
    return addressof((_Char * len(buffer)).from_buffer(buffer))


def syscall(name: str, *args: int | str | bytes | bytearray | None, about: str = "") -> int:
    """Call the kernel. Strings are passed as file-system bytes, a bytearray is written to in place, None is NULL.

    Raises OSError with the kernel's errno. about: the path or thing that its message names.
    """
    if _COLUMN is None:
        raise OSError(38, f"mydocker has no system call numbers for {MACHINE}", about or None)
    values: list[Any] = []
    for arg in args:
        if isinstance(arg, bytearray):
            values.append((_Char * len(arg)).from_buffer(arg))
        elif isinstance(arg, int):
            values.append(_Long(arg))
        else:
            values.append(os.fsencode(arg) if isinstance(arg, str) else arg)
    result: int = _syscall(_Long(_NUMBERS[name][_COLUMN]), *values)
    if result < 0:
        errno = get_errno()
        raise OSError(errno, os.strerror(errno), about or None)
    return result
