"""The step that opens the sockets of a container's resolver; see network/resolver.py."""

from __future__ import annotations

from _socket import (
    AF_INET,
    IPPROTO_RAW,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)

from mydocker.kernel import socket_lookup
from mydocker.ops.base import Context, Op, operation

_PORT = 53
_BACKLOG = 64


@operation
class OpenResolver(Op):
    """Listen on port 53 of the address, by UDP and TCP, in the container's namespace, whose lo is up. The monitor makes
    its Resolver of the `descriptors`.

    Port 53 must stay free for a DNS server of the container's own, even one that binds all addresses at once. So our
    sockets have other ports, and the kernel steers queries to them. Where the kernel is too old or refuses, our sockets
    are on port 53; a server beside them then needs SO_REUSEPORT, or must not bind all addresses.
    """

    address: str
    section = "network"

    def do(self, context: Context) -> None:
        try:
            self.descriptors = self._steered()
        except OSError:
            self.descriptors = [sock.detach() for sock in self._bound(_PORT)]

    def _steered(self) -> list[int]:
        """The UDP socket, the TCP socket, a raw one to answer datagrams by, and a descriptor that must stay open."""
        raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW)
        udp, tcp = self._bound(0)
        link = socket_lookup.steer({IPPROTO_UDP: udp.fileno(), IPPROTO_TCP: tcp.fileno()}, self.address, _PORT)
        return [udp.detach(), tcp.detach(), raw.detach(), link]

    def _bound(self, port: int) -> tuple[socket, socket]:
        udp, tcp = (socket(AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK) for kind in (SOCK_DGRAM, SOCK_STREAM))
        for sock in (udp, tcp):
            sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
            sock.bind((self.address, port))
        tcp.listen(_BACKLOG)
        return udp, tcp

    def describe(self) -> str:
        return f"open {self.address}:{_PORT}, where the monitor answers for names"

    def shell(self) -> str:
        return f"# socket, bind {self.address}:{_PORT} by UDP, listen by TCP; the monitor gets all"
