"""What is measured. A case is a function; the first line of its docstring tells the user what it does."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anatomy import import_times, phases
from peers import IMAGE, SLEEP, Peer, sh
from sitting import OURS, Sitting

OBEYS = ("sh", "-c", "trap exit TERM; sleep 100000 & wait")
LINE = 100  # bytes, of a line in the log
SOON, LATER = 1, 10  # seconds: a monitor of mydocker's gives up what only a start needs when that is a while ago
BIG, SMALL = 10_000_000, 8_000  # bytes of a file in an image


@dataclass
class Sizes:
    """How much of everything; runs: in one turn of a quick command."""

    runs: int = 10
    starts: int = 100
    detached: int = 20
    listed: tuple[int, ...] = (1, 100, 1000)
    crowd: tuple[int, ...] = (0, 100)
    images: tuple[int, ...] = (10, 500)  # MB
    heavy: int = 2000  # MB, of the image of which only the memory counts
    log: int = 1000  # MB
    copied: int = 100  # MB


QUICK = Sizes(
    runs=3, starts=16, detached=5, listed=(1, 30), crowd=(0, 10), images=(10, 50), heavy=100, log=50, copied=20
)


class Bench(Sitting):
    """A sitting that knows how much of everything there is to be. directory: for files; busybox.tar is there."""

    sizes = Sizes()
    directory = ""

    def each(self, *words: str) -> None:
        """Have every contestant do this."""
        self.prepare(lambda peer: peer(*words))

    def quick(self, what: str, words: Sequence[str], targets: dict[str, float] | None = None) -> None:
        """A new row: how long `PROGRAM WORDS` takes."""
        self.measure(what, "ms", lambda peer: peer.seconds(self.sizes.runs, *words), targets)


# --- starts -----------------------------------------------------------------------------------------------------------


def run_none(s: Bench) -> None:
    """run --rm --net none, beside runc and crun too"""
    targets = {"runc": 1.0, "docker": 0.12, "podman": 0.16}
    s.measure("run --rm --net none busybox true", "ms", lambda p: p.seconds(s.sizes.runs, *p.start), targets, bare=True)


def run_bridge(s: Bench) -> None:
    """run --rm on the default network"""
    s.quick("run --rm busybox true", ["run", "--rm", IMAGE, "true"], {"docker": 0.12, "podman": 0.10})


def detached(s: Bench) -> None:
    """run -d, then rm -f"""
    run = ("run", "-d", "--name", "bird", IMAGE, *SLEEP)

    def once(peer: Peer) -> float:
        return peer.took(run, [*peer.kill, "bird"])

    s.measure("run -d, then rm -f", "ms", lambda p: [once(p) for _ in range(s.sizes.runs)], {"docker": 0.15})


def stop(s: Bench) -> None:
    """stop, then rm, of a container that obeys SIGTERM at once"""

    def once(peer: Peer) -> float:
        peer("run", "-d", "--name", "bird", IMAGE, *OBEYS)
        return peer.took(["stop", "bird"], ["rm", "bird"])

    s.measure("stop, then rm", "ms", lambda p: [once(p) for _ in range(s.sizes.runs)])


def starts(s: Bench) -> None:
    """100 times run -d, one after another and 16 at a time"""

    def once(peer: Peer, at_once: int) -> list[float]:
        peer.clear()
        return [peer.many(s.sizes.starts, "run", "-d", at_once=at_once)]

    count, few = s.sizes.starts, s.few
    s.measure(f"{count} run -d, one by one", "s", lambda p: once(p, 1), {"docker": 0.2}, rounds=few)
    s.measure(f"{count} run -d, 16 at a time", "s", lambda p: once(p, 16), {"docker": 0.25}, rounds=few)


def size(s: Bench) -> None:
    """run --rm --net none, by the size of the image"""
    for megabytes in s.sizes.images:
        image = f"{IMAGE}-{megabytes}"
        s.each("import", image_tar(s, megabytes), image)
        s.quick(f"run --rm --net none, image of {megabytes} MB", ["run", "--rm", "--net", "none", image, "true"])
        s.each("rmi", image)


def crowd(s: Bench) -> None:
    """run --rm beside 0 and 100 running containers"""
    running = 0
    for count in s.sizes.crowd:
        s.more(count - running, "run", "-d")
        running = count
        s.quick(f"run --rm, {count} containers run", ["run", "--rm", IMAGE, "true"])


# --- with a container -------------------------------------------------------------------------------------------------


def execute(s: Bench) -> None:
    """exec"""
    s.each("run", "-d", "--name", "bird", IMAGE, *SLEEP)
    s.quick("exec true", ["exec", "bird", "true"], {"docker": 0.35, "podman": 0.15})


def look(s: Bench) -> None:
    """ps, logs and inspect with one container"""
    s.each("run", "-d", "--name", "bird", IMAGE, "sh", "-c", "echo hello; exec sleep 100000")
    for words in (["ps"], ["logs", "bird"], ["inspect", "bird"]):
        s.quick(words[0], words, {"docker": 1.3})


def inside(s: Bench) -> None:
    """top and diff of a container"""
    s.each("run", "-d", "--name", "bird", IMAGE, "sh", "-c", "mkdir /new; rm /bin/wget; exec sleep 100000")
    for words in (["top", "bird"], ["diff", "bird"]):
        s.quick(words[0], words, {"docker": 0.5})


def copy(s: Bench) -> None:
    """cp of 100 MB into a container, and out of it"""
    megabytes, few = s.sizes.copied, s.few
    path, out = f"{s.directory}/copied", f"{s.directory}/out"
    with open(path, "wb") as file:
        for _, data in files(megabytes * 10**6):
            file.write(data)
    s.each("run", "-d", "--name", "bird", IMAGE, *SLEEP)

    def into(peer: Peer) -> list[float]:
        return [peer.took(["cp", path, "bird:/copied"])]

    def out_of(peer: Peer) -> list[float]:
        seconds = peer.took(["cp", "bird:/copied", out])
        os.unlink(out)
        return [seconds]

    s.measure(f"cp of {megabytes} MB into a container", "s", into, {"docker": 0.5}, rounds=few)
    s.measure(f"cp of {megabytes} MB to the host", "s", out_of, {"docker": 0.5}, rounds=few)


def stats(s: Bench) -> None:
    """stats --no-stream of 100 containers"""
    count = s.sizes.starts
    s.more(count, "run", "-d")

    def once(peer: Peer) -> list[float]:
        return [peer.took(["stats", "--no-stream"])]

    s.measure(f"stats --no-stream, of {count}", "s", once, {"docker": 0.2}, rounds=s.few)


def listed(s: Bench) -> None:
    """ps and ps -a with 1, 100 and 1000 containers, of which one runs"""
    s.more(1, "run", "-d")
    there = 1
    for count in s.sizes.listed:
        took = s.more(count - there, "create")
        if count > there:
            told = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
            s.notes.append(f"create, {count - there} times, 4 at a time: {told}")
        there = count
        s.quick(f"ps -a, of {count}", ["ps", "-a"], {"docker": 0.8} if count >= 1000 else {})
        s.quick(f"ps, one of {count} runs", ["ps"])


def memory(s: Bench) -> None:
    """memory of all that stays for a detached container"""
    count = s.sizes.detached

    def weigh(peer: Peer) -> tuple[float, float, int]:
        """PSS in bytes: what came with a container, soon and later; and the daemons that were there before, in all."""
        daemons = peer.host.processes()
        peer.many(count, "run", "-d")
        time.sleep(SOON)
        soon = pss(peer.host.processes() - daemons)
        time.sleep(LATER - SOON)
        return soon / count, pss(peer.host.processes() - daemons) / count, pss(daemons)

    found = s.prepare(weigh)
    s.measure(f"memory a container, after {SOON} s", "MB", lambda p: [found[p.name][0]], rounds=1)
    s.measure(f"memory a container, after {LATER} s", "MB", lambda p: [found[p.name][1]], {"docker": 1.0}, rounds=1)
    s.measure("memory of its daemons", "MB", lambda p: [found[p.name][2]], rounds=1)
    shared = f"both, daemons shared by {count}"
    s.measure(shared, "MB", lambda p: [found[p.name][1] + found[p.name][2] / count], rounds=1)


def pss(pids: set[int]) -> int:
    """Bytes of memory, what several processes share divided among them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return total


