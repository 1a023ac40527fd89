"""The resolver of a container on user-made networks. Its monitor answers on 127.0.0.11:53 of the container's namespace.

    program in the container ── query ──▶ Resolver ── a name of its networks: answered from the leases (resolver_zone)
                                             │
                                             └─────── any other name: passed on to the host's servers, and the answer
                                                      passed back (resolver_transport)

The sockets are bound in the container's namespace and used from the host's, where the monitor runs. So the host's
servers are in reach, including those on its loopback. The container may send anything, so everything has a bound: the
number of queries under way and of connections, the time for each, and the share of a processor, which is charged to
the monitor and not to the container. No query may end the monitor.
"""

from __future__ import annotations

import os
import select
from _socket import AF_INET, AF_INET6, inet_pton, socket
from time import monotonic, process_time

from mydocker import paths
from mydocker.kernel import socket_lookup
from mydocker.model.network import DEFAULT
from mydocker.network import dns, resolvconf
from mydocker.network.ipam import address6
from mydocker.network.resolver_transport import Connection, Forward
from mydocker.network.resolver_zone import Zone, last_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.model.network import Network
    from mydocker.network.resolver_transport import Client, Waiting

MAX_FORWARDS = 64  # queries under way to the host's servers; the next one displaces the oldest
MAX_CONNECTIONS = 64  # of TCP; the next one displaces an idle one, or else the oldest
_BATCH = 16  # messages of one socket in a row, before other sockets get their turn
_LARGEST_QUERY = 4096
_SHARE, _BURST = 0.25, 0.5  # of one processor, and how many seconds of it may be saved up


