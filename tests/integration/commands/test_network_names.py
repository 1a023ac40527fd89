"""Names on networks: names, aliases and short IDs on networks; hosts, resolv.conf and hostname in the container."""

from __future__ import annotations

import json
import re

import pytest
from lan import lan as lan_of
from networks import address, network

SLEEPS = ("busybox", "sleep", "1000")

# A name server that knows one address for every name, and says which name was asked for.
NAME_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    is_a = query[end - 4 : end - 2] == bytes([0, 1])
    answer = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 203, 0, 113, 7]) * is_a
    header = query[:2] + bytes([0x81, 0x80, 0, 1, 0, is_a, 0, 0, 0, 0])
    server.sendto(header + query[12:end] + answer, client)
"""


@pytest.fixture
def net(mydocker, name):
    with network(mydocker, f"{name}-net") as made:
        yield made


@pytest.fixture
def asker(mydocker, net, name):
    """A container that looks others up."""
    return mydocker.ok("run", "-d", "--net", net, "--name", f"{name}-asker", *SLEEPS)


@pytest.fixture
def name_server(machine, nothing_left):
    """The address of a name server on the LAN that answers 203.0.113.7 to whatever it is asked."""
    python = ("/usr/bin/python3", "-I", "-S", "-c")
    with lan_of(machine) as lan, machine.start(*lan.enter, *python, NAME_SERVER) as server:
        assert server.stdout.readline() == b"ready\n"
        yield lan.address


def lookup(mydocker, container: str, name: str) -> str:
    """The address that `name` has in that container, once it has answered a ping; "" if there is no such name."""
    result = mydocker("exec", container, "ping", "-c", "1", "-W", "2", name)
    match = re.match(r"PING \S+ \(([\d.]+)\)", result.stdout)
    assert match is None or result.rc == 0, f"{name} is {match and match[1]}, and does not answer"
    return match[1] if match else ""


def resolved(mydocker, container: str, name: str) -> list[str]:
    """The IPv4 addresses that the container's name server gives for `name`, without a connection to any."""
    said = mydocker("exec", container, "nslookup", "-type=a", name).stdout
    return re.findall(r"^Address: ([\d.]+)$", said.partition("\n\n")[2], flags=re.MULTILINE)


