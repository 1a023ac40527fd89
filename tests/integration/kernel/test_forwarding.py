"""A host that does not forward: mydocker turns that on for its containers, and off again after its last network, also
if `iptables -F` has taken away the rule that says so."""

from __future__ import annotations

import os

import pytest
from lonehost import FORWARD, create, lone_host
from netspace import run

from mydocker.engine.network import check, forwarding, lifecycle, networks, reload
from mydocker.kernel import bridge, cgroups, iptables, programs
from mydocker.network import firewall
from mydocker.network.ops.rules import RemoveOldFlavour

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make network namespaces")]

FLUSH = "iptables -F; iptables -t nat -F; iptables -t mangle -F"


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


@pytest.fixture
def alone(monkeypatch, tmp_path):
    with lone_host(monkeypatch, tmp_path):
        yield


def told() -> list[str]:
    return [f"{each.about}: {each.wrong}" for each in check.check()]


def test_the_fact_outlives_the_rules(alone):
    one, said = create("one", "10.201.26.0/24")
    assert said == ["turned on forwarding of IPv4 on this host, for containers only (net.ipv4.ip_forward)"]
    two, said = create("two", "10.201.27.0/24")
    assert said == []
    assert check.check() == []
    run(FLUSH)
    assert "the rules that restrict it to containers are gone" in told()[0]
    repaired, left = check.repair()
    assert [each.about for each in repaired] == ["this host", "network one", "network two"]
    assert left == []
    assert firewall.has_guard(iptables.save(4))
    lifecycle.remove(one)
    assert (cgroups.read(FORWARD), forwarding.turned_on().versions) == ("1", [4])
    run(FLUSH)
    lifecycle.remove(two)
    assert (cgroups.read(FORWARD), forwarding.turned_on()) == ("0", firewall.Guard())


def test_it_is_turned_off_by_somebody(alone):
    one, _ = create("one", "10.201.26.0/24")
    run("sysctl -qw net.ipv4.ip_forward=0")
    assert told() == ["this host: IPv4: it does not forward, so no container gets out"]
    _, left = check.repair()
    assert left == []
    assert cgroups.read(FORWARD) == "1"
    lifecycle.remove(one)
    assert cgroups.read(FORWARD) == "0"


def test_a_router_stays_one(alone):
    """Forwarding was on, so it is nobody's business; when it was turned off and mydocker has repaired that, it is."""
    run("sysctl -qw net.ipv4.ip_forward=1")
    one, said = create("one", "10.201.26.0/24")
    assert (said, forwarding.turned_on()) == ([], firewall.Guard())
    run(FLUSH)
    assert [line.partition(":")[0] for line in told()] == ["network one"]
    assert check.repair()[1] == []
    assert not firewall.has_guard(iptables.save(4))
    lifecycle.remove(one)
    assert cgroups.read(FORWARD) == "1"


def test_others_come_and_go(alone):
    """Forwarding stays on for a network, even if another process removes what looks to it like the last one."""

    def come_and_go(number: int) -> int:
        for _ in range(15):
            made, _ = create(f"n{number}", f"10.201.{30 + number}.0/24")
            if cgroups.read(FORWARD) != "1":
                return 2
            lifecycle.remove(made)
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
    assert (cgroups.read(FORWARD), forwarding.turned_on()) == ("0", firewall.Guard())


@pytest.mark.parametrize(("before", "after"), [("legacy", "nft"), ("nft", "legacy")])
def test_the_host_changes_its_flavour_of_iptables(alone, monkeypatch, tmp_path, before, after):
    """Rules in the flavour that it had are seen by `network check`, and `network reload` removes them, ours alone."""

    def choose(flavour: str) -> None:
        for program in ("iptables", "ip6tables"):
            for suffix in ("", "-save", "-restore"):
                link = tmp_path / f"{program}{suffix}"
                link.unlink(missing_ok=True)
                link.symlink_to(programs.find(f"{program}-{flavour}{suffix}") or pytest.skip(f"needs {flavour}"))

    monkeypatch.setattr(programs, "DIRECTORIES", (str(tmp_path), *programs.DIRECTORIES))
    # /sys tells of the namespace that it was mounted in.
    monkeypatch.setattr(networks, "is_up", lambda network: bridge.describe(network.device) is not None)
    choose(before)
    create("gone", "10.201.27.0/24")
    made, _ = create("one", "10.201.26.0/24")
    run(f"iptables-{before} -A FORWARD -s 192.0.2.1 -j DROP; iptables-{before} -A MYDOCKER-USER -s 192.0.2.2 -j DROP")
    choose(after)
    lifecycle.remove(networks.load("gone"))
    wrong = f"mydocker's rules are also in iptables-{before} (IPv4), which is no longer in use"
    assert f"this host: {wrong}" in told()
    assert reload.reload() == []
    assert check.check() == []
    left = [line for line in iptables.save(4, flavour=before).splitlines() if line.startswith("-A")]
    assert left == ["-A FORWARD -s 192.0.2.1/32 -j DROP", "-A MYDOCKER-USER -s 192.0.2.2/32 -j DROP"]
    assert firewall.has_guard(iptables.save(4))
    lifecycle.remove(made)
    assert "mydocker" not in iptables.save(4)


def test_the_typed_commands_remove_an_old_flavour_too(alone):
    create("one", "10.201.26.0/24")
    run(RemoveOldFlavour(4, "nft", []).shell())
    assert "mydocker" not in iptables.save(4, flavour="nft")
