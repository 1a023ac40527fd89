"""Named volumes: directories that outlive their containers.

volumes/<name>/_data          the files that containers see
volumes/<name>/volume.json    {"schema", "name", "created", "labels", "anonymous", "options"}
volumes/.new.*                a volume that is being made or removed: a rename lists or unlists it
volumes/.lock                 flock: its holder may make and remove volumes
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths, state
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.kernel.files import (
    cleanup_hidden,
    discard,
    hidden_beside,
    make_private,
    read_regular,
    remove_tree,
    sync,
    write_atomic,
    write_new,
)
from mydocker.kernel.locks import Lock
from mydocker.model.options.times import parse_rfc3339
from mydocker.record import from_json, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.model.options.mounts import Mount

SCHEMA = 1


@record
class Volume:
    name: str
    created: str
    labels: dict[str, str] = {}
    anonymous: bool = False
    options: dict[str, str] = {}  # of `volume create -o`
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        return path(self.name)


def path(name: str) -> str:
    return f"{paths.volume(name)}/_data"


def ensure(
    name: str,
    labels: dict[str, str] | None = None,
    anonymous: bool = False,
    options: dict[str, str] | None = None,
) -> Volume:
    """Return the volume; make it if it does not exist. Parallel calls make one. Raises Conflict if it has other
    options."""
    try:
        return _with_options(load(name), options)
    except (NotFound, CorruptRecord):
        pass
    with _lock():
        try:
            return _with_options(load(name), options)
        except NotFound:
            pass
        except CorruptRecord:
            if os.path.lexists(_file(name)):
                raise
        volume = Volume(name, state.now(), labels or {}, anonymous, options or {})
        text = jsontext.dumps(volume.__dict__).encode()
        if os.path.isdir(paths.volume(name)):  # a volume without a record keeps its data
            os.makedirs(path(name), 0o755, exist_ok=True)
            write_atomic(_file(name), text, durable=True)
        else:
            _make(name, text)
        return volume


def _with_options(volume: Volume, options: dict[str, str] | None) -> Volume:
    if options and options != volume.options:
        hint = f"see 'mydocker volume inspect {volume.name}'"
        raise Conflict(f"volume {volume.name} exists with other options", hint)
    return volume


def requested(mounts: Iterable[Mount]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return ({volume: its options}, {volume: its labels}), where there are any, of the volumes of a new container.
    Options are those of the volume, if it exists. Raises Conflict if others are asked for, InvalidArgument."""
    options: dict[str, dict[str, str]] = {}
    labels: dict[str, dict[str, str]] = {}
    for mount in mounts:
        name = mount["source"]
        if mount["type"] != "volume":
            continue
        labels.update({name: mount["labels"]} if "labels" in mount else {})
        given = mount.get("volume_options")
        if given:
            from mydocker.model.options import volumes as volume_options

            volume_options.check(given)
        try:
            given = _with_options(load(name), given).options
        except NotFound:
            pass  # it is made with the container
        except CorruptRecord:
            if os.path.lexists(_file(name)):
                raise
        if given and given["type"] == "tmpfs" and "subpath" in mount:
            raise InvalidArgument(f"volume {name} is a tmpfs, which has no subpaths", "mount all of it")
        if given and options.setdefault(name, given) != given:
            raise InvalidArgument(f"volume {name} is mounted twice, with different options", "give the same ones")
    return options, labels


def _make(name: str, text: bytes) -> None:
    """Make the volume's directory, complete or not at all. Caller holds the lock."""
    hidden = hidden_beside(paths.volume(name))
    os.mkdir(hidden, 0o700)
    try:
        os.mkdir(f"{hidden}/_data", 0o755)
        write_new(f"{hidden}/volume.json", text, durable=True)
        os.rename(hidden, paths.volume(name))
    except BaseException:
        remove_tree(hidden)
        raise
    sync(paths.VOLUMES)


def _lock() -> Lock:
    make_private(paths.VOLUMES)
    return Lock(f"{paths.VOLUMES}/.lock")


def load(name: str) -> Volume:
    """Read a volume's record. Raises NotFound, or CorruptRecord, which names the file."""
    if not paths.is_entry(name) or not os.path.isdir(paths.volume(name)):
        raise NotFound(f"no such volume: {name}", "see 'mydocker volume ls'")
    try:
        volume = from_json(Volume, jsontext.loads(read_regular(_file(name))))
        parse_rfc3339(volume.created)
        if volume.name != name:
            raise ValueError(f"it belongs to volume {volume.name}")
        return volume
    except (OSError, ValueError, TypeError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CorruptRecord(
            f"corrupt volume record: {_file(name)}: {why.lower()}",
            f"'mydocker volume rm {name}' removes it and its data, or restore the file",
        ) from None


def _file(name: str) -> str:
    return f"{paths.volume(name)}/volume.json"


def volumes() -> tuple[list[Volume], list[CorruptRecord]]:
    """Return (all volumes, by name; an error for each that can't be read)."""
    readable, broken = [], []
    try:
        entries = sorted(entry for entry in os.listdir(paths.VOLUMES) if not entry.startswith("."))
    except FileNotFoundError:
        return [], []
    for name in entries:
        try:
            readable.append(load(name))
        except CorruptRecord as error:
            broken.append(error)
        except NotFound:
            continue  # removed meanwhile
    return readable, broken


def users() -> dict[str, list[str]]:
    """Return {volume name: the names of the containers that mount it, running or not}."""
    names: dict[str, list[str]] = {}
    for container in state.containers():
        for source in container.mounts:
            if not source.startswith("/"):
                names.setdefault(source, []).append(container.name)
    return names


def size(name: str) -> int:
    """Return the bytes of its files, as docker counts them: each file once, however many hard links it has, and holes
    too."""
    sizes: dict[tuple[int, int], int] = {}
    directories = [path(name)]
    while directories:
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.path)
                    else:
                        sizes[status.st_dev, status.st_ino] = status.st_size
        except OSError:
            continue  # removed meanwhile
    return sum(sizes.values())


def remove(name: str) -> None:
    """Remove a volume and its data, even if its record is corrupt. Raises NotFound, or Conflict if a container mounts
    it."""
    with _lock():
        cleanup_hidden(paths.VOLUMES)
        try:
            load(name)
        except CorruptRecord:
            pass  # its name is enough
        holders = users().get(name)
        if holders:
            raise Conflict(f"volume {name} is in use by {', '.join(holders)}", "remove the containers first")
        discard(paths.volume(name))
