"""`network create`, ls, inspect, rm and prune: records, bridges, addresses and rules; and what they refuse."""

from __future__ import annotations

import json

import pytest
from networks import leases, rules

POSTROUTING = "-A POSTROUTING "


@pytest.fixture(scope="module", autouse=True)
def no_other(machine):
    """The store's default network is gone meanwhile, so that what a test makes is all there is."""
    assert machine.run(machine.program, "network", "rm", "bridge").rc == 0
    yield
    assert machine.run(machine.program, "run", "--rm", "busybox", "true").rc == 0


@pytest.fixture
def net(mydocker, name):
    """The name of a network to be made by the test; all of the store's go at the end."""
    yield f"n{name}"
    mydocker.remove_all()
    mydocker.ok("network", "prune", "-f")


def described(mydocker, net, *keys):
    (value,) = json.loads(mydocker.ok("network", "inspect", net))
    for key in keys:
        value = value[key]
    return value


def link(machine, device):
    return json.loads(machine.run("ip", "-d", "-j", "addr", "show", "dev", device).stdout or "[{}]")[0]


def names(mydocker, *filters):
    options = [word for each in filters for word in ("--filter", each)]
    listed = mydocker.ok("network", "ls", "--format", "{{.Name}}", *options).split()
    return [each for each in listed if each not in ("host", "none")]  # they are always there


def firewall(machine):
    return machine.run("iptables-save").stdout + machine.run("ip6tables-save").stdout


