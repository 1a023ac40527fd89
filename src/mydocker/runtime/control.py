"""Change a running container's networks and ports: a command line does it, and the container's monitor takes note.

Four messages make a transaction (messages.py). A command line that gets no answer for five seconds undoes its change; a
monitor that wakes up later gets no COMMIT, and does nothing. The rules of `port add` are made after the transaction.
Those of ports that are removed, moved or restored are changed before it: while there is a rule, its port is bound.
UPDATE is

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
from mydocker.model.network import Network
from mydocker.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from mydocker.model.container import Container

    class Owner(Protocol):
        """The monitor, as far as Control needs it."""

        def update(self, message: dict[str, Any], networks: list[Network], descriptors: list[int]) -> None: ...


_NAME = "control"
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
        received: list[int] = []
        try:
            client.socket.settimeout(_PATIENCE)
            message = client.receive()
            received = message.fds
            update = message.json()
            networks = [Network(**each) for each in update["network_records"]]
            client.send(messages.PREPARED)
            if client.receive(longest=1).kind == messages.COMMIT:
                received = []  # they are the owner's from here on
                self.owner.update(update, networks, message.fds)
                client.send(messages.DONE)
        except Exception:
            pass
        finally:
            client.close()
            for descriptor in received:
                os.close(descriptor)

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
    channel = messages.Channel(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC))
    answer = b""
    try:
        channel.socket.settimeout(_PATIENCE)
        _at(record.directory, channel.socket.connect)
        channel.send(messages.UPDATE, messages.encode(update), descriptors)
        if channel.receive(longest=1).kind == messages.PREPARED:
            channel.socket.settimeout(None)  # from now on the monitor applies the update, or ends
            channel.send(messages.COMMIT)
            answer = channel.receive(longest=1).kind
    except OSError:
        pass
    finally:
        channel.close()
    if answer != messages.DONE:
        raise Conflict(f"the monitor of {record.name} did not answer", "the container is just ending, or see 'ps -a'")
