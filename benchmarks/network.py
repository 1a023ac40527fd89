#!/usr/bin/python3
"""What a container's network costs beside docker's: starts, starts among many containers, throughput, latency.

    benchmarks/network.py [--rounds N] [--only PART…] [--without-mydocker] [--json FILE]

Needs root, and Debian's docker.io, hyperfine, iperf3 and mmdebstrap. Each contestant (docker as it is by default,
docker without its userland proxy, mydocker) has a host of its own, that is: a network namespace with a bridge, rules
and published ports that nobody else sees, and a second one behind a cable that plays the LAN. They take turns, so that
a machine that is busy for a moment is so for all of them; every figure is a median. Nothing is left on the machine.
Exit code 1 if mydocker takes more than it may: see limits().
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docker import MYDOCKER, dockerd, load_busybox, sh

DOCKER, NO_PROXY, OURS = "docker", "no proxy", "mydocker"
IMAGE, TOOLS = "mydocker-benchmark", "mydocker-benchmark-tools"
PACKAGES = ("iperf3", "python3", "base-files")
HOST, LAN = "198.18.0.1", "198.18.0.2"  # RFC 2544: for benchmarks
IPERF, ECHO = 5201, 5202
CROWDS = (0, 50, 200)  # running containers
PORTS = 200  # published ones

# What is measured, in the table's words.
START, BESIDE = "run --rm busybox true", "the same beside {} containers"
ALONE, AMONG = "run --rm -p …", f"the same beside {PORTS} published ports"
INSIDE, OUTSIDE = "container to container", "LAN to published port"

ADDRESS = "{{.NetworkSettings.Networks.bridge.IPAddress}}"

# A host of its own. The cgroups are below /sys, which has to show this network namespace's devices.
UNSHARED = """
mkdir -p "$0" && mount -t sysfs sysfs "$0" && mount --rbind /sys/fs/cgroup "$0/fs/cgroup" && mount --rbind "$0" /sys
ip link set lo up && echo ready && exec sleep infinity
"""
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

Figures = dict[tuple[str, str], dict[str, list[float]]]  # (what, unit) -> contestant -> each measurement


class Contestant:
    """enter: the command prefix for the contestant's host; lan: for the LAN's; program: its command line there."""

    def __init__(self, name: str, enter: list[str], lan: list[str], program: Sequence[str]) -> None:
        self.name, self.enter, self.lan = name, enter, lan
        self.program = [*enter, *program]

    def __call__(self, *words: str) -> str:
        return sh(*self.program, *words)

    def many(self, count: int, *options: str) -> list[str]:
        """Start so many containers that sleep, four at a time; their IDs. `{}` in an option is a container's number."""

        def start(number: int) -> str:
            return self("run", "-d", *(word.format(number) for word in options), IMAGE, "sleep", "100000")

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(start, range(count)))

    def remove(self, containers: Sequence[str]) -> None:
        for first in range(0, len(containers), 50):
            self("rm", "-f", *containers[first : first + 50])

    def seconds(self, runs: int, *words: str) -> list[float]:
        """How long each of so many runs of `PROGRAM WORDS` takes."""
        with tempfile.NamedTemporaryFile() as file:
            options = ["--shell=none", "--style=none", "--warmup=1", f"--runs={runs}", f"--export-json={file.name}"]
            program = self.program[len(self.enter) :]
            sh(*self.enter, "hyperfine", *options, shlex.join([*program, *words]))
            return json.load(file)["results"][0]["times"]


# --- the stage --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def host(folder: str) -> Iterator[list[str]]:
    """A network namespace, with a mount namespace that fits: the prefix that enters both."""
    words = ["unshare", "--net", "--mount", "sh", "-ec", UNSHARED, folder]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                raise SystemExit("no network namespace could be set up")
            yield ["nsenter", "--net", "--mount", f"--target={holder.pid}"]
        finally:
            holder.terminate()


def connect(one: list[str], other: list[str]) -> None:
    """A cable between two hosts; the first is the second's way to everything."""
    pid = other[-1].partition("=")[2]
    sh(*one, "ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", pid)
    for enter, address in ((one, HOST), (other, LAN)):
        sh(*enter, "ip", "address", "add", f"{address}/24", "dev", "lan")
        sh(*enter, "ip", "link", "set", "lan", "up")
    sh(*other, "ip", "route", "add", "default", "via", HOST)


