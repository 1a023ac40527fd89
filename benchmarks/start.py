#!/usr/bin/python3
"""How long `run --rm --net none busybox true` takes, beside docker's, in one sitting on one machine.

    benchmarks/start.py [--rounds N] [--runs N] [--limit RATIO] [--json FILE]

Needs root and Debian's docker.io and hyperfine. Where no dockerd runs, one is started for this, with a folder of its
own, and stopped again. Both run the same busybox, from mydocker's export. The two take turns, round by round, so that a
machine that is busy for a moment is so for both. Exit code 1 if mydocker takes more than RATIO of docker's time.
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
from collections.abc import Iterator
from pathlib import Path

MYDOCKER = str(Path(__file__).resolve().parents[1] / "bin" / "mydocker")
IMAGE = "mydocker-benchmark"
COMMAND = ["run", "--rm", "--net", "none"]


def sh(*words: str, **options) -> str:
    """Run a program that has to succeed; its stdout. What it says on stderr is shown."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def docker_cgroups() -> set[Path]:
    top = Path("/sys/fs/cgroup")
    return {*top.glob("docker"), *top.glob("*/docker")}


@contextlib.contextmanager
def dockerd(folder: str) -> Iterator[None]:
    """A docker daemon for the time of the block: the machine's if one answers, else one of our own below `folder`."""
    if subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        yield
        return
    cgroups_before = docker_cgroups()
    os.environ["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with open(f"{folder}/dockerd.log", "w+") as log:
        options = [*places, "--iptables=false", "--bridge=none", f"--host={os.environ['DOCKER_HOST']}"]
        daemon = subprocess.Popen(["dockerd", *options], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                if daemon.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"dockerd does not start:\n{log.read()}")
                time.sleep(0.2)
            yield
        finally:
            daemon.terminate()
            daemon.wait()
            for folder_left in docker_cgroups() - cgroups_before:
                folder_left.rmdir()


def load_image() -> None:
    """Give docker the very files of mydocker's busybox."""
    made = sh(MYDOCKER, "create", "busybox")
    with subprocess.Popen([MYDOCKER, "export", made], stdout=subprocess.PIPE) as export:
        sh("docker", "import", "-", IMAGE, stdin=export.stdout)
    sh(MYDOCKER, "rm", made)


def measure(commands: dict[str, list[str]], rounds: int, runs: int) -> dict[str, list[float]]:
    """Seconds, by name, of each run of each command."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    options = ["--shell=none", "--style=none", "--warmup=2", f"--runs={runs}"]
    for _ in range(rounds):
        with tempfile.NamedTemporaryFile() as file:
            words = [shlex.join(command) for command in commands.values()]
            sh("hyperfine", *options, f"--export-json={file.name}", *words)
            results = json.load(file)["results"]
        for name, result in zip(commands, results):
            times[name] += result["times"]
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4, help="how often the two take turns (4)")
    parser.add_argument("--runs", type=int, default=15, help="runs of each in a round (15)")
    parser.add_argument("--limit", type=float, default=0.3, help="the ratio that must not be exceeded (0.3)")
    parser.add_argument("--json", metavar="FILE", help="write all times to FILE, in seconds")
    args = parser.parse_args()
    missing = [program for program in ("docker", "dockerd", "hyperfine") if not shutil.which(program)]
    if missing or os.getuid():
        raise SystemExit(f"needs root, and {', '.join(missing)}: apt-get install docker.io hyperfine")

    with tempfile.TemporaryDirectory(prefix="mydocker-benchmark.", dir="/var/tmp") as folder:
        os.environ.update(MYDOCKER_ROOT=f"{folder}/root", MYDOCKER_RUN=f"{folder}/run")
        with dockerd(folder):
            load_image()
            try:
                commands = {
                    "docker": ["docker", *COMMAND, IMAGE, "true"],
                    "mydocker": [MYDOCKER, *COMMAND, "busybox", "true"],
                }
                times = measure(commands, args.rounds, args.runs)
            finally:
                sh("docker", "rmi", "--force", IMAGE)

    print(f"{shlex.join(COMMAND)} busybox true: {args.rounds} x {args.runs} runs of each\n")
    print(f"{'':10}{'median':>10}{'fastest':>10}{'slowest':>10}")
    for name, seconds in times.items():
        columns = (statistics.median(seconds), min(seconds), max(seconds))
        print(f"{name:10}" + "".join(f"{1000 * value:7.1f} ms" for value in columns))
    ratio = statistics.median(times["mydocker"]) / statistics.median(times["docker"])
    print(f"\nmydocker takes {ratio:.2f} of docker's time; the limit is {args.limit:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"command": COMMAND, "seconds": times, "ratio": ratio}) + "\n")
    return int(ratio > args.limit)


if __name__ == "__main__":
    sys.exit(main())
