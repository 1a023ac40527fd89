"""What the benchmarks share: programs that have to succeed, and a docker daemon for as long as it is needed."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

MYDOCKER = str(Path(__file__).resolve().parents[1] / "bin" / "mydocker")


def sh(*words: str, **options) -> str:
    """Run a program that has to succeed; its stdout. What it says on stderr is shown."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def succeeds(*words: str) -> bool:
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def cgroups() -> set[Path]:
    """Those that docker makes for itself."""
    top = Path("/sys/fs/cgroup")
    return {*top.glob("docker"), *top.glob("*/docker")}


@contextlib.contextmanager
def dockerd(folder: str, *options: str, prefix: Sequence[str] = ()) -> Iterator[list[str]]:
    """A docker daemon with all it owns below `folder`, for the time of the block: the command line that talks to it.

    prefix: a command that runs the daemon, such as nsenter.
    """
    Path(folder).mkdir(exist_ok=True)
    docker = ["docker", f"--host=unix://{folder}/docker.sock"]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", docker[1]]
    before = cgroups()
    with open(f"{folder}/dockerd.log", "w+") as log:
        daemon = subprocess.Popen([*prefix, "dockerd", *places, *options], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not succeeds(*docker, "info"):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"dockerd does not start:\n{log.read()}")
                time.sleep(0.2)
            yield docker
        finally:
            daemon.terminate()
            daemon.wait()
            for left in cgroups() - before:
                left.rmdir()


def load_busybox(docker: Sequence[str], image: str) -> None:
    """Give docker the very files of mydocker's busybox."""
    made = sh(MYDOCKER, "create", "--net", "none", "busybox")
    with subprocess.Popen([MYDOCKER, "export", made], stdout=subprocess.PIPE) as export:
        sh(*docker, "import", "-", image, stdin=export.stdout)
    sh(MYDOCKER, "rm", made)
