"""Containers' records on disk: one versioned record and one lock for each container, and names as links.

    containers/<id>/record.json     what `ps` shows; replaced atomically
    containers/<id>/record.spare    the same room again: on a full disk the record of an end is written there
    containers/.<id>/               a container that is being created or removed: a rename lists or unlists it
    containers/<id>/lock            flock: its holder may change the container; removed last
    names/<name> -> ../containers/<id>     creating the link reserves the name: the kernel lets one process win

A status is derived, never trusted. Which question to ask:

    load(id)                    the record as it counts now; stored(id): as it stands on disk
    is_running(container)       its first process exists now: its PID has the recorded start time, in this boot
    has_monitor(container)      its monitor exists, which will record its end or restart it
    container.is_up()           it was started and no end is recorded: Up in `ps`. Its process may have just ended
    container.is_paused()       it is up, and its processes are frozen
    container.is_restarting()   its monitor waits before it starts it again
    container.is_active()       one of these two: docker counts it as running; removing it takes force
"""

from __future__ import annotations

import os
from time import time_ns

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, HostError, NotFound
from mydocker.kernel import process
from mydocker.kernel.files import (
    DAMAGE,
    NO_SPACE,
    REGULAR,
    discard,
    exchange,
    make_private,
    read_regular,
    remove_tree,
    sync,
    write_all,
    write_atomic,
    write_new,
)
from mydocker.kernel.locks import DIRECTORY, FILE, Lock
from mydocker.model.container import parse, remedy
from mydocker.model.timestamp import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.model.container import Container

_VOLUMES_TOO = "volumes-too"  # a file in the directory of a container that is removed with its volumes
_SPARE = 4096  # bytes, at least, of record.spare
_LINK = "../containers/"  # a name's link is this and the ID
LOST = "its monitor ended before it did"
NOT_AGAIN = "its monitor ended before it was started again"
_NOT_STARTED = 128  # the exit code of a container that could not be started, as docker has it

_boot: list[str] = []


def boot_id() -> str:
    if not _boot:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:  # as text it would load a codec
            _boot.append(file.read().decode().strip())
    return _boot[0]


def is_running(container: Container) -> bool:
    """True if its first process exists, by PID and start time."""
    return container.is_up() and _is_process(container.pid, container.pid_start, container.boot_id)


def has_monitor(container: Container) -> bool:
    """True if its monitor exists: its end may not be recorded yet."""
    return _is_process(container.monitor_pid, container.monitor_start, container.boot_id)


def _is_process(pid: int, start: int, boot: str) -> bool:
    return pid > 0 and start > 0 and process.start_time(pid) == start and boot == boot_id()


def load(container_id: str) -> Container:
    """Read a record as it counts now: if its processes are gone, as exited (255). Raises as stored() does."""
    return _derived(stored(container_id))


def stored(container_id: str) -> Container:
    """Read a record as it stands on disk. Raises NotFound, or CorruptRecord, which names the file."""
    try:
        return _stored(container_id)
    except CorruptRecord:
        return _stored(container_id)  # it may have been overwritten while it was read: see _save_in_spare()


def _stored(container_id: str) -> Container:
    path = f"{paths.container(container_id)}/record.json"
    try:
        text = read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(paths.container(container_id)):
            raise CorruptRecord(f"container {container_id[:12]} has no record: {path}", remedy(container_id)) from None
        raise no_such(container_id[:12]) from None
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        raise CorruptRecord(f"corrupt record: {path}: {error.strerror}", remedy(container_id)) from None
    return parse(text, path, container_id)


def _derived(container: Container) -> Container:
    if container.is_up() and not is_running(container) and not has_monitor(container):
        container.status, container.exit_code, container.error = "exited", 255, LOST
    if container.is_restarting() and not has_monitor(container):
        container.status, container.error = "exited", NOT_AGAIN
    return container


def save(container: Container, durable: bool = False) -> None:
    """Replace the record atomically. durable: it survives a power cut (two fsyncs, 3 ms).

    On a full disk this works for a container that has its record.spare; without one it raises HostError.
    """
    path, text = f"{container.directory}/record.json", _text(container)
    try:
        write_atomic(path, text, durable=durable)
    except HostError:
        if not _save_in_spare(container, path, text, durable):
            raise