class TestCreate:
    def test_as_in_the_article(self, machine, mydocker, net):
        made = mydocker.ok("network", "create", "--driver", "bridge", "--subnet", "192.168.217.1/24", net)
        assert len(made) == 64
        assert described(mydocker, net, "Id") == made
        assert described(mydocker, net, "IPAM", "Config") == [
            {"Subnet": "192.168.217.0/24", "Gateway": "192.168.217.1"}
        ]
        bridge = link(machine, net)
        assert bridge["linkinfo"]["info_kind"] == "bridge"
        assert [(each["local"], each["prefixlen"]) for each in bridge["addr_info"]] == [("192.168.217.1", 24)]
        masquerading = [rule for rule in rules(machine, made[:12]) if rule.startswith(POSTROUTING)]
        assert len(masquerading) == 1
        assert "-s 192.168.217.0/24 ! -o " in masquerading[0]
        assert masquerading[0].endswith("-j MASQUERADE")

    def test_of_go(self, mydocker, net):
        mydocker.ok("network", "create", "-driver", "bridge", "-subnet=192.168.217.1/24", net)
        assert described(mydocker, net, "IPAM", "Config", 0, "Subnet") == "192.168.217.0/24"

    def test_without_a_subnet_each_has_its_own(self, machine, mydocker, net):
        for number in range(3):
            mydocker.ok("network", "create", f"{net}-{number}")
        subnets = [described(mydocker, f"{net}-{number}", "IPAM", "Config", 0, "Subnet") for number in range(3)]
        assert len(set(subnets)) == 3
        assert all(subnet.startswith("10.20") and subnet.endswith("/20") for subnet in subnets)

    def test_the_pool_can_be_set(self, mydocker, net, machine, directory):
        machine.run("sh", "-c", f"printf 'network_pool: 10.251.64.0/18\\nnetwork_size: 27\\n' >{directory}/config.yaml")
        mydocker.ok("network", "create", net, env={"MYDOCKER_CONFIG": f"{directory}/config.yaml"})
        machine.run("rm", f"{machine.store}/lib/config.json")
        assert described(mydocker, net, "IPAM", "Config", 0, "Subnet") == "10.251.64.0/27"

    def test_all_options(self, machine, mydocker, net):
        mydocker.ok(
            "network", "create", "--subnet", "10.251.0.0/16", "--gateway", "10.251.255.254",
            "--ip-range", "10.251.7.0/24", "--internal", "--label", "a=b", "--label", "c", "--mtu", "1400",
            "-o", "com.docker.network.bridge.name=brx" + net[-8:], net,
        )  # fmt: skip
        shown = described(mydocker, net)
        assert shown["IPAM"]["Config"] == [
            {"Subnet": "10.251.0.0/16", "IPRange": "10.251.7.0/24", "Gateway": "10.251.255.254"}
        ]
        assert (shown["Internal"], shown["EnableIPv6"], shown["Labels"]) == (True, False, {"a": "b", "c": ""})
        bridge = link(machine, shown["Options"]["com.docker.network.bridge.name"])
        assert (bridge["ifname"], bridge["mtu"]) == ("brx" + net[-8:], 1400)
        assert not [rule for rule in rules(machine, shown["Id"][:12]) if rule.startswith(POSTROUTING)]

    def test_ipv6(self, machine, mydocker, net):
        subnets = ["--subnet", "10.251.0.0/24", "--subnet", "fd51:7:7::/64"]
        assert mydocker("network", "create", "--ipv6", *subnets, net).rc == 0
        assert described(mydocker, net, "EnableIPv6") is True
        assert described(mydocker, net, "IPAM", "Config", 1) == {"Subnet": "fd51:7:7::/64", "Gateway": "fd51:7:7::1"}
        own = [(each["local"], each["prefixlen"]) for each in link(machine, net)["addr_info"]]
        assert ("fd51:7:7::1", 64) in own

    def test_a_long_name_has_a_device_by_its_id(self, machine, mydocker, net):
        made = mydocker.ok("network", "create", f"{net}-has-a-long-name")
        assert link(machine, f"br-{made[:12]}")["ifname"] == f"br-{made[:12]}"

    def test_a_name_that_is_a_links_has_a_device_by_its_id(self, machine, mydocker, net):
        machine.run("ip", "link", "add", net, "type", "bridge")
        try:
            made = mydocker.ok("network", "create", net)
            assert described(mydocker, net, "Options", "com.docker.network.bridge.name") == f"br-{made[:12]}"
            mydocker.ok("network", "rm", net)
            assert link(machine, net)["ifname"] == net
            option = f"com.docker.network.bridge.name={net}"
            assert f"a link '{net}' already exists" in mydocker.fails("network", "create", "-o", option, f"{net}-2")
        finally:
            machine.run("ip", "link", "delete", net)

    def test_20_at_once_share_nothing(self, machine, mydocker, net):
        running = [mydocker.start("network", "create", f"{net}-{number}") for number in range(20)]
        assert [process.communicate(timeout=60)[1] for process in running] == [b""] * 20
        subnets = [described(mydocker, each, "IPAM", "Config", 0, "Subnet") for each in names(mydocker)]
        assert len(set(subnets)) == 20
        assert len([rule for rule in rules(machine, "mydocker: network") if rule.startswith(POSTROUTING)]) >= 20

    def test_20_at_once_under_one_name_one_wins(self, mydocker, net):
        running = [mydocker.start("network", "create", net) for _ in range(20)]
        said = [process.communicate(timeout=60)[1].decode() for process in running]
        assert sorted(process.returncode for process in running) == [0] + [1] * 19
        assert [len(each.splitlines()) for each in sorted(said)] == [0] + [1] * 19
        assert names(mydocker) == [net]


