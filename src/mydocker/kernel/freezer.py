"""Freeze and thaw a cgroup with all cgroups below it, on v1 (the freezer hierarchy) and v2 (cgroup.freeze)."""

from __future__ import annotations

import os
from time import monotonic, sleep

from mydocker.kernel import cgroups

_PATIENCE = 10.0  # seconds
_READS = 25  # of v1's state before it is thawed for a moment
_TICK = 0.001


def freeze(file: str) -> None:
    """Freeze, and return when all processes have stopped. file: as cgroups.freezer() names it.

    Raises OSError, and TimeoutError for a process that does not stop, as one that waits for a disk; then all go on.
    """
    deadline = monotonic() + _PATIENCE
    try:
        while not _has_frozen(file):
            if monotonic() > deadline:
                raise TimeoutError
    except BaseException:
        thaw(file)
        raise


def thaw(file: str) -> None:
    """Let all processes go on. Harmless if they do. Raises OSError."""
    cgroups.write(file, "0" if _is_v2(file) else "THAWED")


def is_frozen(file: str) -> bool:
    if _is_v2(file):
        return "frozen 1" in cgroups.read(f"{os.path.dirname(file)}/cgroup.events").split("\n")
    return cgroups.read(file) == "FROZEN"


def _has_frozen(file: str) -> bool:
    """Order it, and wait for a moment."""
    cgroups.write(file, "1" if _is_v2(file) else "FROZEN")
    for _ in range(_READS):
        if is_frozen(file):
            return True
        sleep(_TICK)
    if not _is_v2(file):  # a fork at the wrong moment keeps v1 FREEZING for ever: runc does the same
        thaw(file)
        sleep(_TICK)
    return False


def _is_v2(file: str) -> bool:
    return file.endswith("/cgroup.freeze")
