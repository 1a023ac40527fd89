"""The guard that goes with forwarding that mydocker has turned on: it drops what would go from one of the host's own
links to another, and nothing that others forward, whoever comes first and wherever they accept it.

Two namespaces on cables play two LANs. A bridge or a cable that comes later is somebody else's.
"""

from __future__ import annotations

import os

import pytest
from lonehost import FORWARD, create, lone_host
from netspace import run
from world import DOCKER, World, check

from mydocker.engine.network import check as checking
from mydocker.engine.network import forwarding, lifecycle
from mydocker.errors import Conflict
from mydocker.kernel import bridge, cgroups, iptables
from mydocker.network import firewall

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make network namespaces")]

# What netavark 1.17 has: accepting and masquerading in a table of its own.
NETAVARK = """
nft add table inet netavark
nft add chain inet netavark FORWARD '{ type filter hook forward priority filter; policy accept; }'
nft add rule inet netavark FORWARD ip daddr 10.88.0.0/16 ct state established,related accept
nft add rule inet netavark FORWARD ip saddr 10.88.0.0/16 accept
nft add chain inet netavark POSTROUTING '{ type nat hook postrouting priority srcnat; policy accept; }'
nft add rule inet netavark POSTROUTING ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 masquerade
"""
# What libvirt 10.4 and later has for a NAT network.
LIBVIRT = """
nft add table ip libvirt_network
nft add chain ip libvirt_network forward '{ type filter hook forward priority filter; policy accept; }'
nft add rule ip libvirt_network forward iif virbr0 ip saddr 192.168.122.0/24 counter accept
nft add rule ip libvirt_network forward oif virbr0 ip daddr 192.168.122.0/24 ct state related,established counter accept
nft add chain ip libvirt_network guest_nat '{ type nat hook postrouting priority 100; policy accept; }'
nft add rule ip libvirt_network guest_nat ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade
"""


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


@pytest.fixture
def alone(monkeypatch, tmp_path):
    with lone_host(monkeypatch, tmp_path):
        yield


@pytest.fixture
def world():
    with World() as made:
        yield made


def lan(world: World, number: int, device: str = "", address6: str = "") -> int:
    """A machine at 198.18.NUMBER.2, on a cable of the host's own; it sends everything by the host."""
    device = device or f"lan{number}"
    pid = world.namespace(device, "", f"198.18.{number}.2", f"198.18.{number}.1", address6)
    run(f"ip address add 198.18.{number}.1/24 dev {device}")
    world.serve(pid, f"lan{number}", "tcp:0.0.0.0:80")
    return pid


def guest(world: World, device: str, subnet: str) -> int:
    """The second machine of a bridge's subnet, which is made if it is not there; the host has the first address."""
    base = subnet.rpartition(".")[0]
    if not os.path.exists(f"/proc/sys/net/ipv4/conf/{device}"):
        run(f"ip link add {device} type bridge; ip link set {device} up; ip address add {base}.1/24 dev {device}")
    pid = world.namespace(f"p{device}", device, f"{base}.2", f"{base}.1")
    world.serve(pid, device, "tcp:0.0.0.0:80")
    return pid


@pytest.mark.parametrize("first", ["others", "mydocker"])
def test_what_others_forward_passes(alone, world, first):
    """Their tables, their bridges and their links come before mydocker's first network, or after it; and forwarding is
    off until then."""
    one, two = lan(world, 1), lan(world, 2)
    docker, podman, libvirt, routed, cable = 0, 0, 0, 0, 0

    def others() -> None:
        nonlocal docker, podman, libvirt, routed, cable
        run(NETAVARK)
        podman = guest(world, "podman0", "10.88.0.0")
        libvirt = guest(world, "virbr0", "192.168.122.0")
        run(LIBVIRT)
        routed = guest(world, "virbr1", "192.168.123.0")  # <forward mode='route'/>: no rules but accepting ones
        docker = guest(world, "docker0", "172.17.0.0")
        iptables.restore(4, DOCKER.replace(":FORWARD DROP", ":FORWARD ACCEPT"))  # it finds forwarding on

    if first == "others":
        others()
    made, said = create()
    assert [line.partition(" (")[0] for line in said] == [
        "turned on forwarding of IPv4 on this host, for containers only"
    ]
    if first == "mydocker":
        others()
        cable = world.namespace("later", "", "198.18.3.2", "198.18.3.1")  # of a VPN, say
        run("ip address add 198.18.3.1/24 dev later")
    check(
        (one, "tcp:198.18.2.2:80", "nothing"),
        (two, "tcp:198.18.1.2:80", "nothing"),
        (podman, "tcp:198.18.1.2:80", "lan1 198.18.1.1"),
        (libvirt, "tcp:198.18.2.2:80", "lan2 198.18.2.1"),
        (routed, "tcp:198.18.2.2:80", "lan2 192.168.123.2"),
        (one, "tcp:192.168.123.2:80", "virbr1 198.18.1.2"),
        (docker, "tcp:198.18.1.2:80", "lan1 198.18.1.1"),
        (one, "tcp:198.18.1.1:9999", "docker0 198.18.1.2"),
        *([(cable, "tcp:198.18.1.2:80", "lan1 198.18.3.2")] if cable else []),
    )
    assert checking.check() == []
    lifecycle.remove(made)


