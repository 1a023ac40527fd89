"""Many at once on networks: no address, subnet or bridge is given twice, and nothing stays behind."""

from __future__ import annotations

import json
import re

import pytest
from commands.test_parallel import at_once
from machine import until
from networks import address, device, gateway, leases, network, rules

SLEEPS = ("busybox", "sleep", "1000")


@pytest.fixture
def net(mydocker, name):
    with network(mydocker, f"{name}-net") as made:
        yield made


def endpoints(mydocker, containers: list[str], on: str) -> list[dict]:
    inspected = json.loads(mydocker.ok("inspect", *containers))
    return [each["NetworkSettings"]["Networks"][on] for each in inspected]


def kill_monitor(machine, mydocker, container: str, *, and_container: bool) -> None:
    """As the OOM killer or an administrator would."""
    monitor, pid = mydocker.monitor(container), mydocker.pid(container)
    machine.run("kill", "-9", str(monitor), *[str(pid)] * and_container)
    until(lambda: not machine.alive(monitor), "the monitor is gone")


def test_200_starts_then_200_stops(machine, mydocker, net):
    before = machine.snapshot()
    started = at_once(mydocker, 200, "run", "-d", "--net", net, *SLEEPS)
    assert [result for result in started if result[0] or result[2]] == []
    containers = [out.strip() for _, out, _ in started]
    ends = endpoints(mydocker, containers, net)
    addresses = {end["IPAddress"] for end in ends}
    assert len(addresses) == 200
    assert len({end["MacAddress"] for end in ends}) == 200
    assert gateway(mydocker, net) not in addresses
    assert sorted(leases(machine, net)) == sorted(addresses)
    assert sorted(rules(machine, "")) == before["firewall"]  # not one rule for a container without ports

    stopping = [mydocker.start("stop", "-t", "0", container) for container in containers]
    assert [process.communicate(timeout=110)[1] for process in stopping] == [b""] * 200
    until(lambda: leases(machine, net) == [], "all addresses are free")
    # Links go with their namespaces, a little later; stopped containers keep their directories and names.
    until(lambda: machine.snapshot()["links"] == before["links"], "the links of before")
    assert {change.split()[1] for change in machine.changes_since(before)} == {"files:"}


def test_200_short_containers_at_once(machine, mydocker, net):
    """Addresses are released and leased again all the time; each container has one, and reaches the gateway."""
    script = f"ip -4 -o a show eth0 && ping -c 3 -W 5 {gateway(mydocker, net)} >/dev/null"
    results = at_once(mydocker, 200, "run", "--rm", "--net", net, "busybox", "sh", "-c", script)
    assert [result for result in results if result[0] or result[2]] == []
    assert all(len(re.findall(r"inet [\d.]+/\d+", out)) == 1 for _, out, _ in results)
    until(lambda: leases(machine, net) == [], "all addresses are free")


def test_20_starts_at_20_ports(machine, mydocker, net):
    """Each container's own rule, though all change the firewall at the same moment; and none afterwards."""
    processes = [
        mydocker.start("run", "-d", "--net", net, "-p", f"127.0.0.1:{42100 + number}:80", *SLEEPS)
        for number in range(20)
    ]
    containers = [process.communicate(timeout=110)[0].decode().strip() for process in processes]
    for number, end in enumerate(endpoints(mydocker, containers, net)):
        assert len(rules(machine, f"--to-destination {end['IPAddress']}:80")) == 1
        assert f"--dport {42100 + number}" in rules(machine, f"--to-destination {end['IPAddress']}:80")[0]
    ending = [mydocker.start("rm", "-f", container) for container in containers]
    assert [process.communicate(timeout=110)[1] for process in ending] == [b""] * 20
    assert rules(machine, ":80") == []


def test_20_at_one_port_one_wins(machine, mydocker, net):
    results = at_once(mydocker, 20, "run", "-d", "--net", net, "-p", "127.0.0.1:42150:80", *SLEEPS)
    assert sorted(rc for rc, _, _ in results) == [0] + [125] * 19
    assert [err for rc, _, err in results if rc and ("42150" not in err or len(err.splitlines()) != 1)] == []
    until(lambda: len(leases(machine, net)) == 1, "only the winner has an address")
    assert len({rule.partition("--to-destination")[2] for rule in rules(machine, "--dport 42150")}) == 1