class TestNames:
    def test_name_alias_and_short_id(self, mydocker, net, asker, name):
        made = mydocker.ok(
            "run",
            "-d",
            "--net",
            net,
            "--name",
            f"{name}-web",
            "--network-alias",
            "www",
            "--network-alias",
            "site",
            *SLEEPS,
        )
        there = address(mydocker, made, net)
        for known in (f"{name}-web", "www", "site", made[:12]):
            assert lookup(mydocker, asker, known) == there, known
        assert lookup(mydocker, asker, f"{name}-asker") == address(mydocker, asker, net)
        for unknown in (f"{name}-we", made[:11], net, "w"):
            assert lookup(mydocker, asker, unknown) == "", unknown

    HOSTNAME = ("--name", "nets-web", "--hostname", "far.away", "--network-alias", "www")

    @staticmethod
    def aliases(inspect: str) -> dict[str, list[str] | None]:
        """Of each network, from `inspect`; the short ID is "ID", a network's name counts from its last dash."""
        (container,) = json.loads(inspect)
        networks = container["NetworkSettings"]["Networks"]
        return {
            net.rpartition("-")[2]: end["Aliases"]
            and ["ID" if each == container["Id"][:12] else each for each in end["Aliases"]]
            for net, end in networks.items()
        }

    def test_a_hostname(self, mydocker, net, asker, name):
        """On the network that it begins on, and on the one that it joins."""
        web = mydocker.ok("run", "-d", "--net", net, *self.HOSTNAME, *SLEEPS)
        assert lookup(mydocker, asker, "far.away") == address(mydocker, web, net)
        with network(mydocker, f"{name}-other") as other:
            mydocker.ok("network", "connect", "--alias", "joined", other, web)
            late = mydocker.ok("run", "-d", "--net", other, *SLEEPS)
            assert lookup(mydocker, late, "far.away") == address(mydocker, web, other)
            mydocker.ok("network", "connect", "bridge", web)
            expected = {"net": ["www", "ID", "far.away"], "other": ["joined", "ID", "far.away"], "bridge": None}
            assert self.aliases(mydocker.ok("inspect", web)) == expected

    def test_a_hostname_in_docker(self, docker):
        docker.ok("network", "create", "nets-net")
        docker.ok("network", "create", "nets-other")
        docker.ok("run", "-d", "--net", "nets-net", *self.HOSTNAME, *SLEEPS)
        docker.ok("network", "connect", "--alias", "joined", "nets-other", "nets-web")
        docker.ok("network", "connect", "bridge", "nets-web")
        aliases = self.aliases(docker.ok("inspect", "nets-web"))
        assert aliases == {"net": ["www", "ID", "far.away"], "other": ["joined", "ID", "far.away"], "bridge": []}
        assert "Address: 172." in docker.ok("exec", "nets-web", "nslookup", "-type=a", "far.away", "127.0.0.11")

    def test_both_ways(self, mydocker, net, asker, name):
        """The first container resolves the later one, and the other way round."""
        later = mydocker.ok("run", "-d", "--net", net, "--name", f"{name}-later", *SLEEPS)
        assert lookup(mydocker, asker, f"{name}-later") == address(mydocker, later, net)
        assert lookup(mydocker, later, f"{name}-asker") == address(mydocker, asker, net)

    def test_after_a_restart_with_a_new_address(self, mydocker, net, asker, name):
        mydocker.ok("run", "-d", "--net", net, "--name", f"{name}-web", "--network-alias", "www", *SLEEPS)
        before = lookup(mydocker, asker, "www")
        mydocker.ok("stop", "-t", "0", f"{name}-web")
        assert resolved(mydocker, asker, "www") == []
        mydocker.ok("run", "-d", "--net", net, *SLEEPS)  # takes its address
        mydocker.ok("start", f"{name}-web")
        after = address(mydocker, f"{name}-web", net)
        assert after != before
        assert lookup(mydocker, asker, "www") == lookup(mydocker, asker, f"{name}-web") == after

    def test_the_asker_is_restarted(self, mydocker, net, asker, name):
        web = mydocker.ok("run", "-d", "--net", net, "--name", f"{name}-web", *SLEEPS)
        mydocker.ok("restart", "-t", "0", asker)
        assert lookup(mydocker, asker, f"{name}-web") == address(mydocker, web, net)

    def test_what_is_removed_has_no_name(self, mydocker, net, asker, name):
        mydocker.ok("run", "-d", "--net", net, "--name", f"{name}-web", *SLEEPS)
        assert lookup(mydocker, asker, f"{name}-web") != ""
        mydocker.ok("rm", "-f", f"{name}-web")
        assert resolved(mydocker, asker, f"{name}-web") == []

    def test_an_alias_of_two_gives_both(self, mydocker, net, asker):
        made = [mydocker.ok("run", "-d", "--net", net, "--network-alias", "pool", *SLEEPS) for _ in range(2)]
        assert sorted(resolved(mydocker, asker, "pool")) == sorted(address(mydocker, each, net) for each in made)
        mydocker.ok("rm", "-f", made[0])
        assert resolved(mydocker, asker, "pool") == [address(mydocker, made[1], net)]

    def test_nobody_on_another_network_is_known(self, mydocker, net, asker, name):
        with network(mydocker, f"{name}-other"):
            mydocker.ok("run", "-d", "--net", f"{name}-other", "--name", f"{name}-web", *SLEEPS)
            assert resolved(mydocker, asker, f"{name}-web") == []
            assert resolved(mydocker, asker, f"{name}-asker") != []

    def test_nobody_on_the_default_network_is_known(self, mydocker, name):
        made = [mydocker.ok("run", "-d", "--name", f"{name}-{number}", *SLEEPS) for number in range(2)]
        assert lookup(mydocker, made[0], f"{name}-1") == ""
        assert lookup(mydocker, made[0], address(mydocker, made[1], "bridge")) != ""


class TestConnect:
    def test_a_running_container_joins_under_an_alias_and_leaves(self, mydocker, net, asker, name):
        with network(mydocker, f"{name}-other"):
            web = mydocker.ok("run", "-d", "--net", f"{name}-other", "--name", f"{name}-web", *SLEEPS)
            mydocker.ok("network", "connect", "--alias", "joined", net, f"{name}-web")
            there = address(mydocker, web, net)
            assert lookup(mydocker, asker, "joined") == lookup(mydocker, asker, f"{name}-web") == there
            assert f"inet {there}/" in mydocker.ok("exec", web, "ip", "a", "show", "eth1")
            assert lookup(mydocker, web, f"{name}-asker") == address(mydocker, asker, net)  # and the other way round
            mydocker.ok("network", "disconnect", net, f"{name}-web")
            assert resolved(mydocker, asker, "joined") == []
            assert "eth1" not in mydocker.ok("exec", web, "ip", "a")

    def test_it_is_still_connected_after_a_restart(self, mydocker, net, asker, name):
        with network(mydocker, f"{name}-other"):
            web = mydocker.ok("run", "-d", "--net", f"{name}-other", "--name", f"{name}-web", *SLEEPS)
            mydocker.ok("network", "connect", "--alias", "joined", net, f"{name}-web")
            mydocker.ok("restart", "-t", "0", f"{name}-web")
            assert lookup(mydocker, asker, "joined") == address(mydocker, web, net)

    def test_two_networks_from_the_start(self, mydocker, net, asker, name):
        with network(mydocker, f"{name}-other"):
            far = mydocker.ok("run", "-d", "--net", f"{name}-other", "--name", f"{name}-far", *SLEEPS)
            both = mydocker.ok("run", "-d", "--net", net, "--net", f"{name}-other", *SLEEPS)
            assert lookup(mydocker, both, f"{name}-asker") == address(mydocker, asker, net)
            assert lookup(mydocker, both, f"{name}-far") == address(mydocker, far, f"{name}-other")


