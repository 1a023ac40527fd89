"""Count what a command of the hot path costs, for test_start_cost.py and script/make-start-cost."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

RECORD = Path(__file__).with_name("start_cost.json")
PROGRAM = str(Path(__file__).parents[2] / "bin" / "mydocker")

# NAME: a running container.
COMMANDS = [
    "run --rm --net none busybox true",
    "run --rm busybox true",
    "run -d --rm -m 100m -e A=1 -p 80 busybox true",
    "exec NAME true",
    "ps -a",
    "logs NAME",
    "inspect NAME",
    "stop -t 0 NAME",
    "start NAME",
    "rm -f NAME",
]


# The monitor, full and minimal. Nobody sees their stderr, so their imports are listed separately.
PARTS = ["mydocker.runtime.starter", "mydocker.runtime.supervise"]


def hierarchies() -> int:
    """Count the hierarchies of cgroup v1 and v2: a start makes a directory in each."""
    return len(Path("/proc/self/cgroup").read_text().splitlines())


def modules(words: list[str], env: dict[str, str]) -> set[str]:
    """Return the modules that a command loads. words: bin/mydocker's arguments."""
    return _loaded([PROGRAM, *words], env)


def part_modules(part: str) -> set[str]:
    source = Path(PROGRAM).parents[1] / "src"
    return _loaded(["-c", f"import sys; sys.path.append({str(source)!r}); import {part}"], {})


def _loaded(words: list[str], env: dict[str, str]) -> set[str]:
    python = ["/usr/bin/python3", "-I", "-S", "-X", "utf8", "-X", "importtime", *words]
    done = subprocess.run(python, env=env, check=True, capture_output=True, text=True)
    return set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE))


def syscalls(words: list[str], env: dict[str, str], directory: Path) -> dict[str, int]:
    """Count the system calls of all processes, and the processes. Run the command once before, to fill all caches."""
    report, log = directory / "calls", directory / "processes"
    subprocess.run(["strace", "-f", "-c", "-o", str(report), PROGRAM, *words], env=env, check=True)
    subprocess.run(["strace", "-f", "-e", "trace=exit_group", "-o", str(log), PROGRAM, *words], env=env, check=True)
    total = report.read_text().splitlines()[-1].split()
    return {"calls": int(total[3]), "processes": len({row.split()[0] for row in log.read_text().splitlines()})}
