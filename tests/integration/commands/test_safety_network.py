"""Attacks by way of networks: a container's on the host and on its neighbours, and damage to what mydocker keeps."""

from __future__ import annotations

import json

import pytest
from machine import until

# A program of the host that waits for an answer from a server on the host's own loopback, as every look-up by
# systemd-resolved does. It says `asked`, and then what it got.
VICTIM = """
import socket
client, server = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
client.bind(("127.0.0.1", 40123)); client.connect(("127.0.0.77", 40153))
server.bind(("127.0.0.77", 40153))
client.send(b"question"); server.recv(9); client.settimeout(3)
print("asked", flush=True)
try:
    print(client.recv(100).decode(), flush=True)
except OSError:
    print("nothing", flush=True)
"""
# Raw packets by eth0 to the MAC address that is given: any container can do it that has CAP_NET_RAW.
FORGER = """
import socket, struct, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
data = struct.pack("!4H", 40153, 40123, 14, 0) + b"forged"
ends = socket.inet_aton("127.0.0.77") + socket.inet_aton("127.0.0.1")
header = struct.pack("!2B3H2BH", 0x45, 0, 20 + len(data), 1, 0, 64, 17, 0) + ends
total = sum(struct.unpack("!10H", header))
total = (total >> 16) + (total & 0xFFFF)
header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
frame = bytes.fromhex(sys.argv[1].replace(":", "")) + link.getsockname()[4] + b"\\x08\\0" + header + data
for _ in range(5):
    link.send(frame)
"""


@pytest.fixture
def network(mydocker, name):
    """A user-made network."""
    mydocker.ok("network", "create", f"{name}-net")
    yield f"{name}-net"
    mydocker.remove_all()
    mydocker.machine.run(mydocker.machine.program, "network", "rm", f"{name}-net")


def test_a_container_cant_answer_for_the_hosts_loopback(mydocker, name, network):
    """route_localnet lets packets of 127.0.0.0/8 in; that conntrack knows the connection must not be their pass."""
    mydocker.ok("run", "-d", "--name", name, "--net", network, "busybox", "sleep", "100")
    described = json.loads(mydocker.ok("network", "inspect", network))[0]
    device = described["Options"]["com.docker.network.bridge.name"]
    mac = mydocker.machine.read(f"/sys/class/net/{device}/address").strip()
    with mydocker.machine.start("/usr/bin/python3", "-I", "-S", "-c", VICTIM) as victim:
        assert victim.stdout.readline() == b"asked\n"
        forger = ("/usr/bin/python3", "-I", "-S", "-c", FORGER, mac)
        forged = mydocker.machine.run("nsenter", "--net", "--target", str(mydocker.pid(name)), *forger)
        assert forged.rc == 0, forged.stderr
        assert victim.stdout.readline() == b"nothing\n"


def test_names_are_resolved_after_each_connect(mydocker, name, network):
    mydocker.ok("run", "-d", "--name", name, "busybox", "sleep", "100")
    monitor = mydocker.monitor(name)
    opened = []
    for _ in range(3):
        mydocker.ok("network", "connect", "--alias", "twin", network, name)
        mydocker.ok("exec", name, "nslookup", "twin", "127.0.0.11", timeout=20)
        opened.append(len(mydocker.machine.run("ls", f"/proc/{monitor}/fd").lines))
        mydocker.ok("network", "disconnect", network, name)
    assert opened[0] == opened[1] == opened[2]


@pytest.mark.parametrize(
    "damage",
    [
        "printf '{' > $0",
        "rm $0; mkfifo $0",
        'sed -i \'s/"subnet": "[^"]*"/"subnet": 7/\' $0',
        'sed -i \'s/"gateway": "[^"]*"/"gateway": "9.9.9.9"/\' $0',
        'sed -i \'s/"name": "/&other-/\' $0',
    ],
)
def test_a_damaged_record_is_named_in_one_line(mydocker, network, damage):
    record = f"{mydocker.machine.store}/lib/networks/{network}/network.json"
    mydocker.machine.run("cp", record, f"{record}.kept")
    mydocker.machine.run("sh", "-c", damage, record)
    try:
        assert "corrupt network record" in mydocker.fails("run", "--net", network, "busybox", timeout=20)
        (line,) = mydocker("network", "ls", timeout=20).stderr.splitlines()
        assert f"corrupt network record: {record}: " in line
    finally:
        mydocker.machine.run("mv", f"{record}.kept", record)


def test_a_creation_that_was_cut_short_takes_no_name(mydocker, name):
    """A directory without a record, as a full disk or a kill leaves it, is no network."""
    mydocker.machine.run("mkdir", f"{mydocker.machine.store}/lib/networks/{name}")
    mydocker.ok("network", "create", name)
    mydocker.ok("network", "rm", name)


def test_a_port_that_comes_too_late_leaves_no_rule(mydocker, name, directory):
    """A rule that stays would redirect to the next container with that address. Here the firewall is slow, and the
    container ends meanwhile."""
    container = mydocker.ok("run", "-d", "--name", name, "busybox", "sleep", "100")
    slow = f"""
    real=$(command -v iptables-restore)
    printf '#!/bin/sh\ntouch {directory}/began; sleep 1; exec %s "$@"\n' "$real" > {directory}/iptables-restore
    chmod +x {directory}/iptables-restore
    exec "$@" port add {name} 80
    """
    typed = [*mydocker.machine.with_programs(directory), mydocker.machine.program]
    with mydocker.machine.start("sh", "-c", slow, "sh", *typed) as adding:
        until(lambda: mydocker.machine.exists(f"{directory}/began"), "the rules on their way")
        mydocker.ok("rm", "-f", name)
        adding.wait(20)
    assert container[:12] not in mydocker.machine.run("iptables-save").stdout


def test_what_was_killed_and_disconnected_has_no_lease(mydocker, name, network):
    mydocker.ok("run", "-d", "--name", name, "--net", network, "busybox", "sleep", "100")
    pid = mydocker.pid(name)
    mydocker.machine.run("kill", "-9", str(mydocker.monitor(name)), str(pid))
    until(lambda: not mydocker.machine.alive(pid), "the end of the container")
    mydocker.ok("network", "disconnect", network, name)
    assert mydocker.machine.run("ls", f"{mydocker.machine.store}/run/_networks/{network}").lines == []
