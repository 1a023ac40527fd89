"""How a running container's networks and ports are changed: the command line does it, and its monitor takes note.

    command line                                        monitor
       │ lock; bind ports or make links; save the record   │
       │ ── "more", with 250 descriptors each time ──────▶ │ (where there are more than that)
       │ ── what is new, with the last descriptors ──────▶ │
       │ ◀───────────────────────────────────── "heard" ── │
       │ ── "do" ────────────────────────────────────────▶ │ holds what it is given, closes what is no longer wanted,
       │ ◀──────────────────────────────────────── "ok" ── │ answers for the names of the networks of now
       │ the rules of ports; unlock                        │

Whoever hears nothing for five seconds gives up and takes all back; a monitor that wakes up later finds that nobody says
"do", and does nothing.

Only the rules of `port add` come after it. Those of ports that are withdrawn, moved or brought back are changed before:
while there is a rule, its port is held.

    {"networks", "requested_ports", "bound_ports"}   as in the record
    {"joined"}                  the Network of each endpoint
    {"bound_sockets"}           [[text of a port, how many sockets], …]; then come those of the resolver, if any

The socket lies in the container's directory, which is root's alone. A monitor that clears up closes it first: then
whoever is about to change something hears an end of file, and takes it back.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket
from _struct import pack, unpack

from mydocker import jsontext
from mydocker.errors import Conflict
from mydocker.model.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from mydocker.model.container import Container

    class Owner(Protocol):
        """What a monitor does with a message."""

        def update(self, message: dict[str, Any], networks: list[Network], descriptors: list[int]) -> None: ...


_NAME = "control"
_MESSAGE = 1 << 18
_AT_ONCE = 250  # descriptors in one message: the kernel's SCM_MAX_FD is 253
_MORE, _HEARD, _DO, _DONE = b"more", b"heard", b"do", b"ok"
_PATIENCE = 5.0  # seconds


class Control:
    """The monitor's end, by a listening socket: listen() makes one."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        self.owner = owner
        self._listener = socket(fileno=descriptor)

    def serve(self) -> None:
        """Hear one command line. Whatever is wrong with it is its own matter, and never ends the container."""
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
            client = socket(fileno=descriptor)
        except OSError:
            return
        received: list[int] = []
        try:
            client.settimeout(_PATIENCE)
            data = _MORE
            while data == _MORE:
                data, rights, _, _ = client.recvmsg(_MESSAGE, CMSG_SPACE(4 * _AT_ONCE), MSG_CMSG_CLOEXEC)
                received += [number for _, _, packed in rights for number in unpack(f"{len(packed) // 4}i", packed)]
            message = jsontext.loads(data)
            networks = [Network(**each) for each in message["joined"]]
            client.send(_HEARD)
            if client.recv(16) == _DO:
                descriptors, received = received, []  # the owner's from here on
                self.owner.update(message, networks, descriptors)
                client.send(_DONE)
        except Exception:
            pass
        finally:
            client.close()
            for descriptor in received:
                os.close(descriptor)

    def close(self) -> None:
        self._listener.close()


def listen(directory: str) -> int:
    """The descriptor of a new socket in a container's directory."""
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        os.unlink(f"{directory}/{_NAME}")
    except FileNotFoundError:
        pass
    _at(directory, listener.bind)
    listener.listen(4)
    return listener.detach()


def _at(directory: str, use: Any) -> None:
    """Bind or connect by a short path: a socket's has 107 bytes at most."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{descriptor}/{_NAME}")
    finally:
        os.close(descriptor)


def tell(record: Container, networks: list[Network], held: dict[str, list[int]], resolver: list[int]) -> None:
    """The monitor learns of the record's networks and ports; the descriptors are its own from then on, too. Raises
    Conflict if it has no ear for it any more."""
    message = {
        "networks": record.networks,
        "requested_ports": record.requested_ports,
        "bound_ports": record.bound_ports,
        "joined": [network.__dict__ for network in networks],
        "bound_sockets": [[text, len(sockets)] for text, sockets in held.items()],
    }
    descriptors = [number for sockets in held.values() for number in sockets] + resolver
    channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        channel.settimeout(_PATIENCE)
        _at(record.directory, channel.connect)
        while len(descriptors) > _AT_ONCE:
            channel.sendmsg([_MORE], _rights(descriptors[:_AT_ONCE]))
            descriptors = descriptors[_AT_ONCE:]
        channel.sendmsg([jsontext.dumps(message).encode()], _rights(descriptors))
        answer = channel.recv(16)
        if answer == _HEARD:  # a monitor of an older mydocker is done already
            channel.settimeout(None)  # from now on it does it, or ends
            channel.send(_DO)
            answer = channel.recv(16)
    except OSError:
        answer = b""
    finally:
        channel.close()
    if answer != _DONE:
        raise Conflict(f"the monitor of {record.name} did not answer", "the container is just ending, or see 'ps -a'")


def _rights(descriptors: list[int]) -> list[tuple[int, int, bytes]]:
    return [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
