"""Containers' records on disk: one versioned record a container, one lock a container, names as links.

    containers/<id>/record.json     what `ps` shows; replaced atomically
    containers/<id>/lock            flock: who holds it may change the container
    names/<name> -> ../containers/<id>     making the link reserves the name: the kernel lets only one win

A status is derived, never trusted: "running" counts only while the recorded PID has the recorded start time, in this
boot.
Imports are restricted: every command starts here.
"""

from __future__ import annotations

import os
from time import time_ns

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.kernel import process
from mydocker.kernel.files import remove_tree, write_atomic
from mydocker.model.times import rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SCHEMA = 1
STATUSES = ("created", "running", "exited")
LOST = "its monitor ended before it did"


@record
class Record:
    """record.json. Times: RFC 3339 with nanoseconds, UTC, "" if it has not happened. layers: chain ids, bottom first.
    mounts: host paths and names of volumes. log_size (bytes a file), log_files: 0 for the host's default. own_volumes:
    those without a name of their own, which go with it."""

    id: str
    name: str
    created: str
    image: str
    image_id: str
    command: list[str]
    driver: str
    layers: list[str]
    network: str = "none"
    tty: bool = False
    open_stdin: bool = False
    auto_remove: bool = False
    labels: dict[str, str] = {}
    mounts: list[str] = []
    own_volumes: list[str] = []
    log_size: int = 0
    log_files: int = 0
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
    def folder(self) -> str:
        return paths.container(self.id)

    def alive(self) -> bool:
        """Whether its first process is there, by PID and start time."""
        return self.status == "running" and _is_process(self.pid, self.pid_start, self.boot_id)

    def watched(self) -> bool:
        """Whether its monitor is there: until then its end is not yet recorded."""
        return _is_process(self.monitor_pid, self.monitor_start, self.boot_id)


_boot: list[str] = []


def boot_id() -> str:
    if not _boot:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            _boot.append(file.read().strip())
    return _boot[0]


def _is_process(pid: int, start: int, boot: str) -> bool:
    return pid > 0 and start > 0 and process.start_time(pid) == start and boot == boot_id()


def load(container_id: str) -> Record:
    """The record as it counts now: one that says running of a process that is gone is shown as exited (255).

    Raises NotFound, or CorruptRecord naming the file.
    """
    path = f"{paths.container(container_id)}/record.json"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(paths.container(container_id)):
            raise CorruptRecord(f"container {container_id[:12]} has no record: {path}", _remedy(container_id)) from None
        raise no_such(container_id[:12]) from None
    try:
        return _derived(read(descriptor, path, container_id))
    finally:
        os.close(descriptor)


def read(descriptor: int, path: str, container_id: str) -> Record:
    """The record in an open file, from its start. Raises CorruptRecord, which names `path`."""
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return parse(text, path, container_id)


def parse(text: bytes, path: str, container_id: str) -> Record:
    """A record as it stands in the file. Raises CorruptRecord, which names `path`."""
    try:
        values = jsontext.loads(text)
        schema = values.get("schema")
        if schema != SCHEMA:
            raise CorruptRecord(f"record of another version (schema {schema}): {path}", "use the mydocker that made it")
        found = Record(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptRecord(f"corrupt record: {path}: {error}", _remedy(container_id)) from None
    for name, annotation in Record.__annotations__.items():
        if not _IS[annotation](getattr(found, name)):
            raise CorruptRecord(f"corrupt record: {path}: {name} is no {annotation}", _remedy(container_id))
    if found.status not in STATUSES:
        raise CorruptRecord(f"corrupt record: {path}: unknown status '{found.status}'", _remedy(container_id))
    if found.id != container_id:
        raise CorruptRecord(f"corrupt record: {path}: it is of container {found.id[:12]}", _remedy(container_id))
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# How parse() checks a field, by its annotation.
_IS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "list[str]": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}


def _remedy(container_id: str) -> str:
    return f"'mydocker rm -f {container_id[:12]}' removes it, or restore the file"


def _derived(found: Record) -> Record:
    if found.status == "running" and not found.alive() and not found.watched():
        found.status, found.exit_code, found.error = "exited", 255, LOST
        found.pid = 0
    return found


def save(found: Record, durable: bool = False) -> None:
    """Replace the record atomically. durable: it survives a power cut (two fsyncs, 3 ms)."""
    text = jsontext.dumps({name: getattr(found, name) for name in found._fields})  # type: ignore[attr-defined]
    write_atomic(f"{found.folder}/record.json", text.encode() + b"\n", durable=durable)


