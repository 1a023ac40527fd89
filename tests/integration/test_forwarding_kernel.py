"""A host that does not forward: mydocker turns that on for its containers, and off again after its last network, also
if `iptables -F` has taken away the rule that says so."""

from __future__ import annotations

import os

import pytest
from netspace import own_namespace, run

from mydocker import paths
from mydocker.engine import check, networks
from mydocker.kernel import cgroups, iptables
from mydocker.network import firewall

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make network namespaces")]

FORWARD = "/proc/sys/net/ipv4/ip_forward"
FLUSH = "iptables -F; iptables -t nat -F; iptables -t mangle -F"


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A network namespace and a store."""
    for name in ("ROOT", "RUN", "NETWORKS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(networks, "_TURNED_ON", paths.leases(".forwarding"))
    with own_namespace():
        run("ip link set lo up; sysctl -qw net.ipv4.ip_forward=0")
        yield


def create(name: str, subnet: str):
    none = {"driver": None, "gateway": [], "ip_range": [], "internal": False, "label": [], "ipv6": False}
    return networks.create({"network": name, "subnet": [subnet], "opt": [], "mtu": None, **none})


def told() -> list[str]:
    return [f"{each.about}: {each.wrong}" for each in check.check()]


def test_the_fact_outlives_the_rules(alone):
    one, said = create("one", "10.201.26.0/24")
    assert said == ["turned on forwarding of IPv4 on this host, for containers only (net.ipv4.ip_forward)"]
    two, said = create("two", "10.201.27.0/24")
    assert said == []
    assert check.check() == []
    run(FLUSH)
    assert "the rules that keep it to containers are gone" in told()[0]
    mended, left = check.repair()
    assert [each.about for each in mended] == ["this host", "network one", "network two"]
    assert left == []
    assert firewall.guarded(iptables.save(4))
    networks.remove(one)
    assert (cgroups.read(FORWARD), networks.turned_on().versions) == ("1", [4])
    run(FLUSH)
    networks.remove(two)
    assert (cgroups.read(FORWARD), networks.turned_on()) == ("0", firewall.Guard())


def test_it_is_turned_off_by_somebody(alone):
    one, _ = create("one", "10.201.26.0/24")
    run("sysctl -qw net.ipv4.ip_forward=0")
    assert told() == ["this host: IPv4: it does not forward, so no container gets out"]
    _, left = check.repair()
    assert left == []
    assert cgroups.read(FORWARD) == "1"
    networks.remove(one)
    assert cgroups.read(FORWARD) == "0"


def test_a_router_stays_one(alone):
    """Forwarding was on, so it is nobody's business; when it was turned off and mydocker has mended that, it is."""
    run("sysctl -qw net.ipv4.ip_forward=1")
    one, said = create("one", "10.201.26.0/24")
    assert (said, networks.turned_on()) == ([], firewall.Guard())
    run(FLUSH)
    assert [line.partition(":")[0] for line in told()] == ["network one"]
    assert check.repair()[1] == []
    assert not firewall.guarded(iptables.save(4))
    networks.remove(one)
    assert cgroups.read(FORWARD) == "1"


def test_others_come_and_go(alone):
    """Whoever has a network is forwarded for, though others turn that off with what they take for the last one."""

    def come_and_go(number: int) -> int:
        for _ in range(15):
            made, _ = create(f"n{number}", f"10.201.{30 + number}.0/24")
            if cgroups.read(FORWARD) != "1":
                return 2
            networks.remove(made)
        return 0

    children = []
    for number in range(4):
        children.append(os.fork())
        if not children[-1]:
            code = 1
            try:
                code = come_and_go(number)
            finally:
                os._exit(code)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert (cgroups.read(FORWARD), networks.turned_on()) == ("0", firewall.Guard())
