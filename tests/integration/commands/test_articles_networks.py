"""Every line of chapters 6 and 7 of the articles that mydocker descends from (自己动手写 Docker), as typed there.

The spellings are Go's, and the names and addresses are the articles'. Another network namespace plays the LAN (lan.py).
"""

from __future__ import annotations

import re

import examples
import pytest
from lan import lan as lan_of
from lan import talk
from machine import until
from networks import address, gateway, leases, network, rules

PROMPT = "/ # "
CREATE = ("--driver", "bridge", "--subnet", "192.168.10.1/24")
PING = ("ping", "-c", "1", "-W", "2")
REPLY = "1 packets received"


@pytest.fixture
def lan(machine, nothing_left):
    with lan_of(machine) as made:
        yield made


@pytest.fixture
def testbridge(mydocker):
    """The articles' network: `network create --driver bridge --subnet 192.168.10.1/24 testbridge`."""
    with network(mydocker, "testbridge", *CREATE) as made:
        yield made


@pytest.fixture
def shell(mydocker, testbridge):
    """Open `run … sh` on a terminal and wait for its prompt; the container goes with the network."""
    opened = []

    def run(*args: str):
        opened.append(mydocker.terminal(*args, columns=300))
        opened[-1].expect(PROMPT)
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.send("exit 0\n")
        with terminal:
            terminal.wait()


