"""Unit tests start no process and change nothing in the kernel: here is what holds them to it."""

from __future__ import annotations

import sys

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
_state = {"armed": False}


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _state["armed"] and event in FORBIDDEN:
        raise PermissionError(f"a unit test may not call {event}")


sys.addaudithook(_audit)  # it cannot be taken away again, hence the switch


@pytest.fixture(autouse=True)
def _no_process_no_kernel(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object) -> int:
        raise PermissionError("a unit test may not make a system call")

    monkeypatch.setattr(mydocker.kernel.libc, "_syscall", refuse)
    _state["armed"] = True
    yield
    _state["armed"] = False
