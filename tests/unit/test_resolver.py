"""The resolver in a monitor: what it answers itself, what it passes on, and that it never takes more than its share.

Its sockets are fakes over socket pairs; tests/integration/kernel/test_resolver.py has real ones.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mydocker import paths
from mydocker.model.network import Network
from mydocker.network import resolver as module
from mydocker.network import resolver_transport, resolver_zone
from mydocker.network.resolver import MAX_FORWARDS, HostServers, Resolver

WEB, DB = "a" * 64, "b" * 64
LAB = Network("Lab", "1" * 64, "", "lab0", "10.77.0.0/24", "10.77.0.1", subnet6="fd00:77::/64")
BACK = Network("back", "2" * 64, "", "back0", "10.78.0.0/24", "10.78.0.1", internal=True)


class Udp:
    """The container's side of the resolver's socket: `queries` go in, (answer, client) come out in `answers`."""

    def __init__(self):
        self.queries: list[tuple[bytes, object]] = []
        self.answers: list[tuple[bytes, object]] = []
        self.near, self.far = socket.socketpair()

    def ask(self, message: bytes, client: object = "client") -> None:
        self.queries.append((message, client))
        self.far.send(b".")

    def setblocking(self, flag):
        self.near.setblocking(flag)

    def fileno(self):
        return self.near.fileno()

    def recvfrom(self, size):
        self.near.recv(1)
        message, client = self.queries.pop(0)
        return message[:size], client

    def sendto(self, message, client):
        self.answers.append((message, client))

    def close(self):
        self.near.close()
        self.far.close()


class World:
    """The outside world: each socket to a server is an entry of `sent`. broken: server -> errno of reaching it."""

    def __init__(self):
        self.sent: list[tuple[str, bytes, socket.socket]] = []
        self.broken: dict[str, int] = {}
        self.now = 1000.0

    def socket(self, family, kind):
        world = self

        class Endpoint:
            def __init__(self):
                self.near, self.far = socket.socketpair(type=socket.SOCK_SEQPACKET)
                self.near.setblocking(False)

            def connect_ex(self, address):
                self.server = address[0]
                return world.broken.get(self.server, 0)

            def send(self, message):
                world.sent.append((self.server, message, self.far))
                return len(message)

            def recv(self, size):
                data = self.near.recv(size)
                if data == b"refused":
                    raise ConnectionRefusedError
                return data

            def fileno(self):
                return self.near.fileno()

            def close(self):
                self.near.close()

        return Endpoint()


@pytest.fixture
def world(monkeypatch):
    outside = World()
    monkeypatch.setattr(resolver_transport, "socket", outside.socket)
    for each in (module, resolver_transport):
        monkeypatch.setattr(each, "monotonic", lambda: outside.now)
    return outside


@pytest.fixture
def leases(monkeypatch, tmp_path):
    """Write a lease: leases(network, address, text); None removes it."""
    monkeypatch.setattr(paths, "RUN", str(tmp_path))

    def write(network: str, address: str, text: str | None) -> None:
        directory = tmp_path / "_networks" / network
        directory.mkdir(parents=True, exist_ok=True)
        if text is None:
            (directory / address).unlink()
        else:
            (directory / ".new").write_text(text)
            (directory / ".new").rename(directory / address)

    write("Lab", "10.77.0.2", f"{WEB} Web www\n")
    write("Lab", "10.77.0.3", f"{DB} db www\n")
    write("back", "10.78.0.9", f"{DB} db store\n")
    return write


class Inside:
    """A container with a resolver."""

    def __init__(self, networks=(LAB, BACK), servers=("192.0.2.1", "192.0.2.2")):
        self.udp, self.tcp = Udp(), Udp()
        self.resolver = Resolver(self.udp, self.tcp, list(networks), lambda: list(servers))

    def step(self):
        self.resolver.timeout()
        for descriptor in self.resolver.descriptors():
            self.resolver.ready(descriptor)

    def send(self, name, kind="A", **options):
        asked = dns.message.make_query(name, kind, **options)
        self.udp.ask(asked.to_wire())
        self.step()
        return asked

    def heard(self, asked):
        (message, client) = self.udp.answers.pop(0)
        answer = dns.message.from_wire(message)
        assert client == "client"
        assert asked.is_response(answer)
        return answer

    def look_up(self, name, kind="A"):
        """The answer's data, None if the query was passed on."""
        asked = self.send(name, kind)
        if not self.udp.answers:
            return None
        return [str(row) for rows in self.heard(asked).answer for row in rows]


