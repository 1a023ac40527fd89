"""pause and unpause: freeze all processes of a running container, and let them go on.

The record says paused before the kernel freezes, and running after it has thawed: what is frozen is always recorded.
"""

from __future__ import annotations

import _signal
import errno
from contextlib import contextmanager

from mydocker import state
from mydocker.engine import bundle
from mydocker.errors import Conflict, HostError, MydockerError, NotFound
from mydocker.kernel import cgroups, freezer
from mydocker.model.container import not_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.model.container import Container


def pause(container: Container) -> None:
    """Raises Conflict if it does not run, or is paused already; HostError if the kernel can't stop its processes."""
    file = _file(container)
    with state.lock(container):
        container = state.load(container.id)
        if container.is_paused():
            raise Conflict(f"container {container.name} is already paused", f"'mydocker unpause {container.name}'")
        if not state.is_running(container):
            raise not_running(container)
        container.status = "paused"
        state.save(container)
        try:
            freezer.freeze(file)
        except BaseException as error:
            container.status = "running"
            state.save(container)
            if isinstance(error, OSError):
                raise _refused(container, error) from None
            raise


def _refused(container: Container, error: OSError) -> MydockerError:
    if isinstance(error, TimeoutError):
        from mydocker.kernel import stuck

        return HostError(f"container {container.name} can't be paused: it does not stop", stuck.why(container.pid))
    if error.errno in (errno.ENOENT, errno.ENODEV) and not state.is_running(container):
        return not_running(container)
    return HostError(f"container {container.name} can't be paused: {error.strerror}", error.filename or "")


def unpause(container: Container) -> None:
    """Raises Conflict if it is not paused."""
    file = _file(container)
    with state.lock(container):
        container = state.load(container.id)
        if not container.is_paused():
            raise Conflict(f"container {container.name} is not paused", "see 'mydocker ps -a'")
        try:
            freezer.thaw(file)
        except FileNotFoundError:
            pass  # it has ended, which its monitor is about to record
        container.status = "running"
        state.save(container)


def _file(container: Container) -> str:
    file = cgroups.freezer(cgroups.layout(), bundle.load_spec(container)["linux"]["cgroupsPath"])
    if not file:
        raise HostError("this host can't pause: no cgroup freezer is mounted", "mount the freezer hierarchy, or use v2")
    return file


def wake(container: Container, signal: int) -> None:
    """Unpause a paused container that has been sent a signal: a frozen process would not see it.

    As with docker, of a container with a stop signal of its own only that and SIGKILL do so."""
    try:
        container = state.load(container.id)
        if not container.is_paused():
            return
        explicit = bundle.load_request(container).stop_signal
        if not explicit or signal in (container.stop_signal, _signal.SIGKILL):
            unpause(container)
    except (Conflict, NotFound):
        pass  # another command was quicker


@contextmanager
def paused(container: Container) -> Iterator[None]:
    """Pause a container for the time of the block, unless it does not run or is paused already. It goes on after an
    exception, too: also that of a signal, which cli/streams.py raises in commands that do something for a while."""
    try:
        pause(container)
    except Conflict:
        yield
        return
    try:
        yield
    finally:
        wake(container, _signal.SIGKILL)