def test_20_networks_have_20_subnets(machine, mydocker, name):
    names = [f"{name}-{number}" for number in range(20)]
    try:
        making = [mydocker.start("network", "create", each) for each in names]
        assert [process.communicate(timeout=110)[1] for process in making] == [b""] * 20
        networks = [json.loads(mydocker.ok("network", "inspect", each))[0] for each in names]
        assert len({each["IPAM"]["Config"][0]["Subnet"] for each in networks}) == 20
        bridges = {device(mydocker, each) for each in names}
        assert len(bridges) == 20
        assert bridges <= set(machine.snapshot()["links"])
        ending = [mydocker.start("network", "rm", each) for each in names]
        assert [process.communicate(timeout=110)[1] for process in ending] == [b""] * 20
    finally:
        mydocker("network", "rm", "--force", *names)


def test_20_networks_of_one_name_one_wins(mydocker, name):
    try:
        results = at_once(mydocker, 20, "network", "create", name)
        assert sorted(rc for rc, _, _ in results) == [0] + [1] * 19
        assert all(name in err and len(err.splitlines()) == 1 for rc, _, err in results if rc)
        assert mydocker.ok("network", "ls", "--format", "{{.Name}}").split().count(name) == 1
    finally:
        mydocker("network", "rm", name)


def test_the_default_network_is_made_once(machine, directory):
    """Twenty runs on a store that is not there yet."""
    env = {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}

    def links() -> list[str]:
        """A snapshot leaves out those of other stores."""
        return machine.run("ls", "/sys/class/net").lines

    before = links()
    line = f"{machine.program} run --rm busybox sh -c 'ip route | grep -c ^default'"
    script = f"for i in $(seq 20); do {line} & done; wait"
    try:
        result = machine.shell(script, env=env)
        assert (result.lines, result.stderr) == (["1"] * 20, "")
        until(lambda: len(links()) == len(before) + 1, "one more link: the bridge")
    finally:
        machine.run(machine.program, "network", "rm", "bridge", env=env)


def test_a_network_that_is_removed_while_containers_start(mydocker, name):
    """The first command wins: the network stays with a container on it, or is removed without one."""
    for _ in range(5):
        with network(mydocker, name):
            starting = [mydocker.start("run", "-d", "--net", name, *SLEEPS) for _ in range(5)]
            removal = mydocker("network", "rm", name)
            codes = [(process.communicate(timeout=60), process.returncode)[1] for process in starting]
            assert set(codes) <= {0, 125}
            assert removal.rc == (1 if 0 in codes else 0), codes
            mydocker.remove_all()  # those that were not started, too


class TestKilledMonitors:
    @pytest.fixture
    def small(self, mydocker, name):
        """A network that has room for five containers, and five on it."""
        with network(mydocker, f"{name}-small", "--subnet", "192.168.77.8/29"):
            yield [mydocker.ok("run", "-d", "--net", f"{name}-small", *SLEEPS) for _ in range(5)]

    @pytest.fixture
    def start(self, name):
        return ("run", "-d", "--net", f"{name}-small", *SLEEPS)

    def test_a_full_network_is_one_line(self, mydocker, small, start):
        assert "192.168.77.8/29" in mydocker.fails(*start)
        mydocker.ok("rm", "-f", small[2])
        mydocker.ok(*start)

    def test_the_address_of_a_dead_container_is_used_again(self, machine, mydocker, small, start, name):
        lost = address(mydocker, small[3], f"{name}-small")
        kill_monitor(machine, mydocker, small[3], and_container=True)
        assert address(mydocker, mydocker.ok(*start), f"{name}-small") == lost
        assert "192.168.77.8/29" in mydocker.fails(*start)

    def test_the_address_of_a_container_that_still_runs_is_not(self, machine, mydocker, small, start, name):
        kill_monitor(machine, mydocker, small[3], and_container=False)
        if mydocker.state(small[3])["Running"]:
            assert "192.168.77.8/29" in mydocker.fails(*start)
        mydocker.ok("rm", "-f", small[3])
        mydocker.ok(*start)

    def test_the_dead_one_can_start_again(self, machine, mydocker, small, name):
        kill_monitor(machine, mydocker, small[0], and_container=True)
        mydocker.ok("start", small[0])
        addresses = [address(mydocker, each, f"{name}-small") for each in small]
        assert sorted(addresses) == [f"192.168.77.{last}" for last in ("10", "11", "12", "13", "14")]

    def test_rm_takes_the_rules_too(self, machine, mydocker, net):
        made = mydocker.ok("run", "-d", "--net", net, "-p", "127.0.0.1:42160:80", *SLEEPS)
        kill_monitor(machine, mydocker, made, and_container=True)
        mydocker.ok("rm", "-f", made)
        assert rules(machine, "42160") == []
        assert leases(machine, net) == []