@pytest.fixture
def inside(world, leases):
    container = Inside()
    yield container
    container.resolver.close()


def answer_to(sent, rcode=0, **changes) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(sent[1]))
    answer.set_rcode(rcode)
    for name, value in changes.items():
        setattr(answer, name, value)
    return answer.to_wire()


@pytest.mark.parametrize("name", ["web", "WEB", "web.", "web.lab", "Web.LAB", WEB[:12], f"{WEB[:12]}.lab"])
def test_names_of_a_container(inside, name):
    assert inside.look_up(name) == ["10.77.0.2"]


def test_the_first_network_that_knows_the_name_answers(inside):
    assert inside.look_up("db") == ["10.77.0.3"]
    assert inside.look_up("store") == ["10.78.0.9"]
    assert inside.look_up("db.back") == ["10.78.0.9"]


def test_containers_that_share_an_alias_take_turns_at_the_first_place(inside):
    answers = [tuple(inside.look_up("www")) for _ in range(4)]
    assert sorted(set(answers)) == [("10.77.0.2", "10.77.0.3"), ("10.77.0.3", "10.77.0.2")]
    assert answers[0] != answers[1]


def test_types(inside):
    assert inside.look_up("web", "AAAA") == ["fd00:77::2"]
    assert inside.look_up("store", "AAAA") == []
    assert inside.look_up("web", "MX") == []


@pytest.mark.parametrize(
    ("address", "name"), [("10.77.0.2", "Web.Lab."), ("fd00:77::3", "db.Lab."), ("10.78.0.9", "db.back.")]
)
def test_names_of_addresses(inside, address, name):
    assert inside.look_up(dns.reversename.from_address(address), "PTR") == [name]


def test_a_name_too_long_for_dns_is_the_short_id_instead(inside, leases):
    leases("Lab", "10.77.0.4", f"{'c' * 64} {'x' * 64}\n")
    assert inside.look_up(dns.reversename.from_address("10.77.0.4"), "PTR") == ["c" * 12 + "."]


def test_what_is_not_ours_is_passed_on(inside):
    for name, kind in (("nobody", "A"), ("web.other", "A"), ("", "NS"), ("9.0.77.10.in-addr.arpa", "PTR")):
        assert inside.look_up(name, kind) is None
    assert inside.look_up("web.in-addr.arpa", "PTR") is None


def test_leases_that_change_are_seen(inside, leases):
    assert inside.look_up("web") == ["10.77.0.2"]
    leases("Lab", "10.77.0.2", None)
    assert inside.look_up("web") is None
    leases("Lab", "10.77.0.7", f"{WEB} web\n")
    assert inside.look_up("web") == ["10.77.0.7"]
    directory = paths.leases("Lab")
    os.utime(directory, (1, 1))
    assert inside.look_up("web") == ["10.77.0.7"]
    with open(f"{directory}/10.77.0.7", "w") as file:  # unlike a rename, this does not touch the directory
        file.write(f"{WEB} other\n")
    assert inside.look_up("web") == ["10.77.0.7"], "an old directory is not read again"


def test_networks_may_come_and_go(inside):
    inside.resolver.networks = [BACK]
    assert inside.look_up("store") == ["10.78.0.9"]
    asked = inside.send("web")
    assert inside.heard(asked).rcode() == dns.rcode.SERVFAIL


def test_an_internal_network_asks_nobody(world, leases):
    inside = Inside([BACK])
    assert inside.heard(inside.send("out.example")).rcode() == dns.rcode.SERVFAIL
    assert world.sent == []
    inside.resolver.close()


def test_the_default_network_is_a_way_out_but_has_no_names(world, leases):
    leases("bridge", "10.79.0.2", f"{'c' * 64} plain\n")
    inside = Inside([BACK, Network("bridge", "3" * 64, "", "mydocker0", "10.79.0.0/24", "10.79.0.1")])
    assert inside.look_up("store") == ["10.78.0.9"]
    assert inside.look_up("plain") is None
    assert len(world.sent) == 1
    inside.resolver.close()


