"""Containers' records on disk: one versioned record a container, one lock a container, names as links.

    containers/<id>/record.json     what `ps` shows; replaced atomically
    containers/<id>/record.spare    as much room again: a record that ends a container is written there on a full disk
    containers/.<id>/               a container while it is made or removed: a rename shows or hides it whole
    containers/<id>/lock            flock: who holds it may change the container; the last that goes at a removal
    names/<name> -> ../containers/<id>     making the link reserves the name: the kernel lets only one win

A status is derived, never trusted: "running" counts only while the recorded PID has the recorded start time, in this
boot; "restarting", between two runs, while its monitor has.
"""

from __future__ import annotations

import os
from time import time_ns

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, HostError, InvalidArgument, NotFound
from mydocker.kernel import process
from mydocker.kernel.files import (
    DAMAGE,
    NO_SPACE,
    REGULAR,
    discard,
    exchange,
    hold,
    make_private,
    read_regular,
    remove_tree,
    sync,
    write_all,
    write_atomic,
    write_new,
)
from mydocker.model.timestamp import rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from mydocker.model.network import Endpoint

SCHEMA = 1
_VOLUMES_TOO = "volumes-too"  # a file in the directory of a container that is removed with its volumes
_ROOM = 4096  # bytes, at least, that a record's spare holds
_LINK = "../containers/"  # a name's link is this and the ID
STATUSES = ("created", "running", "restarting", "exited")
BUSY = ("running", "restarting")  # a monitor has it, and it counts as running for docker
LOST = "its monitor ended before it did"
_PATIENCE = 60  # seconds that somebody else may hold a lock: a start copies an image's files under it
_LONGEST_PAUSE = 0.01
_NOT_STARTED = 128  # the exit code of a container that could not be started, as docker has it
NOT_AGAIN = "its monitor ended before it was started again"


