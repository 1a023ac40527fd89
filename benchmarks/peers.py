"""The contestants: mydocker, docker, podman, runc and crun, each on a host of its own.

A host is a set of namespaces: network, mounts, processes. In it, /run is empty, and so is each contestant's part of
/etc and /var/lib; what is written elsewhere below these two is dropped. So every contestant runs as it is installed,
with its default directories, sockets, bridges and rules, and neither touches the real host's nor sees the others'. A
host lives as long as its first process, which reads a pipe from the benchmark: when that ends, however it ends, the
kernel takes the host down with all that runs in it. Left are files in the benchmark's directory, and control groups.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MYDOCKER = str(ROOT / "bin/mydocker")
STOPWATCH = str(Path(__file__).with_name("stopwatch.py"))

IMAGE = "mydocker-benchmark"  # the same busybox for all of them; and the bare runtimes' name of their container
PATIENCE = 900  # seconds that a command may take
SLEEP = ("sleep", "100000")
RUNTIMES = ("runc", "crun")

CGROUPS = "/sys/fs/cgroup"
CAP_SYS_RESOURCE = 24

# The first process ignores SIGCHLD, which exec keeps: the kernel reaps the orphans that it inherits.
HOST = """
trap '' CHLD
cd "$0"
mount -t proc proc /proc
mkdir sys && mount -t sysfs sysfs sys && mount --rbind /sys/fs/cgroup sys/fs/cgroup && mount --rbind sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
for top in etc var/lib; do
    mkdir -p upper/$top work/$top
    mount -t overlay -o lowerdir=/$top,upperdir=upper/$top,workdir=work/$top overlay /$top
done
for own in etc/docker etc/containers etc/mydocker var/lib/docker var/lib/containers var/lib/mydocker; do
    mkdir -p own/$own /$own
    mount --bind own/$own /$own
done
ip link set lo up
echo ready
exec cat
"""

PODMAN = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
"""
# podman's own defaults are more than the machine's limits, and raising these takes the capability.
PODMAN_WITHOUT_CAP = 'default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\n'
TRUST = '{"default": [{"type": "insecureAcceptAnything"}]}'


class Failure(Exception):
    """A program has failed; says why in one line."""


def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program with `text` on its stdin; what it has written. Raises Failure."""
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failure(str(problem)) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Failure(said[-1] if said else f"{shlex.join(words)[-60:]}: exit code {done.returncode}")
    return done


def sh(*words: str, text: str = "") -> str:
    """Its stdout."""
    return run(*words, text=text).stdout.strip()


# --- hosts ------------------------------------------------------------------------------------------------------------


class Host:
    """directory: what is its own; pid: its first process; enter: the command prefix that leads into it."""

    def __init__(self, directory: str, pid: int) -> None:
        self.directory, self.pid = directory, pid
        self.enter = ["nsenter", "--net", "--mount", "--pid", f"--target={pid}"]

    def write(self, path: str, text: str) -> None:
        """A file in one of the directories that are the host's own, such as /etc/containers."""
        Path(f"{self.directory}/own{path}").write_text(text)

    def processes(self) -> set[int]:
        """Those that run on the host itself: neither its first one nor the containers' own."""
        found = set()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):  # it has ended
                    if os.path.samefile(f"/proc/{entry}/ns/pid", f"/proc/{self.pid}/ns/pid"):
                        found.add(int(entry))
        return found - {self.pid}


@contextlib.contextmanager
def host(directory: str) -> Iterator[Host]:
    """For the time of the block. Raises Failure."""
    os.makedirs(directory)
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-euc", HOST, directory]
    pipe = subprocess.PIPE
    # Its own session: Ctrl-C is for the benchmark, which ends the host by closing the pipe, and waits for that.
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, start_new_session=True) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise Failure("no host of its own could be set up")
        yield Host(directory, int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()))


def cgroups() -> set[str]:
    return {top for top, _, _ in os.walk(CGROUPS)}


@contextlib.contextmanager
def swept_cgroups(directory: str) -> Iterator[None]:
    """Remove the control groups that the hosts below `directory` leave, and nobody else's."""
    before = cgroups()
    try:
        yield
    finally:
        stores = ("mydocker/containers", "docker/containers", "containers/storage/overlay-containers")
        ours = {path.name for store in stores for path in Path(directory).glob(f"*/own/var/lib/{store}/*")} | {IMAGE}
        parents = {"docker", "libpod_parent", "conmon", "mydocker"}
        for path in sorted(cgroups() - before, key=len, reverse=True):
            name = os.path.basename(path)
            if name in parents or any(known in name for known in ours):
                with contextlib.suppress(OSError):  # somebody else's, in use
                    os.rmdir(path)


# --- contestants ------------------------------------------------------------------------------------------------------


