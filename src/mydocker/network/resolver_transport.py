"""The resolver's connections: those of clients, and those to the servers that it passes queries on to."""

from __future__ import annotations

import os
import select
from _socket import (
    AF_INET,
    AF_INET6,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    if_nametoindex,
    inet_pton,
    socket,
)
from _struct import pack, unpack
from errno import EINPROGRESS
from time import monotonic

from mydocker.network import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    from mydocker.network.resolver import Resolver

    Client = Union["Connection", Any]  # a connection, or the address of a datagram

_TRIES = 3  # how often a query is sent: to one server after the other, and over again if there are fewer
_PATIENCE = 1.5  # seconds a try: all together are less than the 5 after which a client asks again
_IDLE = 10.0  # seconds in which a client must send a query, or take its answer


class Waiting:
    """A connection or query with a deadline, a time of monotonic(). After it, overdue() gives up or tries another
    way."""

    deadline = 0.0

    def overdue(self, now: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Connection(Waiting):
    """A client's TCP connection: one query after the other, each with its length in front."""

    def __init__(self, resolver: Resolver, sock: socket) -> None:
        self.resolver, self.sock = resolver, sock
        self.received, self.unsent = b"", b""
        self.deadline = monotonic() + _IDLE
        self.forward: Forward | None = None  # the query that is under way
        sock.setblocking(False)
        resolver.watch(sock, select.EPOLLIN, self._event)
        resolver.connections[self] = None

    def busy(self) -> bool:
        return bool(self.forward or self.unsent)

    def _event(self, events: int) -> None:
        try:
            if self.unsent:
                self._flush()
            elif self.forward:
                self.close()  # meanwhile only a hang-up is reported
            else:
                self._read()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.close()

    def _read(self) -> None:
        message, self.received = _read_framed(self.sock, self.received)
        if message is None:
            return
        self.deadline = monotonic() + _IDLE
        self.resolver.handle(message, self)
        if self.forward:
            self._listen_for(0)

    def send(self, message: bytes) -> None:
        self.unsent, self.forward = _framed(message), None
        self.deadline = monotonic() + _IDLE
        try:
            self._flush()
        except BlockingIOError:
            self._listen_for(select.EPOLLOUT)
        except OSError:
            self.close()

    def _flush(self) -> None:
        self.unsent = self.unsent[self.sock.send(self.unsent) :]
        self._listen_for(select.EPOLLOUT if self.unsent else select.EPOLLIN)

    def _listen_for(self, events: int) -> None:
        if self.sock.fileno() >= 0:
            self.resolver.epoll.modify(self.sock.fileno(), events)

    def overdue(self, now: float) -> None:
        self.close()

    def close(self) -> None:
        self.resolver.connections.pop(self, None)
        self.resolver.unwatch(self.sock)
        if self.forward:
            self.forward.close()


class Forward(Waiting):
    """A query on its way to the host's servers, by the client's own transport (UDP or TCP).

    Each try has its own socket, port and query ID. A late answer to an earlier try counts, too.
    """

    def __init__(
        self, resolver: Resolver, message: bytes, query: dns.Query, client: Client, servers: list[str]
    ) -> None:
        self.resolver, self.message, self.query, self.client = resolver, message, query, client
        self.tries = (servers * _TRIES)[:_TRIES]
        self.open: dict[socket, _Try] = {}
        self.refused = b""  # the last answer by which a server refused
        resolver.forwards[self] = None
        if isinstance(client, Connection):
            client.forward = self
        self.overdue(monotonic())

    def overdue(self, now: float) -> None:
        """Turn to the next server; give up after the last."""
        self.deadline = now + _PATIENCE
        while self.tries:
            if self._try(self.tries.pop(0)):
                return
        self._finish(self.refused or dns.refusal(self.query, dns.SERVFAIL))

    def _try(self, server: str) -> bool:
        """Send the query to a server; False if it can't be sent."""
        number = os.urandom(2)
        message = number + self.message[2:]
        stream = isinstance(self.client, Connection)
        sock = None
        try:
            family, address = _socket_address(server)
            kind = SOCK_STREAM if stream else SOCK_DGRAM
            sock = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC)
            error = sock.connect_ex(address)  # UDP sockets too: the kernel then drops answers from elsewhere
            if error not in (0, EINPROGRESS):
                raise OSError(error, os.strerror(error))
            if not stream:
                sock.send(message)
        except OSError:
            if sock:
                sock.close()
            self.tries = [other for other in self.tries if other != server]
            return False
        self.open[sock] = _Try(server, int.from_bytes(number, "big"), _framed(message) if stream else b"")
        events = select.EPOLLOUT if stream else select.EPOLLIN
        self.resolver.watch(sock, events, lambda _: self._event(sock))
        return True

    def _event(self, sock: socket) -> None:
        attempt = self.open[sock]
        try:
            if attempt.unsent:
                error = sock.getsockopt(SOL_SOCKET, SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                attempt.unsent = attempt.unsent[sock.send(attempt.unsent) :]
                if not attempt.unsent:
                    self.resolver.epoll.modify(sock.fileno(), select.EPOLLIN)
                return
            if isinstance(self.client, Connection):
                message, attempt.received = _read_framed(sock, attempt.received)
            else:
                message = sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            self._without(sock)
            return
        if message is None or not dns.answers(self.query, attempt.number, message):
            return
        if dns.code(message) in (dns.SERVFAIL, dns.REFUSED):
            self.refused = message
            self._without(sock)
        else:
            self._finish(message)

    def _without(self, sock: socket) -> None:
        """Give a server up; turn to the next one at once if no other server is still being waited for."""
        server = self.open.pop(sock).server
        self.resolver.unwatch(sock)
        self.tries = [other for other in self.tries if other != server]
        if not self.open:
            self.overdue(monotonic())

    def _finish(self, message: bytes) -> None:
        self.close()
        if not isinstance(self.client, Connection):
            message = dns.shortened(self.query, message)
        self.resolver.reply(self.client, self.message[:2] + message[2:])

    def close(self) -> None:
        self.resolver.forwards.pop(self, None)
        for sock in self.open:
            self.resolver.unwatch(sock)
        self.open.clear()


class _Try:
    """One try of a query. number: its ID. unsent, received: the end of the query, the start of the answer (TCP)."""

    def __init__(self, server: str, number: int, unsent: bytes) -> None:
        self.server, self.number, self.unsent, self.received = server, number, unsent, b""


def _framed(message: bytes) -> bytes:
    return pack("!H", len(message)) + message


def _read_framed(sock: socket, received: bytes) -> tuple[bytes | None, bytes]:
    """Read at most one message. Returns (the message or None, the bytes of an unfinished one).

    Raises BlockingIOError, or OSError at the end of the connection.
    """
    for _ in range(2):
        missing = 2 + unpack("!H", received[:2])[0] - len(received) if len(received) >= 2 else 2 - len(received)
        data = sock.recv(missing) if missing else b""
        if missing and not data:
            raise ConnectionResetError
        received += data
        if len(received) >= 2 and len(received) == 2 + unpack("!H", received[:2])[0]:
            return received[2:], b""
    return None, received


def _socket_address(server: str) -> tuple[int, Any]:
    """The family and the address to connect to. Raises OSError for an invalid address; no name is ever looked up."""
    address, _, device = server.partition("%")
    if ":" not in address:
        inet_pton(AF_INET, address)
        return AF_INET, (address, 53)
    inet_pton(AF_INET6, address)
    return AF_INET6, (address, 53, 0, if_nametoindex(device) if device else 0)
