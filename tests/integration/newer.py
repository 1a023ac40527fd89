"""Hosts with the newest docker, podman, skopeo, buildah and umoci of Debian, in roots that script/peers makes.

Such a host is a set of namespaces with a root of its own, an overlay over the one that script/peers keeps: a test
starts from the programs as they are installed, and what it writes goes with it.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from machine import PATH, Result, decode

KEPT = Path("/var/cache/mydocker/peers")
SUITES = ("trixie", "sid")

# The first process ignores SIGCHLD, which exec keeps: the kernel reaps the orphans that it inherits. /var/lib is on the
# disk, not on the overlay: a docker or podman that keeps its layers there needs an overlay of its own.
_SETUP = """
trap '' CHLD
cd "$0"
mount -t overlay -o lowerdir="$1",upperdir=upper,workdir=work overlay root
mount --bind share root/mnt
for own in var/lib/docker var/lib/containers var/tmp; do
    mkdir -p own/$own root/$own
    mount --bind own/$own root/$own
done
mount --rbind /dev root/dev
mount -t sysfs sysfs root/sys && mount --rbind /sys/fs/cgroup root/sys/fs/cgroup
mount -t tmpfs tmpfs root/run && mkdir root/run/lock
mount -t tmpfs tmpfs root/tmp
mount -t proc proc root/proc
cd root/etc/containers
printf '[engine]\\nruntime = "runc"\\ncgroup_manager = "cgroupfs"\\nevents_logger = "file"\\n' >containers.conf
printf '[containers]\\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\\n' >>containers.conf
printf '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
cd "$0"
printf '127.0.0.1 localhost\\n' >root/etc/hosts
mkdir -p root/old
cd root
pivot_root . old
umount -l old
ip link set lo up
echo ready
exec cat
"""


def missing(suite: str) -> str:
    """Return why there is no such host, "" if there can be one."""
    return "" if (KEPT / suite / "recipe").exists() else f"no root of {suite} in {KEPT}: script/peers makes it"


class Newer:
    """A host of that kind. share: a directory of this host's, which is /mnt there."""

    def __init__(self, pid: int, share: Path) -> None:
        self.share = share
        self.enter = ["nsenter", "--net", "--mount", "--pid", "--root", f"--target={pid}", f"--wd=/proc/{pid}/root"]

    def __call__(self, *words: str, input: bytes = b"", timeout: float = 120) -> Result:
        """Run a program."""
        argv = [*self.enter, "env", "-i", f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8", *words]
        done = subprocess.run(argv, input=input, capture_output=True, timeout=timeout)
        return Result(argv, done.returncode, decode(done.stdout), decode(done.stderr))

    def ok(self, *words: str, **options) -> str:
        """Return the stdout, without the last newline, of a program that must succeed."""
        result = self(*words, **options)
        assert result.rc == 0, f"{shlex.join(words)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def start_docker(self, *options: str) -> None:
        """Start dockerd, which ends with the host."""
        with open(self.share / "dockerd.log", "w") as log:
            argv = [*self.enter, "env", "-i", f"PATH={PATH}", "HOME=/root", "dockerd", *options]
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self("docker", "info").rc:
            assert time.monotonic() < deadline, f"dockerd does not start: {(self.share / 'dockerd.log').read_text()}"
            time.sleep(0.2)


@contextlib.contextmanager
def host(directory: Path, suite: str) -> Iterator[Newer]:
    """Start such a host, with its dockerd, for this block. directory: an empty one on a disk."""
    for name in ("upper", "work", "root", "own", "share"):
        (directory / name).mkdir()
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-euc", _SETUP]
    words += [str(directory), str(KEPT / suite / "root")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, start_new_session=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n", "no host of its own could be set up"
        pid = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text())
        new = Newer(pid, directory / "share")
        new.start_docker()
        yield new
