"""Networks and ports of a running container change while something else happens: it ends, is killed, or fails. What is
left behind would lead to whoever has that address next."""

from __future__ import annotations

import re

import pytest
from machine import until
from networks import address, gateway, leases, network, rules

SLEEPS = ("busybox", "sleep", "100")
FINE = "everything is as recorded"


@pytest.fixture
def net(mydocker, name):
    with network(mydocker, f"{name}-net") as made:
        yield made


@pytest.fixture
def other(mydocker, name):
    with network(mydocker, f"{name}-other") as made:
        yield made


@pytest.fixture
def six(mydocker, name):
    with network(mydocker, f"{name}-six", "--ipv6") as made:
        yield made


@pytest.fixture
def port(machine) -> int:
    """A free port of the host."""
    return int(machine.python("import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1])").stdout)


@pytest.fixture
def slow(machine, directory):
    """slow(COMMAND…): mydocker with a firewall that takes a second, when that has begun."""

    def started(*words: str):
        script = f"""
        real=$(command -v iptables-restore)
        printf '#!/bin/sh\\ntouch {directory}/began; sleep 1; exec %s "$@"\\n' "$real" > {directory}/iptables-restore
        chmod +x {directory}/iptables-restore
        exec "$@"
        """
        running = machine.start("sh", "-c", script, "sh", *machine.with_programs(directory), machine.program, *words)
        until(lambda: machine.exists(f"{directory}/began"), "the rules on their way")
        return running

    return started


def until_bare(mydocker, container: str) -> None:
    monitor = mydocker.monitor(container)
    until(lambda: mydocker.machine.is_bare(monitor), "a bare monitor")


def ipv6_rules(machine, container_id: str) -> list[str]:
    return [line for line in machine.run("ip6tables-save").lines if container_id[:12] in line]


def can_listen(machine, host: str, port: int) -> bool:
    script = "import socket, sys; socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3]))"
    return machine.python(script, host, str(port), "10" if ":" in host else "2").rc == 0


def test_ports_are_published_again_after_a_long_time_without_a_network(machine, mydocker, name, net, other, port):
    """Meanwhile its monitor has become the minimal one, which does not remember the network."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    mydocker.ok("network", "disconnect", net, name)
    assert mydocker.inspect(name, "NetworkSettings", "Networks") == {}
    assert can_listen(machine, "0.0.0.0", port)
    until_bare(mydocker, name)
    mydocker.ok("network", "connect", other, name)
    assert mydocker.ok("port", name) == f"80/tcp -> 0.0.0.0:{port}"
    assert len(rules(machine, f"{address(mydocker, name, other)}:80")) == 1
    assert not can_listen(machine, "0.0.0.0", port)
    mydocker.ok("port", "rm", name, "80")
    assert mydocker.state(name)["Running"]
    assert rules(machine, f"{address(mydocker, name, other)}:80") == []


def test_its_way_out_stays_with_its_ports(machine, mydocker, name, net, other, six):
    """Both are the network's that it has joined first, of those that it is on."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "--net", other, "-p", "127.0.0.1::80", *SLEEPS)
    mydocker.ok("network", "disconnect", net, name)
    mydocker.ok("network", "connect", six, name)
    assert rules(machine, f"--to-destination {address(mydocker, name, other)}:80")
    table = mydocker.ok("exec", name, "ip", "route")
    ways = re.findall(r"default via (\S+).*?(?:metric (\d+))? *$", table, re.MULTILINE)
    by_metric = sorted(ways, key=lambda way: int(way[1] or 0))
    assert [via for via, _ in by_metric] == [gateway(mydocker, other), gateway(mydocker, six)]


def test_a_container_started_without_a_network_joins_one(mydocker, name, net):
    mydocker.ok("run", "-d", "--name", name, "--net", net, *SLEEPS)
    mydocker.ok("stop", "-t", "0", name)
    mydocker.ok("network", "disconnect", net, name)
    mydocker.ok("start", name)
    mydocker.ok("network", "connect", net, name)
    assert address(mydocker, name, net) in mydocker.ok("exec", name, "ip", "address")
    mydocker.ok("network", "disconnect", net, name)
    until_bare(mydocker, name)
    mydocker.ok("network", "connect", net, name)
    assert address(mydocker, name, net) in mydocker.ok("exec", name, "ip", "address")
    assert mydocker.ok("network", "check") == FINE