class TestChapter6:
    def test_6_1_the_gateway_takes_1_and_a_freed_address_is_used_again(self, machine, mydocker):
        with network(mydocker, "net1", "--subnet", "192.168.0.0/24"):
            assert "inet 192.168.0.1/24 " in machine.run("ip", "addr", "show", "dev", "net1").stdout
            made = [mydocker.ok("run", "-d", "-net", "net1", "top", "-b") for _ in range(3)]
            assert [address(mydocker, each, "net1") for each in made] == [f"192.168.0.{last}" for last in (2, 3, 4)]
            mydocker.ok("rm", "-f", made[1])
            assert address(mydocker, mydocker.ok("run", "-d", "-net", "net1", "top", "-b"), "net1") == "192.168.0.3"

    def test_6_1_a_slash_20_up_to_its_last_address(self, mydocker):
        with network(mydocker, "net1", "--subnet", "192.168.16.0/20"):
            last = mydocker.ok("run", "-d", "-net", "net1", "--ip", "192.168.31.254", "top", "-b")
            assert "inet 192.168.31.254/20 " in mydocker.ok("exec", last, "ip", "a")
            assert REPLY in mydocker.ok("exec", last, *PING, "192.168.16.1")
            assert "192.168.31.255" in mydocker.fails("run", "-net", "net1", "--ip", "192.168.31.255", "true")

    def test_6_1_a_hundred_networks(self, machine, mydocker, name):
        names = [f"{name}-{number}" for number in range(100)]
        script = f'for name; do {machine.program} network create "$name" || exit; done'
        try:
            made = machine.run("sh", "-c", script, "sh", *names, timeout=110)
            assert (made.rc, made.stderr) == (0, "")
            rows = mydocker.ok("network", "list", "--format", "{{.Name}} {{.IpRange}}").splitlines()
            subnets = dict(row.split(" ") for row in rows)
            assert len({subnets[each] for each in names}) == 100
            last = gateway(mydocker, names[-1])
            assert REPLY in mydocker.ok("run", "--rm", "-net", names[-1], "busybox", *PING, last)
        finally:
            mydocker("network", "remove", *names, timeout=110)

    def test_6_2_create_with_host_bits(self, machine, mydocker, testbridge):
        assert machine.run("ip", "link", "show", "testbridge").rc == 0
        assert "inet 192.168.10.1/24 " in machine.run("ip", "addr", "show", "dev", "testbridge").stdout
        config = mydocker.inspect("testbridge", "IPAM", "Config", 0)
        assert (config["Subnet"], config["Gateway"]) == ("192.168.10.0/24", "192.168.10.1")

    def test_6_2_one_masquerade_rule_never_two(self, machine, mydocker, testbridge):
        def masquerades() -> int:
            listing = machine.run("iptables", "-t", "nat", "-vnL", "POSTROUTING", "-w").lines
            return len([row for row in listing if "MASQUERADE" in row and "192.168.10.0/24" in row])

        assert masquerades() == 1
        assert "testbridge" in mydocker.fails("network", "create", *CREATE, "testbridge")
        assert masquerades() == 1
        for _ in range(2):
            mydocker.ok("run", "-d", "-net", "testbridge", "-p", "80", "top", "-b")
        assert masquerades() == 1

    @pytest.mark.parametrize(("show", "remove"), [("list", "remove"), ("ls", "rm")])
    def test_6_2_list_and_remove(self, machine, mydocker, show, remove):
        mydocker.ok("network", "create", *CREATE, "testbridge")
        header, *rows = [row.split() for row in mydocker.ok("network", show).splitlines()]
        wanted = {"list": {"NAME", "IPRANGE", "DRIVER"}, "ls": {"NAME", "DRIVER"}}[show]
        values = {"list": {"192.168.10.0/24", "bridge"}, "ls": {"bridge"}}[show]
        assert wanted <= set(header)
        assert [values <= set(row) for row in rows if "testbridge" in row] == [True]
        assert rules(machine, "192.168.10.0/24") != []
        mydocker.ok("network", remove, "testbridge")
        gone = machine.run("ip", "addr", "show", "dev", "testbridge")
        assert gone.rc == 1
        assert "does not exist" in gone.stderr
        assert rules(machine, "testbridge") == []
        assert "testbridge" not in mydocker.ok("network", show)

    def test_6_3_a_container_on_the_network(self, mydocker, shell, lan):
        other = mydocker.ok("run", "-d", "-net", "testbridge", "top", "-b")
        terminal = shell("run", "-ti", "-net", "testbridge", "-name", "test1", "sh")
        links = terminal.type("ip a")
        assert re.search(r"\blo: <[^>]*\bUP\b", links)
        assert re.search(r"\beth0(@\w+)?: <[^>]*\bUP\b.*\n(.*\n)? *inet 192\.168\.10\.3/24 ", links)
        assert "default via 192.168.10.1 dev eth0" in terminal.type("ip r")
        for there in ("192.168.10.1", address(mydocker, other, "testbridge"), lan.address):
            assert REPLY in terminal.type(f"ping -c 1 -W 2 {there}"), there

    def test_6_3_a_published_port(self, machine, mydocker, shell, lan):
        mydocker.ok("run", "-d", "-net", "testbridge", "-name", "test1", "top", "-b")
        terminal = shell("run", "-ti", "-net", "testbridge", "-name", "test2", "-p", "90:90", "sh")
        inside = address(mydocker, "test2", "testbridge")
        assert f"dpt:90 to:{inside}:90" in machine.run("iptables", "-t", "nat", "-nL", "-w").stdout
        tables = f"/proc/{mydocker.pid('test2')}/net/tcp"
        ways = {
            "127.0.0.1": lambda text: talk(machine, "127.0.0.1", 90, text),
            "the host's address": lambda text: talk(machine, lan.host, 90, text),
            "the LAN": lambda text: lan.talk(lan.host, 90, text),
            "test1": lambda text: mydocker("exec", "-i", "test1", "nc", inside, "90", input=text.encode()),
            "test1, by the host": lambda text: mydocker(
                "exec", "-i", "test1", "nc", lan.host, "90", input=text.encode()
            ),
        }
        for way, say in ways.items():
            terminal.send("nc -lp 90\n")
            until(lambda: machine.shell(f"grep ':005A .* 0A ' {tables} {tables}6").stdout, "nc listens")
            said = say(f"hello from {way}\n")
            assert said.rc == 0, f"{way}: {said.stderr}"
            terminal.expect(f"hello from {way}")
            terminal.expect(PROMPT)


