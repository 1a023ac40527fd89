"""The resolver of a container on user-made networks: its monitor answers on 127.0.0.11:53 of the container's namespace.

    program in the container ── query ──▶ Resolver ── a name of its networks: answered from the leases
                                             │
                                             └─────── any other: passed on to the host's servers, and the answer back

The sockets are bound in the container's namespace and used from the host's, where the monitor lives: so the host's
servers are in reach, those on its loopback too. The container sends whatever it likes, so everything is bounded: how
many queries are under way, how many connections, how long each may take, and how much of a processor all this may
use, which is the monitor's and not the container's. Whatever happens here, the monitor goes on.
"""

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
from time import monotonic, process_time, time_ns

from mydocker import paths
from mydocker.kernel import socket_lookup
from mydocker.model.network import DEFAULT
from mydocker.network import dns, leases, resolvconf
from mydocker.network.ipam import address6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Union

    from mydocker.model.network import Network

    Client = Union["_Connection", Any]  # a connection, or the address of a datagram

MOST_FORWARDS = 64  # queries under way to the host's servers; one more, and the oldest is given up
MOST_CONNECTIONS = 64  # of TCP; likewise, an idle one first
_TRIES = 3  # servers that a query is sent to, one after the other; or the only one so many times
_PATIENCE = 1.5  # seconds for each: all of them together are less than the 5 that a client waits before it asks again
_IDLE = 10.0  # seconds in which a connection must have sent a query, or taken its answer
_BATCH = 16  # messages of one socket in a row, before others have their turn
_LARGEST_QUERY = 4096
_SHARE, _BURST = 0.25, 0.5  # of one processor, and how many seconds of it may be saved up
_RACE = 50_000_000  # ns: a directory that changed so recently may change again without its time of change moving


