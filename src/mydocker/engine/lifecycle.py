"""What happens to a container after its start: stop, kill, wait, update, remove.
What takes back what a monitor has left is loaded where it did.
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
from mydocker.model.options import restart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_PATIENCE_UNSIGNALLED = 3  # for the end of a container to be recorded whose process is not there
_PATIENCE_KILLED = 10  # for a container to end that was killed, as docker has it


def kill(found: Container, signal: int) -> None:
    """Raises Conflict if it does not run."""
    found, restarting = note_user_signal(found, signal)
    if restarting:
        return
    pidfd = open_pidfd(found)
    if pidfd < 0:
        raise Conflict(f"container {found.name} is not running", f"'mydocker start {found.name}'")
    try:
        _signal.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        pass  # it has just ended by itself
    finally:
        os.close(pidfd)


def note_user_signal(found: Container, signal: int) -> tuple[Container, bool]:
    """A person is about to send it a signal. One that is to end it also ends its restarts: see _let_end."""
    if signal in (_signal.SIGKILL, _signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, found.stop_signal):
        return _let_end(found, restart.BY_HAND)
    return found, False


def stop(
    found: Container, timeout: int | None = None, signal: int | None = None, ended_by: str = restart.BY_HAND
) -> None:
    """The stop signal; SIGKILL if it still runs after `timeout` seconds (negative: never). Returns when its end is
    recorded. A container waiting for a restart is not restarted; one that does not run is left as it is."""
    found, _ = _let_end(found, ended_by)
    pidfd = open_pidfd(found)
    if pidfd >= 0:
        try:
            _signal.pidfd_send_signal(pidfd, found.stop_signal if signal is None else signal)
            limit = found.stop_timeout if timeout is None else timeout
            if not process.ends_within(pidfd, None if limit < 0 else limit):
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
                _wait_killed(found, pidfd)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    elif found.is_up() and not _ends_soon(found):
        _tell_monitor(found)  # it has another process than its record says: only the monitor can end that
    wait_recorded(found)


def _ends_soon(found: Container) -> bool:
    """True if the end of a container whose first process is gone is recorded, as it is when that has just ended."""
    deadline = monotonic() + _PATIENCE_UNSIGNALLED
    while monotonic() < deadline:
        try:
            if not state.load(found.id).is_up():
                return True
        except NotFound:
            return True
        sleep(0.05)
    return False


def _wait_killed(found: Container, pidfd: int) -> None:
    """Raises HostError if it does not end, which is no matter of its own any more."""
    if not process.ends_within(pidfd, _PATIENCE_KILLED):
        from mydocker.kernel import stuck

        said = f"container {found.name} was killed, and has not ended for {_PATIENCE_KILLED} s"
        raise HostError(said, stuck.why(found.pid))


def stop_to_restart(found: Container, timeout: int | None, signal: int | None) -> None:
    """stop() of a container that is started again at once: with --rm it is not removed by that."""
    try:
        stop(found, timeout, signal, restart.BY_RESTART)
    except BaseException:
        _let_go(found)
        raise


def _let_go(found: Container) -> None:
    """It is not started again after all: with --rm it goes at its end, or now."""
    try:
        with state.lock(found):
            found = state.load(found.id)
            if found.ended_by != restart.BY_RESTART:
                return
            found.ended_by = restart.BY_HAND
            if found.auto_remove and not state.has_monitor(found):
                state.remove(found.id, found.name, found.own_volumes)
            else:
                state.save(found)
    except NotFound:
        pass


def _let_end(found: Container, ended_by: str) -> tuple[Container, bool]:
    """Its restart policy counts no longer, until it is started. The record as it is then, and whether the container was
    between two runs, and has ended by this."""
    if found.auto_remove and ended_by != restart.BY_RESTART:  # it can have none, and be gone at any moment
        return found, False
    with state.lock(found):
        found = state.load(found.id)
        restarting = found.is_restarting()
        if not restarting and not state.is_running(found):
            return found, False
        found.ended_by = found.ended_by or ended_by
        if restarting:
            found.status = "exited"
        try:
            state.save(found, durable=restarting)
            recorded = True
        except (OSError, HostError):
            if found.auto_remove:
                raise  # its monitor would take the stop for its end, and remove it with its data
            recorded = False  # a full disk: that is no reason to let it run
        if restarting:
            _tell_monitor(found, wait=True)  # it waits: under the lock it can't be on its way to start it
        elif not recorded and found.restart != restart.NO:
            _tell_monitor(found)  # it stops its container, and keeps in mind that it does not restart it
    return found, restarting


def _tell_monitor(found: Container, wait: bool = False) -> None:
    """SIGTERM. wait: until it has ended."""
    try:
        pidfd = process.pidfd_open(found.monitor_pid)
    except ProcessLookupError:
        return
    try:
        if state.has_monitor(found):
            _signal.pidfd_send_signal(pidfd, _signal.SIGTERM)
            if wait and not process.ends_within(pidfd, PATIENCE):
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)  # somebody has stopped it
                if not process.ends_within(pidfd, PATIENCE):
                    raise hangs(found, "was killed, and has not ended")
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _wait_unwatched(found: Container) -> None:
    """One that has outlived its monitor: nobody will record its end, but it can be waited for."""
    pidfd = open_pidfd(found)
    if pidfd >= 0 and not state.has_monitor(found):
        process.ends_within(pidfd, None)
    if pidfd >= 0:
        os.close(pidfd)


def wait(found: Container) -> int:
    """Its exit code, when it has ended. One that was never started has ended, with 0. One that is between two runs is
    waited for until the next has ended, as docker has it."""
    before = found.started_at
    # Opened before it can end: it may be removed then, at once, and nothing else be left of it.
    last_code = state.LastCode(found)
    try:
        while found.is_restarting():
            if found.started_at != before:  # that was short
                return found.exit_code
            sleep(0.05)
            found = state.load(found.id)
        wait_recorded(found)
        _wait_unwatched(found)
        return state.load(found.id).exit_code
    except (NotFound, CorruptRecord):
        return last_code.read(found)
    finally:
        last_code.close()


def update(found: Container, policy: str) -> None:
    """Change its restart policy, a text of model.options.restart; it holds from the container's next end on."""
    if found.auto_remove and policy != restart.NO:
        raise Conflict(f"container {found.name} is removed at its end (--rm)", "it can't be started again then")
    with state.lock(found):
        found = state.load(found.id)
        found.restart = policy
        state.save(found, durable=True)