def log(s: Bench) -> None:
    """a container that writes 1 GB of 100-byte lines into its log"""
    bytes_ = s.sizes.log * 10**6
    script = f"yes {'x' * (LINE - 1)} | head -c {bytes_}"
    name = f"{bytes_ / 1e9:g} GB of lines into the log"

    def once(peer: Peer, *options: str) -> list[float]:
        seconds = peer.took(["run", "-d", "--name", "bird", *options, IMAGE, "sh", "-c", script], ["wait", "bird"])
        peer("rm", "bird")
        return [seconds]

    s.measure(name, "s", once, {"docker": 0.3, "podman": 1.0}, rounds=s.few)
    # By default, mydocker rotates its log, and docker does not.
    ours = [peer for peer in s.engines if peer.name == OURS]
    kept = s.prepare(lambda p: once(p, "--log-opt", "max-size=10g")[0], ours).get(OURS, 0.0)
    pipe = bare_pipe(script)
    s.notes.append(f"{name}: mydocker without rotation {kept:.1f} s; yes | head | cat alone {pipe:.1f} s")


def bare_pipe(script: str) -> float:
    """Seconds that the two programs take to write, and a third to read."""
    start = time.perf_counter()
    sh("sh", "-c", " | ".join(f"busybox {part}" for part in [*script.split(" | "), "cat"]) + " >/dev/null")
    return time.perf_counter() - start


