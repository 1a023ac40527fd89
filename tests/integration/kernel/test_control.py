"""runtime/control.py: a command line tells a monitor of a change, and the monitor survives any message.

Both ends are here, in one process: the socket lies in a directory of the test's.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mydocker import jsontext, paths
from mydocker.errors import Conflict
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.runtime import control, messages

pytestmark = pytest.mark.local

ID = "a" * 64
LAB = Network("lab", "1" * 64, "2026-11-23T00:00:00Z", "lab", "10.8.0.0/20", "10.8.0.1", internal=True)


class Monitor:
    """An owner that notes what it is told. refuses: an error that it raises then."""

    def __init__(self):
        self.told = []
        self.refuses = None

    def update(self, message, joined, descriptors):
        self.told.append((message, joined, descriptors))
        if self.refuses:
            raise self.refuses

    def attach(self, channel, stdin):
        self.told.append(stdin)
        channel.send(messages.STARTED, fds=[0, 1])
        channel.close()

    def keep_terminal(self, master):
        self.told.append(os.fstat(master))
        os.close(master)


@pytest.fixture(autouse=True)
def nothing_left():
    """Nothing on the machine is touched but a directory of the test's own."""


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CONTAINERS", str(tmp_path))
    (tmp_path / ID).mkdir()
    return Container(
        ID, "web", "", "busybox:latest", "", ["top"], "overlay", [], networks=[Endpoint("lab").to_json()],
        requested_ports=["80/tcp"], bound_ports=["32768:80/tcp"],
    )  # fmt: skip


@pytest.fixture
def monitor():
    return Monitor()


@pytest.fixture
def ear(record, monitor, monkeypatch):
    monkeypatch.setattr(control, "_PATIENCE", 0.5)
    found = control.Control(control.listen(record.directory), monitor)
    yield found
    found.close()


