"""A host out of network namespaces: this process is in one, a container or a machine of the LAN is each in another.

Servers say who they are and whom they see; check() asks many at once.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from netspace import run, sleeper

from mydocker.engine.network import binding
from mydocker.model.attachments import Attachments
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.ports import Port
from mydocker.network.firewall import network_owner
from mydocker.network.ops.bridges import MakeBridge
from mydocker.network.ops.ports import PublishPorts, RemovePorts
from mydocker.network.ops.rules import AddNetworkRules, RemoveNetworkRules
from mydocker.ops.base import Context

HOST, LAN = "198.18.7.1", "198.18.7.2"
SERVER = """
import select, socket, sys
name, places = sys.argv[1], [place.split(":", 1) for place in sys.argv[2:]]
made = []
for kind, place in places:
    address, port = place.rsplit(":", 1)
    made.append(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                              socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM))
    made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made[-1].bind((address, int(port)))
    if kind == "tcp":
        made[-1].listen(16)
print("ready", flush=True)
while True:
    for ready in select.select(made, [], [])[0]:
        if ready.type == socket.SOCK_STREAM:
            peer, address = ready.accept()
            with peer:
                peer.sendall(f"{name} {address[0]}".encode())
        else:
            address = ready.recvfrom(100)[1]
            ready.sendto(f"{name} {address[0]}".encode(), address)
"""
CLIENT = """
import socket, sys
kind, address, port, source = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as peer:
    peer.settimeout(1)
    try:
        if source:
            peer.bind((source, 0))
        peer.connect((address, int(port)))
        if kind == "udp":
            peer.send(b"?")
        print(peer.recv(100).decode(), end="")
    except ConnectionRefusedError:
        print("refused", end="")
    except OSError:
        print("nothing", end="")
"""
# What iptables-save shows of a dockerd 20.10 with a container, its FORWARD policy included.
DOCKER = """\
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""


def inside(pid: int, *words: str) -> list[str]:
    return ["nsenter", "--net", "--target", str(pid), *words] if pid else list(words)


def talk(pid: int, place: str, source: str = "") -> str:
    """`NAME SEEN-ADDRESS` of whoever answers at kind:address:port, from the namespace of a process (0: the host)."""
    kind, target = place.split(":", 1)
    address, port = target.rsplit(":", 1)
    argv = inside(pid, sys.executable, "-I", "-S", "-c", CLIENT, kind, address, port, source)
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def check(*rows: tuple[int, str, str]) -> None:
    """Each row: who asks, whom, what has to come back; all of them at once, as silence takes a second."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: talk(row[0], row[1]), rows))
    wrong = [
        f"{who or 'host'} to {place}: {got!r}, not {expected!r}"
        for (who, place, expected), got in zip(rows, answers)
        if got != expected
    ]
    assert not wrong, "\n".join(wrong)


@dataclass
class Net:
    name: str
    device: str
    subnet: str
    internal: bool = False
    subnet6: str = ""

    @property
    def id(self) -> str:
        return self.name.encode().hex().ljust(64, "0")

    @property
    def base(self) -> str:
        return self.subnet.rpartition(".")[0]

    def add(self, *guard: list) -> None:
        """guard: versions of IP, the host's own links, and those of them that are bridges."""
        AddNetworkRules(self.name, self.id, self.device, self.subnet, self.subnet6, self.internal, *guard).do(Context())

    def make(self) -> None:
        self.add()
        addresses = [f"{self.base}.1/24"] + ([self.subnet6.replace("::/", "::1/")] if self.subnet6 else [])
        owner = network_owner(self.name, self.id)
        mac = f"02:42:0a:c9:00:{int(self.base.split('.')[2]):02x}"
        MakeBridge(self.device, addresses, 1500, mac, owner).do(Context())

    def remove(self) -> None:
        RemoveNetworkRules(self.name, self.id, self.subnet6).do(Context())


def bind(*wanted: Port, ipv6: bool = False) -> tuple[list[Port], list[int]]:
    """The ports in effect, and their sockets."""
    network = Network("one", "0" * 64, "", "one", "10.0.0.0/24", "10.0.0.1")
    nothing = Attachments("0" * 64, "web")
    on_it = nothing.with_endpoint(network, Endpoint("one", address6="fd00::2/64" if ipv6 else ""))
    after, sockets = binding.bind(nothing, on_it.with_ports(list(wanted)))
    return after.bindings, [descriptor for each in sockets.values() for descriptor in each]


def withdraw(op: PublishPorts) -> None:
    RemovePorts(op.name, op.id, [4, 6] if op.address6 else [4], op.ports).do(Context())


class World(contextlib.ExitStack):
    """The namespaces, each by the PID of a process in it, and who serves in them."""

    def namespace(self, device: str, master: str, address: str, gateway: str = "", address6: str = "") -> int:
        pid = self.enter_context(sleeper())
        run(f"ip link add {device} type veth peer name eth0 netns {pid}")
        run(f"ip link set {device} {f'master {master}' if master else ''} up")
        enter = f"nsenter --net --target {pid}"
        run(f"{enter} ip link set lo up; {enter} ip address add {address}/24 dev eth0; {enter} ip link set eth0 up")
        if gateway:
            run(f"{enter} ip route add default via {gateway}")
        if address6:
            run(f"{enter} ip -6 address add {address6}/64 dev eth0 nodad")
            run(f"{enter} ip -6 route add default via {address6.rpartition('::')[0]}::1")
        return pid

    def serve(self, pid: int, name: str, *places: str) -> None:
        argv = inside(pid, sys.executable, "-I", "-S", "-c", SERVER, name, *places)
        server = self.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        self.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

    def container(self, net: Net, number: int, name: str) -> int:
        address6 = net.subnet6.replace("::/64", f"::{number}") if net.subnet6 else ""
        gateway = "" if net.internal else f"{net.base}.1"
        pid = self.namespace(f"fw{name}", net.device, f"{net.base}.{number}", gateway, address6)
        places = ["tcp:0.0.0.0:80", "tcp:0.0.0.0:81", "udp:0.0.0.0:53"] + (
            ["tcp::::82", "udp:" + address6 + ":53"] if address6 else []
        )
        self.serve(pid, name, *places)
        return pid

    def publish(self, net: Net, number: int, name: str, *published: Port) -> PublishPorts:
        address6 = net.subnet6.replace("::/64", f"::{number}") if net.subnet6 else ""
        bindings, sockets = bind(*published, ipv6=bool(address6))
        for descriptor in sockets:
            self.callback(os.close, descriptor)
        texts = [port.text for port in bindings]
        op = PublishPorts(name, name.encode().hex().ljust(64, "0"), texts, f"{net.base}.{number}", address6)
        op.do(Context())
        return op
