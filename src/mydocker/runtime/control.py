"""The socket by which a command line reaches the monitor of a running container: to attach to it, to leave an exec's
terminal there, or to change its networks and ports. messages.py draws each.

A bare monitor that is connected to becomes a full one first. One that a command line has attached to stays one, and
sends it all output, until the command line hangs up.

Networks and ports are changed by the command line, and the monitor takes note. Four messages make a transaction. A
command line that gets no answer for five seconds undoes its change; a monitor that wakes up later gets no COMMIT, and
does nothing. The rules of `port add` are made after the transaction. Those of ports that are removed, moved or restored
are changed before it: while there is a rule, its port is bound. UPDATE is

    {"name", "networks", "requested_ports", "bound_ports"}   as in the record
    {"network_records"}                              the Network of each endpoint
    {"bound_sockets"}                                [[text of a port, number of its descriptors], …]

The descriptors of a new resolver's sockets, if there are any, follow those of the ports.

The socket is in the container's directory, which only root can enter. A monitor that cleans up closes it first: then a
command line in the middle of a change gets an end of file, and undoes it.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket

from mydocker.errors import Conflict
from mydocker.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from mydocker.model.container import Container
    from mydocker.model.network import Network

    class Owner(Protocol):
        """The monitor, as far as Control needs it."""

        def update(self, message: dict[str, Any], networks: list[Network], descriptors: list[int]) -> None: ...

        def attach(self, channel: messages.Channel, stdin: bool) -> None: ...

        def keep_terminal(self, master: int) -> None: ...


_NAME = "control"
_WITH_STDIN = b"stdin"
_PATIENCE = 5.0  # seconds


class Control:
    """The monitor's end: a listening socket, which listen() makes."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        self.owner = owner
        self._listener = socket(fileno=descriptor)

    def serve(self) -> None:
        """Serve one command line. A malformed request is ignored, and never ends the container."""
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
            client = messages.channel_of(descriptor)
        except OSError:
            return
        message = messages.Message(b"", b"", [])
        try:
            client.socket.settimeout(_PATIENCE)
            message = client.receive()
            if message.kind == messages.ATTACH:
                self.owner.attach(client, stdin=message.body == _WITH_STDIN)
                return
            if message.kind == messages.TERMINAL:
                self._keep_terminal(client, message)
            elif message.kind == messages.UPDATE:
                self._update(client, message)
        except Exception:
            pass
        for descriptor in message.fds:
            os.close(descriptor)
        client.close()

    def _keep_terminal(self, client: messages.Channel, message: messages.Message) -> None:
        (master,) = message.fds
        os.set_blocking(master, False)
        message.fds = []  # it is the owner's from here on
        self.owner.keep_terminal(master)
        client.send(messages.DONE)

    def _update(self, client: messages.Channel, message: messages.Message) -> None:
        from mydocker.model.network import Network  # a container on networks has loaded it

        update = message.json()
        networks = [Network(**each) for each in update["network_records"]]
        client.send(messages.PREPARED)
        if client.receive(longest=1).kind == messages.COMMIT:
            descriptors, message.fds = message.fds, []  # they are the owner's from here on
            self.owner.update(update, networks, descriptors)
            client.send(messages.DONE)

    def close(self) -> None:
        self._listener.close()


def listen(directory: str) -> int:
    """Make a new socket in a container's directory. Returns its descriptor."""
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        os.unlink(f"{directory}/{_NAME}")
    except FileNotFoundError:
        pass
    _at(directory, listener.bind)
    listener.listen(4)
    return listener.detach()


def _at(directory: str, use: Any) -> None:
    """Bind or connect with a short path: a socket's path has at most 107 bytes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{descriptor}/{_NAME}")
    finally:
        os.close(descriptor)


def tell(record: Container, networks: list[Network], bound_sockets: dict[str, list[int]], resolver: list[int]) -> None:
    """Tell the monitor the record's networks and ports, and give it copies of the descriptors. Raises Conflict if the
    monitor no longer answers."""
    update = {
        "name": record.name,
        "networks": record.networks,
        "requested_ports": record.requested_ports,
        "bound_ports": record.bound_ports,
        "network_records": [network.__dict__ for network in networks],
        "bound_sockets": [[text, len(sockets)] for text, sockets in bound_sockets.items()],
    }
    descriptors = [number for sockets in bound_sockets.values() for number in sockets] + resolver
    with _Request(record, messages.UPDATE, messages.encode(update), descriptors) as channel:
        _expect(messages.PREPARED, channel)
        channel.socket.settimeout(None)  # from now on the monitor applies the update, or ends
        channel.send(messages.COMMIT)
        _expect(messages.DONE, channel)


def leave_terminal(record: Container, master: int) -> None:
    """Leave the terminal of a process of the container with its monitor, which keeps it open and discards its output.
    Raises Conflict if the monitor no longer answers."""
    with _Request(record, messages.TERMINAL, b"", [master]) as channel:
        _expect(messages.DONE, channel)


def attach(record: Container, stdin: bool) -> tuple[messages.Channel, list[int]]:
    """Attach to a running container. stdin: the command line forwards its own.

    Returns a channel, on which the monitor says the same as to the command line that started the container, and the
    descriptors of its first message, STARTED. Raises Conflict if the monitor no longer answers."""
    with _Request(record, messages.ATTACH, _WITH_STDIN if stdin else b"") as channel:
        descriptors = _expect(messages.STARTED, channel)
        channel.socket.settimeout(None)
        return messages.channel_of(channel.socket.detach()), descriptors


class _Request:
    """A request to the monitor, as a context: the channel is closed at its end, and an OSError becomes a Conflict."""

    def __init__(self, record: Container, kind: bytes, body: bytes, descriptors: Sequence[int] = ()) -> None:
        self.record, self.message = record, (kind, body, descriptors)
        self.channel = messages.Channel(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC))

    def __enter__(self) -> messages.Channel:
        try:
            self.channel.socket.settimeout(_PATIENCE)
            _at(self.record.directory, self.channel.socket.connect)
            self.channel.send(*self.message)
        except OSError:
            self.channel.close()
            raise self._no_answer() from None
        return self.channel

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self.channel.close()
        if isinstance(error, OSError):
            raise self._no_answer() from None

    def _no_answer(self) -> Conflict:
        said = f"the monitor of {self.record.name} did not answer"
        return Conflict(said, "the container is just ending, or see 'ps -a'")


def _expect(kind: bytes, channel: messages.Channel) -> list[int]:
    """Receive a message of that kind; return its descriptors. Raises OSError if another comes, or none in time."""
    message = channel.receive(longest=1)
    if message.kind != kind:
        for descriptor in message.fds:
            os.close(descriptor)
        raise ConnectionResetError
    return message.fds
