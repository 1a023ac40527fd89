"""Where the time of a mydocker start goes: the modules that it imports, and the steps that it takes."""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from peers import IMAGE, MYDOCKER, run

START = ("run", "--rm", "--net", "none")
TIMES = 7
IMPORT = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)


def import_times(enter: Sequence[str]) -> list[tuple[str, float]]:
    """Modules with the milliseconds that each takes by itself, longest first: medians.

    Those of the interpreter's own start are among them. python -X importtime makes each some microseconds slower.
    """
    command = ["/usr/bin/python3", "-ISXutf8", "-Ximporttime", MYDOCKER, *START, IMAGE, "true"]
    return by_median(imports(run(*enter, *command).stderr) for _ in range(TIMES))


def imports(text: str) -> dict[str, float]:
    """Module -> ms, from the output of -X importtime."""
    sums: dict[str, float] = defaultdict(float)
    for microseconds, module in IMPORT.findall(text):
        sums[module] += int(microseconds) / 1e3
    return sums


def phases(enter: Sequence[str]) -> list[tuple[str, float]]:
    """Phases of a start with the milliseconds that each takes, longest first: medians. Waits overlap other phases."""
    command = [MYDOCKER, *START, "--explain", "--format", "json", IMAGE, "true"]
    return by_median(spent(json.loads(run(*enter, *command).stderr)["spans"]) for _ in range(TIMES))


def spent(spans: Iterable[dict]) -> dict[str, float]:
    """Phase -> ms. Steps of one section are one phase, others stand alone."""
    sums: dict[str, float] = defaultdict(float)
    for span in spans:
        sums[f"{span['side']}: {span['section'] or span['name']}"] += (span["end"] - span["start"]) / 1e6
    return sums


def by_median(measurements: Iterable[dict[str, float]]) -> list[tuple[str, float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for measurement in measurements:
        for name, value in measurement.items():
            values[name].append(value)
    medians = [(name, statistics.median(value)) for name, value in values.items()]
    return sorted(medians, key=lambda pair: -pair[1])
