"""The processes of a running container: a pidfd of its first one, and the wait for its monitor."""

from __future__ import annotations

import os
from time import monotonic

from mydocker import state
from mydocker.errors import HostError, MydockerError
from mydocker.kernel import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

PATIENCE = 30  # seconds for a monitor to do its work; a monitor that takes longer hangs


def open_pidfd(found: Container) -> int:
    """Open a pidfd of the container's first process, and of no later process with its PID; -1 if it does not run."""
    if not found.is_up() or found.pid <= 0:
        return -1
    try:
        pidfd = process.pidfd_open(found.pid)
    except ProcessLookupError:
        return -1
    if not state.is_running(found):
        os.close(pidfd)
        return -1
    return pidfd


def wait_recorded(found: Container) -> None:
    """Wait until the monitor has recorded the end, or has ended itself. Raises HostError if it does neither though the
    container has ended."""
    if not state.has_monitor(found):
        return
    try:
        monitor = process.pidfd_open(found.monitor_pid)
    except ProcessLookupError:
        return
    try:
        deadline = 0.0
        while state.has_monitor(found) and not process.ends_within(monitor, 0.05):
            # A monitor may linger to hand the last output to a caller who is slow; its record counts.
            try:
                now = state.load(found.id)
            except MydockerError:
                return
            if not now.is_up() or now.started_at != found.started_at:
                return
            if deadline and monotonic() > deadline:
                raise hangs(found, "has not recorded its end")
            if not deadline and not state.is_running(now):
                deadline = monotonic() + PATIENCE
    finally:
        os.close(monitor)


def hangs(found: Container, what: str) -> HostError:
    said = f"the monitor of container {found.name} (process {found.monitor_pid}) {what} for {PATIENCE} s"
    return HostError(said, f"what does it wait for? 'cat /proc/{found.monitor_pid}/status'")