class TestRefused:
    """Exit 125, one line, and nothing is left: the fixtures compare links, rules and files."""

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ("--subnet 10.251.0.0", "invalid subnet '10.251.0.0'"),
            ("--subnet 10.251.0.0/33", "invalid subnet"),
            ("--subnet 10.251.0.256/24", "invalid subnet"),
            ("--subnet x", "invalid subnet 'x'"),
            ("--subnet 10.251.0.0/31", "/8 to /30"),
            ("--subnet 127.0.0.0/24", "loopback"),
            ("--subnet 10.251.0.0/24 --subnet 10.252.0.0/24", "more than one IPv4 subnet"),
            ("--subnet 10.251.0.0/24 --gateway 10.252.0.1", "not in the subnet"),
            ("--subnet 10.251.0.0/24 --ip-range 10.252.0.0/25", "not in the subnet"),
            ("--subnet fd51::/64", "--ipv6"),
            ("--driver overlay", "unknown network driver 'overlay'"),
            ("--mtu 10", "invalid MTU '10'"),
            ("--opt x=y", "unknown network option 'x=y'"),
            ("--label =x", "invalid label '=x'"),
            ("--scope swarm", "--scope"),
        ],
    )
    def test_options(self, mydocker, net, options, word):
        assert word in mydocker.fails("network", "create", *options.split(), net, rc=125)

    @pytest.mark.parametrize(
        "bad", ["none", "host", "bridge", "default", "container:x", "../x", "a/b", ".x", "a b", ""]
    )
    def test_names(self, mydocker, bad):
        assert "network name" in mydocker.fails("network", "create", "--", bad, rc=125)

    def test_a_name_that_is_taken(self, mydocker, net):
        mydocker.ok("network", "create", net)
        assert f"network {net} already exists" in mydocker.fails("network", "create", net)

    def test_a_subnet_of_another_network(self, mydocker, net):
        mydocker.ok("network", "create", "--subnet", "10.251.0.0/20", net)
        line = mydocker.fails("network", "create", "--subnet", "10.251.15.0/24", f"{net}-2")
        assert f"subnet 10.251.15.0/24 overlaps 10.251.0.0/20 of network {net}" in line
        free = line.partition("(")[2].removesuffix(" is free)")
        mydocker.ok("network", "create", "--subnet", free, f"{net}-2")

    def test_a_subnet_of_the_hosts(self, machine, mydocker, net):
        machine.shell(
            f"ip link add {net}-h type bridge && ip link set {net}-h up && ip route add 10.251.9.0/24 dev {net}-h"
        )
        try:
            line = mydocker.fails("network", "create", "--subnet", "10.251.0.0/16", net)
            assert f"overlaps 10.251.9.0/24 of the host's {net}-h" in line
        finally:
            machine.run("ip", "link", "delete", f"{net}-h")

    @pytest.mark.parametrize(
        ("script", "said"), [("echo no >&2; exit 1", "no"), ("exit 0", "iptables did not change the rules")]
    )
    def test_where_the_rules_cannot_be_made(self, machine, mydocker, net, directory, script, said):
        """An iptables-restore that fails, or one that SELinux keeps from reading what it is given, and that says that
        all is well: neither the record nor the bridge stays."""
        machine.shell(f"printf '#!/bin/sh\\n{script}\\n' >{directory}/iptables-restore; chmod +x {directory}/*")
        failed = machine.run(*machine.with_programs(directory), machine.program, "network", "create", net)
        assert (failed.rc, failed.stdout) == (1, "")
        assert said in failed.stderr
        assert names(mydocker) == []


class TestLs:
    def test_columns(self, mydocker, net):
        made = mydocker.ok("network", "create", "--subnet", "10.251.0.0/24", net)
        own = ["-f", "type=custom"]
        head, row = mydocker.ok("network", "ls", *own).splitlines()
        assert head.split("  ")[0] == "NETWORK ID"
        assert head.split()[2:] == ["NAME", "DRIVER", "SCOPE"]
        assert row.split() == [made[:12], net, "bridge", "local"]
        assert mydocker.ok("network", "ls", *own, "--format", "{{.IpRange}}") == "10.251.0.0/24"

    def test_columns_of_the_book(self, mydocker, net):
        made = mydocker.ok("network", "create", "--subnet", "10.251.0.0/24", net)
        head, row = mydocker.ok("network", "list", "-f", "type=custom").splitlines()
        assert head.split()[2:] == ["NAME", "IPRANGE", "DRIVER", "SCOPE"]
        assert row.split() == [made[:12], net, "10.251.0.0/24", "bridge", "local"]

    def test_quiet_and_format(self, mydocker, net):
        made = mydocker.ok("network", "create", "--label", "a=b", net)
        ls = ["network", "ls", "-f", "type=custom"]
        assert mydocker.ok(*ls, "-q") == made[:12]
        assert mydocker.ok(*ls, "-q", "--no-trunc") == made
        assert mydocker.ok(*ls, "--format", '{{.Name}} {{.Internal}} {{.Label "a"}}') == f"{net} false b"
        row = json.loads(mydocker.ok(*ls, "--format", "json", "--no-trunc"))
        assert (row["ID"], row["Labels"], row["IPv6"]) == (made, "a=b", "false")

    def test_filters(self, mydocker, net):
        one, two = f"{net}-one", f"{net}-two"
        made = mydocker.ok("network", "create", "--label", "a=b", one)
        mydocker.ok("network", "create", "--label", "a=c", two)
        assert names(mydocker, "name=-one") == [one]
        assert names(mydocker, "name=-one", "name=-two") == [one, two]
        assert names(mydocker, f"name=^{net}-two$") == [two]
        assert names(mydocker, f"id={made[:20]}") == [one]
        assert names(mydocker, "label=a") == [one, two]
        assert names(mydocker, "label=a", "label=a=c") == [two]
        assert names(mydocker, "driver=bridge", "name=-one") == [one]
        assert names(mydocker, "driver=macvlan") == []
        assert names(mydocker, "type=custom") == [one, two]
        assert names(mydocker, "dangling=true") == [one, two]
        assert names(mydocker, "dangling=false") == []

    @pytest.mark.parametrize("bad", ["x=y", "name", "type=x", "dangling=maybe", "name=["])
    def test_bad_filters(self, mydocker, net, bad):
        mydocker.ok("network", "create", net)
        assert "filter" in mydocker.fails("network", "ls", "--filter", bad, rc=1 if "=" in bad else 125)