def save_last(found: Record) -> None:
    """The last word on a container that is about to be removed, written in place: `wait` holds the file open."""
    text = jsontext.dumps({name: getattr(found, name) for name in found._fields})  # type: ignore[attr-defined]
    descriptor = os.open(f"{found.folder}/record.json", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, text.encode() + b"\n", 0)
        os.ftruncate(descriptor, len(text) + 1)
    finally:
        os.close(descriptor)


class Lock:
    """flock on a file. The descriptor is inherited by a fork, and the lock lasts until its last copy is closed."""

    def __init__(self, path: str, missing: str = "") -> None:
        """missing: whose lock it is, for NotFound if its folder is gone."""
        import fcntl

        while True:
            try:
                self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                raise no_such(missing) from None
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            # Who held it before may have removed the file with its folder: then this lock is of nothing.
            try:
                if os.stat(path).st_ino == os.fstat(self.descriptor).st_ino:
                    return
            except FileNotFoundError:
                pass
            os.close(self.descriptor)

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock(found: Record) -> Lock:
    return Lock(f"{found.folder}/lock", found.name)


# --- identity ---------------------------------------------------------------------------------------------------------


def reserve(container_id: str, name: str) -> None:
    """Make the container's folder and take its name. Raises Conflict if the name is another's; then nothing is left."""
    for folder, mode in ((paths.ROOT, 0o700), (paths.CONTAINERS, 0o700), (paths.NAMES, 0o700), (paths.RUN, 0o700)):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(folder, mode, exist_ok=True)
    os.mkdir(paths.container(container_id), 0o700)
    try:
        _take_name(container_id, name)
    except BaseException:
        os.rmdir(paths.container(container_id))
        raise


def _take_name(container_id: str, name: str) -> None:
    link = f"{paths.NAMES}/{name}"
    try:
        os.symlink(f"../containers/{container_id}", link)
        return
    except FileExistsError:
        pass
    with Lock(f"{paths.NAMES}/.lock"):
        holder = os.path.basename(os.readlink(link)) if os.path.islink(link) else ""
        if holder and not os.path.isdir(paths.container(holder)):
            os.unlink(link)  # left by a crash between two steps of a removal
        try:
            os.symlink(f"../containers/{container_id}", link)
        except FileExistsError:
            raise Conflict(
                f"the name '{name}' is taken by container {holder[:12]}", f"'mydocker rm {name}', or use another name"
            ) from None


def publish(found: Record) -> None:
    """/run/mydocker/<name> leads to the container's folder, for people and scripts; gone after a reboot."""
    link = f"{paths.RUN}/{found.name}"
    try:
        os.symlink(found.folder, link)
    except FileExistsError:
        if os.path.islink(link) and os.readlink(link) != found.folder:
            os.unlink(link)
            os.symlink(found.folder, link)
    except FileNotFoundError:  # /run is empty after a reboot
        os.makedirs(paths.RUN, 0o700, exist_ok=True)
        os.symlink(found.folder, link)


def forget(container_id: str, name: str, own_volumes: list[str] | None = None) -> None:
    """Remove a container's folder, its names and its own volumes from the disk. Harmless if part of it is gone."""
    for volume in own_volumes or []:
        if os.path.isdir(paths.volume(volume)):
            remove_tree(paths.volume(volume))
    folder = paths.container(container_id)
    for link, target in (
        (f"{paths.RUN}/{name}", folder),
        (f"{paths.NAMES}/{name}", f"../containers/{container_id}"),
    ):
        try:
            if os.readlink(link) == target:
                os.unlink(link)
        except OSError:
            pass
    if os.path.lexists(folder):
        # The record goes last: a removal that is cut off half-way is still there for `rm` to finish.
        for entry in os.listdir(folder):
            if entry not in ("record.json", "lock"):
                _remove(f"{folder}/{entry}")
        remove_tree(folder)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        os.unlink(path)


# --- finding ----------------------------------------------------------------------------------------------------------


def ids() -> list[str]:
    try:
        return [entry for entry in os.listdir(paths.CONTAINERS) if len(entry) == 64]
    except FileNotFoundError:
        return []


def containers() -> Iterator[Record]:
    """All that are there, in no order. One that vanishes meanwhile is passed over; a corrupt one raises."""
    for container_id in ids():
        try:
            yield load(container_id)
        except NotFound:
            continue


def find_id(reference: str) -> str:
    """A name, a full ID or an unambiguous prefix of one -> the ID. Raises NotFound or, if ambiguous, Conflict."""
    if not reference or "/" in reference or "\0" in reference or len(reference) > 255 or reference.startswith("."):
        raise InvalidArgument(f"'{reference}' is no container name or ID", "see 'mydocker ps -a'")
    try:
        return os.path.basename(os.readlink(f"{paths.NAMES}/{reference}"))
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
        if entry.is_symlink() and os.path.basename(os.readlink(entry.path)) == container_id:
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