def test_a_query_is_passed_on_and_its_answer_back(inside, world):
    asked = inside.send("out.example", use_edns=0, payload=4000)
    ((server, message, far),) = world.sent
    assert server == "192.0.2.1"
    assert message[2:] == asked.to_wire()[2:]
    answer = dns.message.make_response(dns.message.from_wire(message))
    answer.answer = [dns.rrset.from_text("out.example.", 300, "IN", "A", "192.0.2.99")]
    far.send(answer.to_wire())
    inside.step()
    assert str(inside.heard(asked).answer[0][0]) == "192.0.2.99"
    assert inside.resolver.forwards == {}
    assert inside.resolver.timeout() is None


@pytest.mark.parametrize(
    ("options", "size", "whole"),
    [
        ({}, 512, True),
        ({}, 513, False),
        ({"use_edns": 0, "payload": 700}, 700, True),
        ({"use_edns": 0, "payload": 700}, 701, False),
        ({"use_edns": 0, "payload": 4000}, 3900, True),
    ],
)
def test_an_answer_by_udp_is_no_longer_than_its_client_takes(inside, world, options, size, whole):
    asked = inside.send("out.example", "TXT", **options)
    (sent,) = world.sent
    answer = answer_to(sent)
    far = sent[2]
    filler = size - len(answer)
    pieces = [b"x" * 200] * ((filler - 12) // 201)
    tail = filler - 12 - 201 * len(pieces)
    data = b"".join(bytes([len(piece)]) + piece for piece in [*pieces, b"y" * (tail - 1)][: len(pieces) + (tail > 0)])
    record = b"\xc0\x0c" + struct.pack("!2HIH", 16, 1, 60, len(data)) + data
    end = len(answer) - (11 if options else 0)  # before the OPT record
    far.send(answer[:6] + b"\0\1" + answer[8:end] + record + answer[end:])
    inside.step()
    message = inside.udp.answers[0][0]
    heard = inside.heard(asked)
    assert bool(heard.flags & dns.flags.TC) is not whole
    assert (len(message) == size, bool(heard.answer)) == (whole, whole)
    assert len(message) <= max(512, options.get("payload", 0))


def test_each_query_has_its_own_number_and_socket(inside, world):
    for _ in range(8):
        inside.send("out.example", id=5)
    assert len({message[:2] for _, message, _ in world.sent}) > 4
    assert len({far.fileno() for _, _, far in world.sent}) == 8


@pytest.mark.parametrize(
    "forge",
    [
        lambda good: b"",
        lambda good: good[:7],
        lambda good: bytes([good[0] ^ 1]) + good[1:],
        lambda good: good[:2] + bytes([good[2] & 0x7F]) + good[3:],
        lambda good: good.replace(b"example", b"exanple"),
    ],
)
def test_a_forged_answer_counts_for_nothing(inside, world, forge):
    asked = inside.send("out.example")
    good = answer_to(world.sent[0])
    if forged := forge(good):
        world.sent[0][2].send(forged)
        inside.step()
    assert inside.udp.answers == []
    world.sent[0][2].send(good)
    inside.step()
    assert inside.heard(asked).rcode() == 0


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_that_refuses_is_followed_by_the_next(inside, world, rcode):
    asked = inside.send("out.example")
    for at, server in enumerate(["192.0.2.1", "192.0.2.2"]):
        assert world.sent[at][0] == server
        world.sent[at][2].send(answer_to(world.sent[at], rcode))
        inside.step()
    assert inside.heard(asked).rcode() == rcode
    assert len(world.sent) == 2


def test_a_server_that_says_no_such_name_is_believed(inside, world):
    asked = inside.send("out.example")
    world.sent[0][2].send(answer_to(world.sent[0], dns.rcode.NXDOMAIN))
    inside.step()
    assert inside.heard(asked).rcode() == dns.rcode.NXDOMAIN


def test_an_unreachable_server_costs_no_time(inside, world):
    world.broken = {"192.0.2.1": errno.ENETUNREACH}
    inside.send("out.example")
    assert [server for server, _, _ in world.sent] == ["192.0.2.2"]
    world.broken = dict.fromkeys(["192.0.2.1", "192.0.2.2"], errno.ENETUNREACH)
    assert inside.heard(inside.send("out.example")).rcode() == dns.rcode.SERVFAIL


def test_a_closed_port_costs_no_time(inside, world):
    asked = inside.send("out.example")
    for at in range(2):
        world.sent[at][2].send(b"refused")
        inside.step()
    assert inside.heard(asked).rcode() == dns.rcode.SERVFAIL


def test_silence_is_answered_before_the_client_asks_again(inside, world):
    asked = inside.send("out.example")
    began = world.now
    while not inside.udp.answers:
        wait = inside.resolver.timeout()
        assert wait is not None
        assert wait > 0
        world.now += wait
        inside.step()
    assert world.now - began < 5
    assert inside.heard(asked).rcode() == dns.rcode.SERVFAIL
    assert [server for server, _, _ in world.sent] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]


