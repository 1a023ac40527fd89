"""A container after its start: stop, kill, wait, remove.

Clean-up code is imported only where a monitor left something behind.
"""

from __future__ import annotations

import _signal
import os
from time import monotonic, sleep

from mydocker import jsontext, paths, state
from mydocker.engine.bundle import load_spec
from mydocker.engine.process import PATIENCE, hangs, open_pidfd, wait_recorded
from mydocker.errors import Conflict, CorruptRecord, HostError, InvalidArgument, NotFound
from mydocker.kernel import process
from mydocker.kernel.files import read_regular
from mydocker.kernel.locks import Lock
from mydocker.model.container import not_running
from mydocker.model.options import restart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_PATIENCE_GONE = 3  # seconds until the end of a container is recorded whose process is gone
_PATIENCE_KILLED = 10  # seconds until a killed container has ended, as with docker


def kill(container: Container, signal: int) -> None:
    """Send a signal. Raises Conflict if the container does not run."""
    container, restarting = note_user_signal(container, signal)
    if restarting:
        return
    pidfd = open_pidfd(container)
    if pidfd < 0:
        raise not_running(container)
    try:
        _signal.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        pass  # it has just ended
    finally:
        os.close(pidfd)
    if container.is_paused():
        _wake(container, signal)


def _wake(container: Container, signal: int) -> None:
    """Unpause a container that has been sent a signal, if it is paused now."""
    try:
        paused = state.load(container.id).is_paused()
    except NotFound:
        return
    if paused:
        from mydocker.engine import pausing

        pausing.wake(container, signal)


def note_user_signal(container: Container, signal: int) -> tuple[Container, bool]:
    """Note that the user sends a signal: a terminating one also suspends the restart policy, see
    _suspend_restarts()."""
    if signal in (_signal.SIGKILL, _signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, container.stop_signal):
        return _suspend_restarts(container, restart.BY_HAND)
    return container, False


def stop(
    container: Container, timeout: int | None = None, signal: int | None = None, ended_by: str = restart.BY_HAND
) -> None:
    """Send the stop signal, then SIGKILL if the container still runs after `timeout` seconds (negative: never). Returns
    when the end is recorded. A container waiting for a restart is not restarted; one that does not run stays as it is.
    """
    container, _ = _suspend_restarts(container, ended_by)
    pidfd = open_pidfd(container)
    if pidfd >= 0:
        try:
            signal = container.stop_signal if signal is None else signal
            _signal.pidfd_send_signal(pidfd, signal)
            if container.is_paused():
                _wake(container, signal)
            limit = container.stop_timeout if timeout is None else timeout
            if not process.ends_within(pidfd, None if limit < 0 else limit):
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
                _wake(container, _signal.SIGKILL)  # in case that it has been paused meanwhile
                _wait_killed(container, pidfd)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    elif container.is_up() and not _ends_soon(container):
        _terminate_monitor(container)  # the record names a wrong process: only the monitor can end the right one
    wait_recorded(container)


def _ends_soon(container: Container) -> bool:
    """True if the monitor records the end, which it does if the first process has just ended."""
    deadline = monotonic() + _PATIENCE_GONE
    while monotonic() < deadline:
        try:
            if not state.load(container.id).is_up():
                return True
        except NotFound:
            return True
        sleep(0.05)
    return False


def _wait_killed(container: Container, pidfd: int) -> None:
    """Raises HostError if the container does not end: then the kernel or another process keeps it from ending."""
    if not process.ends_within(pidfd, _PATIENCE_KILLED):
        from mydocker.kernel import stuck

        said = f"container {container.name} was killed, and has not ended for {_PATIENCE_KILLED} s"
        raise HostError(said, stuck.why(container.pid))


def stop_to_restart(container: Container, timeout: int | None, signal: int | None) -> None:
    """Stop a container that is started again at once: with --rm it is not removed in between."""
    try:
        stop(container, timeout, signal, restart.BY_RESTART)
    except BaseException:
        _give_up_restart(container)
        raise


def _give_up_restart(container: Container) -> None:
    """Record that it is not started again after all: with --rm it is removed at its end, or now."""
    try:
        with state.lock(container):
            container = state.load(container.id)
            if container.ended_by != restart.BY_RESTART:
                return
            container.ended_by = restart.BY_HAND
            if container.auto_remove and not state.has_monitor(container):
                state.remove(container.id, container.name, container.own_volumes)
            else:
                state.save(container)
    except NotFound:
        pass


