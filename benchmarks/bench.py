#!/usr/bin/python3
"""Measure mydocker beside docker, podman, runc and crun, in turns, in one sitting."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import cases
import report
import travel
from peers import ALL, Failure, contestants
from svg import picture

# In this order: what makes most containers comes last, as nobody has to remove them.
CASES = {"build": travel.build, "travel": travel.travel, **cases.CASES}
MORE = """\
Each contestant has a host of its own (network, mounts, processes): no container, image, daemon or rule of this
machine is touched or seen, and nothing is left, Ctrl-C included. It takes about 20 minutes on two processors, --quick
one or two; to create the 1000 containers of `list` takes docker 20 seconds and podman a minute, `starts` is the
longest. Exit code 1 if a target is missed. The cases:

"""


def main() -> int:
    args = arguments()
    if os.getuid():
        raise SystemExit("bench: needs root")
    start = time.monotonic()
    print("the contestants …", file=sys.stderr)
    with contestants(ALL) as (directory, peers, absent):
        s = cases.Bench(peers, absent, args.rounds or (1 if args.quick else 5))
        s.directory, s.sizes = directory, cases.QUICK if args.quick else cases.Sizes()
        s.play({name: CASES[name] for name in args.only})
    versions = {peer.name: peer.version for peer in peers}
    about = {"machine": machine(), "versions": versions, "seconds": time.monotonic() - start, "quick": args.quick}
    tell(s, about, args)
    return int(bool(report.missed(s.rows)))


def arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:12}{case.__doc__}" for name, case in CASES.items())
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description=__doc__,
        epilog=MORE + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everything = list(CASES)
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=everything, default=everything, help="these cases")
    parser.add_argument("--quick", action="store_true", help="few runs, small sizes: does it work, and about how fast")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often they take turns (5; --quick: 1)")
    parser.add_argument("--json", metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--svg", metavar="FILE", help="draw them into FILE")
    return parser.parse_args()


def machine() -> str:
    names = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    version = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    system = "".join(
        line.partition("=")[2].strip().strip('"') for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")
    )
    cpu = names[0] if names else platform.machine()
    return f"{os.cpu_count()} CPUs ({cpu}), {system}, Linux {platform.release()}, cgroup {version}"


def tell(s: cases.Bench, about: dict[str, Any], args: argparse.Namespace) -> None:
    names = [name for name in ALL if any(name in row.values for row in s.rows)]
    print(f"{about['machine']}; " + "; ".join(about["versions"].values()))
    print(f"{s.rounds} rounds in {about['seconds']:.0f} s\n")
    if s.rows:
        print(report.table(s.rows, names))
    for line in [*report.reasons(s.rows), *s.notes]:
        print(line)
    print(report.profile(s.details))
    for line in report.missed(s.rows):
        print(f"missed: {line}")
    if args.json:
        Path(args.json).write_text(json.dumps(report.as_json(s, about), indent=1) + "\n")
    if args.svg:
        day = datetime.date.today().isoformat()
        Path(args.svg).write_text(picture(s.rows, names, f"{about['machine']}, {day}"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except Failure as problem:
        sys.exit(f"bench: {problem}")
