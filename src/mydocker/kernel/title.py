"""The title of this process in `ps`. Set through files and without os, to keep a waiting monitor small."""

from __future__ import annotations

import posix as os


def set_title(title: str, name: str = "") -> None:
    """Overwrite the arguments with `title`, as far as their space allows (/proc/self/stat, fields 48 and 49).

    name: the new comm, at most 15 bytes; "" to keep it.
    """
    if name:
        _write("/proc/self/comm", name.encode()[:15])
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if start:
        _write("/proc/self/mem", title.encode()[: end - start - 1].ljust(end - start, b"\0"), start)


def _write(path: str, data: bytes, place: int = -1) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if place >= 0:
            os.pwrite(descriptor, data, place)
        else:
            os.write(descriptor, data)
    finally:
        os.close(descriptor)