class Resolver:
    """networks: all of the container's, in order; may be replaced while it runs. The default one has no names, as in
    docker. servers: gives the addresses to pass queries on to; asked for each query, so it has to be quick. raw: what
    datagrams are answered by if `udp` is not on port 53 itself. link: a descriptor to keep open. adopt() makes one of
    what the container's side has opened.

    The monitor polls descriptors() for reading, for timeout() at most, and calls ready() for what is readable.
    """

    def __init__(
        self,
        udp: socket,
        tcp: socket,
        networks: list[Network],
        servers: Callable[[], list[str]],
        raw: socket | None = None,
        link: int = -1,
    ) -> None:
        self.udp, self.tcp, self.raw, self.link = udp, tcp, raw, link
        self.networks, self.servers = networks, servers
        self.forwards: dict[_Forward, None] = {}  # oldest first
        self.connections: dict[_Connection, None] = {}
        self.zones: dict[str, _Zone] = {}
        self.turn = 0
        self.credit, self.counted = _BURST, monotonic()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.epoll = select.epoll()
        for endpoint, handler in ((udp, self._receive), (tcp, self._accept)):
            endpoint.setblocking(False)
            self.watch(endpoint, select.EPOLLIN, handler)

    # --- the monitor's side -------------------------------------------------------------------------------------------

    def descriptors(self) -> list[int]:
        """What to poll for reading: one, behind which all sockets are; none while the processor's share is used up."""
        return [self.epoll.fileno()] if self._credit() > 0 else []

    def timeout(self) -> float | None:
        """Give up what is overdue. Seconds until that is to be done again; None: nothing is waited for."""
        now = monotonic()
        for waiting in self._waiting():
            if waiting.deadline <= now:
                try:
                    waiting.overdue(now)
                except Exception:  # as in ready()
                    waiting.close()
        times = [waiting.deadline - now for waiting in self._waiting()]
        if self._credit() <= 0:
            times = [-self.credit / _SHARE + 0.001]
        return max(0.0, min(times)) if times else None

    def ready(self, descriptor: int) -> None:
        """Do what can be done without waiting. Never raises."""
        began = process_time()
        try:
            for number, events in self.epoll.poll(0, _BATCH):
                handler = self.handlers.get(number)
                if handler:  # else it was closed a moment ago
                    handler(events)
        except Exception:  # a fault here may cost an answer, but never the container its monitor
            pass
        self.credit -= process_time() - began

    def close(self) -> None:
        for waiting in self._waiting():
            waiting.close()
        self.udp.close()
        self.tcp.close()
        self.epoll.close()
        if self.raw:
            self.raw.close()
        if self.link >= 0:
            os.close(self.link)
            self.link = -1

    def busy(self) -> bool:
        """Whether anybody waits for an answer, or is connected."""
        return bool(self.forwards or self.connections)

    def sockets(self) -> list[int]:
        """What adopt() makes a resolver of, in another interpreter."""
        found = [self.udp.fileno(), self.tcp.fileno()]
        return [*found, self.raw.fileno(), self.link] if self.raw else found

    def _waiting(self) -> list[_Waiting]:
        return [*self.forwards, *self.connections]

    def _credit(self) -> float:
        """Seconds of processor time that may be used now."""
        now = monotonic()
        self.credit = min(_BURST, self.credit + (now - self.counted) * _SHARE)
        self.counted = now
        return self.credit

    # --- sockets ------------------------------------------------------------------------------------------------------

    def watch(self, endpoint: socket, events: int, handler: Callable[[int], None]) -> None:
        self.epoll.register(endpoint.fileno(), events)
        self.handlers[endpoint.fileno()] = handler

    def unwatch(self, endpoint: socket) -> None:
        """Close a socket that was watched; once more does no harm."""
        self.handlers.pop(endpoint.fileno(), None)
        endpoint.close()  # epoll forgets what is closed

    # --- queries ------------------------------------------------------------------------------------------------------

    def _receive(self, events: int) -> None:
        for _ in range(_BATCH):
            try:
                message, client = self.udp.recvfrom(_LARGEST_QUERY + 1)
            except OSError:
                return
            if len(message) <= _LARGEST_QUERY:
                self.handle(message, client)

    def _accept(self, events: int) -> None:
        for _ in range(_BATCH):
            try:
                descriptor, _ = self.tcp._accept()  # type: ignore[attr-defined]
            except OSError:
                return
            if len(self.connections) >= MOST_CONNECTIONS:
                min(self.connections, key=lambda found: (found.busy(), found.deadline)).close()
            _Connection(self, socket(fileno=descriptor))

    def handle(self, message: bytes, client: Client) -> None:
        query = dns.parse(message)
        if query is None:
            if isinstance(client, _Connection):
                client.close()
            return
        limit = 0 if isinstance(client, _Connection) else dns.limit(query)
        data = None if query.problem else self._look_up(query)
        if data is not None:
            self.reply(client, dns.answer(query, data, limit))
        elif query.problem:
            self.reply(client, dns.refusal(query, query.problem))
        elif all(network.internal for network in self.networks):
            self.reply(client, dns.refusal(query, dns.SERVFAIL))  # it shall not reach outside, not even so
        else:
            if len(self.forwards) >= MOST_FORWARDS:
                next(iter(self.forwards)).close()
            _Forward(self, message, query, client, self.servers())

    def reply(self, client: Client, message: bytes) -> None:
        if isinstance(client, _Connection):
            client.send(message)
            return
        try:
            if self.raw:
                self.raw.sendto(socket_lookup.udp((resolvconf.RESOLVER, 53), client, message), client)
            else:
                self.udp.sendto(message, client)
        except OSError:
            pass  # it is not there any more, or does not take what it asked for

    def _look_up(self, query: dns.Query) -> list[bytes] | None:
        """What our own networks have of that name and type: a list, empty if they know the name but nothing of that
        type; None if they do not know it."""
        if query.klass != dns.IN:
            return None
        name, address = query.name.decode("latin-1"), dns.reverse(query.name)
        for network in self.networks:
            if network.name == DEFAULT:
                continue
            zone = self._zone(network)
            if address in zone.owners:
                return [zone.owners[address]] if query.type == dns.PTR else []
            if name in zone.names:
                return self._addresses(network, zone.names[name], query.type)
        return None

    def _addresses(self, network: Network, found: list[str], kind: int) -> list[bytes]:
        """As DNS data; who has an alias together with others comes first in his turn."""
        self.turn += 1
        first = self.turn % len(found)
        found = found[first:] + found[:first]
        if kind == dns.A:
            return [inet_pton(AF_INET, address) for address in found]
        if kind == dns.AAAA and network.subnet6:
            return [inet_pton(AF_INET6, address6(network, address)) for address in found]
        return []

    def _zone(self, network: Network) -> _Zone:
        zone = self.zones.get(network.name)
        stamp = _stamp(paths.leases(network.name))
        if zone is None or zone.stamp != stamp or not stamp:
            zone = self.zones[network.name] = _Zone(network, stamp)
        return zone