def attached(machine, mydocker, container: str) -> tuple:
    """The attachments of a container: on its record, in the host's firewall, and from the inside."""
    settings = mydocker.inspect(container, "NetworkSettings")
    ours = rules(machine, f"container {container} ") + ipv6_rules(machine, mydocker.inspect(container, "Id"))
    addresses = re.findall(r"inet6? (\S+) .*scope global (\w+)", mydocker.ok("exec", container, "ip", "-o", "address"))
    return settings["Networks"], settings["Ports"], sorted(ours), addresses, mydocker.ok("network", "check")


CHANGES = {  # words of a change -> those that make it possible
    "network connect SIX NAME": ["network disconnect NET NAME"],
    "network disconnect SIX NAME": [
        "network disconnect NET NAME", "network connect SIX NAME", "network connect NET NAME",
    ],
    "network disconnect NET NAME": ["network connect SIX NAME"],
    "port add NAME 127.0.0.1::81": [],
    "port rm NAME 80": [],
}  # fmt: skip


@pytest.mark.parametrize("words", CHANGES)
def test_a_change_that_fails_at_any_step_leaves_what_was(machine, mydocker, name, net, six, port, words):
    """The way back is no step of its own."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", "-p", "127.0.0.1::53/udp", *SLEEPS)

    def typed(line: str) -> list[str]:
        return [{"NAME": name, "NET": net, "SIX": six}.get(word, word) for word in line.split()]

    for line in CHANGES[words]:
        mydocker.ok(*typed(line))
    before = attached(machine, mydocker, name)
    assert before[-1] == FINE
    for step in range(1, 20):
        result = mydocker(*typed(words), env={"MYDOCKER_FAULT": str(step)})
        if result.rc == 0:
            break
        assert "injected" in result.stderr
        assert attached(machine, mydocker, name) == before
    assert step > 1
    after = attached(machine, mydocker, name)
    assert after != before
    assert after[-1] == FINE


def test_its_network_s_name_may_be_how_another_s_id_begins(mydocker, name, net):
    prefix = mydocker.inspect(net, "Id")[:6]
    with network(mydocker, prefix):
        mydocker.ok("create", "--name", name, "--net", prefix, *SLEEPS)
        mydocker.ok("network", "rm", prefix)
        assert f"no such network: {prefix}" in mydocker.fails("start", name)
        mydocker.ok("rm", name)


def test_many_ports_move(machine, mydocker, name, net, six):
    """More sockets than the kernel takes in one message."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", "23000-23259:1000-1259", *SLEEPS)
    mydocker.ok("network", "connect", six, name)
    mydocker.ok("network", "disconnect", net, name)
    assert len(rules(machine, f"--to-destination {address(mydocker, name, six)}:")) == 260
    assert mydocker.ok("network", "check") == FINE
    assert not can_listen(machine, "::1", 23259)


def test_a_port_leaves_ipv6_and_comes_back(machine, mydocker, name, net, six, port):
    mydocker.ok("run", "-d", "--name", name, "--net", six, "-p", f"{port}:80", *SLEEPS)
    mydocker.ok("network", "connect", net, name)
    mydocker.ok("network", "disconnect", six, name)
    assert can_listen(machine, "::1", port)
    assert not can_listen(machine, "127.0.0.1", port)
    mydocker.ok("network", "connect", six, name)
    mydocker.ok("network", "disconnect", net, name)
    assert not can_listen(machine, "::1", port)


