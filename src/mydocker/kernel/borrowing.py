"""Take a mount from another process's mount namespace, whatever that process has put around it."""

from __future__ import annotations

import os

from mydocker.kernel import mounts, process

_ATTEMPTS = 3  # its root may be exchanged between two looks


def take(pid: int, started: int, device: int, inode: int) -> int:
    """Return a descriptor of a writable copy of a mount that the process has, attached nowhere; -1 if it has ended, or
    has that mount no longer.

    started: by process.start_time(). device, inode: of the mount's root, which identify it: a path alone could lead to
    something else in there. Raises OSError.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return -1
    try:
        if process.start_time(pid) != started:  # so the namespace would be another process's
            return -1
        for _ in range(_ATTEMPTS):
            for point in _points(pid, device):
                tree = _copy(namespace, point, device, inode)
                if tree >= 0:
                    return tree
        return -1
    finally:
        os.close(namespace)


def _points(pid: int, device: int) -> list[str]:
    """List the paths, from the process's root, on which it has the whole file system mounted."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as table:
            rows = [row.split(b" ") for row in table.read().splitlines()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [
        mounts.unescape(os.fsdecode(fields[4])) for fields in rows if fields[2] == number.encode() and fields[3] == b"/"
    ]


def _copy(namespace: int, point: str, device: int, inode: int) -> int:
    """Copy the mount: only from inside its namespace. Returns -1 if another is there."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        process.setns(namespace, process.NAMESPACES["mount"])
        try:
            handle = os.open(point, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                info = os.fstat(handle)
                if (info.st_dev, info.st_ino) != (device, inode):
                    return -1
                return mounts.copy_writable(handle, point)
            finally:
                os.close(handle)
        except (FileNotFoundError, NotADirectoryError):
            return -1
        finally:
            process.setns(own, process.NAMESPACES["mount"])
    finally:
        os.close(own)