class TestChapter7:
    """The examples, typed as examples/README.md says."""

    @pytest.fixture(scope="class")
    def directory(self, machine):
        """The examples on the machine, and their images in the store."""
        if machine.run("sh", "-c", "command -v mmdebstrap").rc != 0:
            pytest.skip("needs mmdebstrap")
        directory = examples.copy_to(machine)
        try:
            for title in examples.TITLES:
                examples.type_in(machine, directory, examples.blocks(title, "sh")[0])
            yield directory
        finally:
            machine.run(machine.program, "rmi", "nginx", "redis", "counter")
            machine.run("rm", "-rf", directory)

    @pytest.mark.parametrize(("title", "port"), zip(examples.TITLES, (8080, 8000)))
    def test_7_reached_from_the_lan(self, machine, mydocker, keeps_containers, directory, lan, title, port):
        def page() -> str:
            """The answer that the LAN gets; "" while the service is not ready."""
            head, _, body = lan.talk(lan.host, port, "GET / HTTP/1.0\r\n\r\n").stdout.partition("\r\n\r\n")
            return body if " 200 " in head else ""

        _, start, end = examples.blocks(title, "sh")
        examples.type_in(machine, directory, start)
        assert [until(page, "an answer") for _ in examples.answers(title)] == examples.answers(title)
        examples.type_in(machine, directory, end)
        assert mydocker.ok("ps", "-aq") == ""


class TestFaultsOfTheOriginals:
    def test_the_ipam_file_breaks_at_the_eighth_24(self, mydocker, name):
        names = [f"{name}-{number}" for number in range(1, 11)]
        try:
            for number, each in enumerate(names, 1):
                mydocker.ok("network", "create", "--subnet", f"192.168.{100 + number}.0/24", each)
            for number in (1, 7, 8, 9, 10):
                made = [mydocker.ok("run", "-d", "-net", names[number - 1], "top", "-b") for _ in range(2)]
                found = [address(mydocker, each, names[number - 1]) for each in made]
                assert found == [f"192.168.{100 + number}.2", f"192.168.{100 + number}.3"]
        finally:
            mydocker.remove_all()
            mydocker("network", "rm", *names)

    def test_dnat_catches_every_destination(self, machine, mydocker, testbridge, lan):
        """Port 90 of another machine is still that machine's, for the host and for every container."""
        mydocker.ok("run", "-d", "-net", "testbridge", "-name", "test1", "top", "-b")
        mydocker.ok(
            "run",
            "-d",
            "-net",
            "testbridge",
            "-name",
            "test2",
            "-p",
            "90:90",
            "nc",
            "-ll",
            "-p",
            "90",
            "-e",
            "hostname",
        )
        until(lambda: lan.talk(lan.host, 90).stdout, "test2 answers the LAN")
        server = ("busybox", "nc", "-ll", "-p", "90", "-e", "echo", "the LAN's own")
        with machine.start(*lan.enter, *server):
            until(lambda: lan.talk("127.0.0.1", 90).stdout, "the LAN's server")
            assert talk(machine, lan.address, 90).stdout == "the LAN's own\n"
            for container in ("test1", "test2"):
                assert mydocker.ok("exec", container, "nc", lan.address, "90") == "the LAN's own"

    def test_a_detached_containers_address_is_never_freed(self, machine, mydocker, testbridge):
        before = machine.snapshot()["links"]
        mydocker.ok("run", "-d", "-net", "testbridge", "-name", "ends", "true")
        mydocker.ok("wait", "ends")
        mydocker.ok("run", "-d", "-net", "testbridge", "-name", "stopped", "-p", "90:90", "top", "-b")
        mydocker.ok("stop", "stopped")
        until(lambda: leases(machine, "testbridge") == [], "no address is taken")
        until(lambda: machine.snapshot()["links"] == before, "the links are as before")
        assert rules(machine, ":90") == []
        made = mydocker.ok("run", "-d", "-net", "testbridge", "top", "-b")
        assert address(mydocker, made, "testbridge") == "192.168.10.2"

    def test_after_network_create_ps_fails(self, mydocker, testbridge):
        mydocker.ok("run", "-d", "-net", "testbridge", "-name", "bird", "top", "-b")
        assert "bird" in mydocker.ok("ps")
        assert "testbridge" not in mydocker.ok("ps", "-a", "--format", "{{.Names}} {{.Command}}")