class Resolver:
    """Answer a container's DNS queries.

    networks: the container's, in order; may be replaced at any time. The default network has no names, as in docker.
    servers: returns the addresses to pass queries on to; called for each query, so it must be quick. raw: the socket to
    answer datagrams by if `udp` is not on port 53 itself. link: a descriptor to keep open.

    The monitor polls descriptors() for reading, for timeout() at most, and calls ready() for what is readable. adopt()
    makes a resolver of the sockets that the container's side opened.
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
        self.forwards: dict[Forward, None] = {}  # oldest first
        self.connections: dict[Connection, None] = {}
        self.zones: dict[str, Zone] = {}
        self.turn = 0
        self.credit, self.counted = _BURST, monotonic()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.epoll = select.epoll()
        for sock, handler in ((udp, self._receive), (tcp, self._accept)):
            sock.setblocking(False)
            self.watch(sock, select.EPOLLIN, handler)

    # --- the monitor's side -------------------------------------------------------------------------------------------

    def descriptors(self) -> list[int]:
        """The descriptor to poll: an epoll over all sockets; none while the processor's share is used up."""
        return [self.epoll.fileno()] if self._credit() > 0 else []

    def timeout(self) -> float | None:
        """Handle the connections and queries that are overdue. Returns the seconds until the next deadline, None if
        there is none."""
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
        """Handle what can be handled without waiting. Never raises."""
        began = process_time()
        try:
            for number, events in self.epoll.poll(0, _BATCH):
                handler = self.handlers.get(number)
                if handler:  # else an earlier handler of this batch closed the socket
                    handler(events)
        except Exception:  # a fault may cost an answer, but must not end the container's monitor
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
        """True if a client waits for an answer or is connected."""
        return bool(self.forwards or self.connections)

    def sockets(self) -> list[int]:
        """The descriptors of which adopt() makes a resolver in another interpreter."""
        bound = [self.udp.fileno(), self.tcp.fileno()]
        return [*bound, self.raw.fileno(), self.link] if self.raw else bound

    def _waiting(self) -> list[Waiting]:
        return [*self.forwards, *self.connections]

    def _credit(self) -> float:
        """Seconds of processor time that may be used now."""
        now = monotonic()
        self.credit = min(_BURST, self.credit + (now - self.counted) * _SHARE)
        self.counted = now
        return self.credit

    # --- sockets ------------------------------------------------------------------------------------------------------

    def watch(self, sock: socket, events: int, handler: Callable[[int], None]) -> None:
        self.epoll.register(sock.fileno(), events)
        self.handlers[sock.fileno()] = handler

    def unwatch(self, sock: socket) -> None:
        """Close a watched socket; harmless if it is closed already."""
        self.handlers.pop(sock.fileno(), None)
        sock.close()  # which removes it from the epoll, too

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
            if len(self.connections) >= MAX_CONNECTIONS:
                min(self.connections, key=lambda connection: (connection.busy(), connection.deadline)).close()
            Connection(self, socket(fileno=descriptor))

    def handle(self, message: bytes, client: Client) -> None:
        query = dns.parse(message)
        if query is None:
            if isinstance(client, Connection):
                client.close()
            return
        limit = 0 if isinstance(client, Connection) else dns.limit(query)
        data = None if query.problem else self._look_up(query)
        if data is not None:
            self.reply(client, dns.answer(query, data, limit))
        elif query.problem:
            self.reply(client, dns.refusal(query, query.problem))
        elif all(network.internal for network in self.networks):
            # An internal network must not reach outside through DNS.
            self.reply(client, dns.refusal(query, dns.SERVFAIL))
        else:
            if len(self.forwards) >= MAX_FORWARDS:
                next(iter(self.forwards)).close()
            Forward(self, message, query, client, self.servers())

    def reply(self, client: Client, message: bytes) -> None:
        if isinstance(client, Connection):
            client.send(message)
            return
        try:
            if self.raw:
                self.raw.sendto(socket_lookup.udp((resolvconf.RESOLVER, 53), client, message), client)
            else:
                self.udp.sendto(message, client)
        except OSError:
            pass  # the client has gone, or does not accept the answer

    def _look_up(self, query: dns.Query) -> list[bytes] | None:
        """Look a query up in the container's networks. Returns the records of its type, None if the name is unknown."""
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

    def _addresses(self, network: Network, addresses: list[str], kind: int) -> list[bytes]:
        """The addresses as DNS data. Containers that share an alias take turns at the first place."""
        self.turn += 1
        first = self.turn % len(addresses)
        addresses = addresses[first:] + addresses[:first]
        if kind == dns.A:
            return [inet_pton(AF_INET, address) for address in addresses]
        if kind == dns.AAAA and network.subnet6:
            return [inet_pton(AF_INET6, address6(network, address)) for address in addresses]
        return []

    def _zone(self, network: Network) -> Zone:
        zone = self.zones.get(network.name)
        stamp = last_change(paths.leases(network.name))
        if zone is None or zone.stamp != stamp or not stamp:
            zone = self.zones[network.name] = Zone(network, stamp)
        return zone


def adopt(descriptors: list[int], networks: list[Network], servers: Callable[[], list[str]]) -> Resolver:
    """Make a resolver of the two or four descriptors that ops.resolver.OpenResolver opened."""
    udp, tcp = (socket(fileno=descriptor) for descriptor in descriptors[:2])
    if len(descriptors) == 2:
        return Resolver(udp, tcp, networks, servers)
    return Resolver(udp, tcp, networks, servers, socket(fileno=descriptors[2]), descriptors[3])


class HostServers:
    """The servers to pass queries on to: those of --dns, else the host's, read again when the host's file changes.

    The monitor runs on the host, so a resolver on the host's loopback is in reach, and preferred: it knows of VPNs and
    split zones. A loopback address given by --dns is the container's own, which is out of reach from here.
    """

    def __init__(self, chosen: list[str], path: str = "/etc/resolv.conf") -> None:
        self.chosen = [server for server in chosen if not resolvconf.is_loopback(server)]
        self.fixed, self.path = bool(chosen), path
        self.stamp: tuple[int, int, int] | None = None
        self.servers: list[str] = []

    def __call__(self) -> list[str]:
        if self.fixed:
            return self.chosen
        try:
            status = os.stat(self.path)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self.servers = resolvconf.parse(file.read(65536)).servers
                self.stamp = stamp
        except OSError:
            self.servers, self.stamp = [], None
        return self.servers