def test_a_port_that_only_ipv6_has_keeps_it_there(mydocker, name, net, six, port):
    mydocker.ok("run", "-d", "--name", name, "--net", six, "-p", f"[::]:{port}:80", *SLEEPS)
    mydocker.ok("network", "connect", net, name)
    said = mydocker.fails("network", "disconnect", six, name)
    assert f"port [::]:{port} can't be published: network {net} has no IPv6" in said
    assert list(mydocker.inspect(name, "NetworkSettings", "Networks")) == [six, net]
    assert mydocker.ok("network", "check") == FINE


def test_an_attached_client_is_killed_during_the_start(machine, mydocker, name, net, slow, port):
    """The container belongs to its monitor alone, so it stays."""
    running = slow("run", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    machine.run("kill", "-9", str(running.pid))
    until(lambda: mydocker.state(name)["Running"], "the start")
    until_bare(mydocker, name)
    assert mydocker.ok("network", "check") == FINE


def test_a_port_is_withdrawn_on_no_network(mydocker, name, net, port):
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    mydocker.ok("network", "disconnect", net, name)
    until_bare(mydocker, name)
    mydocker.ok("port", "rm", name, "80")
    assert mydocker.state(name)["Running"]


def test_ports_leave_ipv6_with_the_network_that_has_it(machine, mydocker, name, net, six, port):
    container = mydocker.ok("run", "-d", "--name", name, "--net", six, "-p", f"{port}:80", *SLEEPS)
    assert len(ipv6_rules(machine, container)) == 1
    mydocker.ok("network", "connect", net, name)
    mydocker.ok("network", "disconnect", six, name)
    assert ipv6_rules(machine, container) == []
    assert len(rules(machine, f"{address(mydocker, name, net)}:80")) == 1


def test_ports_come_to_ipv6_with_a_network_that_has_it(machine, mydocker, name, net, six, port):
    container = mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    mydocker.ok("network", "connect", six, name)
    mydocker.ok("network", "disconnect", net, name)
    assert len(ipv6_rules(machine, container)) == 1
    assert not can_listen(machine, "::", port)
    mydocker.ok("rm", "-f", name)
    assert ipv6_rules(machine, container) == []
    until(lambda: can_listen(machine, "::", port), "a port that is free again")


def test_ports_do_not_come_to_ipv6_where_somebody_has_them(machine, mydocker, name, net, six, port):
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    mydocker.ok("network", "connect", six, name)
    listen = f"import socket; s = socket.create_server(('::', {port}), family=10); print('on', flush=True); s.accept()"
    with machine.start("/usr/bin/python3", "-c", listen) as holder:
        assert holder.stdout.readline() == b"on\n"
        assert f"port {port}" in mydocker.fails("network", "disconnect", net, name).replace("[::]:", "port ")
    assert len(rules(machine, f"{address(mydocker, name, net)}:80")) == 1


def test_a_killed_containers_address_is_reused_without_its_ports(machine, mydocker, name, port):
    with network(mydocker, f"{name}-tiny", "--subnet", "10.213.77.0/30") as tiny:
        killed = mydocker.ok("run", "-d", "--name", name, "--net", tiny, "-p", f"{port}:80", *SLEEPS)
        pid = mydocker.pid(name)
        machine.run("kill", "-9", str(mydocker.monitor(name)), str(pid))
        until(lambda: not machine.alive(pid), "the end of the container")
        assert len(rules(machine, killed[:12])) == 1
        mydocker.ok("run", "-d", "--name", f"{name}-next", "--net", tiny, *SLEEPS)
        assert address(mydocker, f"{name}-next", tiny) == "10.213.77.2"
        assert rules(machine, killed[:12]) == []


def test_what_is_changed_while_it_ends_is_kept(machine, mydocker, name, net, other, port):
    """The monitor is late with its end: what came in between is in effect at the next start."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, *SLEEPS)
    pid, watching = mydocker.pid(name), str(mydocker.monitor(name))
    machine.run("kill", "-STOP", watching)
    machine.run("kill", "-9", str(pid))
    until(lambda: not machine.alive(pid), "the end of the container")
    mydocker.ok("port", "add", name, f"{port}:80")
    machine.run("kill", "-CONT", watching)
    until(lambda: mydocker.state(name)["Status"] == "exited", "its end")
    mydocker.ok("start", name)
    assert mydocker.ok("port", name) == f"80/tcp -> 0.0.0.0:{port}"


def test_a_change_that_failed_is_none_after_the_end(machine, mydocker, name, net, other):
    mydocker.ok("run", "-d", "--name", name, "--net", net, *SLEEPS)
    watching = str(mydocker.monitor(name))
    machine.run("kill", "-STOP", watching)
    assert "did not answer" in mydocker.fails("network", "connect", other, name, timeout=20)
    machine.run("kill", "-CONT", watching)
    assert "eth1" not in mydocker.ok("exec", name, "ip", "address")
    assert mydocker.ok("network", "check") == FINE
    mydocker.ok("stop", "-t", "0", name)
    assert list(mydocker.inspect(name, "NetworkSettings", "Networks")) == [net]


def test_a_rule_that_no_record_tells_of_is_removed_at_the_end(machine, mydocker, name, net, port):
    """`port rm` was killed when it had saved the record."""
    container = mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    until_bare(mydocker, name)
    machine.shell(f"sed -i 's|\"{port}:80/tcp\"||g' {machine.store}/lib/containers/{container}/record.json")
    assert mydocker.ok("port", name) == ""
    mydocker.ok("stop", "-t", "0", name)
    assert rules(machine, container[:12]) == []


def test_a_rule_that_was_withdrawn_is_not_reloaded(machine, mydocker, name, net, slow, port):
    container = mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    for rule in rules(machine, container[:12]):
        machine.shell(f"iptables -w -t nat -D {rule[3:]}")
    with slow("network", "reload") as reloading:
        mydocker.ok("network", "disconnect", net, name)
        assert reloading.wait(20) == 0
    assert rules(machine, container[:12]) == []


def test_a_veth_is_detached_at_the_end_though_its_namespace_remains(machine, mydocker, name, net, other):
    container = mydocker.ok("run", "-d", "--name", name, "--net", net, *SLEEPS)
    mydocker.ok("network", "connect", other, name)
    mydocker.ok("run", "-d", "--name", f"{name}-shares", "--net", f"container:{name}", *SLEEPS)
    mydocker.ok("kill", name)
    until(lambda: mydocker.state(name)["Status"] == "exited", "its end")
    for number in (0, 1):
        link = f"/sys/class/net/veth{container[:8]}{number}"
        assert machine.exists(link)
        assert not machine.exists(f"{link}/master")


@pytest.mark.parametrize("next_step", [["rm"], ["start"]], ids=" ".join)
def test_an_address_without_a_record_is_released(machine, mydocker, name, net, next_step):
    """Its command line was killed after it had taken it."""
    container = mydocker.ok("run", "-d", "--name", name, "--net", net, *SLEEPS)
    lost = address(mydocker, name, net).rpartition(".")[0] + ".77"
    mydocker.ok("stop", "-t", "0", name)
    machine.shell(f"echo {container} {name} > {machine.store}/run/_networks/{net}/{lost}")
    mydocker.ok(*next_step, name)
    assert lost not in leases(machine, net)


def test_what_was_undone_is_not_done_later(machine, mydocker, name, net, port):
    """The monitor wakes up and finds a message of a command that has given up."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    watching = str(mydocker.monitor(name))
    machine.run("kill", "-STOP", watching)
    assert "did not answer" in mydocker.fails("port", "rm", name, "80", timeout=20)
    machine.run("kill", "-CONT", watching)
    until_bare(mydocker, name)
    assert not can_listen(machine, "0.0.0.0", port)
    assert mydocker.ok("network", "check") == FINE


def test_a_port_whose_removal_fails_stays_bound(machine, mydocker, name, net, port):
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", f"{port}:80", *SLEEPS)
    assert "injected" in mydocker.fails("port", "rm", name, "80", env={"MYDOCKER_FAULT": "1"})
    assert len(rules(machine, f"{address(mydocker, name, net)}:80")) == 1
    assert not can_listen(machine, "0.0.0.0", port)
