"""Explain why a wait has timed out: why a killed container does not end, who holds a lock."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def why(pid: int) -> str:
    """Explain why a container's first process does not end: all others in its PID namespace must be reaped first."""
    for other in _with(pid):
        name, state, parent = _look(other)
        if state == "Z":
            reaper, _, _ = _look(parent)
            return f"its process {other} ({name}) is a zombie that process {parent} ({reaper}) does not reap"
        if state == "D":
            return f"its process {other} ({name}) waits in the kernel, for a disk or a network file system"
    return f"look at process {pid}: 'cat /proc/{pid}/status'; is its cgroup frozen?"


def holder(path: str) -> str:
    """Name the holder of the flock on a file, by /proc/locks: "process 123 (name)"; "" if it is unknown."""
    inode = f":{os.stat(path).st_ino}"
    with open("/proc/locks", encoding="utf-8") as table:
        for row in map(str.split, table):
            if row[1] == "FLOCK" and row[5].endswith(inode):
                return f"process {row[4]} ({_look(int(row[4]))[0]})"
    return ""


def _with(pid: int) -> Iterator[int]:
    """Yield the first process, and all others in its PID namespace if that is its own."""
    yield pid
    namespace = _namespace(pid)
    if namespace in ("", _namespace(os.getpid())):
        return
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != pid and _namespace(int(entry)) == namespace:
            yield int(entry)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _look(pid: int) -> tuple[str, str, int]:
    """Return (name, state, parent)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="backslashreplace") as file:
            before, _, after = file.read().rpartition(")")
    except OSError:
        return "?", "", 0
    state, parent, *_ = after.split()
    return before.partition("(")[2], state, int(parent)
