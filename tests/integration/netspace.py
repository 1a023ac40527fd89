"""Network namespaces for tests of the kernel, which change nothing on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator

from mydocker.kernel import process

NETWORK = process.NAMESPACES["network"]


@contextlib.contextmanager
def own_namespace() -> Iterator[None]:
    """Move this process into a new network namespace for the block. The namespace ends with the block."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    process.unshare(NETWORK)
    try:
        yield
    finally:
        process.setns(before, NETWORK)
        os.close(before)


@contextlib.contextmanager
def sleeper() -> Iterator[int]:
    """Start a process in a new network namespace. Yields its PID."""
    started = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started.pid
    finally:
        started.kill()
        started.communicate()


def ip(*words: str, pid: int = 0) -> list[dict]:
    """Return the output of `ip -j …`, here or in the namespace of a process."""
    inside = ["nsenter", "--net", "--target", str(pid)] if pid else []
    result = subprocess.run([*inside, "ip", "-d", "-j", *words], capture_output=True, text=True, check=True)
    return [each for each in json.loads(result.stdout or "[]") if each]


def run(command: str) -> None:
    subprocess.run(["sh", "-e", "-c", command], check=True)