@contextlib.contextmanager
def contestants(folder: str, names: Sequence[str]) -> Iterator[list[Contestant]]:
    """All of them, with both images."""
    tools = f"{folder}/tools.tar"
    sh("mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(PACKAGES)}", "bookworm", tools)
    with contextlib.ExitStack() as stack:
        found = []
        for number, name in enumerate(names):
            enter = stack.enter_context(host(f"{folder}/sys{number}"))
            lan = stack.enter_context(host(f"{folder}/lan{number}"))
            connect(enter, lan)
            if name == OURS:
                program = [MYDOCKER]
                sh(MYDOCKER, "tag", "busybox", IMAGE)
            else:
                options = ["--userland-proxy=false"] if name == NO_PROXY else []
                program = stack.enter_context(dockerd(f"{folder}/docker{number}", *options, prefix=enter))
                load_busybox(program, IMAGE)
            found.append(Contestant(name, enter, lan, program))
            found[-1]("import", tools, TOOLS)
            found[-1]("run", "--rm", IMAGE, "true")  # what is made once: the bridge, its rules
        yield found


# --- what is measured -------------------------------------------------------------------------------------------------


def start(everyone: list[Contestant], rounds: int, figures: Figures) -> None:
    """A container on the default network that ends at once."""
    for _ in range(rounds):
        for one in everyone:
            figures[START, "ms"][one.name] += one.seconds(8, "run", "--rm", IMAGE, "true")


def crowd(everyone: list[Contestant], rounds: int, figures: Figures) -> None:
    """The same while others run, which have published nothing."""
    everyone = [one for one in everyone if one.name != NO_PROXY]  # the proxy has nothing to do with it
    running: dict[str, list[str]] = {one.name: [] for one in everyone}
    for size in CROWDS:
        for one in everyone:
            running[one.name] += one.many(size - len(running[one.name]))
        times = figures[BESIDE.format(size), "ms"]
        for _ in range(rounds):
            for one in everyone:
                times[one.name] += one.seconds(4, "run", "--rm", IMAGE, "true")
    for one in everyone:
        one.remove(running[one.name])


def ports(everyone: list[Contestant], rounds: int, figures: Figures) -> None:
    """A container with a published port, alone, and while 200 others have published one each."""
    running: dict[str, list[str]] = {}
    for what, size in ((ALONE, 0), (AMONG, PORTS)):
        for one in everyone:
            running[one.name] = one.many(size, "-p", "2{:04}:80")
        for _ in range(rounds):
            for one in everyone:
                figures[what, "ms"][one.name] += one.seconds(4, "run", "--rm", "-p", "19999:80", IMAGE, "true")
    for one in everyone:
        one.remove(running[one.name])


def traffic(everyone: list[Contestant], rounds: int, figures: Figures) -> None:
    """Throughput, and the time of one byte there and back, on three ways to a server in a container."""
    servers: dict[str, list[str]] = {one.name: [] for one in everyone}
    clients: dict[tuple[str, int, str], tuple[list[str], str]] = {}  # (way, port, contestant) -> prefix, address
    for one in everyone:
        for port, server in ((IPERF, ["iperf3", "-s"]), (ECHO, ["python3", "-c", SERVER, str(ECHO)])):
            servers[one.name].append(one("run", "-d", "-p", f"{port}:{port}", TOOLS, *server))
            address = one("inspect", "-f", ADDRESS, servers[one.name][-1])
            clients[INSIDE, port, one.name] = [*one.program, "run", "--rm", TOOLS], address
            clients[OUTSIDE, port, one.name] = one.lan, HOST
            clients["host to 127.0.0.1", port, one.name] = one.enter, "127.0.0.1"
    ways = list(dict.fromkeys((way, port) for way, port, _ in clients))
    time.sleep(1)  # by then the servers listen
    for turn in range(rounds):
        for way, port in ways:
            unit, measure = ("Gbit/s", throughput) if port == IPERF else ("µs", round_trip)
            for one in everyone[:: -1 if turn % 2 else 1]:  # who comes first may be better or worse off
                figures[way, unit][one.name].append(measure(*clients[way, port, one.name]))
    for one in everyone:
        one.remove(servers[one.name])


