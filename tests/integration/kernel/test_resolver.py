"""A real Resolver in a network namespace of its own, asked by the programs that containers have: busybox, the C
library's getent, dig. Its server is a dnsmasq on the host's loopback, where "the host" is another such namespace."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import shutil
import struct
import subprocess
import sys
import time

import pytest

from mydocker import paths
from mydocker.kernel import socket_lookup
from mydocker.kernel.netdev import link_up
from mydocker.model.network import Network
from mydocker.network.ops.resolver import OpenResolver
from mydocker.network.resolver import MAX_CONNECTIONS, HostServers, adopt
from mydocker.ops.base import Context

PROGRAMS = {"dnsmasq": "dnsmasq-base", "dig": "bind9-dnsutils", "busybox": "busybox-static", "nsenter": "util-linux"}
MISSING = [package for program, package in PROGRAMS.items() if not shutil.which(program)]

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make namespaces"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]

LAB = Network("lab", "1" * 64, "", "lab0", "10.77.0.0/24", "10.77.0.1", subnet6="fd00:77::/64")
SERVER = "127.0.0.9"
KERNEL = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])
_NEWNS, _NEWNET = 0x00020000, 0x40000000


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


def call(function, *arguments: int) -> None:
    if function(*arguments):
        raise OSError(ctypes.get_errno(), f"{function.__name__}{arguments}")


def serve(directory: str, channel: int) -> None:
    """The monitor, as a process: it lives in the namespace "host", its sockets are of the namespace "container"."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths.RUN = directory
    call(libc.unshare, _NEWNET | _NEWNS)
    link_up("lo")
    host = os.open("/proc/self/ns/net", os.O_RDONLY)
    call(libc.unshare, _NEWNET)
    link_up("lo")
    container = os.open("/proc/self/ns/net", os.O_RDONLY)
    op = OpenResolver("127.0.0.11")
    op.do(Context())
    call(libc.setns, host, 0)
    resolver = adopt(op.descriptors, [LAB], HostServers([], f"{directory}/resolv.conf"))
    os.write(channel, f"/proc/{os.getpid()}/fd/{host} /proc/{os.getpid()}/fd/{container}".encode())
    while True:
        poller = select.poll()
        for descriptor in resolver.descriptors():
            poller.register(descriptor, select.POLLIN)
        wait = resolver.timeout()
        for descriptor, _ in poller.poll(None if wait is None else int(wait * 1000) + 1):
            resolver.ready(descriptor)


