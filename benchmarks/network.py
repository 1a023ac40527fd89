#!/usr/bin/python3
"""What a container's network costs beside docker's: starts, starts among many containers, throughput, latency.

    benchmarks/network.py [--rounds N] [--only PART…] [--json FILE]

Needs root, and Debian's docker.io, hyperfine, iperf3 and mmdebstrap. The contestants are docker as it is by default,
docker without its userland proxy, and mydocker; each one's host (peers.py) has another one behind a cable, which plays
the LAN. Exit code 1 if mydocker costs more than it may.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report
from peers import IMAGE, Host, Maker, Peer, contestants, docker, host, mydocker, sh
from sitting import Row, Sitting

TOOLS = f"{IMAGE}-tools"
PACKAGES = ("iperf3", "python3", "base-files")
HOST, LAN = "198.18.0.1", "198.18.0.2"  # RFC 2544: for benchmarks
IPERF, ECHO = 5201, 5202
CROWDS = (0, 50, 200)  # running containers
PORTS = 200  # published ones
WITHOUT_PROXY = functools.partial(docker, options=["--userland-proxy=false"])
MAKERS: dict[str, Maker] = {"mydocker": mydocker, "docker": docker, "no-proxy": WITHOUT_PROXY}

ADDRESS = "{{.NetworkSettings.Networks.bridge.IPAddress}}"

# Both on one processor: how long it takes to wake another one is the machine's matter, and varies tenfold.
SERVER = """
import os, socket, sys
os.sched_setaffinity(0, {0})
with socket.create_server(("", int(sys.argv[1]))) as server:
    while True:
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := peer.recv(64):
            peer.sendall(data)
"""
CLIENT = """
import os, socket, statistics, sys, time
os.sched_setaffinity(0, {0})
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as peer:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for _ in range(5000):
        start = time.perf_counter()
        peer.sendall(b"x")
        peer.recv(1)
        times.append(time.perf_counter() - start)
print(statistics.median(times))
"""


Way = Callable[[Peer, int], tuple[list[str], str]]  # a contestant, a server's port -> the client's prefix, an address


class Stage(Sitting):
    """lans: contestant -> the host behind its host's cable."""

    lans: dict[str, Host]

    def starts(self, what: str, *options: str, **judged: Any) -> Row:
        """A new row: how long a container takes that ends at once."""
        return self.measure(what, "ms", lambda peer: peer.seconds(6, "run", "--rm", *options, IMAGE, "true"), **judged)


def connect(one: Host, other: Host) -> None:
    """A cable between two hosts; the first is the second's way to everything."""
    enter = ["nsenter", "--net", f"--target={one.pid}"]  # not into its processes, where the other's PID means nothing
    sh(*enter, "ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", str(other.pid))
    for end, address in ((one, HOST), (other, LAN)):
        sh(*end.enter, "ip", "address", "add", f"{address}/24", "dev", "lan")
        sh(*end.enter, "ip", "link", "set", "lan", "up")
    sh(*other.enter, "ip", "route", "add", "default", "via", HOST)


# --- what is measured -------------------------------------------------------------------------------------------------


def start(s: Stage) -> None:
    """A container on the default network that ends at once."""
    s.starts("run --rm busybox true", targets={"docker": 0.2})


def crowd(s: Stage) -> None:
    """The same while others run, which have published nothing."""
    running, alone = 0, None
    for count in CROWDS:
        s.more(count - running, "run", "-d")
        running = count
        row = s.starts(f"the same beside {count} containers", base=alone, growth=1.2)
        alone = alone or row


def ports(s: Stage) -> None:
    """A container with a published port, alone, and while 200 others have published one each."""
    mine = ("-p", "19999:80")
    alone = s.starts("run --rm -p …", *mine)
    s.more(PORTS, "run", "-d", "-p", "2{:04}:80")
    s.starts(f"the same beside {PORTS} published ports", *mine, base=alone, growth=2.0)


def traffic(s: Stage) -> None:
    """Throughput, and the time of one byte there and back, on three ways to a server in a container."""
    s.prepare(serve)
    time.sleep(1)  # by then the servers listen
    for way, prefix_and_address, targets in (
        ("container to container", inside, {"docker": 1.05}),
        ("LAN to published port", lambda peer, port: (s.lans[peer.name].enter, HOST), {"docker": 1.05}),
        ("host to 127.0.0.1", lambda peer, port: (peer.host.enter, "127.0.0.1"), {}),
    ):
        s.measure(way, "Gbit/s", functools.partial(throughput, prefix_and_address), targets)
        s.measure(way, "µs", functools.partial(round_trip, prefix_and_address), targets)


def serve(peer: Peer) -> None:
    for port, server in ((IPERF, ["iperf3", "-s"]), (ECHO, ["python3", "-c", SERVER, str(ECHO)])):
        peer("run", "-d", "--name", f"server{port}", "-p", f"{port}:{port}", TOOLS, *server)


def inside(peer: Peer, port: int) -> tuple[list[str], str]:
    """The prefix that runs a program in a container, and the server's address there."""
    address = peer("inspect", "-f", ADDRESS, f"server{port}")
    return [*peer.host.enter, *peer.program, "run", "--rm", TOOLS], address


def throughput(way: Way, peer: Peer) -> list[float]:
    """Bits a second that arrive within two seconds, after a first one that does not count."""
    prefix, address = way(peer, IPERF)
    result = json.loads(sh(*prefix, "iperf3", "--client", address, "--omit", "1", "--time", "2", "--json"))
    return [result["end"]["sum_received"]["bits_per_second"]]


def round_trip(way: Way, peer: Peer) -> list[float]:
    """Seconds, the median of 5000 on one TCP connection."""
    prefix, address = way(peer, ECHO)
    return [float(sh(*prefix, "python3", "-c", CLIENT, address, str(ECHO)))]


PARTS = {"start": start, "crowd": crowd, "ports": ports, "traffic": traffic}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often they take turns (5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    args = parser.parse_args()
    with contestants(MAKERS) as (directory, peers, absent), contextlib.ExitStack() as stack:
        tools = f"{directory}/tools.tar"
        sh("mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(PACKAGES)}", "bookworm", tools)
        s = Stage(peers, absent, args.rounds)
        s.lans = {peer.name: stack.enter_context(host(f"{directory}/lan-{peer.name}")) for peer in peers}
        for peer in peers:
            connect(peer.host, s.lans[peer.name])
            peer("import", tools, TOOLS)
        s.play({name: PARTS[name] for name in args.only})
    print(report.table(s.rows, list(MAKERS)))
    print("\n".join([*report.reasons(s.rows), *s.notes, *report.missed(s.rows)]))
    if args.json:
        Path(args.json).write_text(json.dumps(report.as_json(s, {}), indent=1) + "\n")
    return int(bool(report.missed(s.rows)))


if __name__ == "__main__":
    sys.exit(main())