class TestInspect:
    def test_by_name_id_and_part_of_it(self, mydocker, net):
        made = mydocker.ok("network", "create", net)
        for reference in (net, made, made[:12]):
            assert mydocker.ok("network", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}}", reference) == (
                f"{net} bridge local"
            )
        assert mydocker.inspect(net, "Id") == made

    def test_run_takes_it_by_its_id(self, mydocker, net, name):
        made = mydocker.ok("network", "create", net)
        mydocker.ok("run", "-d", "--name", name, "--net", f"name={made},alias=db", "busybox", "sleep", "100")
        assert list(mydocker.inspect(name, "NetworkSettings", "Networks")) == [net]
        assert mydocker.inspect(name, "HostConfig", "NetworkMode") == net
        assert f"network {net} is given twice" in mydocker.fails("run", "--net", net, "--net", made[:12], "busybox")
        assert "no such network: nope" in mydocker.fails("run", "--net", "nope", "busybox")

    def test_an_unknown_one(self, mydocker):
        assert "no such network: nope" in mydocker.fails("network", "inspect", "nope", stdout="[]\n")
        for bad in ("../names", ".lock", "x" * 300, ""):
            assert "no such network" in mydocker.fails("network", "inspect", bad, stdout="[]\n")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 2}'])
    def test_a_damaged_record_is_named(self, machine, mydocker, net, text):
        mydocker.ok("network", "create", net)
        file = f"{machine.store}/lib/networks/{net}/network.json"
        before = machine.read(file)
        machine.run("sh", "-c", 'printf %s "$1" >"$2"', "sh", text, file)
        assert file in mydocker.fails("network", "inspect", net, stdout="[]\n")
        machine.run("sh", "-c", 'printf %s "$1" >"$2"', "sh", before, file)
        assert described(mydocker, net, "Name") == net

    def test_of_a_damaged_one_the_others_know_nothing_and_it_can_be_removed(self, machine, mydocker, net, name):
        for each in (net, f"{net}-2"):
            mydocker.ok("network", "create", "--ipv6", each)
        mydocker.ok("run", "-d", "--name", name, "--net", f"{net}-2", "busybox", "sleep", "1000")
        file = f"{machine.store}/lib/networks/{net}/network.json"
        machine.run("truncate", "-s", "0", file)
        for words, rc in {"ls -q": None, "check": 1, "reload": 0, "prune -f --filter name=no": None}.items():
            told = mydocker("network", *words.split())
            assert [line.count(file) for line in told.stderr.splitlines()] == [1], words
            assert f"'mydocker network rm {net}'" in told.stderr
            assert told.rc == rc if rc is not None else told.rc, words
        assert mydocker("network", "ls", "-q", "-f", "type=custom", "--format", "{{.Name}}").stdout.split() == [
            f"{net}-2"
        ]
        assert f"{net}-2" in mydocker("netmap").stdout
        assert file in mydocker("network", "create", f"{net}-3").stderr
        assert mydocker.ok("run", "--rm", "--net", f"{net}-3", "busybox", "echo", "runs") == "runs"
        assert file in mydocker.fails("run", "--rm", "--net", net, "busybox", "true")
        mydocker.ok("network", "disconnect", f"{net}-2", name)
        mydocker.ok("network", "connect", f"{net}-3", name)
        assert mydocker.ok("network", "rm", net) == net
        assert mydocker.ok("network", "check") == "everything is as recorded"
        mydocker.ok("rm", "-f", name)
        mydocker.ok("network", "rm", f"{net}-2", f"{net}-3")

    def test_a_damaged_one_stays_while_a_container_is_on_it(self, machine, mydocker, net, name):
        mydocker.ok("network", "create", net)
        mydocker.ok("run", "-d", "--name", name, "--net", net, "busybox", "sleep", "1000")
        machine.run("truncate", "-s", "0", f"{machine.store}/lib/networks/{net}/network.json")
        assert f"network {net} is in use by {name}" in mydocker.fails("network", "rm", net)
        mydocker.ok("rm", "-f", name)
        assert mydocker.ok("network", "rm", net) == net


