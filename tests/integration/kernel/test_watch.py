"""runtime/watch.py: a monitor's long wait, with a command line attached that may go away at any moment."""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair

import pytest

from mydocker.runtime import watch
from mydocker.runtime.client import Client
from mydocker.runtime.crilog import LogWriter

pytestmark = pytest.mark.local


@pytest.fixture(autouse=True)
def nothing_left():
    """Nothing on the machine is touched but a directory of the test's own."""


@pytest.fixture
def attached(tmp_path):
    """(the monitor's view of a container, what that writes its output to, the command line's end)."""
    pid = os.fork()
    if not pid:
        time.sleep(1000)
        os._exit(0)
    life = watch.Watch("a" * 64, "web", 15, 10)
    life.pid, life.pidfd, life.running = pid, os.pidfd_open(pid), True
    reader, writer = os.pipe()
    life.outputs[reader] = b"stdout"
    life.log = LogWriter(f"{tmp_path}/log", 1 << 20, 1)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    life.client = Client(ours)
    yield life, writer, theirs
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    for descriptor in (life.pidfd, reader, writer):
        os.close(descriptor)


def test_it_goes_away_before_it_is_given_output(attached):
    life, writer, theirs = attached
    os.write(writer, b"one\n")
    (ready,) = life._poll()
    theirs.close()
    life._pump(ready)
    assert life._poll(time.monotonic()) == []
    assert life.client is None


def test_output_that_never_ends_is_left_after_a_while(attached, monkeypatch):
    """Of a process that is not the container's, and was given its pipe."""
    life, writer, theirs = attached
    theirs.close()
    monkeypatch.setattr(watch, "_LONGEST_DRAIN", 0.3)
    writes = os.fork()
    if not writes:
        while True:
            os.write(writer, b"x" * 4096)
    try:
        life.status = 0
        life.drain()
        assert life.outputs
    finally:
        os.kill(writes, 9)
        os.waitpid(writes, 0)


def test_it_goes_away_before_it_is_told_of_the_start(attached):
    life, _, theirs = attached
    theirs.close()
    life.client.say(b"S", {"pid": 1})
    life.client.set_blocking(False)
    assert life.wait(0.1) == watch.SETTLED