def _suspend_restarts(container: Container, ended_by: str) -> tuple[Container, bool]:
    """Suspend the restart policy until the next start. Returns the new record, and whether the container was waiting
    for a restart, which this ended."""
    if container.auto_remove and ended_by != restart.BY_RESTART:  # has no policy, and may be removed at any moment
        return container, False
    with state.lock(container):
        container = state.load(container.id)
        restarting = container.is_restarting()
        if not restarting and not state.is_running(container):
            return container, False
        container.ended_by = container.ended_by or ended_by
        if restarting:
            container.status = "exited"
        try:
            state.save(container, durable=restarting)
            recorded = True
        except (OSError, HostError):
            if container.auto_remove:
                raise  # the monitor would not know of the restart, and remove the container with its data
            recorded = False  # a full disk must not keep the container from being stopped
        if restarting:
            _terminate_monitor(container, wait=True)  # it only waits: a start would need the lock
        elif not recorded and container.restart != restart.NO:
            _terminate_monitor(container)  # it stops its container, and does not restart it
    return container, restarting


def _terminate_monitor(container: Container, wait: bool = False) -> None:
    """Send SIGTERM to the monitor. wait: until it has ended."""
    try:
        pidfd = process.pidfd_open(container.monitor_pid)
    except ProcessLookupError:
        return
    try:
        if state.has_monitor(container):
            _signal.pidfd_send_signal(pidfd, _signal.SIGTERM)
            if wait and not process.ends_within(pidfd, PATIENCE):
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)  # it may be stopped by a SIGSTOP
                if not process.ends_within(pidfd, PATIENCE):
                    raise hangs(container, "was killed, and has not ended")
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _wait_without_monitor(container: Container) -> None:
    """Wait for a container that has outlived its monitor: its end will not be recorded."""
    pidfd = open_pidfd(container)
    if pidfd >= 0 and not state.has_monitor(container):
        process.ends_within(pidfd, None)
    if pidfd >= 0:
        os.close(pidfd)


def wait(container: Container) -> int:
    """Wait until the container has ended. Returns its exit code; 0 if it was never started. If it waits for a restart,
    this waits for the end of the next run, as docker does."""
    before = container.started_at
    # Opened before the container ends: it may be removed at once, and then only this tells the code.
    last_code = state.LastCode(container)
    try:
        while container.is_restarting():
            if container.started_at != before:  # the next run has ended already
                return container.exit_code
            sleep(0.05)
            container = state.load(container.id)
        wait_recorded(container)
        _wait_without_monitor(container)
        return state.load(container.id).exit_code
    except (NotFound, CorruptRecord):
        return last_code.read(container)
    finally:
        last_code.close()


def remove(reference: str, force: bool = False, volumes: bool = False) -> None:
    """Remove a container. force: kill it first. volumes: remove its anonymous volumes too.

    Raises Conflict for a running container without force, and CorruptRecord for a corrupt one without force.
    """
    state.cleanup()
    container_id = state.find_id(reference)
    while not _removed(container_id, reference, force, volumes):
        pass  # it was restarted meanwhile


def _removed(container_id: str, reference: str, force: bool, volumes: bool) -> bool:
    """Try to remove a container. Returns False if it was restarted meanwhile."""
    try:
        container = state.load(container_id)
    except NotFound:
        raise state.no_such(reference) from None
    except CorruptRecord:
        if not force:
            raise
        _remove_unreadable(container_id)
        return True
    if container.is_paused() and not force:
        name = container.name
        raise Conflict(f"container {name} is paused", f"'mydocker unpause {name}' and 'mydocker stop {name}', or rm -f")
    if container.is_active() and not force:
        raise Conflict(
            f"container {container.name} is {container.status}", f"'mydocker stop {container.name}' first, or rm -f"
        )
    ran = container.is_up()
    try:
        if container.is_active():
            stop(container, 0, _signal.SIGKILL, restart.BY_REMOVAL)
        with state.lock(container):
            container = state.load(container_id)
            if container.is_active():
                return False
            clean = ran and container.finished_at and not container.error  # the monitor has just cleaned up
            if not clean and not state.has_monitor(container):
                _cleanup(container, force)
            state.remove(container.id, container.name, container.own_volumes if volumes else [])
    except NotFound:
        pass  # the monitor (--rm) or another rm was quicker
    return True


def _cleanup(container: Container, force: bool) -> None:
    """Clean up; with force, also a container whose record or bundle makes no sense."""
    from mydocker.engine.cleanup import cleanup

    try:
        cleanup(container, load_spec(container))
    except (CorruptRecord, InvalidArgument):
        if not force:
            raise
        _remove_cgroup(container.id)


def _remove_unreadable(container_id: str) -> None:
    """Remove a container whose record is corrupt: its bundle still names its cgroup, a link its name."""
    try:
        with Lock(f"{paths.container(container_id)}/lock"):
            _remove_cgroup(container_id)
            state.remove(container_id, state.name_of(container_id))
    except FileNotFoundError:
        pass  # another rm was quicker


def _remove_cgroup(container_id: str) -> None:
    from mydocker.kernel import cgroups

    try:
        path = jsontext.loads(read_regular(f"{paths.container(container_id)}/config.json"))["linux"]["cgroupsPath"]
        if os.path.basename(path) == container_id and ".." not in path.split("/"):
            for mount in cgroups.layout().directories():
                cgroups.remove(mount + path)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # without a bundle no cgroup is known