def test_a_late_answer_to_an_earlier_try_counts(inside, world):
    asked = inside.send("out.example")
    world.now += 2
    inside.step()
    assert len(world.sent) == 2
    world.sent[0][2].send(answer_to(world.sent[0]))
    inside.step()
    assert inside.heard(asked).rcode() == 0


@pytest.mark.parametrize("servers", [[], ["not-an-address"], ["fe80::1%nowhere"]])
def test_no_server_at_all(world, leases, servers):
    inside = Inside(servers=servers)
    assert inside.heard(inside.send("out.example")).rcode() == dns.rcode.SERVFAIL
    inside.resolver.close()


def test_the_oldest_query_gives_way(inside, world):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(MAX_FORWARDS + 5):
        inside.send(f"host{number}.example")
    assert len(inside.resolver.forwards) == MAX_FORWARDS
    world.sent[0][2].close()
    asked = inside.send("last.example")
    world.sent[-1][2].send(answer_to(world.sent[-1]))
    inside.step()
    assert inside.heard(asked).rcode() == 0
    world.now += 100
    for _ in range(4):
        inside.step()
        world.now += 100
    assert inside.resolver.forwards == {}
    world.sent.clear()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_long_answer_by_udp_is_cut(inside, leases):
    for number in range(10, 110):
        leases("Lab", f"10.77.0.{number}", f"{number:064} c{number} many\n")
    answer = inside.heard(inside.send("many"))
    assert answer.flags & dns.flags.TC
    assert 0 < len(answer.answer[0]) < 100


def test_its_share_of_the_processor_is_all_it_takes(inside, world, monkeypatch):
    spent = iter(range(1000))
    monkeypatch.setattr(module, "process_time", lambda: float(next(spent)))
    assert inside.resolver.descriptors()
    assert inside.look_up("web") == ["10.77.0.2"]  # that took a second
    assert inside.resolver.descriptors() == []
    assert inside.look_up("web") is None
    wait = inside.resolver.timeout()
    assert wait is not None
    assert wait == pytest.approx(2, abs=0.1)
    world.now += wait
    inside.step()
    assert len(inside.udp.answers) == 1


def test_nothing_is_raised_whatever_is_broken(inside, leases, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(resolver_zone.leases, "read", lambda name: 1 / 0)
        inside.send("web")
    with monkeypatch.context() as patch:
        patch.setattr(inside.udp, "sendto", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no")))
        inside.send("web")
    with monkeypatch.context() as patch:
        patch.setattr(inside.resolver, "servers", lambda: 1 / 0)
        inside.send("out.example")
    assert inside.look_up("web") == ["10.77.0.2"]


def test_any_bytes_do_no_harm(inside, world):
    @settings(max_examples=300)
    @given(st.binary(max_size=5000), st.booleans())
    def attack(tail, header):
        world.now += 10  # nothing piles up
        inside.udp.ask(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 1) + tail if header else tail)
        inside.step()
        assert len(inside.resolver.forwards) <= MAX_FORWARDS

    attack()
    world.now += 100
    inside.udp.answers.clear()
    assert inside.look_up("web") == ["10.77.0.2"]


def test_the_hosts_servers_are_read_again_when_they_change(tmp_path):
    path = tmp_path / "resolv.conf"
    servers = HostServers([], str(path))
    assert servers() == []
    path.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")
    assert servers() == ["127.0.0.53", "192.0.2.1"]
    path.write_text("nameserver 192.0.2.22\n")
    assert servers() == ["192.0.2.22"]
    path.unlink()
    assert servers() == []


def test_servers_that_were_chosen(tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    assert HostServers(["203.0.113.1", "127.0.0.1"], str(tmp_path / "resolv.conf"))() == ["203.0.113.1"]
    assert HostServers(["127.0.0.1"], str(tmp_path / "resolv.conf"))() == []