# --- images -----------------------------------------------------------------------------------------------------------


def images(s: Bench) -> None:
    """import, export and commit of 500 MB"""
    megabytes = s.sizes.images[-1]
    tar, out, image, few = image_tar(s, megabytes), f"{s.directory}/out.tar", f"{IMAGE}-{megabytes}", s.few

    def import_(peer: Peer) -> list[float]:
        seconds = peer.took(["import", tar, image])
        peer("rmi", image)
        return [seconds]

    def export(peer: Peer) -> list[float]:
        seconds = peer.took(["export", "-o", out, "big"])
        os.unlink(out)
        return [seconds]

    def commit(peer: Peer) -> list[float]:
        seconds = peer.took(["commit", "filled", image])
        peer("rmi", image)
        return [seconds]

    s.measure(f"import of {megabytes} MB", "s", import_, {"docker": 0.8}, rounds=few)
    s.each("import", tar, image)
    s.each("create", "--name", "big", image, "true")
    s.measure(f"export of {megabytes} MB", "s", export, {"docker": 0.8}, rounds=few)
    s.each("rm", "big")
    s.each("rmi", image)
    s.each("run", "--name", "filled", "-v", f"{tar}:/in.tar:ro", IMAGE, "tar", "-xf", "/in.tar", "-C", "/home")
    s.measure(f"commit of {megabytes} MB", "s", commit, {"docker": 0.8}, rounds=few)


def image_tar(s: Bench, megabytes: int) -> str:
    """The tar of a busybox with so many bytes more: three fifths can't be compressed, the rest are small files."""
    path = f"{s.directory}/{megabytes}.tar"
    if not os.path.exists(path):
        shutil.copyfile(f"{s.directory}/busybox.tar", path)
        with tarfile.open(path, "a") as tar:
            for name, data in files(megabytes * 10**6):
                member = tarfile.TarInfo(f"benchmark/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def files(total: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents, the same ones every time."""
    source = random.Random(total)
    big, small = total * 3 // 5, total * 2 // 5
    for start in range(0, big, BIG):
        yield f"big/{start // BIG}", source.randbytes(min(BIG, big - start))
    for number in range(small // SMALL):
        yield f"small/{number % 100}/{number}", f"{number:08}".encode() * (SMALL // 8)


# --- where mydocker's time goes ---------------------------------------------------------------------------------------


def profile(s: Bench) -> None:
    """mydocker alone: what `run` imports, and the phases of a start"""
    for host in (peer.host for peer in s.engines if peer.name == OURS):
        s.details["imports"] = import_times(host.enter)
        s.details["phases"] = phases(host.enter)


# In this order: what makes most containers comes last, as nobody has to remove them.
CASES: dict[str, Callable[[Bench], None]] = {
    "run-none": run_none,
    "run-bridge": run_bridge,
    "detached": detached,
    "exec": execute,
    "look": look,
    "inside": inside,
    "copy": copy,
    "stop": stop,
    "starts": starts,
    "memory": memory,
    "size": size,
    "stats": stats,
    "crowd": crowd,
    "images": images,
    "log": log,
    "profile": profile,
    "list": listed,
}