def test_bridges_of_others_carry_what_they_like_with_br_netfilter(alone, world):
    """Three machines on a bridge without an address, before mydocker and after it, and on one that is the host's
    LAN."""
    if not os.path.exists("/proc/sys/net/bridge"):
        pytest.skip("needs br_netfilter")
    run("sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
    machines: dict[str, list[int]] = {}

    def bridge_of(device: str, base: str) -> None:
        run(f"ip link add {device} type bridge; ip link set {device} up")
        machines[base] = [world.namespace(f"{device}{number}", device, f"{base}.{number}") for number in (2, 3, 4)]
        for number, pid in zip((2, 3, 4), machines[base]):
            world.serve(pid, f"m{number}", "tcp:0.0.0.0:80")

    bridge_of("before", "198.18.4")
    bridge_of("ours", "198.18.5")
    lan(world, 1)
    links = bridge.links

    def with_a_card():
        """One of the bridge's ports looks like a network card."""
        return {
            name: bridge.Link(each.up, each.bridge, False, "") if name == "ours2" else each
            for name, each in links().items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge, "links", with_a_card)
        made, _ = create()
        assert "ours" in "".join(line for line in iptables.save(4).splitlines() if firewall.GUARD in line)
        bridge_of("after", "198.18.6")
        check(
            *(
                (pid, f"tcp:{base}.4:80", f"m4 {base}.{number}")
                for base in machines
                for number, pid in zip((2, 3), machines[base])
            ),
        )
        lifecycle.remove(made)


def test_the_host_becomes_no_router(alone, world):
    """By neither version of IP; between links that were there, or a bridge of the LAN; nor for a card that comes later,
    once somebody has looked. What somebody here has given another destination passes, and so does what MYDOCKER-USER
    accepts."""
    one, two = lan(world, 1, address6="fd00:198:1::2"), lan(world, 2, address6="fd00:198:2::2")
    run("ip -6 address add fd00:198:1::1/64 dev lan1 nodad; ip -6 address add fd00:198:2::1/64 dev lan2 nodad")
    world.serve(two, "lan2", "tcp:fd00:198:2::2:82")
    made, said = create(ipv6=True)
    assert len(said) == 2
    later = lan(world, 3)
    run("sysctl -qw net.ipv6.conf.lan3.accept_ra=1")
    lifecycle.remove(create("two", "10.201.27.0/24", ipv6=True)[0])
    assert cgroups.read("/proc/sys/net/ipv6/conf/lan3/accept_ra") == "2"
    check(
        (one, "tcp:198.18.2.2:80", "nothing"),
        (two, "tcp:198.18.1.2:80", "nothing"),
        (one, "tcp:fd00:198:2::2:82", "nothing"),
        (later, "tcp:198.18.1.2:80", "lan1 198.18.3.2"),
    )
    links = bridge.links

    def with_a_card():
        return {**links(), "lan3": bridge.Link(True, "", False)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge, "links", with_a_card)
        assert [each.wrong.rpartition(" and ")[2] for each in checking.check()] == [
            "the rules that restrict it to containers do not know lan3"
        ] * 2
        assert checking.repair()[1] == []
        check((later, "tcp:198.18.1.2:80", "nothing"), (one, "tcp:198.18.3.2:80", "nothing"))
        run("iptables -t nat -A PREROUTING -d 198.18.1.1 -p tcp --dport 8002 -j DNAT --to-destination 198.18.2.2:80")
        run("iptables -A MYDOCKER-USER -i lan3 -o lan1 -j ACCEPT; iptables -A MYDOCKER-USER -i lan1 -o lan3 -j ACCEPT")
        check(
            (one, "tcp:198.18.1.1:8002", "lan2 198.18.1.2"),
            (one, "tcp:198.18.2.2:80", "nothing"),
            (later, "tcp:198.18.1.2:80", "lan1 198.18.3.2"),
        )
        lifecycle.remove(made)


def test_a_guard_without_a_record_of_the_links_is_replaced(alone, world):
    """A single rule, and a note that names no links: all links that exist now count, of whatever kind."""
    one, _ = lan(world, 1), lan(world, 2)
    made, _ = create()
    run("iptables -F FORWARD; iptables -F MYDOCKER-GUARD")
    run(f'iptables -A FORWARD -m comment --comment "{firewall.GUARD}" -j DROP')
    with open(forwarding._TURNED_ON, "w") as note:
        note.write("4\n")
    assert checking.repair()[1] == []
    later = lan(world, 3)
    assert checking.check() == []
    run(f'iptables -C FORWARD -i lan1 -m comment --comment "{firewall.GUARD}" -j MYDOCKER-GUARD')
    check(
        (one, "tcp:198.18.2.2:80", "nothing"),
        (later, "tcp:198.18.1.2:80", "lan1 198.18.3.2"),
    )
    lifecycle.remove(made)


def test_links_of_odd_names(alone, world):
    """The kernel takes nearly every name. What no rule can hold ends the creation, with the command that helps."""
    one, _ = lan(world, 1, "we~ird#@=,^"), lan(world, 2, "x=1")
    run("ip link add name 'a+' type veth peer name 'q\"x'")
    for link in ("a+", 'q"x'):
        with pytest.raises(Conflict) as caught:
            create()
        assert caught.value.message == f"no firewall rule can name the host's link {link!r}, to keep it apart"
        assert cgroups.read(FORWARD) == "0"
        run(f"ip link set dev '{link}' name plain{len(link)}")
    made, _ = create()
    assert checking.check() == []
    check((one, "tcp:198.18.2.2:80", "nothing"))
    lifecycle.remove(made)


@pytest.mark.parametrize(
    ("comes", "goes", "who"),
    [
        ("ip link add docker9 type bridge; ip link set docker9 up", "ip link delete docker9", "docker9"),
        ("ip tuntap add tap9 mode tap; ip link set tap9 up", "ip link delete tap9", "tap9"),
        (
            "ip link add ve9 type veth peer name ve8; ip link set ve9 up; ip link set ve8 up",
            "ip link delete ve9",
            "ve8, ve9",
        ),
        (
            "iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",
            "iptables -t nat -F",
            "a NAT rule in iptables",
        ),
        (NETAVARK, "nft delete table inet netavark", "the nftables table 'inet netavark'"),
    ],
    ids=["bridge", "tap", "veth", "iptables", "nft"],
)
def test_it_stays_with_forwarding_while_others_need_that(alone, world, comes, goes, who):
    lan(world, 1)
    made, _ = create()
    run(comes)
    assert lifecycle.remove(made) == [
        f"left forwarding of IPv4 on until a reboot, as {who} may need it (net.ipv4.ip_forward)"
    ]
    assert cgroups.read(FORWARD) == "1"
    assert "-A MYDOCKER-GUARD -o lan1 " in iptables.save(4)
    run(goes)
    made, said = create()
    assert said == []
    assert lifecycle.remove(made) == []
    assert cgroups.read(FORWARD) == "0"
    assert "mydocker" not in iptables.save(4).lower()


def test_a_network_that_fails_takes_no_forwarding_from_others(alone, world, monkeypatch):
    lan(world, 1)
    made, _ = create()
    run("ip link add docker9 type bridge; ip link set docker9 up")
    lifecycle.remove(made)

    def fail(*_: object) -> None:
        raise OSError(5, "no bridge today")

    with monkeypatch.context() as patch:
        patch.setattr(bridge, "make", fail)
        with pytest.raises(Exception, match="no bridge today"):
            create()
    assert cgroups.read(FORWARD) == "1"
    assert firewall.has_guard(iptables.save(4))
    run("ip link delete docker9")
    lifecycle.remove(create()[0])
    assert cgroups.read(FORWARD) == "0"