class Peer:
    """program: its command line on its host; version: as it says itself; kill: removes containers that run, at once."""

    kill: tuple[str, ...] = ("rm", "-f")

    def __init__(self, name: str, host: Host, program: Sequence[str]) -> None:
        self.name, self.host, self.program = name, host, program
        self.version = self("--version").splitlines()[0]

    def __call__(self, *words: str) -> str:
        return sh(*self.host.enter, *self.program, *words)

    def seconds(self, runs: int, *words: str) -> list[float]:
        """How long each of so many runs of `PROGRAM WORDS` takes."""
        with tempfile.NamedTemporaryFile() as file:
            options = ["--shell=none", "--style=none", "--warmup=1", f"--runs={runs}", f"--export-json={file.name}"]
            sh(*self.host.enter, "hyperfine", *options, shlex.join([*self.program, *words]))
            return json.load(file)["results"][0]["times"]

    def took(self, *commands: Sequence[str], at_once: int = 1) -> float:
        """Seconds for `PROGRAM COMMAND` with every command, one after another or so many at once."""
        text = json.dumps([[*self.program, *words] for words in commands])
        return float(sh(*self.host.enter, "/usr/bin/python3", "-IS", STOPWATCH, str(at_once), text=text))

    def many(self, count: int, *verb: str, at_once: int = 4) -> float:
        """Seconds to make so many containers that sleep: verb is `run -d` and the like, `{}` in it is its number."""
        commands = ([*(word.format(number) for word in verb), IMAGE, *SLEEP] for number in range(count))
        return self.took(*commands, at_once=at_once)

    def clear(self) -> None:
        """Remove every container."""
        found = self("ps", "-aq").split()
        self.took(*([*self.kill, *found[first : first + 25]] for first in range(0, len(found), 25)), at_once=4)

    @property
    def start(self) -> list[str]:
        """What starts a container without a network that ends at once, and removes it."""
        return ["run", "--rm", "--net", "none", IMAGE, "true"]


Maker = Callable[[str, Host, str], Peer]  # from a name, its host, and a tar of busybox's root file system


class Runtime(Peer):
    """A bare OCI runtime: it has no images, no networks and no list of its own, but a ready bundle."""

    def __init__(self, name: str, host: Host, busybox: str) -> None:
        super().__init__(name, host, [name])
        self.bundle = f"{host.directory}/bundle"
        os.makedirs(f"{self.bundle}/rootfs")
        sh("tar", "-xf", busybox, "-C", f"{self.bundle}/rootfs")
        # One bundle for both, so that they have the same to do.
        sh("runc", "spec", "--bundle", self.bundle)
        config = Path(f"{self.bundle}/config.json")
        spec = json.loads(config.read_text())
        spec["process"].update(terminal=False, args=["true"])
        config.write_text(json.dumps(spec))
        if name == "crun" and os.path.ismount(f"{CGROUPS}/unified"):  # it refuses such a mix of v1 and v2
            sh(*host.enter, "umount", f"{CGROUPS}/unified")

    def clear(self) -> None:
        pass

    @property
    def start(self) -> list[str]:
        return ["run", "--bundle", self.bundle, IMAGE]


@contextlib.contextmanager
def contestants(makers: dict[str, Maker]) -> Iterator[tuple[str, list[Peer], dict[str, str]]]:
    """For the time of the block: a directory on disk, the contestants, and for those that could not be had, why.

    Each is on its host, has the image, and has run a container. mydocker comes first; raises Failure without it.
    SIGTERM and SIGHUP end the block as Ctrl-C does; nothing disturbs the clearing up after it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    temporary = tempfile.TemporaryDirectory(prefix="mydocker-benchmark.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    with temporary as directory, swept_cgroups(directory), contextlib.ExitStack() as hosts:
        os.environ["TMPDIR"] = tempfile.tempdir = directory
        peers: list[Peer] = []
        absent: dict[str, str] = {}
        try:
            for name, make in makers.items():
                try:
                    peer = make(name, hosts.enter_context(host(f"{directory}/{name}")), f"{directory}/busybox.tar")
                    peer(*peer.start)
                    if name not in RUNTIMES:
                        peer("run", "--rm", IMAGE, "true")  # what is made once: the bridge, its rules
                    peers.append(peer)
                except Failure as problem:
                    if not peers:
                        raise
                    absent[name] = str(problem)
            yield directory, peers, absent
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def mydocker(name: str, host: Host, busybox: str) -> Peer:
    """Its busybox is everybody's: it makes the file `busybox`, a tar of the image."""
    peer = Peer(name, host, [MYDOCKER])
    made = peer("create", "--net", "none", "busybox")
    peer("export", "-o", busybox, made)
    peer("rm", made)
    peer("tag", "busybox", IMAGE)
    return peer


def docker(name: str, host: Host, busybox: str, options: Sequence[str] = ()) -> Peer:
    """options: the daemon's. It ends with the host."""
    peer = Peer(name, host, ["docker"])
    log = Path(f"{host.directory}/dockerd.log")
    with log.open("w") as file:
        daemon = subprocess.Popen(
            [*host.enter, "dockerd", *options], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    deadline = time.monotonic() + 60
    while True:
        try:
            peer("info")
            break
        except Failure:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"dockerd does not start: {log.read_text().strip()[-200:]}") from None
            time.sleep(0.2)
    peer("import", busybox, IMAGE)
    return peer


def podman(name: str, host: Host, busybox: str) -> Peer:
    capable = has_capability(Path("/proc/self/status").read_text(), CAP_SYS_RESOURCE)
    host.write("/etc/containers/containers.conf", PODMAN + PODMAN_WITHOUT_CAP * (not capable))
    host.write("/etc/containers/policy.json", TRUST)
    peer = Peer(name, host, ["podman"])
    peer.kill = ("rm", "-f", "-t", "0")  # else it asks them to stop, and waits 10 s
    peer("import", busybox, IMAGE)
    return peer


ALL: dict[str, Maker] = {"mydocker": mydocker, "docker": docker, "podman": podman, "runc": Runtime, "crun": Runtime}


def has_capability(status: str, number: int) -> bool:
    """status: the text of /proc/PID/status."""
    [effective] = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)