class TestRemove:
    def test_all_of_it_goes(self, machine, mydocker, net):
        before = firewall(machine).count("mydocker: network")
        made = mydocker.ok("network", "create", net)
        assert mydocker.ok("network", "remove", net) == net
        assert machine.run("ip", "addr", "show", "dev", net).stderr == f'Device "{net}" does not exist.\n'
        assert made[:12] not in firewall(machine)
        assert firewall(machine).count("mydocker: network") == before
        assert leases(machine, net) == []

    def test_several_by_name_and_id(self, mydocker, net):
        made = [mydocker.ok("network", "create", f"{net}-{number}") for number in range(2)]
        assert mydocker.ok("network", "rm", f"{net}-0", made[1][:12]).split() == [f"{net}-0", made[1][:12]]
        assert names(mydocker) == []

    def test_an_unknown_one(self, mydocker, net):
        assert "no such network: nope" in mydocker.fails("network", "rm", "nope")
        assert mydocker.ok("network", "rm", "-f", "nope") == ""
        mydocker.ok("network", "create", net)
        mydocker.fails("network", "rm", "nope", net, stdout=f"{net}\n")

    def test_what_somebody_else_has_taken_away_is_no_hindrance(self, machine, mydocker, net):
        mydocker.ok("network", "create", net)
        machine.run("ip", "link", "delete", net)
        assert mydocker.ok("network", "rm", net) == net

    def test_while_a_container_runs_it_stays(self, mydocker, net, name):
        mydocker.ok("network", "create", net)
        mydocker.ok("run", "-d", "--name", name, "--net", net, "busybox", "sleep", "1000")
        assert f"network {net} is in use by {name}" in mydocker.fails("network", "rm", net)
        assert names(mydocker, "dangling=false") == [net]
        assert mydocker.ok("network", "prune", "-f") == ""
        (container,) = described(mydocker, net, "Containers").values()
        assert container["Name"] == name
        mydocker.ok("stop", "-t", "0", name)
        assert described(mydocker, net, "Containers") == {}
        assert mydocker.ok("network", "rm", net) == net

    def test_prune(self, mydocker, net):
        mydocker.ok("network", "create", "--label", "keep", f"{net}-one")
        mydocker.ok("network", "create", f"{net}-two")
        assert mydocker.ok("network", "prune", input=b"n\n") == "Remove 2 networks? [y/N] "
        assert mydocker.ok("network", "prune", "-f", "--filter", "name=-two") == f"Deleted Networks:\n{net}-two"
        assert names(mydocker) == [f"{net}-one"]


def test_a_subnet_that_the_host_has_come_to_use_meanwhile(machine, mydocker, name):
    """While its bridge was gone, as after a reboot: two links with one subnet would each lose half of its packets."""
    made = f"n{name}"
    mydocker.ok("network", "create", "--subnet", "10.207.128.0/24", made)
    try:
        device = mydocker.inspect(made, "Options", "com.docker.network.bridge.name")
        taker = f"h{name[:10]}"
        add = f"ip link add {taker} type bridge && ip address add 10.207.128.9/25 dev {taker}"
        assert machine.shell(f"ip link delete {device}; {add}").rc == 0
        try:
            line = mydocker.fails("run", "--rm", "--net", made, "busybox", "true")
            assert "is in use by the host" in line
            assert f"network rm {made}" in line
        finally:
            machine.run("ip", "link", "delete", taker)
        mydocker.ok("run", "--rm", "--net", made, "busybox", "true")
    finally:
        mydocker.ok("network", "rm", made)