def remove(reference: str, force: bool = False, volumes: bool = False) -> None:
    """Remove a container. force: end it first. volumes: its anonymous ones too.

    Raises Conflict for a running one without force. One whose record is corrupt can be removed by force only.
    """
    state.cleanup()
    container_id = state.find_id(reference)
    while not _removed(container_id, reference, force, volumes):
        pass  # it was started again meanwhile


def _removed(container_id: str, reference: str, force: bool, volumes: bool) -> bool:
    try:
        found = state.load(container_id)
    except NotFound:
        raise state.no_such(reference) from None
    except CorruptRecord:
        if not force:
            raise
        _remove_unreadable(container_id)
        return True
    if found.is_active() and not force:
        raise Conflict(f"container {found.name} is {found.status}", f"'mydocker stop {found.name}' first, or rm -f")
    ran = found.is_up()
    try:
        if found.is_active():
            stop(found, 0, _signal.SIGKILL, restart.BY_REMOVAL)
        with state.lock(found):
            found = state.load(container_id)
            if found.is_active():
                return False
            cleared = ran and found.finished_at and not found.error  # its monitor did, just now
            if not cleared and not state.has_monitor(found):
                _cleanup(found, force)
            state.remove(found.id, found.name, found.own_volumes if volumes else [])
    except NotFound:
        pass  # its monitor (--rm), or another rm, was quicker
    return True


def cleanup(found: Container) -> None:
    """Take back what the host still has of a container whose monitor was killed. The container does not run, its lock
    is the caller's. Raises OSError, MydockerError."""
    from mydocker.engine.network import endpoints
    from mydocker.kernel import cgroups
    from mydocker.runtime import plan
    from mydocker.trace import undo_all

    spec = load_spec(found)
    try:
        steps = plan.plan(spec, found.directory, cgroups.layout()).host
    except (ValueError, LookupError) as error:  # of the right types, and nonsense
        why = f"container {found.name}: {found.directory}/config.json: {error!r}"
        raise CorruptRecord(why, f"restore it, or 'mydocker rm -f {found.name}'") from None
    undo_all(steps)
    endpoints.cleanup(found)


def _cleanup(found: Container, force: bool) -> None:
    """Its record may make no sense: that is an error unless force is used."""
    try:
        cleanup(found)
    except (CorruptRecord, InvalidArgument):
        if not force:
            raise
        _remove_cgroup(found.id)


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
        pass  # no bundle either: then there is no cgroup that we know of
