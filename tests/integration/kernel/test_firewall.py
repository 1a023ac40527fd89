"""The rules of networks and ports on a real kernel: who reaches whom, in both flavours of iptables.

The host is this process in a network namespace of its own, with two networks and an internal one; a namespace on a
cable plays the LAN. Servers say who they are and whom they see.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from machine import until
from netspace import own_namespace, run
from world import DOCKER, HOST, LAN, Net, World, bind, check, inside, talk, withdraw

from mydocker import paths, state
from mydocker.engine.network import networks, reload
from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel import cgroups, iptables, programs
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.ports import Port
from mydocker.network import ports
from mydocker.network.firewall import network_owner
from mydocker.network.ops.bridges import MakeBridge
from mydocker.network.ops.ports import PublishPorts, RemovePorts
from mydocker.network.ops.rules import AddNetworkRules, RemoveNetworkRules
from mydocker.ops.base import Context

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def saved(version: int = 4) -> list[str]:
    return [line for line in iptables.save(version).splitlines() if line.startswith(("*", "-A", ":"))]


def rules(version: int = 4) -> list[str]:
    """Without counters, and without the built-in chains of tables that nobody has used (nft makes them on the way)."""
    return [line.split(" [")[0] for line in saved(version) if line[0] == "-" or " - [" in line or "DROP [" in line]


ONE, TWO = Net("one", "fwone", "10.201.16.0/24", subnet6="fd00:201:16::/64"), Net("two", "br-fwtwo", "10.201.17.0/24")
INTERNAL = Net("cut", "fwcut", "10.201.18.0/24", internal=True)


@pytest.fixture
def router(monkeypatch, tmp_path):
    """This process in a new network namespace that forwards; flavour(…) chooses its iptables."""

    def flavour(kind: str) -> None:
        for program in ("iptables", "ip6tables"):
            for suffix in ("", "-save", "-restore"):
                path = programs.find(f"{program}-{kind}{suffix}")
                if not path:
                    pytest.skip(f"needs {program}-{kind}{suffix}")
                (tmp_path / f"{program}{suffix}").symlink_to(path)
        monkeypatch.setattr(programs, "DIRECTORIES", (str(tmp_path), *programs.DIRECTORIES))
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")  # of what the tests type

    with own_namespace():
        run("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        yield flavour


@pytest.fixture
def world():
    with World() as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "bridged", "foreign"),
    [("nft", False, DOCKER), ("nft", True, ""), ("legacy", False, ""), ("legacy", True, DOCKER)],
    ids=["nft-docker", "nft-br_netfilter", "legacy", "legacy-docker-br_netfilter"],
)
def test_which_hosts_reach_each_other(router, world, kind, bridged, foreign):
    router(kind)
    if foreign:
        iptables.restore(4, foreign)
    before = rules(), rules(6)
    if os.path.exists("/proc/sys/net/bridge"):
        for program in ("iptables", "ip6tables"):
            run(f"sysctl -qw net.bridge.bridge-nf-call-{program}={int(bridged)}")
    elif bridged:
        pytest.skip("needs br_netfilter")
    for net in (ONE, TWO, INTERNAL):
        net.make()
    lan = world.namespace("fwlan", "", LAN, HOST)
    run(f"ip address add {HOST}/24 dev fwlan; ip address add 198.18.8.1/32 dev fwlan")
    run("ip -6 address add fd00:201:7::1/64 dev fwlan nodad")
    run(f"nsenter --net --target {lan} ip -6 address add fd00:201:7::2/64 dev eth0 nodad")
    run(f"nsenter --net --target {lan} ip -6 route add default via fd00:201:7::1")
    a, b, c, d, e = (
        world.container(net, number, name)
        for net, number, name in [(ONE, 2, "a"), (ONE, 3, "b"), (TWO, 2, "c"), (INTERNAL, 2, "d"), (INTERNAL, 3, "e")]
    )
    world.serve(lan, "lan", "tcp:0.0.0.0:80", "udp:0.0.0.0:53", "tcp::::82")
    world.serve(0, "host", "tcp:127.0.0.1:7777", "udp:127.0.0.1:7777", "tcp:0.0.0.0:7778")
    made = [
        world.publish(
            ONE, 2, "a", Port(80, "tcp", 8080, 8080), Port(53, "udp", 8053, 8053), Port(82, "tcp", 8082, 8082)
        ),
        world.publish(ONE, 3, "b", Port(80, "tcp", 8081, 8081, HOST), Port(81, "tcp", 8084, 8084, "127.0.0.1")),
        world.publish(TWO, 2, "c", Port(80, "tcp", 8083, 8083)),
        world.publish(INTERNAL, 2, "d", Port(80, "tcp", 8085, 8085)),
    ]

    # A published port: from the LAN, the host by each address and by 127.0.0.1, another container, another network,
    # itself. The container sees who it is, but where the way back would miss the host.
    check(
        (lan, f"tcp:{HOST}:8080", f"a {LAN}"),
        (lan, f"udp:{HOST}:8053", f"a {LAN}"),
        (lan, "tcp:198.18.8.1:8080", f"a {LAN}"),
        (0, f"tcp:{HOST}:8080", f"a {HOST}"),
        (0, "tcp:127.0.0.1:8080", "a 10.201.16.1"),
        (0, "udp:127.0.0.1:8053", "a 10.201.16.1"),
        (0, "tcp:127.3.2.1:8080", "a 10.201.16.1"),
        (b, f"tcp:{HOST}:8080", "a 10.201.16.1"),
        (b, "tcp:10.201.16.1:8080", "a 10.201.16.1"),
        (c, f"tcp:{HOST}:8080", "a 10.201.16.1"),
        (c, f"udp:{HOST}:8053", "a 10.201.16.1"),
        (b, f"tcp:{HOST}:8083", "c 10.201.17.1"),
        (0, "tcp:127.0.0.1:8085", "d 10.201.18.1"),
    )
    if bridged:  # then the bridge itself sends a packet back to where it came from, if the port allows that
        run("for link in fwa fwc; do ip link set $link type bridge_slave hairpin on; done")
    check((a, f"tcp:{HOST}:8080", "a 10.201.16.1"), (c, f"tcp:{HOST}:8083", "c 10.201.17.1"))
    # IPv6: the same; ::1 can't be forwarded, and is refused rather than left to wait.
    check(
        (lan, "tcp:fd00:201:7::1:8082", "a fd00:201:7::2"),
        (0, "tcp:fd00:201:7::1:8082", "a fd00:201:7::1"),
        (b, "tcp:fd00:201:7::1:8082", "a fd00:201:16::1"),
        (a, "tcp:fd00:201:7::2:82", "lan fd00:201:7::1"),
        (b, "tcp:fd00:201:16::2:82", "a fd00:201:16::3"),
        (0, "tcp:::1:8082", "refused"),
        (lan, "tcp:fd00:201:16::2:82", "nothing"),
    )
    # Only the address that was asked for.
    check(
        (lan, f"tcp:{HOST}:8081", f"b {LAN}"),
        (lan, "tcp:198.18.8.1:8081", "refused"),
        (0, f"tcp:{HOST}:8081", f"b {HOST}"),
        (0, "tcp:127.0.0.1:8081", "refused"),
        (0, "tcp:127.0.0.1:8084", "b 10.201.16.1"),
        (0, f"tcp:{HOST}:8084", "refused"),
        (lan, f"tcp:{HOST}:8084", "refused"),
        (a, f"tcp:{HOST}:8084", "refused"),
    )
    # 127.0.0.0/8 is the host's alone, also for those who route it here.
    for pid, gateway in ((lan, HOST), (a, "10.201.16.1")):
        enter = f"nsenter --net --target {pid}"
        run(f"{enter} ip address del 127.0.0.1/8 dev lo; {enter} ip route add 127.0.0.1 via {gateway}")
        run(f"{enter} ip rule del from all table local; {enter} ip rule add from all table local pref 10")
        run(
            f"{enter} ip rule add to 127.0.0.1 table main pref 5; {enter} sysctl -qw net.ipv4.conf.all.route_localnet=1"
        )
    check(
        (lan, "tcp:127.0.0.1:8084", "nothing"),
        (lan, "tcp:127.0.0.1:7777", "nothing"),
        (a, "tcp:127.0.0.1:8084", "nothing"),
        (a, "tcp:127.0.0.1:7777", "nothing"),
        (a, "udp:127.0.0.1:7777", "nothing"),
        (0, "tcp:127.0.0.1:7777", "host 127.0.0.1"),
    )
    # What is not published is not reached from beyond the network, by a route to it or from another network.
    check(
        (lan, "tcp:10.201.16.2:81", "nothing"),
        (lan, "tcp:10.201.16.2:80", "nothing"),
        (lan, "udp:10.201.16.2:53", "nothing"),
        (c, "tcp:10.201.16.2:80", "nothing"),
        (a, "tcp:10.201.17.2:80", "nothing"),
        (d, "tcp:10.201.16.2:80", "nothing"),
        (a, "tcp:10.201.18.2:80", "nothing"),
        (c, "tcp:10.201.16.1:7778", "nothing"),
    )
    # A container's own ways: its network, the world beyond, the host.
    check(
        (b, "tcp:10.201.16.2:81", "a 10.201.16.3"),
        (b, "udp:10.201.16.2:53", "a 10.201.16.3"),
        (b, f"tcp:{LAN}:80", f"lan {HOST}"),
        (c, f"udp:{LAN}:53", f"lan {HOST}"),
        (b, f"tcp:{HOST}:7778", "host 10.201.16.3"),
        (0, "tcp:10.201.16.2:81", "a 10.201.16.1"),
    )
    # An internal network: its own, and its gateway; nothing else, with a route too.
    for pid in (d, e):
        run(f"nsenter --net --target {pid} ip route add default via 10.201.18.1")
    check(
        (e, "tcp:10.201.18.2:80", "d 10.201.18.3"),
        (e, "tcp:10.201.18.1:7778", "host 10.201.18.3"),
        (e, f"tcp:{LAN}:80", "nothing"),
        (e, f"tcp:{HOST}:7778", "nothing"),
        (e, f"tcp:{HOST}:8080", "nothing"),
        (lan, f"tcp:{HOST}:8085", "nothing"),
        (lan, "tcp:10.201.18.2:80", "nothing"),
    )

    for op in made:
        withdraw(op)
    check((lan, f"tcp:{HOST}:8080", "refused"), (0, "tcp:127.0.0.1:8080", "refused"))
    for net in (ONE, TWO, INTERNAL):
        net.remove()
    assert (rules(), rules(6)) == before


FLAVOURS = pytest.mark.parametrize("kind", ["nft", "legacy"])


@FLAVOURS
def test_the_typed_commands_do_the_same(router, kind):
    router(kind)
    add = AddNetworkRules(ONE.name, ONE.id, ONE.device, ONE.subnet, ONE.subnet6)
    publish = PublishPorts("a", "a" * 64, ["8080:80/tcp", "127.0.0.1:53:53/udp"], "10.201.16.2", "fd00:201:16::2")
    add.do(Context())
    publish.do(Context())
    expected = sorted(rules()), sorted(rules(6))
    withdraw(publish)
    add.undo()
    assert expected != (sorted(rules()), sorted(rules(6)))
    run(add.shell().replace("\n", " ;\n") + "\n" + publish.shell())
    assert (sorted(rules()), sorted(rules(6))) == expected
    run(RemovePorts("a", "a" * 64, [4, 6]).shell())
    assert "container a" not in "".join(rules() + rules(6))
    assert "network one" in "".join(rules())
    run(RemoveNetworkRules(ONE.name, ONE.id, ONE.subnet6).shell())
    assert "network one" not in "".join(rules() + rules(6))
    assert "MYDOCKER-USER" in "".join(rules())


@FLAVOURS
def test_again_and_after_a_flush(router, kind):
    router(kind)
    before = rules()
    ONE.add()
    publish = PublishPorts("a", "a" * 64, ["8080:80/tcp"], "10.201.16.2")
    publish.do(Context())
    once = sorted(rules())
    ONE.add()
    again = PublishPorts("a", "a" * 64, ["8080:80/tcp"], "10.201.16.2", before=["8080:80/tcp"])
    again.do(Context())
    assert sorted(rules()) == once
    run("iptables -F; iptables -t nat -F; iptables -t mangle -F; iptables -t nat -X")
    assert sorted(rules()) != once
    ONE.add()
    again.do(Context())
    assert sorted(rules()) == once
    PublishPorts("a", "a" * 64, ["8081:81/tcp"], "10.201.16.2", before=["8080:80/tcp"]).do(Context())
    assert sum("container a" in line for line in rules()) == 1
    assert "--dport 8080" not in "".join(rules())
    for _ in range(2):
        withdraw(publish)
        ONE.remove()
    assert rules() == before


@FLAVOURS
def test_ports_find_their_chain_again(router, kind):
    router(kind)
    ONE.add()
    run("iptables -t nat -F; iptables -t nat -X")
    PublishPorts("a", "a" * 64, ["8080:80/tcp"], "10.201.16.2").do(Context())
    text = "".join(rules())
    assert "-A PREROUTING -m addrtype --dst-type LOCAL" in text
    assert text.count("--dport 8080") == 1


@FLAVOURS
def test_many_at_once(router, kind):
    """Nobody locks the firewall between reading and changing it: each rule is there once all the same."""
    router(kind)
    before = rules()
    nets = [Net(f"n{number}", f"fwn{number}", f"10.201.{number}.0/24") for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(Net.add, nets))
        made = [line for line in rules() if line.startswith("-A")]
        assert len(made) == len(set(made))
        assert sum("MASQUERADE" in line and line.startswith("-A POSTROUTING") for line in made) == 12
        assert sum(line.startswith("-A FORWARD") for line in made) == 2
        list(pool.map(Net.remove, nets))
    assert rules() == before


@pytest.mark.parametrize("version", [4, 6])
def test_an_old_udp_conversation_reaches_the_present_container(router, world, version):
    """One UDP conversation lasts from before the first container to after the last."""
    router("nft")
    ONE.make()
    lan = world.namespace("fwlan", "", LAN, HOST)
    run(f"ip address add {HOST}/24 dev fwlan; ip -6 address add fd00:201:7::1/64 dev fwlan nodad")
    run(f"nsenter --net --target {lan} ip -6 address add fd00:201:7::2/64 dev eth0 nodad")
    for number, name in ((2, "a"), (3, "b")):
        world.container(ONE, number, name)
    host, peer = {4: (HOST, LAN), 6: ("fd00:201:7::1", "fd00:201:7::2")}[version]
    script = (
        f"import socket, sys; s = socket.socket(socket.AF_INET{'6' if version == 6 else ''}, socket.SOCK_DGRAM)\n"
        f"s.bind(('{peer}', 5000))\n"
        f"while sys.stdin.readline():\n"
        f"    s.settimeout(1); s.sendto(b'?', ('{host}', 8053))\n"
        f"    try: print(s.recv(100).decode().split()[0], flush=True)\n"
        f"    except OSError: print('nothing', flush=True)\n"
    )
    argv = inside(lan, sys.executable, "-I", "-S", "-c", script)
    talker = world.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    world.callback(talker.kill)

    def answer() -> str:
        talker.stdin.write("\n")
        talker.stdin.flush()
        return talker.stdout.readline().strip()

    # Fresh links take a while for IPv6.
    for place in (f"udp:{ONE.base}.2:53", "udp:fd00:201:16::2:53", "udp:fd00:201:16::3:53"):
        until(lambda place=place: talk(0, place) != "nothing", place)
    assert answer() == "nothing"
    port = "8053:53/udp"
    for number, name in ((2, "a"), (3, "b")):
        op = PublishPorts(name, name * 64, [port], f"10.201.16.{number}", f"fd00:201:16::{number}")
        op.do(Context())
        assert answer() == name
        withdraw(op)
        assert answer() == "nothing"


@FLAVOURS
def test_forwarding_is_for_containers_only(router, world, kind):
    router(kind)
    run("sysctl -qw net.ipv4.ip_forward=0")
    before = rules()
    ONE.add([4], ["fwlan", "fwother"])
    MakeBridge(ONE.device, ["10.201.16.1/24"], 1500, "02:42:0a:c9:10:01", network_owner(ONE.name, ONE.id)).do(Context())
    lan = world.namespace("fwlan", "", LAN, HOST)
    other = world.namespace("fwother", "", "198.18.9.2", "198.18.9.1")
    run(f"ip address add {HOST}/24 dev fwlan; ip address add 198.18.9.1/24 dev fwother")
    world.serve(other, "other", "tcp:0.0.0.0:80")
    plain = Net(ONE.name, ONE.device, ONE.subnet)
    a = world.container(plain, 2, "a")
    publish = world.publish(plain, 2, "a", Port(80, "tcp", 8080, 8080))
    check(
        (a, "tcp:198.18.9.2:80", "other 198.18.9.1"),
        (lan, f"tcp:{HOST}:8080", f"a {LAN}"),
        (lan, "tcp:198.18.9.2:80", "nothing"),
    )
    withdraw(publish)
    plain.remove()
    assert rules() == before
    assert cgroups.read("/proc/sys/net/ipv4/ip_forward") == "0"


@pytest.mark.parametrize("alive", [True, False])
def test_network_reload(router, monkeypatch, tmp_path, alive):
    """Networks and a container that runs, or ends while its rules are being made."""
    router("nft")
    monkeypatch.setattr(paths, "NETWORKS", str(tmp_path / "networks"))
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    network = Network("one", ONE.id, "", ONE.device, ONE.subnet, "10.201.16.1")
    end = Endpoint("one", address="10.201.16.2/24", device="eth0")
    values = {"id": "a" * 64, "name": "a", "created": "", "image": "", "image_id": "", "command": [], "driver": ""}
    record = Container(**values, layers=[], networks=[end.to_json()], bound_ports=["8080:80/tcp"])
    looks = iter([True, True, alive] * 2)  # before and after its lock is held, and when the rules are made
    monkeypatch.setattr(state, "is_running", lambda _: next(looks))
    monkeypatch.setattr(state, "ids", lambda: [record.id])
    monkeypatch.setattr(state, "load", lambda _: record)
    monkeypatch.setattr(state, "lock", contextlib.nullcontext)
    monkeypatch.setattr(networks, "networks", lambda: [network])
    monkeypatch.setattr(networks, "load", lambda _: network)
    monkeypatch.setattr(networks, "is_up", lambda _: True)
    for _ in range(2):
        assert reload.reload() == []
        text = "".join(rules())
        assert text.count("--dport 8080") == alive
        assert text.count("-j MASQUERADE") == 3
        run("iptables -F; iptables -t nat -F")
    if not programs.find("nft"):
        pytest.skip("needs nft for the warning")
    run("nft add table inet site")
    run("nft add chain inet site through '{ type filter hook forward priority 0; policy drop; }'")
    (warning,) = reload.in_the_way(network)
    assert "warning: the nftables chain 'inet site through' may drop what fwone forwards" in warning
    run(warning.split("('")[1].partition("')")[0])
    assert 'iifname "fwone" accept' in programs.run(["nft", "list", "ruleset"])


def test_a_program_that_fails_or_is_missing(router, monkeypatch):
    router("legacy")
    with pytest.raises(OSError, match=r"iptables-restore.*: -A NOWHERE -j DROP.*iptables-restore --noflush -w 30"):
        iptables.restore(4, "*mangle\n-A NOWHERE -j DROP\nCOMMIT\n")
    monkeypatch.setattr(programs, "DIRECTORIES", ("/nowhere",))
    with pytest.raises(HostError, match="iptables-save is not installed") as caught:
        iptables.save(4)
    assert caught.value.hint == "install the package iptables"


# --- held ports -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bound(*published: Port, ipv6: bool = False):
    bindings, sockets = bind(*published, ipv6=ipv6)
    try:
        yield bindings
    finally:
        for descriptor in sockets:
            os.close(descriptor)


def listener(address: str, port: int, reuse: bool = True) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        made.bind((address, port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def test_a_bound_port_cannot_be_bound_again(router):
    with bound(Port(80, "tcp", 8080, 8080), Port(53, "udp", 5353, 5353)):
        for address in ("0.0.0.0", "127.0.0.1"):
            for reuse in (True, False):
                with pytest.raises(OSError, match="Address already in use"):
                    listener(address, 8080, reuse)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 8080), 2)
        for port in (Port(80, "tcp", 8080, 8080), Port(53, "udp", 5353, 5353), Port(1, "tcp", 8080, 8080, "127.0.0.1")):
            with pytest.raises(ports.PortTaken, match=rf"port .*:{port.host}/{port.protocol} is taken") as caught:
                bind(port)
            assert caught.value.port == port
        with bound(Port(53, "udp", 8080, 8080)) as effective:
            assert effective == [Port(53, "udp", 8080, 8080)]
    listener("0.0.0.0", 8080).close()


def test_any_listener_is_a_conflict_but_no_connection_that_is_over(router):
    server = listener("127.0.0.1", 8080)
    with pytest.raises(ports.PortTaken, match=r"port 0\.0\.0\.0:8080/tcp is taken"):
        bind(Port(80, "tcp", 8080, 8080))
    client = socket.create_connection(("127.0.0.1", 8080))
    accepted, _ = server.accept()
    accepted.close()  # this end is the one that waits
    client.close()
    server.close()
    assert "TIME-WAIT" in subprocess.run(["ss", "-tan"], capture_output=True, text=True).stdout
    with bound(Port(80, "tcp", 8080, 8080)):
        pass


def test_a_range_and_the_kernels_choice(router):
    with listener("0.0.0.0", 9000), bound(Port(80, "tcp", 9000, 9002), Port(81, "tcp", 9000, 9002)) as effective:
        assert [port.host for port in effective] == [9001, 9002]
        with pytest.raises(ports.PortTaken, match=r"0\.0\.0\.0:9000-9002/tcp"):
            bind(Port(82, "tcp", 9000, 9002))
    with bound(Port(80), Port(80), Port(53, "udp"), ipv6=True) as effective:
        numbers = [port.host for port in effective]
        assert len(set(numbers[:2])) == 2
        assert all(port.host == port.last > 1023 for port in effective)
        for number, address in ((numbers[0], "127.0.0.1"), (numbers[0], "::1"), (numbers[1], "0.0.0.0")):
            with pytest.raises(OSError, match="Address already in use"):
                listener(address, number)


def test_all_or_none(router):
    before = os.listdir("/proc/self/fd")
    with listener("0.0.0.0", 9100), pytest.raises(ports.PortTaken):
        bind(Port(80, "tcp", 9099, 9099), Port(81, "tcp", 9100, 9100))
    for wrong in ("192.0.2.77", "::1", "2001:db8::77"):
        with pytest.raises(InvalidArgument):
            bind(Port(80, "tcp", 9099, 9099), Port(81, "tcp", 9101, 9101, wrong))
    assert os.listdir("/proc/self/fd") == before
    listener("0.0.0.0", 9099).close()
