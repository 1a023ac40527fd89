#!/usr/bin/python3
"""How long `run --rm --net none busybox true` takes, beside docker's, in one sitting on one machine.

    benchmarks/start.py [--rounds N] [--runs N] [--limit RATIO] [--json FILE]

Needs root and Debian's docker.io and hyperfine. A dockerd is started for this, with a folder of its own, and stopped
again. Both run the same busybox, from mydocker's export. The two take turns, round by round, so that a
machine that is busy for a moment is so for both. Exit code 1 if mydocker takes more than RATIO of docker's time.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from docker import MYDOCKER, dockerd, load_busybox, sh

IMAGE = "mydocker-benchmark"
COMMAND = ["run", "--rm", "--net", "none"]


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
        with dockerd(f"{folder}/docker", "--iptables=false", "--bridge=none") as docker:
            load_busybox(docker, IMAGE)
            commands = {
                "docker": [*docker, *COMMAND, IMAGE, "true"],
                "mydocker": [MYDOCKER, *COMMAND, "busybox", "true"],
            }
            times = measure(commands, args.rounds, args.runs)

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