class Inside:
    """Runs programs in the container's namespace, with the resolv.conf that it would have there."""

    def __init__(self, directory: str):
        self.directory = directory
        os.makedirs(f"{directory}/_networks/lab")
        self.lease("10.77.0.2", f"{'a' * 64} web www")
        self.lease("10.77.0.3", f"{'b' * 64} db www")
        self.write("resolv.conf", f"nameserver {SERVER}\n")
        self.write("inside", "nameserver 127.0.0.11\noptions ndots:0\n")
        reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                serve(directory, writer)
            except BaseException as error:
                os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os.close(writer)
        self.host, self.container = os.read(reader, 200).decode().split()
        os.close(reader)
        self.started: list[subprocess.Popen] = []

    def write(self, name: str, text: str) -> None:
        with open(f"{self.directory}/.new", "w") as file:
            file.write(text)
        os.rename(f"{self.directory}/.new", f"{self.directory}/{name}")

    def lease(self, address: str, text: str) -> None:
        self.write(f"_networks/lab/{address}", text + "\n")

    def start(self, namespace: str, *command: str) -> subprocess.Popen:
        line = f'mount --bind {self.directory}/inside /etc/resolv.conf && exec "$@"'
        process = subprocess.Popen(
            ["nsenter", f"--net={namespace}", "unshare", "-m", "sh", "-c", line, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *command: str) -> str:
        return self.start(self.container, *command).communicate(timeout=60)[0]

    def dig(self, *words: str) -> list[str]:
        return self.run("dig", "@127.0.0.11", "+time=8", "+tries=1", "+short", *words).split("\n")[:-1]

    def code(self, *words: str) -> str:
        return self.run("dig", "@127.0.0.11", "+time=8", "+tries=1", *words).partition("status: ")[2].partition(",")[0]

    def python(self, program: str) -> str:
        return self.run(sys.executable, "-c", program)

    def serve_outside(self) -> subprocess.Popen:
        big = ",".join(["x" * 200] * 12)
        process = self.start(
            self.host,
            *f"dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= "
            f"--bind-interfaces --listen-address={SERVER} --address=/outside.example/192.0.2.7 "
            f"--txt-record=big.example,{big}".split(),
        )
        for _ in range(100):
            if self.dig("outside.example"):
                return process
            time.sleep(0.05)
        raise AssertionError(f"dnsmasq does not answer: {process.poll()}")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@pytest.fixture
def inside(tmp_path):
    container = Inside(str(tmp_path))
    yield container
    container.end()


@pytest.fixture
def without_bpf(monkeypatch):
    """As on a kernel before 5.9, or where bpf(2) is forbidden."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket_lookup, "steer", refuse)


@pytest.fixture
def outside(inside):
    return inside.serve_outside()


def test_the_c_library_finds_names_and_addresses(inside, outside):
    assert {line.split()[0] for line in inside.run("getent", "ahosts", "web").splitlines()} == {
        "10.77.0.2",
        "fd00:77::2",
    }
    assert "10.77.0.2 " in inside.run("getent", "ahosts", "WEB.lab")
    assert inside.run("getent", "hosts", "10.77.0.3").split() == ["10.77.0.3", "db.lab"]
    assert inside.run("getent", "hosts", "outside.example").split() == ["192.0.2.7", "outside.example"]
    assert inside.run("getent", "hosts", "nobody") == ""


def test_busybox_finds_names(inside, outside):
    assert "Address: 10.77.0.3" in inside.run("busybox", "nslookup", "db")
    assert "192.0.2.7" in inside.run("busybox", "nslookup", "outside.example")


def test_dig_by_udp_and_tcp(inside, outside):
    for way in ("+notcp", "+tcp", "+noedns"):
        assert inside.dig(way, "www") in (["10.77.0.2", "10.77.0.3"], ["10.77.0.3", "10.77.0.2"])
        assert inside.dig(way, "b" * 12) == ["10.77.0.3"]
        assert inside.dig(way, "-x", "fd00:77::2") == ["web.lab."]
        assert inside.dig(way, "outside.example") == ["192.0.2.7"]
    assert inside.dig("+tcp", "+keepopen", "web", "outside.example", "db") == ["10.77.0.2", "192.0.2.7", "10.77.0.3"]


def test_a_long_answer_from_outside_comes_by_tcp(inside, outside):
    (text,) = inside.dig("+noedns", "big.example", "TXT")
    assert text.count("x") == 2400


def test_a_name_follows_its_container_to_a_new_address(inside):
    os.utime(f"{inside.directory}/_networks/lab", (1, 1))
    assert inside.dig("web") == ["10.77.0.2"]
    os.unlink(f"{inside.directory}/_networks/lab/10.77.0.2")
    inside.lease("10.77.0.8", f"{'a' * 64} web www")
    assert inside.dig("web") == ["10.77.0.8"]


# Not dig: its sockets share ports, and two of them now and then take each other's answers.
PARALLEL = """
import threading
import dns.message, dns.query
def ask(way, results):
    for name, address in [("db", "10.77.0.3"), ("outside.example", "192.0.2.7")] * 10:
        answer = way(dns.message.make_query(name, "A"), "127.0.0.11", timeout=3)
        results.append(str(answer.answer[0][0]) == address)
results = []
ways = [dns.query.udp, dns.query.tcp] * 10
threads = [threading.Thread(target=ask, args=(way, results)) for way in ways]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(results), all(results))
"""


def test_parallel_queries(inside, outside):
    assert inside.python(PARALLEL) == "400 True\n"


SILENT = f"""
import socket, time
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("{SERVER}", 53))
print("there", flush=True)
time.sleep(60)
"""


def test_a_dead_server_is_told_at_once_or_after_a_while(inside):
    began = time.monotonic()
    assert inside.code("outside.example") == "SERVFAIL"  # nobody is on the host's port
    assert inside.code("+tcp", "outside.example") == "SERVFAIL"
    assert time.monotonic() - began < 2
    silent = inside.start(inside.host, sys.executable, "-c", SILENT)
    assert silent.stdout
    silent.stdout.readline()
    began = time.monotonic()
    assert inside.code("outside.example") == "SERVFAIL"
    assert 3 < time.monotonic() - began < 5
    assert inside.dig("web") == ["10.77.0.2"]


FLOOD = """
import os, socket, struct, time
s = socket.socket(type=socket.SOCK_DGRAM)
s.setblocking(False)
end = time.monotonic() + 2
while time.monotonic() < end:
    query = struct.pack("!6H", 7, 256, 1, 0, 0, 0) + b"\\x08" + os.urandom(4).hex().encode() + b"\\0\\0\\1\\0\\1"
    for message in (os.urandom(40), query):
        try:
            s.sendto(message, ("127.0.0.11", 53))
        except BlockingIOError:
            pass