@contextlib.contextmanager
def serving(ear):
    """A monitor that takes one message meanwhile."""
    thread = threading.Thread(target=ear.serve, daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def served(ear):
    with serving(ear):
        yield


def say(record, data, descriptors=(), then=messages.COMMIT):
    """Send an update of any content, and `then` to who has prepared for it; return the last answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(5)
        control._at(record.directory, channel.connect)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        channel.sendmsg([messages.UPDATE + data], rights)
        try:
            answer = channel.recv(16)
            if answer == messages.PREPARED and then:
                channel.send(then)
                answer = channel.recv(16)
            return answer
        except ConnectionResetError:
            return b""


@pytest.fixture
def pipes():
    """Six descriptors, whose numbers do not matter: each is known by what it is."""
    made = [end for _ in range(3) for end in os.pipe()]
    yield made
    for end in made:
        os.close(end)


def identities(descriptors):
    return [(os.fstat(each).st_dev, os.fstat(each).st_ino, os.fstat(each).st_mode) for each in descriptors]


class TestTell:
    def test_the_monitor_adopts_the_record(self, record, monitor, served):
        control.tell(record, [LAB], {}, [])
        (message, joined, descriptors) = monitor.told[0]
        assert (message["networks"], message["requested_ports"]) == (record.networks, ["80/tcp"])
        assert (message["bound_ports"], message["bound_sockets"]) == (["32768:80/tcp"], [])
        assert (joined, descriptors) == ([LAB], [])

    def test_descriptors_come_in_their_order_and_are_closed_on_exec(self, record, monitor, served, pipes):
        control.tell(record, [LAB], {"80:80/tcp": pipes[:2], "53:53/udp": pipes[2:3]}, pipes[3:])
        message, _, received = monitor.told[0]
        assert message["bound_sockets"] == [["80:80/tcp", 2], ["53:53/udp", 1]]
        assert identities(received) == identities(pipes)
        assert not any(os.get_inheritable(each) for each in received)
        for each in received:
            os.close(each)

    def test_a_monitor_that_has_gone(self, record):
        with pytest.raises(Conflict, match="the monitor of web did not answer"):
            control.tell(record, [LAB], {}, [])

    def test_a_monitor_that_no_longer_listens(self, record, ear):
        ear.close()
        with pytest.raises(Conflict, match="did not answer"):
            control.tell(record, [LAB], {}, [])

    def test_a_monitor_is_told_during_its_cleanup(self, record, ear, monkeypatch):
        monkeypatch.setattr(control, "_PATIENCE", 60.0)
        threading.Timer(0.1, ear.close).start()
        began = time.monotonic()
        with pytest.raises(Conflict, match="did not answer"):
            control.tell(record, [LAB], {}, [])
        assert time.monotonic() - began < 30  # it hears an end of file, and waits no longer

    def test_a_monitor_that_hangs(self, record, ear):
        with pytest.raises(Conflict, match="did not answer"):
            control.tell(record, [LAB], {}, [])

    def test_an_update_that_fails_is_not_answered(self, record, monitor, served):
        monitor.refuses = OSError(5, "no")
        with pytest.raises(Conflict, match="did not answer"):
            control.tell(record, [LAB], {}, [])

    @pytest.mark.parametrize("count", [250, 251, 500, 601])
    def test_more_descriptors_than_the_kernel_takes_in_one_message(self, record, monitor, served, pipes, count):
        control.tell(record, [LAB], {f"{port}:{port}/tcp": pipes[port % 2 : port % 2 + 1] for port in range(count)}, [])
        received = monitor.told[0][2]
        assert identities(received) == identities(pipes[port % 2] for port in range(count))
        for each in received:
            os.close(each)

    def test_a_monitor_that_wakes_up_too_late_does_nothing(self, record, monitor, ear, pipes):
        with pytest.raises(Conflict, match="did not answer"):
            control.tell(record, [LAB], {"80:80/tcp": pipes[:2]}, pipes[2:3])
        before = len(os.listdir("/proc/self/fd"))
        ear.serve()
        assert monitor.told == []
        assert len(os.listdir("/proc/self/fd")) == before  # what it was sent is closed

    def test_a_client_that_stops_in_the_middle_is_ignored(self, record, monitor, ear):
        for then in (b"", b"what?"):
            with serving(ear):
                say(record, jsontext.dumps({"network_records": []}).encode(), then=then)
        assert monitor.told == []


class TestAttach:
    @pytest.mark.parametrize("stdin", [True, False])
    def test_a_channel_and_the_first_descriptors(self, record, monitor, served, stdin):
        channel, descriptors = control.attach(record, stdin)
        assert monitor.told == [stdin]
        assert identities(descriptors) == identities([0, 1])
        assert channel.receive().kind == b""
        assert channel.socket.gettimeout() is None
        channel.close()
        for each in descriptors:
            os.close(each)

    def test_a_terminal_is_left(self, record, monitor, served, pipes):
        control.leave_terminal(record, pipes[0])
        assert monitor.told == [os.fstat(pipes[0])]
        assert not os.get_blocking(pipes[0])  # the monitor never waits for it

    @pytest.mark.parametrize("ask", [control.attach, control.leave_terminal])
    def test_a_monitor_that_hangs_or_has_gone(self, record, ear, pipes, ask):
        with pytest.raises(Conflict, match="the monitor of web did not answer"):
            ask(record, pipes[0])
        ear.close()
        with pytest.raises(Conflict, match="the monitor of web did not answer"):
            ask(record, pipes[0])

    def test_no_terminal_or_two(self, record, monitor, ear, pipes):
        for sent in ([], pipes[:2]):
            with serving(ear), contextlib.suppress(Conflict), control._Request(record, b"P", b"", sent) as channel:
                assert channel.receive().kind == b""
        assert monitor.told == []


class TestEar:
    def test_one_that_a_killed_monitor_has_left_is_replaced(self, record, monitor):
        control.Control(control.listen(record.directory), monitor)  # never closed
        control.Control(control.listen(record.directory), monitor).close()

    def test_a_long_directory(self, tmp_path, record, monitor, monkeypatch):
        monkeypatch.setattr(paths, "CONTAINERS", f"{tmp_path}/{'x' * 200}")
        os.makedirs(record.directory)
        ear = control.Control(control.listen(record.directory), monitor)
        with serving(ear):
            control.tell(record, [LAB], {}, [])
        ear.close()
        assert monitor.told

    def test_nobody_there(self, ear, monitor):
        os.set_blocking(ear._listener.fileno(), False)
        ear.serve()
        assert monitor.told == []

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"{", b"null", b"[]", b"{}", b'{"network_records": 1}', b'{"network_records": [1]}',
            b'{"network_records": [{"colour": "red"}]}',
            b'{"network_records": [{"name": "lab"}]}', b"\xff",
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_not_answered(self, record, monitor, served, data):
        assert say(record, data) == b""
        assert monitor.told == []

    def test_what_comes_with_nonsense_is_closed(self, record, ear, pipes):
        with serving(ear):
            assert say(record, b"{", pipes) == b""
        opened = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
        assert [opened.count(os.path.realpath(f"/proc/self/fd/{each}")) for each in pipes] == [2] * 6  # its two ends

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
    @given(st.dictionaries(st.sampled_from(["network_records", "networks", "bound_sockets", "bound_ports"]),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
    )))  # fmt: skip
    def test_no_message_whatever_ends_the_monitor(self, record, ear, monitor, message):
        with serving(ear):
            answer = say(record, jsontext.dumps(message).encode())
        assert answer == (messages.DONE if monitor.told else b"")
        monitor.told.clear()