class TestFiles:
    def test_the_hosts_own_files_are_as_before(self, machine, mydocker, net, name):
        sums = "sha256sum /etc/hosts /etc/resolv.conf /etc/hostname"
        before = machine.shell(sums).stdout
        options = ["--hostname", "web", "--dns", "192.0.2.53", "--dns-search", "a.test", "--add-host", "db:192.0.2.7"]
        script = "for f in hosts resolv.conf hostname; do echo changed >>/etc/$f; done"
        mydocker.ok("run", "--rm", "--net", net, *options, "busybox", "sh", "-c", script)
        assert machine.shell(sums).stdout == before

    def test_the_host_name_is_the_short_id_or_what_is_asked_for(self, mydocker, net):
        made = mydocker.ok("run", "-d", "--net", net, *SLEEPS)
        assert mydocker.ok("exec", made, "hostname") == made[:12]
        named = mydocker.ok("run", "-d", "--net", net, "--hostname", "web.example.test", *SLEEPS)
        assert mydocker.ok("exec", named, "hostname") == "web.example.test"
        hosts = [row.split() for row in mydocker.ok("exec", named, "cat", "/etc/hosts").splitlines()]
        assert [address(mydocker, named, net), "web.example.test", "web"] in hosts
        assert lookup(mydocker, named, "web.example.test") == address(mydocker, named, net)

    def test_hosts_has_the_new_address_after_a_restart(self, mydocker, net):
        made = mydocker.ok("run", "-d", "--net", net, *SLEEPS)
        before = address(mydocker, made, net)
        mydocker.ok("stop", "-t", "0", made)
        mydocker.ok("run", "-d", "--net", net, *SLEEPS)
        mydocker.ok("start", made)
        hosts = mydocker.ok("exec", made, "cat", "/etc/hosts").split()
        assert address(mydocker, made, net) in hosts
        assert before not in hosts

    def test_add_host(self, machine, mydocker, net):
        given = ["--add-host", "db:192.0.2.7", "--add-host", "outside:host-gateway"]
        made = mydocker.ok("run", "-d", "--net", net, *given, *SLEEPS)
        hosts = [row.split() for row in mydocker.ok("exec", made, "cat", "/etc/hosts").splitlines()]
        assert ["192.0.2.7", "db"] in hosts
        outside = lookup(mydocker, made, "outside")
        assert f"inet {outside}/" in machine.run("ip", "-4", "address").stdout

    def test_dns_search_and_options(self, mydocker, net):
        given = ["--dns-search", "a.test", "--dns-search", "b.test", "--dns-option", "ndots:2"]
        rows = mydocker.ok("run", "--rm", "--net", net, *given, "busybox", "cat", "/etc/resolv.conf").splitlines()
        assert "nameserver 127.0.0.11" in rows
        assert "search a.test b.test" in rows
        assert any(row.startswith("options") and "ndots:2" in row for row in rows)

    def test_names_of_the_world_come_from_the_server_asked_for(self, mydocker, net, name_server):
        made = mydocker.ok("run", "-d", "--net", net, "--dns", name_server, *SLEEPS)
        assert resolved(mydocker, made, "example.test") == ["203.0.113.7"]

    def test_on_the_default_network_that_server_is_asked_directly(self, mydocker, name, name_server):
        made = mydocker.ok("run", "-d", "--name", name, "--dns", name_server, *SLEEPS)
        rows = mydocker.ok("exec", made, "cat", "/etc/resolv.conf").splitlines()
        assert [row for row in rows if row.startswith("nameserver")] == [f"nameserver {name_server}"]
        assert resolved(mydocker, made, "example.test") == ["203.0.113.7"]

    def test_without_it_the_hosts_servers_are_there_but_those_on_its_loopback(self, machine, mydocker):
        upstream = machine.run("cat", "/run/systemd/resolve/resolv.conf").stdout
        on_the_host = [row for row in machine.read("/etc/resolv.conf").splitlines() if row.startswith("nameserver")]
        if not any(row.split()[1].startswith("127.") for row in on_the_host):
            upstream = ""
        expected = [row for row in upstream.splitlines() if row.startswith("nameserver")] or on_the_host
        rows = mydocker.ok("run", "--rm", "busybox", "cat", "/etc/resolv.conf").splitlines()
        assert [row for row in rows if row.startswith("nameserver")] == expected

    @pytest.mark.parametrize(
        "option",
        [
            ["--dns", "not-an-address"],
            ["--add-host", "db"],
            ["--add-host", "db:nowhere"],
            ["--hostname", "a b"],
            ["--network-alias", "a b"],
        ],
        ids=" ".join,
    )
    def test_what_is_malformed_is_an_error(self, mydocker, net, option):
        assert option[1] in mydocker.fails("run", "--rm", "--net", net, *option, "busybox", "true")
