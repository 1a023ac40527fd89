"""docker on the same host: whoever comes first, both have their network, and neither takes the other's away."""

from __future__ import annotations

import shlex

import pytest
from machine import CHECKOUT, until
from oracle import docker_host, missing

pytestmark = [pytest.mark.local, pytest.mark.skipif(bool(missing()), reason=missing())]

MYDOCKER = str(CHECKOUT / "bin/mydocker")
OURS = f"{MYDOCKER} network create one && {MYDOCKER} run -d --net one --name ours busybox sleep 1000"
# Two machines on two LANs, which send everything by this host; it does not forward yet.
LANS = """
set -e
sysctl -qw net.ipv4.ip_forward=0
for number in 1 2; do
    ip netns add lan$number
    ip link add lan$number type veth peer name eth0 netns lan$number
    ip address add 198.18.$number.1/24 dev lan$number
    ip link set lan$number up
    ip -n lan$number address add 198.18.$number.2/24 dev eth0
    ip -n lan$number link set eth0 up
    ip -n lan$number route add default via 198.18.$number.1
done
"""
GET = """
import http.client
connection = http.client.HTTPConnection("198.18.1.1", 8080, timeout=5)
connection.request("GET", "/")
print(connection.getresponse().read().decode(), end="")
"""


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name: what is made here goes with its host."""


@pytest.mark.parametrize("first", ["mydocker", "docker"])
def test_either_order(first):
    with docker_host(LANS + (OURS if first == "mydocker" else "")) as docker:

        def pings(who: str, address: str) -> bool:
            return docker.shell(f"{who} ping -c 1 -W 1 {address}").rc == 0

        def all_is_well() -> None:
            assert pings("docker exec theirs", "198.18.1.2")
            assert docker.shell(f"ip netns exec lan1 /usr/bin/python3 -IS -c {shlex.quote(GET)}").stdout == "theirs\n"
            assert not pings("ip netns exec lan1", "198.18.2.2")
            assert docker.shell("cat /proc/sys/net/ipv4/ip_forward").stdout == "1\n"

        if first == "docker":
            result = docker.shell(OURS)
            assert (result.rc, result.stderr) == (0, "")
        serve = "mkdir /www; echo theirs >/www/index.html; httpd -h /www; sleep 1000"
        docker.ok("run", "-d", "--name", "theirs", "-p", "8080:80", "busybox", "sh", "-c", serve)
        until(lambda: "httpd" in docker.ok("top", "theirs"), "a web server")
        policy = docker.shell("iptables -S FORWARD").stdout.splitlines()[0]
        assert policy == ("-P FORWARD ACCEPT" if first == "mydocker" else "-P FORWARD DROP")
        all_is_well()
        assert pings(f"{MYDOCKER} exec ours", "198.18.2.2")
        assert docker.shell(f"{MYDOCKER} network check").stdout == "everything is as recorded\n"
        assert docker.shell(f"{MYDOCKER} rm -f ours").rc == 0
        said = docker.shell(f"{MYDOCKER} system shutdown --networks")
        stays = "mydocker: left forwarding of IPv4 on until a reboot, as docker0 may need it (net.ipv4.ip_forward)\n"
        assert (said.rc, said.stderr) == (0, stays if first == "mydocker" else "")
        all_is_well()
        said = docker.shell(f"{MYDOCKER} network rm one")
        assert (said.rc, said.stdout) == (0, "one\n")
        assert docker.shell("cat /proc/sys/net/ipv4/ip_forward").stdout == "1\n"
