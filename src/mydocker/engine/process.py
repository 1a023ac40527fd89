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


def open_pidfd(container: Container) -> int:
    """Open a pidfd of the container's first process, and of no later process with its PID; -1 if it does not run."""
    if not container.is_up() or container.pid <= 0:
        return -1
    try:
        pidfd = process.pidfd_open(container.pid)
    except ProcessLookupError:
        return -1
    if not state.is_running(container):
        os.close(pidfd)
        return -1
    return pidfd


def wait_recorded(container: Container) -> None:
    """Wait until the monitor has recorded the end, or has ended itself. Raises HostError if it does neither though the
    container has ended."""
    if not state.has_monitor(container):
        return
    try:
        monitor = process.pidfd_open(container.monitor_pid)
    except ProcessLookupError:
        return
    try:
        deadline = 0.0
        while state.has_monitor(container) and not process.ends_within(monitor, 0.05):
            # The monitor may stay to hand the last output to a slow caller; the record counts.
            try:
                now = state.load(container.id)
            except MydockerError:
                return
            if not now.is_up() or now.started_at != container.started_at:
                return
            if deadline and monotonic() > deadline:
                raise hangs(container, "has not recorded its end")
            if not deadline and not state.is_running(now):
                deadline = monotonic() + PATIENCE
    finally:
        os.close(monitor)


def hangs(container: Container, what: str) -> HostError:
    message = f"the monitor of container {container.name} (process {container.monitor_pid}) {what} for {PATIENCE} s"
    return HostError(message, f"see 'cat /proc/{container.monitor_pid}/status'")