def _save_in_spare(container: Container, path: str, text: bytes, durable: bool) -> bool:
    """Write the record into the spare file, which needs no new blocks, and exchange the two files."""
    spare = _spare(container)
    try:
        descriptor = os.open(spare, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_all(descriptor, text.ljust(os.fstat(descriptor).st_size))  # truncated, it would lose its blocks
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        exchange(spare, path)
        if durable:
            sync(container.directory)
    except OSError:
        return False
    return True


def _spare(container: Container) -> str:
    return f"{container.directory}/record.spare"


def _text(container: Container) -> bytes:
    return jsontext.dumps(container.__dict__).encode() + b"\n"


def save_staged(container: Container) -> None:
    """Write the first record of a container, into its staging directory."""
    write_new(f"{staging_dir(container.id)}/record.json", _text(container))


def save_failure(container: Container, why: str, code: int) -> None:
    """Record a start that failed and was undone. Caller holds the lock. As with docker, the container stays what it was
    before, with the error in its record; with --rm it is removed."""
    if container.auto_remove:
        remove(container.id, container.name, container.own_volumes)
        return
    container.status = "exited" if container.finished_at else "created"
    container.networks, container.bound_ports = container.requested_networks, []
    container.pid, container.error = 0, why
    container.exit_code = code if code in (126, 127) else _NOT_STARTED
    try:
        save(container)
    except (OSError, HostError):
        pass  # the disk is full, or the container's directory is gone: the caller reports the first error


def leave_code(lock: Lock, container: Container) -> None:
    """Write the exit code of the last run into the lock file: the one file of a container that is never replaced, so
    that a process that has it open can read it after the container has been removed."""
    try:
        os.pwrite(lock.descriptor, f"{container.exit_code:<3} {container.started_at:<30}\n".encode(), 0)
    except OSError:
        pass  # a full disk; only `wait` needs this, if the container is removed


class LastCode:
    """The exit code that leave_code() writes, for a process that waits for a container's end."""

    def __init__(self, container: Container) -> None:
        """Raises NotFound."""
        try:
            self._descriptor = os.open(f"{container.directory}/lock", REGULAR)
        except FileNotFoundError:
            raise no_such(container.name) from None

    def read(self, container: Container) -> int:
        """Return the exit code of this run; 255 if its monitor did not leave one, as in load()."""
        code, _, started_at = os.pread(self._descriptor, 64, 0).decode("ascii", "replace").partition(" ")
        if container.is_up():
            return int(code) if started_at.strip() == container.started_at and code.isdecimal() else 255
        return container.exit_code

    def close(self) -> None:
        os.close(self._descriptor)


def fsync_new(container: Container) -> None:
    """fsync a new container: its files and its directory entries. Harmless if it has been removed.

    Also allocates record.spare, so that a full disk cannot keep save() from recording its end."""
    try:
        try:
            write_new(_spare(container), _text(container).ljust(_SPARE))
        except HostError:
            pass  # the disk is full already
        for path in ("config.json", "request.json", "record.json", ""):
            sync(f"{container.directory}/{path}")
        sync(paths.NAMES)
        sync(paths.CONTAINERS)
    except FileNotFoundError:
        pass


def lock(container: Container) -> Lock:
    """Raises NotFound if the container has been removed, Conflict if another process holds the lock for a minute."""
    try:
        return Lock(f"{container.directory}/lock")
    except FileNotFoundError:
        raise no_such(container.name) from None


# --- identity ---------------------------------------------------------------------------------------------------------


def staging_dir(container_id: str) -> str:
    """Return the container's directory while it is created or removed: it is not listed there."""
    return f"{paths.CONTAINERS}/.{container_id}"


def reserve(container_id: str, name: str) -> Lock:
    """Make the container's staging directory and take its name. Returns the container's lock; commit() lists the
    container. Raises Conflict if the name is taken; then nothing is left."""
    for directory in (paths.ROOT, paths.CONTAINERS, paths.NAMES, paths.RUN):
        make_private(directory)
    path = f"{staging_dir(container_id)}.lock"
    lock = Lock(path)
    try:
        os.write(lock.descriptor, b"\n")  # room for leave_code(), also when the disk is full by then
        os.mkdir(staging_dir(container_id), 0o700)
        os.rename(path, f"{staging_dir(container_id)}/lock")  # never in there without being held: see cleanup()
        take_name(container_id, name)
    except BaseException:
        unlist(container_id, name)  # an interrupt may have come after the name was taken
        remove_tree(staging_dir(container_id))
        remove_tree(path)
        lock.release()
        raise
    return lock


def commit(container_id: str) -> None:
    """List the container: from now on other commands see it, complete."""
    os.rename(staging_dir(container_id), paths.container(container_id))


def take_name(container_id: str, name: str) -> None:
    """Make a name lead to the container; it may have another, too. Raises Conflict if the name is taken."""
    link = f"{paths.NAMES}/{name}"
    try:
        os.symlink(_LINK + container_id, link)
        return
    except FileExistsError:
        pass
    with Lock(f"{paths.NAMES}/.lock"):
        holder = _linked_id(link)
        # In this order: it may have just been committed.
        if _abandoned(holder) and not os.path.isdir(paths.container(holder)):
            unlist(holder, name)
        try:
            os.symlink(_LINK + container_id, link)
        except FileExistsError:
            said = f"the name '{name}' is taken by container {holder[:12]}"
            raise Conflict(said, f"'mydocker rm {name}', or use another name") from None


def _linked_id(link: str) -> str:
    """Return the ID that a name's link leads to. Raises OSError if there is no link, CorruptRecord if it leads anywhere
    else."""
    target = os.readlink(link)
    container_id = target[len(_LINK) :]
    if target != _LINK + container_id or not _is_id(container_id):
        raise CorruptRecord(f"{link} points to '{target}', which is not a container", "remove that link")
    return container_id


def _is_id(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)


def _abandoned(container_id: str) -> bool:
    """True if the process that created or removed it has died (its lock is free). Removes what it left, including the
    name."""
    directory = staging_dir(container_id)
    try:
        # A removal holds the lock and may have removed its file: a lock on a new file would prove nothing.
        lock = Lock(f"{directory}/lock", FILE, wait=0)
    except FileNotFoundError:
        return not os.path.isdir(directory)
    except BlockingIOError:
        return False
    remove(container_id, name_of(container_id), _volumes_to_go(directory, container_id))
    lock.release()
    return True


def _volumes_to_go(directory: str, container_id: str) -> list[str]:
    """Return the volumes that an interrupted removal would have removed: see remove()."""
    path = f"{directory}/record.json"
    try:
        container = parse(read_regular(path), path, container_id)
    except (OSError, CorruptRecord):
        return []
    return container.own_volumes if container.auto_remove or os.path.exists(f"{directory}/{_VOLUMES_TOO}") else []


def cleanup() -> None:
    """Remove containers that a crash left half created or half removed: staging directories whose lock is free or
    gone."""
    if not os.path.isdir(paths.CONTAINERS):
        return
    for entry in os.listdir(paths.CONTAINERS):
        if entry.startswith(".") and entry.endswith(".lock") and _is_id(entry[1:-5]):
            _cleanup_unlocked(entry[1:-5])
        elif entry.startswith(".") and _is_id(entry[1:]) and not os.path.exists(f"{staging_dir(entry[1:])}.lock"):
            if os.path.exists(f"{staging_dir(entry[1:])}/lock"):
                _abandoned(entry[1:])
            else:
                _cleanup_unfinished(entry[1:])


def _cleanup_unlocked(container_id: str) -> None:
    """Clean up a reserve() that died before its lock file was moved into the directory. Harmless if that process has
    yet to take the lock."""
    path = f"{staging_dir(container_id)}.lock"
    try:
        lock = Lock(path, FILE, wait=0)
    except (FileNotFoundError, BlockingIOError):
        return
    if os.path.isdir(staging_dir(container_id)):
        remove_tree(staging_dir(container_id))
    os.unlink(path)
    lock.release()


def _cleanup_unfinished(container_id: str) -> None:
    """Finish a removal whose lock file is already gone. Earlier versions removed the lock first."""
    try:
        lock = Lock(staging_dir(container_id), DIRECTORY, wait=0)
    except (FileNotFoundError, BlockingIOError):
        return
    with lock:
        remove(container_id, name_of(container_id), _volumes_to_go(staging_dir(container_id), container_id))


def link_in_run(container: Container) -> None:
    """Link /run/mydocker/<name> to the container's directory, for people and scripts, until a reboot."""
    link = f"{paths.RUN}/{container.name}"
    try:
        os.symlink(container.directory, link)
    except FileExistsError:
        if os.path.islink(link) and os.readlink(link) != container.directory:
            os.unlink(link)
            os.symlink(container.directory, link)
    except FileNotFoundError:  # /run is empty after a reboot
        make_private(paths.RUN)
        os.symlink(container.directory, link)


def remove(container_id: str, name: str, own_volumes: list[str] | None = None) -> None:
    """Remove a container, its names and its anonymous volumes from the disk. Caller holds its lock. Harmless if part of
    it is gone. If this is interrupted, cleanup() finishes it."""
    if own_volumes:
        try:
            write_new(f"{paths.container(container_id)}/{_VOLUMES_TOO}", b"")
        except (OSError, HostError):
            pass  # there is one, or no container yet; or the disk is full: then it matters only if this is killed
    unlist(container_id, name)
    remove_files(container_id, own_volumes or [])


def unlist(container_id: str, name: str) -> None:
    """Stop listing the container, and free its name."""
    if not _is_id(container_id):
        raise ValueError(f"'{container_id}' is not a container's ID")
    directory = paths.container(container_id)
    try:
        os.rename(directory, staging_dir(container_id))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise  # on a full disk, which has no room for one more name, the container is removed in its place
    free_name(container_id, name)


def free_name(container_id: str, name: str) -> None:
    """Free a name, if it leads to the container."""
    for directory, target in ((paths.RUN, paths.container(container_id)), (paths.NAMES, _LINK + container_id)):
        try:
            if os.readlink(f"{directory}/{name}") == target:
                os.unlink(f"{directory}/{name}")
        except OSError:
            pass


def remove_files(container_id: str, own_volumes: list[str]) -> None:
    """The slow part of a removal: an unlisted container's files and its anonymous volumes."""
    for volume in own_volumes:
        if not _is_used(volume):
            discard(paths.volume(volume))
    for directory in (paths.container(container_id), staging_dir(container_id)):
        remove_tree(directory, last="lock")


def _is_used(volume: str) -> bool:
    """True if a container mounts the volume: an anonymous one can be named by its hash. In doubt, True."""
    try:
        return any(volume in container.mounts for container in containers())
    except CorruptRecord:
        return True


# --- finding ----------------------------------------------------------------------------------------------------------


def ids() -> list[str]:
    try:
        return [entry for entry in os.listdir(paths.CONTAINERS) if _is_id(entry)]
    except FileNotFoundError:
        return []


def containers(left_out: tuple[type[Exception], ...] = (NotFound,)) -> Iterator[Container]:
    """Yield all containers, in no order. Containers that vanish meanwhile are left out. Raises CorruptRecord."""
    for container_id in ids():
        try:
            yield load(container_id)
        except left_out:
            continue


def readable() -> Iterator[Container]:
    """Like containers(), but leave out those with a corrupt record."""
    return containers((NotFound, CorruptRecord))


def find_id(reference: str) -> str:
    """Return the ID for a name, a full ID or an unambiguous prefix of one. Raises NotFound or, if ambiguous, Conflict.

    A leading slash is dropped: `inspect` and docker's own templates print names with one."""
    reference = reference.lstrip("/")
    if not reference or "/" in reference or "\0" in reference or len(reference) > 255 or reference.startswith("."):
        raise no_such(reference)
    try:
        return _linked_id(f"{paths.NAMES}/{reference}")
    except OSError:
        pass
    matches = [container_id for container_id in ids() if container_id.startswith(reference)]
    if not matches:
        raise no_such(reference)
    if len(matches) > 1:
        raise Conflict(f"'{reference}' matches {len(matches)} containers", "give more digits of the ID")
    return matches[0]


def name_of(container_id: str) -> str:
    """Return the name whose link leads to the container, for where the record can't be read; "" if there is none."""
    for entry in os.scandir(paths.NAMES):
        if entry.is_symlink() and os.readlink(entry.path) == _LINK + container_id:
            return entry.name
    return ""


def find(reference: str) -> Container:
    try:
        return load(find_id(reference))
    except NotFound:
        raise no_such(reference) from None


def no_such(reference: str) -> NotFound:
    return NotFound(f"no such container: {reference}", "see 'mydocker ps -a'")


def now() -> str:
    """Return the current time as RFC 3339 with nanoseconds, UTC."""
    return rfc3339(time_ns())
