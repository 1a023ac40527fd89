"""Published ports are held for a container's life: by a socket that is bound, and at which nobody listens.

Every packet to the port is sent on to the container by the firewall, so the socket never gets one. What comes before
those rules are there, or past them, is refused at once; a listening socket would accept it, and it would wait for ever.
"""

from __future__ import annotations

import _socket
import errno
import os

from mydocker.errors import Conflict, HostError, InvalidArgument
from mydocker.model.options.ports import Port

_ATTEMPTS = 16  # for a port of the kernel's choice that has to be free for both versions of IP


class PortTaken(Conflict):
    """port: the one that is in use; who looks at mydocker's records can say whose it is."""

    def __init__(self, port: Port) -> None:
        first = f"{port.source}-{port.last}" if port.last > port.host else port.source
        super().__init__(
            f"port {first}/{port.protocol} is taken",
            f"choose another, or see who has it: 'ss -ltunp sport = {port.host}', 'iptables -t nat -S MYDOCKER-PORTS'",
        )
        self.port = port


def bind(port: Port, versions: list[int]) -> tuple[Port, list[int]]:
    """Bind a port at these versions of IP, to the first free number of its range or to one of the kernel's choice.

    Returns the port with that number, and the descriptors that hold it (close-on-exec), one a version. Raises PortTaken
    and other MydockerErrors; then nothing is bound.
    """
    if port.host_ip == "::1":
        raise InvalidArgument(
            f"port {port.source}/{port.protocol} can't be published", "no rule leads away from ::1, use 127.0.0.1"
        )
    for number in range(port.host, port.last + 1) if port.host else [0] * _ATTEMPTS:
        held: list[int] = []
        try:
            for version in versions:
                number, descriptor = _hold(version, port, number)
                held.append(descriptor)
            return port.at(number), held
        except OSError as error:
            for descriptor in held:
                os.close(descriptor)
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidArgument(
                    f"can't publish at {port.host_ip}: the host has no such address", "see 'ip address'"
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise HostError(f"can't bind port {port.source}/{port.protocol}: {error.strerror}") from None
    if versions == [6] and not port.host_ip:  # IPv4 is held already
        port = Port(port.container, port.protocol, port.host, port.last, "::")
    raise PortTaken(port)


def _hold(version: int, port: Port, number: int) -> tuple[int, int]:
    """Bind one number at one version of IP; the number that it is, and the socket's descriptor. Raises OSError."""
    family = _socket.AF_INET if version == 4 else _socket.AF_INET6
    tcp = port.protocol == "tcp"
    place = port.host_ip or ("0.0.0.0" if version == 4 else "::")
    held = _socket.socket(family, _socket.SOCK_STREAM if tcp else _socket.SOCK_DGRAM)
    try:
        if version == 6:
            held.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if tcp:
            held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # connections that are over don't count
        else:
            held.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 0)  # nobody reads what comes past the rules
        # What listens no more would lose a number that is the kernel's choice.
        held.bind((place, number or _free(family, held.type, place)))
        if tcp:
            # To listen makes any other listener a conflict, with or without SO_REUSEADDR on its side. What listens no
            # more keeps the port, and without SO_REUSEADDR on ours nobody can have it beside us.
            held.listen(0)
            held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
            held.shutdown(_socket.SHUT_RD)
        return held.getsockname()[1], held.detach()
    finally:
        held.close()


def _free(family: int, kind: int, place: str) -> int:
    """A number that nobody has, by the kernel's choice; the caller asks for another if somebody is quicker."""
    asked = _socket.socket(family, kind)
    try:
        asked.bind((place, 0))
        number: int = asked.getsockname()[1]
        return number
    finally:
        asked.close()


def only(sockets: list[int], versions: list[int]) -> list[int]:
    """Close the sockets of other versions of IP; the descriptors of the rest."""
    families = {_socket.AF_INET: 4, _socket.AF_INET6: 6}
    kept = []
    for descriptor in sockets:
        bound = _socket.socket(fileno=descriptor)
        if families.get(bound.family) in versions:
            kept.append(bound.detach())
        else:
            bound.close()
    return kept
