"""Steps for limits that few containers have; loaded for them only."""

from __future__ import annotations

import os
from math import ceil

from mydocker.kernel import cgroups
from mydocker.ops.base import Context, Op, operation, quote

_ROUNDING = 1e-6  # µs: what the sums of binary fractions may be off


@operation
class WriteEither(Op):
    """Write a value to the first of two cgroup files that the kernel has. paths, values: two of each."""

    paths: list[str]
    values: list[str]
    section = "cgroup"

    def do(self, context: Context) -> None:
        at = 0 if os.path.exists(self.paths[0]) else 1
        cgroups.write(self.paths[at], self.values[at])

    def describe(self) -> str:
        return f"limit: {os.path.basename(self.paths[0])} = {self.values[0]}"

    def shell(self) -> str:
        first, second = (f"echo {quote(value)} > {quote(path)}" for path, value in zip(self.paths, self.values))
        return f"if [ -e {quote(self.paths[0])} ]; then {first}; else {second}; fi"


@operation
class ChangeLimits(Op):
    """Write new values to the cgroup files of a running container. rows: [path, value], each.

    What the kernel refuses is tried again after the others: which of two limits has to come first, such as memory and
    memory with swap, depends on whether they are raised or lowered."""

    rows: list[list[str]]
    section = "cgroup"

    def do(self, context: Context) -> None:
        self._before: list[list[str]] = []
        _write_all(self.rows, self._before)

    def undo(self) -> None:
        _write_all(self._before[::-1], [])

    def describe(self) -> str:
        return "change limits: " + ", ".join(f"{os.path.basename(path)} = {value}" for path, value in self.rows)

    def shell(self) -> str:
        return "; ".join(f"echo {quote(value)} > {quote(path)}" for path, value in self.rows)


def _write_all(rows: list[list[str]], before: list[list[str]]) -> None:
    """before: gets [path, the value that was there] of each that is written."""
    pending, refused = rows, None
    while pending:
        failed = []
        for path, value in pending:
            old = cgroups.read(path).partition("\n")[0]
            try:
                cgroups.write(path, value)
            except OSError as error:
                failed.append([path, value])
                refused = error
            else:
                before.append([path, old])
        if refused and len(failed) == len(pending):
            raise refused
        pending = failed


@operation
class ShareRealtime(Op):
    """Give the cgroups above the container's as much real-time CPU time as all in them have together, on v1: a new
    cgroup has none to pass on. directories: from the top down. runtime, period: the container's, in microseconds."""

    directories: list[str]
    runtime: int
    period: int
    section = "cgroup"

    def do(self, context: Context) -> None:
        missing, shares = self.runtime / self.period, []
        for directory in reversed(self.directories):
            below = sum(
                realtime_share(entry.path) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)
            )
            missing = max(0.0, missing + below - realtime_share(directory))
            shares.append((directory, realtime_share(directory) + missing))
        for directory, share in reversed(shares):
            period = int(cgroups.read(f"{directory}/cpu.rt_period_us"))
            cgroups.write(f"{directory}/cpu.rt_runtime_us", str(ceil(share * period - _ROUNDING)))

    def describe(self) -> str:
        return "give its parents real-time CPU time to pass on"

    def shell(self) -> str:
        return f"echo {self.runtime} | tee {' '.join(quote(each + '/cpu.rt_runtime_us') for each in self.directories)}"


def realtime_share(directory: str) -> float:
    """Return the part of a CPU that processes of a cgroup may use with real-time priority, on v1."""
    try:
        runtime, period = (int(cgroups.read(f"{directory}/cpu.rt_{each}_us")) for each in ("runtime", "period"))
    except OSError:
        return 0.0  # removed meanwhile
    return runtime / period
