"""Published ports are held for a container's life: by a socket that is bound, and at which nobody listens.

Every packet to the port is sent on to the container by the firewall, so the socket never gets one. What comes before
those rules are there, or past them, is refused at once; a listening socket would accept it, and it would wait for ever.
"""

from __future__ import annotations

import _socket
import errno
import os

from mydocker.errors import Conflict, HostError, InvalidArgument
from mydocker.network.firewall import versions

TYPE_CHECKING = False
if TYPE_CHECKING:
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


def bind(ports: list[Port], ipv6: bool = False) -> tuple[list[Port], list[int]]:
    """Take all of the ports: the same with the host's numbers, and the descriptors that hold them (close-on-exec).

    ipv6: whether a port of all addresses is one of IPv6 too. Raises PortTaken and other MydockerErrors; then none is
    held.
    """
    taken: list[Port] = []
    held: list[int] = []
    try:
        for port in ports:
            number, sockets = _take(port, ipv6)
            taken.append(port.at(number))
            held += sockets
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise
    return taken, held


def _take(port: Port, ipv6: bool) -> tuple[int, list[int]]:
    """The first free number of a port's range, or one of the kernel's choice, with its sockets."""
    wanted = [version for version in versions(port.host_ip) if version == 4 or ipv6 or port.host_ip]
    if port.host_ip == "::1":
        raise InvalidArgument(
            f"port {port.source}/{port.protocol} can't be published", "no rule leads away from ::1, use 127.0.0.1"
        )
    for number in range(port.host, port.last + 1) if port.host else [0] * _ATTEMPTS:
        held: list[int] = []
        try:
            for version in wanted:
                number, descriptor = _hold(version, port, number)
                held.append(descriptor)
            return number, held
        except OSError as error:
            for descriptor in held:
                os.close(descriptor)
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidArgument(
                    f"can't publish at {port.host_ip}: the host has no such address", "see 'ip address'"
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise HostError(f"can't bind port {port.source}/{port.protocol}: {error.strerror}") from None
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


def without_ipv6(held: list[int]) -> list[int]:
    """Let go of the sockets of IPv6; the descriptors of the others."""
    kept = []
    for descriptor in held:
        found = _socket.socket(fileno=descriptor)
        if found.family == _socket.AF_INET6:
            found.close()
        else:
            kept.append(found.detach())
    return kept
