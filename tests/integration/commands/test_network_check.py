"""network check: each kind of damage is told, repaired without a restart, and then the packets flow again."""

from __future__ import annotations

import json
import os

import pytest
from machine import until
from networks import address, device, gateway, leases, network, rules

FINE = "everything is as recorded"
SERVE = "while echo hello | nc -l -p 80 >/dev/null; do :; done"


@pytest.fixture
def wired(machine, mydocker, name):
    """Two containers on a network, the first with a published port: (network, first, second, port)."""
    with network(mydocker, f"n{name}", "--subnet", "10.93.57.0/28") as made:
        port = 20000 + os.getpid() % 10000
        mydocker.ok("run", "-d", "--name", name, "--net", made, "-p", f"{port}:80", "busybox", "sh", "-c", SERVE)
        mydocker.ok("run", "-d", "--name", f"{name}-b", "--net", made, "busybox", "sleep", "600")
        yield made, name, f"{name}-b", port


@pytest.fixture
def flows(machine, mydocker, wired):
    """Check that packets get from container to container, and to the published port from the host and from itself."""
    made, first, second, port = wired

    def check() -> None:
        ask = f"nc -w 2 {address(mydocker, first, made)} 80 </dev/null"
        until(lambda: mydocker("exec", second, "sh", "-c", ask).stdout == "hello\n", "an answer to the other container")
        for host in ("127.0.0.1", gateway(mydocker, made)):
            said = f"timeout 2 busybox nc {host} {port} </dev/null"
            until(lambda said=said: machine.shell(said).stdout == "hello\n", f"an answer at {host}:{port}")
        own = f"nc -w 2 {gateway(mydocker, made)} {port} </dev/null"
        until(lambda: mydocker("exec", first, "sh", "-c", own).stdout == "hello\n", "an answer to itself")

    check()
    return check


def wrong(mydocker, *words: str) -> list[str]:
    result = mydocker("network", "check", *words)
    assert result.rc == 1, result.stdout + result.stderr
    return result.lines


def repairs(mydocker, told: list[str]) -> None:
    """--repair repairs what `network check` reports, and then nothing is wrong."""
    lines = mydocker.ok("network", "check", "--repair").splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == [line.partition(" (--repair: ")[0] for line in told]
    assert mydocker.ok("network", "check") == FINE


def veth(mydocker, container: str) -> str:
    networks = json.loads(mydocker.ok("netmap", "--format", "json"))["networks"]
    return next(end["link"] for each in networks for end in each["containers"] if end["name"] == container)


def kill_monitor(machine, mydocker, container: str) -> None:
    """The container ends with it."""
    pid = mydocker.pid(container)
    assert machine.run("kill", "-9", str(mydocker.monitor(container))).rc == 0
    until(lambda: not machine.alive(pid), "the container's end")


@pytest.mark.parametrize("then", ["start", "rm"])
def test_the_rules_of_a_killed_monitor_go_with_the_next_start_or_removal(machine, mydocker, wired, then):
    _, first, _, _ = wired
    owner = f"{first} {mydocker.inspect(first, 'Id')[:12]}"
    kill_monitor(machine, mydocker, first)
    assert rules(machine, owner) != []
    assert mydocker.ok("port", first) == ""
    if then == "start":
        mydocker.ok("port", "rm", first, "80")
    mydocker.ok(then, first)
    assert rules(machine, owner) == []


def test_nothing_is_wrong(mydocker, wired, flows):
    assert mydocker.ok("network", "check") == FINE
    assert mydocker.ok("network", "check", "--repair") == FINE
    assert mydocker.ok("network", "check", "--format", "json") == "[]"


def remove_rules(machine, text: str) -> None:
    """As `iptables -F` would, but of others' rules none."""
    script = """iptables-save | awk -v text="$1" '/^\\*/ {table = substr($0, 2)}
        /^-A/ && index($0, text) {sub(/^-A/, "-D"); print "iptables -w -t " table " " $0}' | sh -e"""
    result = machine.run("sh", "-c", script, "sh", text)
    assert result.rc == 0, result.stderr


@pytest.mark.parametrize("whose", ["all networks", "network {}", "container {}"])
@pytest.mark.parametrize("command", ["check", "reload"])
def test_rules_are_gone(machine, mydocker, wired, flows, whose, command):
    made, first, _, _ = wired
    about = whose.format(made if whose.startswith("network") else first)
    before = sorted(rules(machine, f"mydocker: {about}"))
    assert before
    remove_rules(machine, f"mydocker: {about}")
    told = wrong(mydocker)
    assert any(line.startswith(f"{'network ' + made if whose == 'all networks' else about}: ") for line in told)
    if command == "check":
        repairs(mydocker, told)
    else:
        mydocker.ok("network", "reload")
        assert mydocker.ok("network", "check") == FINE
    assert sorted(rules(machine, f"mydocker: {about}")) == before
    flows()


def test_rules_of_one_that_publishes_nothing(machine, mydocker, wired, flows):
    _, first, second, _ = wired
    owners = [f"{each} {mydocker.inspect(each, 'Id')[:12]}" for each in (first, second)]
    (rule,) = rules(machine, owners[0])
    stray = rule.replace(owners[0], owners[1])
    assert machine.run("sh", "-c", 'echo "iptables -w -t nat $1" | sh', "sh", stray).rc == 0
    told = wrong(mydocker)
    text = "it has rules in iptables for more than its published ports (--repair: removed)"
    assert told == [f"container {second}: {text}"]
    repairs(mydocker, told)
    assert rules(machine, owners[1]) == []
    flows()