def throughput(prefix: list[str], address: str) -> float:
    """Bits a second that arrive within two seconds, after a first one that does not count."""
    result = json.loads(sh(*prefix, "iperf3", "--client", address, "--omit", "1", "--time", "2", "--json"))
    return result["end"]["sum_received"]["bits_per_second"]


def round_trip(prefix: list[str], address: str) -> float:
    """Seconds, the median of 5000 on one TCP connection."""
    return float(sh(*prefix, "python3", "-c", CLIENT, address, str(ECHO)))


# --- what is printed --------------------------------------------------------------------------------------------------

SCALE = {"ms": 1e3, "µs": 1e6, "Gbit/s": 1e-9}


def median(figures: Figures, what: str, unit: str, name: str = OURS) -> float:
    return statistics.median(figures[what, unit][name])


def table(figures: Figures, names: Sequence[str]) -> str:
    """A line a figure: medians, and mydocker's as a ratio of docker's."""
    lines = [f"{'':44}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>9}"]
    for (what, unit), by_name in figures.items():
        medians = {name: median(figures, what, unit, name) * SCALE[unit] for name in by_name}
        cells = [f"{medians[name]:12.1f}" if name in medians else f"{'':12}" for name in names]
        ratio = f"{medians[OURS] / medians[DOCKER]:9.2f}" if OURS in medians and DOCKER in medians else ""
        lines.append(f"{f'{what}, {unit}':44}" + "".join(cells) + ratio)
    return "\n".join(lines)


def limits(figures: Figures, parts: Sequence[str]) -> list[tuple[str, float, float]]:
    """What must hold: what, how it is, and what it may be at most."""
    found = []
    if "start" in parts:
        found.append((START, median(figures, START, "ms") / median(figures, START, "ms", DOCKER), 0.2))
    if "crowd" in parts:
        few, many = (median(figures, BESIDE.format(size), "ms") for size in (CROWDS[0], CROWDS[-1]))
        found.append((f"beside {CROWDS[-1]} containers, as against beside {CROWDS[0]}", many / few, 1.2))
    if "ports" in parts:
        ratio = median(figures, AMONG, "ms") / median(figures, ALONE, "ms")
        found.append((f"beside {PORTS} published ports, as against alone", ratio, 2.0))
    if "traffic" in parts:
        for way in (INSIDE, OUTSIDE):
            faster = median(figures, way, "Gbit/s", DOCKER) / median(figures, way, "Gbit/s")
            slower = median(figures, way, "µs") / median(figures, way, "µs", DOCKER)
            found += [(f"{way}, throughput", faster, 1.05), (f"{way}, latency", slower, 1.05)]
    return found


PARTS = {"start": start, "crowd": crowd, "ports": ports, "traffic": traffic}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often they take turns (5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these")
    parser.add_argument("--without-mydocker", action="store_true", help="docker's figures alone")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE, in seconds and bits a second")
    args = parser.parse_args()
    missing = [program for program in ("dockerd", "hyperfine", "iperf3", "mmdebstrap") if not shutil.which(program)]
    if missing or os.getuid():
        raise SystemExit(f"needs root, and {', '.join(missing)}: apt-get install docker.io hyperfine iperf3 mmdebstrap")

    names = [DOCKER, NO_PROXY] + [OURS] * (not args.without_mydocker)
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="mydocker-benchmark.", dir="/var/tmp") as folder:
        os.environ.update(MYDOCKER_ROOT=f"{folder}/root", MYDOCKER_RUN=f"{folder}/run")
        with contestants(folder, names) as everyone:
            for part in args.only:
                PARTS[part](everyone, args.rounds, figures)
                print(f"{part} done", file=sys.stderr)

    print(table(figures, names))
    if args.json:
        rows = [{"what": what, "unit": unit, "values": values} for (what, unit), values in figures.items()]
        Path(args.json).write_text(json.dumps(rows) + "\n")
    if args.without_mydocker:
        return 0
    print("\nmydocker's time, as a share of docker's or of its own:")
    for what, ratio, most in (judged := limits(figures, args.only)):
        print(f"{what:52}{ratio:6.2f}  {'at most' if ratio <= most else 'MORE THAN'} {most}")
    return int(any(ratio > most for _, ratio, most in judged))


if __name__ == "__main__":
    sys.exit(main())