def adopt(descriptors: list[int], networks: list[Network], servers: Callable[[], list[str]]) -> Resolver:
    """The resolver of what resolver_op.OpenResolver has opened: two descriptors, or four."""
    udp, tcp = (socket(fileno=descriptor) for descriptor in descriptors[:2])
    if len(descriptors) == 2:
        return Resolver(udp, tcp, networks, servers)
    return Resolver(udp, tcp, networks, servers, socket(fileno=descriptors[2]), descriptors[3])


def _stamp(directory: str) -> int:
    """When the directory's entries last changed, in ns; 0 if that was a moment ago, when it says little, or unknown."""
    try:
        changed = os.stat(directory).st_mtime_ns
    except OSError:
        return 0
    return changed if time_ns() - changed > _RACE else 0


class _Zone:
    """A network's names, from its leases as they were at `stamp`. names: in lower case -> IPv4 addresses.
    owners: address -> a container's name as DNS data. (A full ID is one digit too long to be a label of a name.)"""

    def __init__(self, network: Network, stamp: int) -> None:
        self.stamp = stamp
        self.names: dict[str, list[str]] = {}
        self.owners: dict[str, bytes] = {}
        for lease in sorted(leases.read(network.name), key=lambda lease: lease.address):
            short = lease.container_id[:12]
            for known in {name.lower() for name in [*lease.names, short]}:
                for full in (known, f"{known}.{network.name.lower()}"):
                    self.names.setdefault(full, []).append(lease.address)
            owner = _owner(f"{lease.names[0]}.{network.name}") or _owner(short)
            self.owners[lease.address] = self.owners[address6(network, lease.address)] = owner
        self.owners.pop("", None)  # of a network without IPv6


def _owner(name: str) -> bytes:
    """A name as DNS data, nothing if it is longer than DNS has room for."""
    try:
        return dns.encode_name(name)
    except ValueError:
        return b""