@record
class Record:
    """record.json. Times: RFC 3339 with nanoseconds, UTC, "" if it has not happened. layers: chain ids, bottom first.
    mounts: host paths and names of volumes. log_size (bytes a file), log_files: 0 for the host's default. own_volumes:
    those without a name of their own, which go with it. network: --net's mode. networks: model.network.Endpoint, each.
    requested_ports: as the user wrote them; bound_ports: those in effect while it runs, as options.ports writes them.
    exposed: what it says it listens on, 80/tcp. restart: model.restart's text. restart_count: how often that was done
    since a person has started it. restart_delay: milliseconds between its last run and this one, or the next. ended_by:
    a word of model.restart's, from when it was told to end until it is started."""

    id: str
    name: str
    created: str
    image: str
    image_id: str
    command: list[str]
    driver: str
    layers: list[str]
    network: str = "none"
    networks: list[dict[str, Any]] = []
    requested_ports: list[str] = []
    bound_ports: list[str] = []
    exposed: list[str] = []
    tty: bool = False
    open_stdin: bool = False
    auto_remove: bool = False
    labels: dict[str, str] = {}
    mounts: list[str] = []
    own_volumes: list[str] = []
    log_size: int = 0
    log_files: int = 0
    restart: str = "no"
    restart_count: int = 0
    restart_delay: int = 0
    ended_by: str = ""
    stop_signal: int = 15
    stop_timeout: int = 10
    status: str = "created"
    pid: int = 0
    pid_start: int = 0
    boot_id: str = ""
    monitor_pid: int = 0
    monitor_start: int = 0
    started_at: str = ""
    finished_at: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    schema: int = SCHEMA

    @property
    def directory(self) -> str:
        return paths.container(self.id)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Raises CorruptRecord."""
        from mydocker.model.network import Endpoint

        try:
            return [Endpoint(**each) for each in self.networks]
        except TypeError as error:
            raise unusable(self, f"networks: {error}") from None

    def alive(self) -> bool:
        """Whether its first process is there, by PID and start time."""
        return self.status == "running" and _is_process(self.pid, self.pid_start, self.boot_id)

    def watched(self) -> bool:
        """Whether its monitor is there: until then its end is not yet recorded."""
        return _is_process(self.monitor_pid, self.monitor_start, self.boot_id)


_boot: list[str] = []


def boot_id() -> str:
    if not _boot:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:  # as text it would load a codec
            _boot.append(file.read().decode().strip())
    return _boot[0]


def _is_process(pid: int, start: int, boot: str) -> bool:
    return pid > 0 and start > 0 and process.start_time(pid) == start and boot == boot_id()


def load(container_id: str) -> Record:
    """The record as it counts now: one that says running of a process that is gone is shown as exited (255). Raises as
    stored() does."""
    return _derived(stored(container_id))


def stored(container_id: str) -> Record:
    """The record as it stands on disk. Raises NotFound, or CorruptRecord naming the file."""
    try:
        return _stored(container_id)
    except CorruptRecord:
        return _stored(container_id)  # on a full disk it may be overwritten while it is read: see _save_in_spare()


def _stored(container_id: str) -> Record:
    path = f"{paths.container(container_id)}/record.json"
    try:
        text = read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(paths.container(container_id)):
            raise CorruptRecord(f"container {container_id[:12]} has no record: {path}", _remedy(container_id)) from None
        raise no_such(container_id[:12]) from None
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        raise CorruptRecord(f"corrupt record: {path}: {error.strerror}", _remedy(container_id)) from None
    return parse(text, path, container_id)


def parse(text: bytes, path: str, container_id: str) -> Record:
    """A record as it stands in the file. Raises CorruptRecord, which names `path`."""
    try:
        values = jsontext.loads(text)
        schema = values.get("schema")
        if schema != SCHEMA:
            raise CorruptRecord(f"record of another version (schema {schema}): {path}", "use the mydocker that made it")
        found = Record(**values)
        check_types(found)
        _check(found)
    except (ValueError, TypeError, AttributeError, InvalidArgument) as error:
        raise CorruptRecord(f"corrupt record: {path}: {error}", _remedy(container_id)) from None
    if found.status not in STATUSES:
        raise CorruptRecord(f"corrupt record: {path}: unknown status '{found.status}'", _remedy(container_id))
    if found.id != container_id:
        raise CorruptRecord(f"corrupt record: {path}: it is of container {found.id[:12]}", _remedy(container_id))
    return found


def _check(found: Record) -> None:
    """What the types do not say, and what would not be understood only later: by a monitor, say, at the container's
    end. Raises ValueError or InvalidArgument."""
    if not paths.is_entry(found.name):
        raise ValueError(f"name is '{found.name}'")
    for endpoint in found.networks:
        other = [key for key, value in endpoint.items() if type(value) is not str]
        if other and not (other == ["aliases"] and _IS["list[str]"](endpoint["aliases"])):
            raise ValueError(f"networks: {other[0]} is no text")
        if not endpoint.get("network"):
            raise ValueError("networks: network is missing")
    if found.bound_ports or found.requested_ports:
        from mydocker.model.options.ports import parse_published

        parse_published(found.bound_ports)
        parse_published(found.requested_ports)
    if not 1 <= found.stop_signal <= 64:
        raise ValueError(f"stop_signal is {found.stop_signal}")
    if found.restart not in ("no", "always", "unless-stopped"):
        from mydocker.model.options import restart

        restart.parse(found.restart)


def unusable(found: Record, why: object) -> CorruptRecord:
    """The error for a record that could be read, and makes no sense all the same."""
    return CorruptRecord(f"corrupt record: {found.directory}/record.json: {why}", _remedy(found.id))


def check_types(found: object) -> None:
    """Whether the fields of a @record that was read are what they are declared to be. Raises ValueError."""
    for name, annotation in type(found).__annotations__.items():
        if not _IS[annotation](getattr(found, name)):
            raise ValueError(f"{name} is no {annotation}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_LARGEST = (1 << 63) - 1  # what the kernel and a record's readers take

# How parse() checks a field, by its annotation.
_IS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST,
    "bool": lambda value: isinstance(value, bool),
    "list[str]": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "list[dict[str, Any]]": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}


def _remedy(container_id: str) -> str:
    return f"'mydocker rm -f {container_id[:12]}' removes it, or restore the file"


def _derived(found: Record) -> Record:
    if found.status == "running" and not found.alive() and not found.watched():
        found.status, found.exit_code, found.error = "exited", 255, LOST
    if found.status == "restarting" and not found.watched():
        found.status, found.error = "exited", NOT_AGAIN
    return found


def save(found: Record, durable: bool = False) -> None:
    """Replace the record atomically. durable: it survives a power cut (two fsyncs, 3 ms).

    A full disk is no obstacle as long as the container has its record.spare. Raises HostError otherwise.
    """
    path, text = f"{found.directory}/record.json", _text(found)
    try:
        write_atomic(path, text, durable=durable)
    except HostError:
        if not _save_in_spare(found, path, text, durable):
            raise


def _save_in_spare(found: Record, path: str, text: bytes, durable: bool) -> bool:
    """Write the record into the file that takes no new room, and let it change places with the one that counts."""
    spare = _spare(found)
    try:
        descriptor = os.open(spare, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_all(descriptor, text.ljust(os.fstat(descriptor).st_size))  # cut, it would lose its room
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        exchange(spare, path)
        if durable:
            sync(found.directory)
    except OSError:
        return False
    return True


def _spare(found: Record) -> str:
    return f"{found.directory}/record.spare"


def save_staged(found: Record) -> None:
    """Write the first record of a container, into its staging directory."""
    write_new(f"{staging_dir(found.id)}/record.json", _text(found))


def save_failure(found: Record, why: str, code: int) -> None:
    """A start has failed, and all but the record is taken back; the lock is the caller's. As docker has it, the
    container stays what it was before, with the error in its record; with --rm it goes."""
    if found.auto_remove:
        remove(found.id, found.name, found.own_volumes)
        return
    found.status = "exited" if found.finished_at else "created"
    found.networks, found.bound_ports = [endpoint.asked().to_json() for endpoint in found.endpoints], []
    found.pid, found.error = 0, why
    found.exit_code = code if code in (126, 127) else _NOT_STARTED
    try:
        save(found)
    except (OSError, HostError):
        pass  # the disk is full, or the container's directory is gone: the caller hears of the first error


def leave_code(held: Lock, found: Record) -> None:
    """Leave the exit code of a run that is over in the lock file: it is the one file of a container that is never
    replaced, so that whoever has it open can read it when the container has been removed."""
    try:
        os.pwrite(held.descriptor, f"{found.exit_code:<3} {found.started_at:<30}\n".encode(), 0)
    except OSError:
        pass  # a full disk: it is only for who waits for a container that is being removed


class LastCode:
    """What leave_code() will have left, for who waits for a container's end."""

    def __init__(self, found: Record) -> None:
        """Raises NotFound."""
        try:
            self._descriptor = os.open(f"{found.directory}/lock", REGULAR)
        except FileNotFoundError:
            raise no_such(found.name) from None

    def read(self, found: Record) -> int:
        """The exit code of this run of the container; 255 if its monitor did not leave one, as in load()."""
        code, _, started_at = os.pread(self._descriptor, 64, 0).decode("ascii", "replace").partition(" ")
        if found.status == "running":
            return int(code) if started_at.strip() == found.started_at and code.isdecimal() else 255
        return found.exit_code

    def close(self) -> None:
        os.close(self._descriptor)


