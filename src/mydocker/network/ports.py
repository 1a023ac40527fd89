"""Bind published ports while a container runs: to sockets at which nobody listens.

The firewall redirects every packet for the port to the container, so the socket gets none. A connection that comes
before the rules exist, or past them, is refused at once; a listening socket would accept it and never answer.
"""

from __future__ import annotations

import _socket
import errno
import os

from mydocker.errors import Conflict, HostError, InvalidArgument
from mydocker.model.options.ports import Port

_ATTEMPTS = 16  # to find a random port that is free for both versions of IP


class PortTaken(Conflict):
    """port: the port in use; its holder may be on mydocker's records."""

    def __init__(self, port: Port) -> None:
        first = f"{port.source}-{port.last}" if port.last > port.host else port.source
        super().__init__(
            f"port {first}/{port.protocol} is taken",
            f"choose another, or see who has it: 'ss -ltunp sport = {port.host}', 'iptables -t nat -S MYDOCKER-PORTS'",
        )
        self.port = port


def bind(port: Port, versions: list[int]) -> tuple[Port, list[int]]:
    """Bind a port for these versions of IP: the first free number of its range, or any free number.

    Returns the port with its number, and the sockets' descriptors (close-on-exec), one for each version. Raises
    PortTaken and other MydockerErrors; then nothing is bound.
    """
    if port.host_ip == "::1":
        raise InvalidArgument(
            f"port {port.source}/{port.protocol} can't be published",
            "packets to ::1 can't be redirected: use 127.0.0.1",
        )
    for number in range(port.host, port.last + 1) if port.host else [0] * _ATTEMPTS:
        sockets: list[int] = []
        try:
            for version in versions:
                number, descriptor = _bind(version, port, number)
                sockets.append(descriptor)
            return port.at(number), sockets
        except OSError as error:
            for descriptor in sockets:
                os.close(descriptor)
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidArgument(
                    f"can't publish at {port.host_ip}: the host has no such address", "see 'ip address'"
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise HostError(f"can't bind port {port.source}/{port.protocol}: {error.strerror}") from None
    if versions == [6] and not port.host_ip:  # IPv4 is bound already
        port = Port(port.container, port.protocol, port.host, port.last, "::")
    raise PortTaken(port)


def _bind(version: int, port: Port, number: int) -> tuple[int, int]:
    """Bind one number for one version of IP. Returns the number and the descriptor. Raises OSError."""
    family = _socket.AF_INET if version == 4 else _socket.AF_INET6
    tcp = port.protocol == "tcp"
    place = port.host_ip or ("0.0.0.0" if version == 4 else "::")
    bound = _socket.socket(family, _socket.SOCK_STREAM if tcp else _socket.SOCK_DGRAM)
    try:
        if version == 6:
            bound.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if tcp:
            bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # old connections do not count
        else:
            bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 0)  # nobody reads packets that come past the rules
        # shutdown() on a socket bound to port 0 gives the port up, so pick a number first.
        bound.bind((place, number or _free(family, bound.type, place)))
        if tcp:
            # A listening socket conflicts with any other listener, with or without SO_REUSEADDR on its side. After
            # shutdown() the port stays bound, and as ours is without SO_REUSEADDR by then, nobody can share it.
            bound.listen(0)
            bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
            bound.shutdown(_socket.SHUT_RD)
        return bound.getsockname()[1], bound.detach()
    finally:
        bound.close()


def _free(family: int, kind: int, place: str) -> int:
    """Let the kernel choose a free number. The caller tries again if another program is quicker."""
    probe = _socket.socket(family, kind)
    try:
        probe.bind((place, 0))
        number: int = probe.getsockname()[1]
        return number
    finally:
        probe.close()


def only(sockets: list[int], versions: list[int]) -> list[int]:
    """Close the sockets of other versions of IP. Returns the other descriptors."""
    families = {_socket.AF_INET: 4, _socket.AF_INET6: 6}
    kept = []
    for descriptor in sockets:
        bound = _socket.socket(fileno=descriptor)
        if families.get(bound.family) in versions:
            kept.append(bound.detach())
        else:
            bound.close()
    return kept
