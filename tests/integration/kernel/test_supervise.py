"""runtime/supervise.py: a monitor's long wait, with a command line attached that may go away at any moment."""

from __future__ import annotations

import os
import time

import pytest

from mydocker.runtime import messages, supervise
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
    container = supervise.Supervised("a" * 64, "web", 15, 10)
    container.pid, container.pidfd, container.running = pid, os.pidfd_open(pid), True
    reader, writer = os.pipe()
    container.outputs[reader] = b"stdout"
    container.log = LogWriter(f"{tmp_path}/log", 1 << 20, 1)
    ours, theirs = messages.pair()
    container.client = Client(ours)
    yield container, writer, theirs
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    for descriptor in (container.pidfd, reader, writer):
        os.close(descriptor)


def test_it_goes_away_before_it_is_given_output(attached):
    container, writer, theirs = attached
    os.write(writer, b"one\n")
    (ready,) = container._poll()
    theirs.close()
    container._pump(ready)
    assert container._poll(time.monotonic()) == []
    assert container.client is None


def test_output_that_never_ends_is_left_after_a_while(attached, monkeypatch):
    """Of a process that is not the container's, and was given its pipe."""
    container, writer, theirs = attached
    theirs.close()
    monkeypatch.setattr(supervise, "_LONGEST_DRAIN", 0.3)
    writes = os.fork()
    if not writes:
        while True:
            os.write(writer, b"x" * 4096)
    try:
        container.status = 0
        container.drain()
        assert container.outputs
    finally:
        os.kill(writes, 9)
        os.waitpid(writes, 0)


def test_the_command_line_goes_away_before_the_start_is_reported(attached):
    container, _, theirs = attached
    theirs.close()
    container.client.say(messages.STARTED)
    container.client.set_blocking(False)
    assert container.wait(0.1) == supervise.IDLE