def _text(found: Record) -> bytes:
    return jsontext.dumps({name: getattr(found, name) for name in found._fields}).encode() + b"\n"  # type: ignore[attr-defined]


def fsync_new(found: Record) -> None:
    """fsync a new container: its files and its directory entries. Harmless if it has been removed.

    Also allocates record.spare, so that a full disk cannot keep save() from recording its end."""
    try:
        try:
            write_new(_spare(found), _text(found).ljust(_ROOM))
        except HostError:
            pass  # too late for that
        for path in ("config.json", "request.json", "record.json", ""):
            sync(f"{found.directory}/{path}")
        sync(paths.NAMES)
        sync(paths.CONTAINERS)
    except FileNotFoundError:
        pass


class Lock:
    """flock on a file. The descriptor is inherited by a fork, and the lock lasts until its last copy is closed."""

    def __init__(self, path: str, missing: str = "", wait: bool = True, make: bool = True) -> None:
        """missing: whose lock it is, for NotFound if its directory is gone. wait: if False, BlockingIOError if it is
        held. make: if False, a file that is not there is not made: NotFound.
        """
        import fcntl

        while True:
            try:
                flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
                self.descriptor = os.open(path, flags, 0o600)
            except FileNotFoundError:
                raise no_such(missing) from None
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    if not wait:
                        raise
                    self._wait(path)
                except BaseException:
                    os.close(self.descriptor)
                    raise
            # Who held it before may have removed the file with its directory: then this lock is of nothing.
            try:
                if os.stat(path).st_ino == os.fstat(self.descriptor).st_ino:
                    return
            except FileNotFoundError:
                pass
            os.close(self.descriptor)

    def _wait(self, path: str) -> None:
        """Until it is free. Raises Conflict, which names who holds it, if that takes a minute: flock(2) itself has no
        bound."""
        import fcntl
        from time import monotonic, sleep

        deadline, pause = monotonic() + _PATIENCE, 0.0005
        while monotonic() < deadline:
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
        from mydocker.kernel.stuck import holder

        said = f"{path} has been locked for {_PATIENCE} s, by {holder(path) or 'another process'}"
        raise Conflict(said, "is that process stopped? it may also have much to do: then try again later")

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock(found: Record) -> Lock:
    return Lock(f"{found.directory}/lock", found.name)


