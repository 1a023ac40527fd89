"""A guard for unit tests, which start no process, change nothing in the kernel and write only their own files.

Python reports such calls to its audit hooks. The guard refuses them, and the test fails, even if the program ignores
the error."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest

import mydocker.kernel.libc

FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "os.killpg",
    "os.posix_spawn",
    "os.setns",
    "os.spawn",
    "os.system",
    "os.unshare",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "subprocess.Popen",
}
# event -> the arguments that are changed paths, each with the argument that is the directory's descriptor, if any
WRITES = {
    "os.chmod": [(0, 2)],
    "os.chown": [(0, 3)],
    "os.link": [(1, 3)],
    "os.mkdir": [(0, 2)],
    "os.remove": [(0, 1)],
    "os.removexattr": [(0, None)],
    "os.rename": [(0, 2), (1, 3)],
    "os.rmdir": [(0, 1)],
    "os.setxattr": [(0, None)],
    "os.symlink": [(1, 2)],
    "os.truncate": [(0, None)],
    "os.utime": [(0, 3)],
}
NOWHERE = ("/dev/null", "/dev/full")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """The audit hook. directory: where a test may write. seen: what has been refused."""

    def __init__(self) -> None:
        self.armed = False
        self.directory = ""
        self.seen: list[str] = []
        self.opened_below = -1  # the directory's descriptor of an os.open(): the event does not tell it

    def __call__(self, event: str, args: tuple) -> None:
        if not self.armed:
            return
        if event in FORBIDDEN:
            self.refuse(f"call {event}")
        if event == "open" and args[2] & WRITING:
            self.check(event, args[0], self.opened_below)
        for path, directory in WRITES.get(event, ()):
            self.check(event, args[path], -1 if directory is None else args[directory])

    def refuse(self, what: str) -> None:
        self.seen.append(what)
        raise PermissionError(f"a unit test may not {what}")

    def check(self, event: str, path: object, below: int) -> None:
        """Check a path that changes. A descriptor is accepted: the guard has seen its open()."""
        if isinstance(path, int):
            return
        full = os.path.join(f"/proc/self/fd/{below}" if below >= 0 else "", os.fsdecode(path))
        place = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
        if event == "open":
            place = os.path.realpath(place)
        if place not in NOWHERE and not f"{place}/".startswith(f"{self.directory}/"):
            self.refuse(f"write: {event} {place}")


GUARD = Guard()
sys.addaudithook(GUARD)  # a hook cannot be removed, hence the switch


@pytest.fixture(autouse=True)
def guard(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
    def refuse(*args: object) -> int:
        GUARD.refuse("make a system call")
        return -1

    def unreported(call):
        """Python reports neither os.mknod nor os.mkfifo."""

        def checked(path, *args: object, dir_fd: int | None = None, **options: object) -> None:
            GUARD.check(f"os.{call.__name__}", path, -1 if dir_fd is None else dir_fd)
            call(path, *args, dir_fd=dir_fd, **options)

        return checked

    def open_below(path, *args: object, dir_fd: int | None = None, **options: object) -> int:
        GUARD.opened_below = -1 if dir_fd is None else dir_fd
        try:
            return os_open(path, *args, dir_fd=dir_fd, **options)
        finally:
            GUARD.opened_below = -1

    monkeypatch.setattr(mydocker.kernel.libc, "_syscall", refuse)
    os_open = os.open
    monkeypatch.setattr(os, "mknod", unreported(os.mknod))
    monkeypatch.setattr(os, "mkfifo", unreported(os.mkfifo))
    monkeypatch.setattr(os, "open", open_below)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    GUARD.directory = os.path.realpath(tmp_path_factory.getbasetemp())
    # Temporary files are made there by default.
    monkeypatch.setattr(tempfile, "tempdir", GUARD.directory)
    GUARD.seen = []
    GUARD.armed = True
    yield GUARD
    GUARD.armed = False
    if GUARD.seen:
        pytest.fail("a unit test may not " + "; ".join(GUARD.seen), pytrace=False)
