"""Pseudo-terminals. The container's end is opened in the container's own devpts."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from _struct import pack

from mydocker.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, open_in_root
from mydocker.kernel.mounts import FLAGS, mount, open_point

_TIOCSCTTY, _TIOCSWINSZ, _TIOCGWINSZ = 0x540E, 0x5414, 0x5413
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_PTMX = os.makedev(5, 2)


def open_pty(root: str, rows: int, columns: int, console: bool) -> int:
    """Open /dev/pts/ptmx in `root`, make the slave descriptors 0, 1 and 2, and return the master.

    In a running container that name may refer to a FIFO or any device, so the opened file is checked to be the pty
    multiplexer. The slave comes from the master itself (TIOCGPTPEER, Linux 4.13), not from a path. console: make the
    slave this session's terminal, and bind it on /dev/console.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        master = open_in_root(root_fd, "/dev/pts/ptmx", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    finally:
        os.close(root_fd)
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX:
        raise OSError(errno.EINVAL, "not a pseudo-terminal multiplexer", "/dev/pts/ptmx")
    os.set_blocking(master, True)
    fcntl.ioctl(master, _TIOCSPTLCK, pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    set_size(master, rows, columns)
    if console:
        point = open_point(root, "/dev/console", make="file", follow=False)
        mount(f"/proc/self/fd/{slave}", f"/proc/self/fd/{point}", flags=FLAGS["bind"])
        os.close(point)
        fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    if slave > 2:
        os.close(slave)
    return master


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Set the size of a terminal, unless rows or columns are 0 (unknown)."""
    if rows and columns:
        fcntl.ioctl(terminal, _TIOCSWINSZ, pack("4H", rows, columns, 0, 0))


def size(terminal: int) -> tuple[int, int]:
    """Return (rows, columns); (0, 0) if the descriptor is not a terminal."""
    try:
        answer = fcntl.ioctl(terminal, _TIOCGWINSZ, bytes(8))
    except OSError:
        return 0, 0
    return int.from_bytes(answer[:2], "little"), int.from_bytes(answer[2:4], "little")