# --- identity ---------------------------------------------------------------------------------------------------------


def staging_dir(container_id: str) -> str:
    """The container's directory while it is created or removed: it is not listed there."""
    return f"{paths.CONTAINERS}/.{container_id}"


def reserve(container_id: str, name: str) -> Lock:
    """Make the container's staging directory and take its name. Returns the container's lock; commit() lists the
    container. Raises Conflict if the name is taken; then nothing is left."""
    for directory in (paths.ROOT, paths.CONTAINERS, paths.NAMES, paths.RUN):
        make_private(directory)
    lock = f"{staging_dir(container_id)}.lock"
    held = Lock(lock)
    try:
        os.write(held.descriptor, b"\n")  # room for leave_code(), also when the disk is full by then
        os.mkdir(staging_dir(container_id), 0o700)
        os.rename(lock, f"{staging_dir(container_id)}/lock")  # never there unheld: see cleanup()
        _take_name(container_id, name)
    except BaseException:
        unlist(container_id, name)  # an interrupt may have come when it was taken
        remove_tree(staging_dir(container_id))
        remove_tree(lock)
        held.release()
        raise
    return held


def commit(container_id: str) -> None:
    """List the container: from now on other commands see it, complete."""
    os.rename(staging_dir(container_id), paths.container(container_id))


def _take_name(container_id: str, name: str) -> None:
    link = f"{paths.NAMES}/{name}"
    try:
        os.symlink(_LINK + container_id, link)
        return
    except FileExistsError:
        pass
    with Lock(f"{paths.NAMES}/.lock"):
        holder = _linked_id(link)
        if _abandoned(holder) and not os.path.isdir(paths.container(holder)):  # in this order: it may just be committed
            unlist(holder, name)
        try:
            os.symlink(_LINK + container_id, link)
        except FileExistsError:
            raise Conflict(
                f"the name '{name}' is taken by container {holder[:12]}", f"'mydocker rm {name}', or use another name"
            ) from None


def _linked_id(link: str) -> str:
    """The ID that a name's link leads to. Raises OSError if there is none, CorruptRecord if it leads anywhere else."""
    target = os.readlink(link)
    container_id = target[len(_LINK) :]
    if target != _LINK + container_id or not _is_id(container_id):
        raise CorruptRecord(f"{link} leads to '{target}', which is no container", "remove that link")
    return container_id


def _is_id(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)


def _abandoned(container_id: str) -> bool:
    """True if the process that created or removed it has died (its lock is free). Removes what it left, including the
    name."""
    directory = staging_dir(container_id)
    try:
        # Who removes a container holds its lock, and has perhaps removed the file: a new one would be no lock at all.
        held = Lock(f"{directory}/lock", wait=False, make=False)
    except NotFound:
        return not os.path.isdir(directory)
    except BlockingIOError:
        return False
    remove(container_id, name_of(container_id), _volumes_to_go(directory, container_id))
    held.release()
    return True


def _volumes_to_go(directory: str, container_id: str) -> list[str]:
    """The volumes that an interrupted removal was to take along: see remove()."""
    path = f"{directory}/record.json"
    try:
        found = parse(read_regular(path), path, container_id)
    except (OSError, CorruptRecord):
        return []
    return found.own_volumes if found.auto_remove or os.path.exists(f"{directory}/{_VOLUMES_TOO}") else []


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
        held = Lock(path, wait=False, make=False)
    except (NotFound, BlockingIOError):
        return
    if os.path.isdir(staging_dir(container_id)):
        remove_tree(staging_dir(container_id))
    os.unlink(path)
    held.release()


