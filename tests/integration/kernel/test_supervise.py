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
    container.clients = [Client(ours)]
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
    assert container.clients == []


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
    container.clients[0].say(messages.STARTED)
    container.clients[0].set_blocking(False)
    assert container.wait(0.1) == supervise.IDLE


def test_each_of_several_gets_all_output_at_its_own_pace(attached, monkeypatch):
    container, writer, theirs = attached
    monkeypatch.setattr(container, "_patience", lambda _: 10)
    ours, others = messages.pair()
    container.clients.append(Client(ours))
    for client in container.clients:
        client.set_blocking(False)
    written = 0
    while not container.clients[1].behind:  # the second one reads nothing
        os.write(writer, b"x" * 4096)
        written += 4096
        for ready in container._poll():
            container._pump(ready)
        assert len(theirs.receive().body) == 4096
    os.write(writer, b"kept in the pipe")
    assert container._poll() == []  # until it has taken what it has not
    while written:
        written -= len(others.receive().body)
        container._poll()
    (ready,) = container._poll()
    container._pump(ready)
    assert theirs.receive().body == others.receive().body == b"kept in the pipe"
    others.close()


@pytest.mark.parametrize("says", [True, False], ids=["says so", "hangs up"])
def test_stdin_ends_with_the_last_that_feeds_it(attached, monkeypatch, says):
    container, _, theirs = attached
    monkeypatch.setattr(container, "_patience", lambda _: 10)
    ours, others = messages.pair()
    reader, container.stdin = os.pipe()
    container.stdin_once = True
    container.clients += [Client(ours)]
    for client in container.clients:
        client.set_blocking(False)
    container._poll()
    assert container.stdin >= 0  # nobody has it yet
    for client in container.clients:
        client.feeds = container.is_fed = True
    for channel in (theirs, others):
        assert container.stdin >= 0
        channel.send(messages.STDIN_ENDED) if says else channel.close()
        container._poll()
        container._poll()
    assert container.stdin == -1
    assert os.read(reader, 1) == b""
    assert len(container.clients) == 2 * says
    os.close(reader)
    others.close()


def test_a_step_of_a_build_ends_with_the_build_and_not_with_who_looks_at_it(attached, monkeypatch):
    container, _, theirs = attached
    monkeypatch.setattr(container, "_patience", lambda _: 10)
    sent = []
    monkeypatch.setattr(container, "signal", sent.append)
    container.ends_with_client = True
    ours, others = messages.pair()
    container.clients += [Client(ours)]
    for channel, killed in ((others, []), (theirs, [9])):
        channel.close()
        container._poll()
        container._poll(time.monotonic())
        assert sent == killed
    assert container.clients == []


def test_output_of_a_terminal_that_was_left_is_discarded(attached):
    container, _, theirs = attached
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    container.outputs[reader] = b""
    os.write(writer, b"nobody looks")
    (ready,) = container._poll()
    container._pump(ready)
    assert container.state()["outputs"][-1] == [reader, ""]
    os.close(writer)
    (ready,) = container._poll()
    container._pump(ready)
    assert reader not in container.outputs
    theirs.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.receive()
    container.log.close()
    assert os.path.getsize(container.log.path) == 0