class _Waiting:
    """What gives up, or tries something else, if nothing has happened at `deadline`, a time of monotonic()."""

    deadline = 0.0

    def overdue(self, now: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _Connection(_Waiting):
    """A client's TCP connection: one query after the other, each with its length in front."""

    def __init__(self, resolver: Resolver, endpoint: socket) -> None:
        self.resolver, self.endpoint = resolver, endpoint
        self.received, self.unsent = b"", b""
        self.deadline = monotonic() + _IDLE
        self.forward: _Forward | None = None  # the query that is under way
        endpoint.setblocking(False)
        resolver.watch(endpoint, select.EPOLLIN, self._event)
        resolver.connections[self] = None

    def busy(self) -> bool:
        return bool(self.forward or self.unsent)

    def _event(self, events: int) -> None:
        try:
            if self.unsent:
                self._flush()
            elif self.forward:
                self.close()  # it has hung up: nothing else is heard meanwhile
            else:
                self._read()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.close()

    def _read(self) -> None:
        message, self.received = _read_framed(self.endpoint, self.received)
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
        self.unsent = self.unsent[self.endpoint.send(self.unsent) :]
        self._listen_for(select.EPOLLOUT if self.unsent else select.EPOLLIN)

    def _listen_for(self, events: int) -> None:
        if self.endpoint.fileno() >= 0:
            self.resolver.epoll.modify(self.endpoint.fileno(), events)

    def overdue(self, now: float) -> None:
        self.close()

    def close(self) -> None:
        self.resolver.connections.pop(self, None)
        self.resolver.unwatch(self.endpoint)
        if self.forward:
            self.forward.close()


class _Forward(_Waiting):
    """A query on its way to the host's servers: by the client's own transport, each try from a socket, port and number
    of its own. A late answer to an earlier try is as good as any."""

    def __init__(
        self, resolver: Resolver, message: bytes, query: dns.Query, client: Client, servers: list[str]
    ) -> None:
        self.resolver, self.message, self.query, self.client = resolver, message, query, client
        self.tries = (servers * _TRIES)[:_TRIES]
        self.open: dict[socket, _Try] = {}
        self.refused = b""  # what a server said that would not answer
        resolver.forwards[self] = None
        if isinstance(client, _Connection):
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
        """Send it there; False if that can't be."""
        number = os.urandom(2)
        message = number + self.message[2:]
        stream = isinstance(self.client, _Connection)
        endpoint = None
        try:
            family, address = _socket_address(server)
            kind = SOCK_STREAM if stream else SOCK_DGRAM
            endpoint = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC)
            error = endpoint.connect_ex(address)  # of UDP too: answers from elsewhere do not come in
            if error not in (0, EINPROGRESS):
                raise OSError(error, os.strerror(error))
            if not stream:
                endpoint.send(message)
        except OSError:
            if endpoint:
                endpoint.close()
            self.tries = [other for other in self.tries if other != server]
            return False
        self.open[endpoint] = _Try(server, int.from_bytes(number, "big"), _framed(message) if stream else b"")
        events = select.EPOLLOUT if stream else select.EPOLLIN
        self.resolver.watch(endpoint, events, lambda _: self._event(endpoint))
        return True

    def _event(self, endpoint: socket) -> None:
        attempt = self.open[endpoint]
        try:
            if attempt.unsent:
                error = endpoint.getsockopt(SOL_SOCKET, SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                attempt.unsent = attempt.unsent[endpoint.send(attempt.unsent) :]
                if not attempt.unsent:
                    self.resolver.epoll.modify(endpoint.fileno(), select.EPOLLIN)
                return
            if isinstance(self.client, _Connection):
                message, attempt.received = _read_framed(endpoint, attempt.received)
            else:
                message = endpoint.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            self._without(endpoint)
            return
        if message is None or not dns.answers(self.query, attempt.number, message):
            return
        if dns.code(message) in (dns.SERVFAIL, dns.REFUSED):
            self.refused = message
            self._without(endpoint)
        else:
            self._finish(message)

    def _without(self, endpoint: socket) -> None:
        """This server will not help: the next one, at once if no other is still being waited for."""
        server = self.open.pop(endpoint).server
        self.resolver.unwatch(endpoint)
        self.tries = [other for other in self.tries if other != server]
        if not self.open:
            self.overdue(monotonic())

    def _finish(self, message: bytes) -> None:
        self.close()
        if not isinstance(self.client, _Connection):
            message = dns.shortened(self.query, message)
        self.resolver.reply(self.client, self.message[:2] + message[2:])

    def close(self) -> None:
        self.resolver.forwards.pop(self, None)
        for endpoint in self.open:
            self.resolver.unwatch(endpoint)
        self.open.clear()


class _Try:
    """Where a query was sent, under which number; of TCP also what of it is unsent, and what of the answer is here."""

    def __init__(self, server: str, number: int, unsent: bytes) -> None:
        self.server, self.number, self.unsent, self.received = server, number, unsent, b""


def _framed(message: bytes) -> bytes:
    return pack("!H", len(message)) + message


def _read_framed(endpoint: socket, received: bytes) -> tuple[bytes | None, bytes]:
    """(a whole message or None, what is here of an unfinished one); never reads more than one message.

    Raises OSError: BlockingIOError, or the end of the connection.
    """
    for _ in range(2):
        missing = 2 + unpack("!H", received[:2])[0] - len(received) if len(received) >= 2 else 2 - len(received)
        data = endpoint.recv(missing) if missing else b""
        if missing and not data:
            raise ConnectionResetError
        received += data
        if len(received) >= 2 and len(received) == 2 + unpack("!H", received[:2])[0]:
            return received[2:], b""
    return None, received


def _socket_address(server: str) -> tuple[int, Any]:
    """The family and the address to connect to; no name is ever looked up here. Raises OSError for what is none."""
    address, _, device = server.partition("%")
    if ":" not in address:
        inet_pton(AF_INET, address)
        return AF_INET, (address, 53)
    inet_pton(AF_INET6, address)
    return AF_INET6, (address, 53, 0, if_nametoindex(device) if device else 0)


class HostServers:
    """The servers to pass queries on to, as Resolver wants them: those of --dns, else the host's, read again when its
    file changes. The monitor is on the host, so a resolver on the host's loopback will do, and is preferred: it knows
    of VPNs and split zones. A loopback address of --dns means the container's own, which is not in reach from here."""

    def __init__(self, chosen: list[str], path: str = "/etc/resolv.conf") -> None:
        self.chosen = [server for server in chosen if not resolvconf.is_loopback(server)]
        self.fixed, self.path = bool(chosen), path
        self.stamp: tuple[int, int, int] | None = None
        self.found: list[str] = []

    def __call__(self) -> list[str]:
        if self.fixed:
            return self.chosen
        try:
            status = os.stat(self.path)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self.found = resolvconf.parse(file.read(65536)).servers
                self.stamp = stamp
        except OSError:
            self.found, self.stamp = [], None
        return self.found
