"""Named volumes: folders that outlive their containers.

    volumes/<name>/_data          what containers see
    volumes/<name>/volume.json    {"schema", "name", "created", "labels", "anonymous"}

Imports are restricted: `run -v` comes here.
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths, state
from mydocker.errors import Conflict, CorruptRecord, NotFound
from mydocker.kernel.files import make_private, remove_tree, write_atomic
from mydocker.record import record

SCHEMA = 1


@record
class Volume:
    name: str
    created: str
    labels: dict[str, str] = {}
    anonymous: bool = False
    schema: int = SCHEMA

    @property
    def path(self) -> str:
        return path(self.name)


def path(name: str) -> str:
    return f"{paths.volume(name)}/_data"


def ensure(name: str, labels: dict[str, str] | None = None, anonymous: bool = False) -> Volume:
    """The volume, made if it is not there. Parallel calls make one."""
    try:
        return load(name)
    except NotFound:
        pass
    with _lock():
        try:
            return load(name)
        except NotFound:
            pass
        made = Volume(name, state.now(), labels or {}, anonymous)
        make_private(paths.volume(name))
        os.makedirs(path(name), 0o755, exist_ok=True)
        write_atomic(f"{paths.volume(name)}/volume.json", jsontext.dumps(made.__dict__).encode(), durable=True)
        return made


def _lock() -> state.Lock:
    make_private(paths.VOLUMES)
    return state.Lock(f"{paths.VOLUMES}/.lock")


def load(name: str) -> Volume:
    """Raises NotFound, or CorruptRecord naming the file."""
    file = f"{paths.volume(name)}/volume.json"
    try:
        with open(file, "rb") as reader:
            return Volume(**jsontext.loads(reader.read()))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such volume: {name}", "see 'mydocker volume ls'") from None
    except (ValueError, TypeError) as error:
        raise CorruptRecord(
            f"corrupt volume record: {file}: {error}", "restore the file; its data is beside it"
        ) from None


def volumes() -> list[Volume]:
    """All, by name."""
    try:
        names = sorted(entry for entry in os.listdir(paths.VOLUMES) if not entry.startswith("."))
    except FileNotFoundError:
        return []
    return [load(name) for name in names]


def users() -> dict[str, list[str]]:
    """volume name -> the names of the containers that have it, running or not."""
    found: dict[str, list[str]] = {}
    for container in state.containers():
        for source in container.mounts:
            if not source.startswith("/"):
                found.setdefault(source, []).append(container.name)
    return found


def remove(name: str) -> None:
    """Raises NotFound, or Conflict if a container has it."""
    with _lock():
        load(name)
        holders = users().get(name)
        if holders:
            raise Conflict(f"volume {name} is in use by {', '.join(holders)}", "remove the containers first")
        remove_tree(paths.volume(name))