def test_the_bridge_is_gone(machine, mydocker, wired, flows):
    made, first, second, _ = wired
    assert machine.run("ip", "link", "delete", device(mydocker, made)).rc == 0
    told = wrong(mydocker)
    assert told[0].startswith(f"network {made}: its bridge ")
    assert {line.split(":")[0] for line in told[1:]} == {f"container {first}", f"container {second}"}
    repairs(mydocker, told)
    flows()


@pytest.mark.parametrize(
    "damage", ["link set {bridge} down", "address flush dev {bridge}", "link set {bridge} mtu 900"]
)
def test_the_bridge_is_changed(machine, mydocker, wired, flows, damage):
    made = wired[0]
    assert machine.shell(f"ip {damage.format(bridge=device(mydocker, made))}").rc == 0
    told = wrong(mydocker)
    assert [line.split(":")[0] for line in told] == [f"network {made}"]
    repairs(mydocker, told)
    flows()


@pytest.mark.parametrize("damage", ["nomaster", "down", "type bridge_slave hairpin off"])
def test_a_link_is_detached_or_changed(machine, mydocker, wired, flows, damage):
    _, first, _, _ = wired
    assert machine.shell(f"ip link set {veth(mydocker, first)} {damage}").rc == 0
    told = wrong(mydocker)
    assert [line.split(":")[0] for line in told] == [f"container {first}"]
    repairs(mydocker, told)
    flows()


def test_a_link_is_gone(machine, mydocker, wired, flows):
    _, first, _, _ = wired
    assert machine.run("ip", "link", "delete", veth(mydocker, first)).rc == 0
    for words in ((), ("--repair",)):
        (line,) = wrong(mydocker, *words)
        assert line.startswith(f"container {first}: its link veth")
        assert f"'mydocker restart {first}'" in line
    (finding,) = json.loads("\n".join(wrong(mydocker, "--format", "json")))
    assert (finding["about"], finding["repairable"], finding["repaired"]) == (f"container {first}", False, False)
    mydocker.ok("restart", "-t", "0", first)
    assert mydocker.ok("network", "check") == FINE
    flows()


def test_leases(machine, mydocker, wired, flows):
    made, first, second, _ = wired
    directory = f"{machine.store}/run/_networks/{made}"
    there = sorted(leases(machine, made))
    machine.shell(f"rm {directory}/{address(mydocker, first, made)}; echo {'e' * 64} nobody > {directory}/10.93.57.9")
    told = wrong(mydocker)
    assert [line.split(":")[0] for line in told] == [f"container {first}", f"network {made}"]
    repairs(mydocker, told)
    assert sorted(leases(machine, made)) == there
    assert mydocker.ok("exec", second, "nslookup", first)
    flows()


def test_a_monitor_was_killed(machine, mydocker, wired, flows):
    """Leftovers are removed; the container can be started again, and others get the address."""
    made, first, _, _ = wired
    kill_monitor(machine, mydocker, first)
    told = until(lambda: (lines := wrong(mydocker)) and len(lines) == 3 and lines, "three leftovers")
    assert sorted(line.split(" (")[0].split(": ")[0] for line in told) == [
        f"container {first}",
        f"container {first}",
        f"network {made}",
    ]
    repairs(mydocker, told)
    assert not rules(machine, f" {first} ")
    assert machine.run("test", "-L", f"/run/netns/{first}").rc != 0
    mydocker.ok("start", first)
    assert mydocker.ok("network", "check") == FINE
    flows()


def test_a_link_of_ip_netns(machine, mydocker, wired, flows):
    _, first, _, _ = wired
    assert machine.run("rm", f"/run/netns/{first}").rc == 0
    repairs(mydocker, wrong(mydocker))
    assert machine.shell(f"ip netns exec {first} ip -br address show eth0").stdout


def test_another_store_is_left_alone(machine, mydocker, wired, flows):
    """Its networks, and what is wrong with them: neither told nor touched."""
    there = {"MYDOCKER_ROOT": f"{machine.store}/other/lib", "MYDOCKER_RUN": f"{machine.store}/other/run"}
    made = wired[0]

    def other(*words: str):
        return machine.run(machine.program, *words, env=there)

    assert other("network", "create", "--subnet", "10.93.58.0/28", f"{made}o").rc == 0
    try:
        bridge = json.loads(other("network", "inspect", f"{made}o").stdout)[0]["Options"][
            "com.docker.network.bridge.name"
        ]
        theirs = rules(machine, f" {made}o ")
        assert theirs
        assert mydocker.ok("network", "check") == FINE
        assert machine.run("ip", "link", "delete", bridge).rc == 0
        assert mydocker.ok("network", "check", "--repair") == FINE
        assert rules(machine, f" {made}o ") == theirs
        assert other("network", "check").rc == 1
        assert other("network", "check", "--repair").rc == 0
        assert mydocker.ok("network", "check") == FINE
    finally:
        other("network", "rm", f"{made}o")
        machine.run("rm", "-rf", "--one-file-system", f"{machine.store}/other")


def test_while_containers_come_and_go(machine, mydocker, wired):
    """A start or an end under way is not damage, and --repair does not disturb it."""
    made = wired[0]
    loop = f"for number in 1 2 3 4 5 6; do {machine.program} run --rm --net {made} -p 80 busybox true || exit 1; done"
    with machine.start("sh", "-c", loop) as running:
        while running.poll() is None:
            assert mydocker.ok("network", "check", "--repair") == FINE
        assert running.returncode == 0, running.stderr.read()