"""


def processor_time(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_flood_takes_no_more_than_its_share(inside, outside):
    before, descriptors = processor_time(inside.pid), inside.descriptors()
    flood = inside.start(inside.container, sys.executable, "-c", FLOOD)
    most = 0
    while flood.poll() is None:
        most = max(most, inside.descriptors())
        time.sleep(0.05)
    assert flood.returncode == 0
    assert processor_time(inside.pid) - before < 1.8  # half a second saved up, a quarter of two or three, and the polls
    assert most < descriptors + 300
    time.sleep(6)
    assert inside.dig("db") == ["10.77.0.3"]
    assert inside.descriptors() <= descriptors + 1


def test_connections_are_few_and_an_idle_one_gives_way(inside):
    before = inside.descriptors()
    received = inside.python(
        f"""
import socket
held = [socket.create_connection(("127.0.0.11", 53)) for _ in range({MAX_CONNECTIONS} * 3)]
asked = held[-1]
asked.sendall(bytes.fromhex("001500070100000100000000000003776562"))
asked.sendall(bytes.fromhex("0000010001"))
print(asked.recv(100)[-4:])
held[0].settimeout(5)
print(held[0].recv(1))
"""
    )
    assert received.split("\n")[:2] == [repr(b"\x0aM\x00\x02"), "b''"]
    assert inside.descriptors() < before + MAX_CONNECTIONS + 1


def test_a_client_that_hangs_up_leaves_nothing(inside, outside):
    before = inside.descriptors()
    message = struct.pack("!6H", 7, 256, 1, 0, 0, 0) + b"\7outside\7example\0\0\1\0\1"
    inside.python(
        f"""
import socket, struct
for _ in range(50):
    with socket.create_connection(("127.0.0.11", 53)) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall({struct.pack("!H", len(message)) + message!r})
"""
    )
    time.sleep(0.5)
    assert inside.descriptors() <= before
    assert inside.dig("db") == ["10.77.0.3"]


def test_all_the_same_without_bpf(without_bpf, inside, outside):
    assert inside.dig("web", "outside.example") == ["10.77.0.2", "192.0.2.7"]
    assert inside.dig("+tcp", "web", "outside.example") == ["10.77.0.2", "192.0.2.7"]


DNSMASQ = "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file="

# Servers that want the port for themselves, as a lab's first one in Python or Go does, or share it, as CoreDNS does.
SERVERS = """
import socket
for options in ([], [socket.SO_REUSEADDR], [socket.SO_REUSEPORT]):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as s:
            for option in options:
                s.setsockopt(socket.SOL_SOCKET, option, 1)
            s.bind(("0.0.0.0", 53))
            if kind == socket.SOCK_STREAM:
                s.listen()
print("all of them")
"""


@pytest.mark.skipif(KERNEL < (5, 9), reason="needs Linux 5.9: BPF_PROG_TYPE_SK_LOOKUP")
def test_the_containers_own_server_finds_the_port_free(inside, outside):
    assert inside.python(SERVERS) == "all of them\n"
    own = inside.start(inside.container, *DNSMASQ.split(), "--address=/own.example/192.0.2.55", "--server=127.0.0.11")
    for _ in range(100):
        if inside.run("dig", "@127.0.0.1", "+short", "+time=1", "+tries=1", "own.example") == "192.0.2.55\n":
            break
        assert own.poll() is None, own.communicate()
        time.sleep(0.05)
    for way in ("+notcp", "+tcp"):  # each keeps its own address, and one can ask the other
        assert inside.dig(way, "web", "outside.example") == ["10.77.0.2", "192.0.2.7"]
        asked = inside.run("dig", "@127.0.0.1", "+short", way, "own.example", "web", "outside.example")
        assert asked.split() == ["192.0.2.55", "10.77.0.2", "192.0.2.7"]