def _cleanup_unfinished(container_id: str) -> None:
    """Finish a removal whose lock file is already gone. Earlier versions removed the lock first."""
    try:
        held = hold(staging_dir(container_id))
    except (FileNotFoundError, BlockingIOError):
        return
    try:
        remove(container_id, name_of(container_id), _volumes_to_go(staging_dir(container_id), container_id))
    finally:
        os.close(held)


def link_in_run(found: Record) -> None:
    """Link /run/mydocker/<name> to the container's directory, for people and scripts, until a reboot."""
    link = f"{paths.RUN}/{found.name}"
    try:
        os.symlink(found.directory, link)
    except FileExistsError:
        if os.path.islink(link) and os.readlink(link) != found.directory:
            os.unlink(link)
            os.symlink(found.directory, link)
    except FileNotFoundError:  # /run is empty after a reboot
        make_private(paths.RUN)
        os.symlink(found.directory, link)


def remove(container_id: str, name: str, own_volumes: list[str] | None = None) -> None:
    """Remove a container, its names and its anonymous volumes from the disk. Caller holds its lock. Harmless if part of
    it is gone. If this is interrupted, cleanup() finishes it."""
    if own_volumes:
        try:
            write_new(f"{paths.container(container_id)}/{_VOLUMES_TOO}", b"")
        except (OSError, HostError):
            pass  # it is there, or there is no container yet; or a full disk, and then it holds unless this is killed
    unlist(container_id, name)
    remove_files(container_id, own_volumes or [])


def unlist(container_id: str, name: str) -> None:
    """Stop listing the container, and free its name."""
    if not _is_id(container_id):
        raise ValueError(f"'{container_id}' is no container's ID")
    directory = paths.container(container_id)
    try:
        os.rename(directory, staging_dir(container_id))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise  # but where a full disk has no room for one more name, it is removed in its place
    for link, target in ((f"{paths.RUN}/{name}", directory), (f"{paths.NAMES}/{name}", _LINK + container_id)):
        try:
            if os.readlink(link) == target:
                os.unlink(link)
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
    """Whether a container that is there has the volume: an anonymous one can be named by its hash. In doubt, it has."""
    try:
        return any(volume in found.mounts for found in containers())
    except CorruptRecord:
        return True


# --- finding ----------------------------------------------------------------------------------------------------------


def ids() -> list[str]:
    try:
        return [entry for entry in os.listdir(paths.CONTAINERS) if _is_id(entry)]
    except FileNotFoundError:
        return []


def containers() -> Iterator[Record]:
    """All that are there, in no order. One that vanishes meanwhile is passed over; a corrupt one raises."""
    for container_id in ids():
        try:
            yield load(container_id)
        except NotFound:
            continue


def readable() -> Iterator[Record]:
    """As containers(), for who can do without those that are corrupt."""
    for container_id in ids():
        try:
            yield load(container_id)
        except (NotFound, CorruptRecord):
            continue


def find_id(reference: str) -> str:
    """A name, a full ID or an unambiguous prefix of one -> the ID. Raises NotFound or, if ambiguous, Conflict.

    A leading slash is dropped: `inspect` and docker's own templates print names with one."""
    reference = reference.lstrip("/")
    if not reference or "/" in reference or "\0" in reference or len(reference) > 255 or reference.startswith("."):
        raise no_such(reference)
    try:
        return _linked_id(f"{paths.NAMES}/{reference}")
    except OSError:
        pass
    found = [container_id for container_id in ids() if container_id.startswith(reference)]
    if not found:
        raise no_such(reference)
    if len(found) > 1:
        raise Conflict(f"'{reference}' fits {len(found)} containers", "give more digits of the ID")
    return found[0]


def name_of(container_id: str) -> str:
    """The name whose link leads to it, where the record can't say; "" if there is none."""
    for entry in os.scandir(paths.NAMES):
        if entry.is_symlink() and os.readlink(entry.path) == _LINK + container_id:
            return entry.name
    return ""


def find(reference: str) -> Record:
    try:
        return load(find_id(reference))
    except NotFound:
        raise no_such(reference) from None


def no_such(reference: str) -> NotFound:
    return NotFound(f"no such container: {reference}", "see 'mydocker ps -a'")


def now() -> str:
    """This moment as RFC 3339 with nanoseconds, UTC."""
    return rfc3339(time_ns())
