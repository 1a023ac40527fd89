"""builder prune, and the bound on the build cache: results of steps and cache mounts that are not in use."""

from __future__ import annotations

import os
from time import time_ns

from mydocker import config, state
from mydocker.engine.build import sweeping
from mydocker.errors import FAILED, InvalidArgument
from mydocker.image import build_cache, store, writer
from mydocker.kernel.locks import NEW_FILE, Lock
from mydocker.model.options import times
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.image.build_cache import Step

FILTERS = ("until", "id", "type", "description", "inuse", "shared")
_TYPES = ("regular", "exec.cachemount")


@record
class Entry:
    """A part of the cache. step: None for a cache mount. shared: an image has its layer. used: ns, its last use."""

    id: str
    about: str
    size: int
    used: int
    shared: bool
    step: Step | None

    @property
    def type(self) -> str:
        return "regular" if self.step else "exec.cachemount"


def prune(everything: bool, filters: list[str], keep: int = 0, dry_run: bool = False) -> tuple[list[str], int]:
    """Remove what no running build uses. everything: also results whose layer an image has, which frees nothing but
    their records. keep: bytes of what was used last that stay. dry_run: remove nothing. Returns the IDs, and the bytes
    that are free now."""
    tests = [_test(text) for text in filters]
    sweeping.sweep()
    if everything and not tests and not dry_run:
        build_cache.remove_downloads(0)
    entries = sorted(cached(), key=lambda entry: entry.used, reverse=True)
    bound = build_cache.oldest_running()
    kept = 0
    gone: list[Entry] = []
    for entry in entries:
        if entry.used >= bound or (entry.shared and not everything) or not all(test(entry) for test in tests):
            continue
        if keep and kept + entry.size <= keep:
            kept += entry.size
            continue
        gone.append(entry)
    if dry_run:
        return [entry.id for entry in gone], sum(map(_reclaimable, gone))
    return _remove(gone)


def distrust() -> None:
    """Remove the results whose layers a power cut may have damaged, before a build uses one."""
    boot_id = state.boot_id()
    steps = build_cache.unsynced(boot_id)
    if steps:
        with writer.Trash() as trash, store.lock():
            for step in build_cache.unsynced(boot_id) or ():  # another build may have been first
                build_cache.discard(step)
            _collect(trash)
    if steps is not None:
        build_cache.trust(boot_id)


def _reclaimable(entry: Entry) -> int:
    return 0 if entry.shared else entry.size


def limit(began: int) -> None:
    """Remove the results that were used longest ago, if there are too many. began: the time in ns when the build began;
    if all came from the cache, it stays as it is."""
    if not build_cache.grown_since(began):
        return
    settings = config.load()
    results, largest = settings["build_cache_results"], settings["build_cache_size"]
    build_cache.remove_downloads(results)
    entries = sorted((each for each in cached() if each.step), key=lambda entry: entry.used, reverse=True)
    bound, size, gone = build_cache.oldest_running(), 0, []
    for number, entry in enumerate(entries):
        size += entry.size
        if (number >= results or size > largest) and entry.used < bound:
            gone.append(entry)
    if gone:
        _remove(gone)


def cached() -> list[Entry]:
    """List all that is in the cache, in no order."""
    in_images = {chain_id for image in store.images() for chain_id in image.layers}
    entries = [
        Entry(step.key, step.about, step.size, used, step.chain_id in in_images, step)
        for step, used in build_cache.steps()
    ]
    for key, about, used in build_cache.mounts():
        entries.append(Entry(key, f"cache mount {about}", _size(f"{build_cache.MOUNTS}/{key}/data"), used, False, None))
    return entries


def _size(directory: str) -> int:
    """Return the bytes that a directory's files use."""
    total = 0
    for top, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(f"{top}/{name}").st_blocks * 512
            except OSError:
                continue
    return total


def _remove(entries: list[Entry]) -> tuple[list[str], int]:
    removed, reclaimed = [], 0
    with writer.Trash() as trash, store.lock():
        for entry in entries:
            if not (build_cache.discard(entry.step) if entry.step else _take_mount(entry.id, trash)):
                continue
            removed.append(entry.id)
            reclaimed += _reclaimable(entry)
        _collect(trash)
    return removed, reclaimed


def _collect(trash: writer.Trash) -> None:
    from mydocker.image import removal

    removal.collect([removal.User(each.id, each.image_id, each.layers, False) for each in state.readable()], trash)


def _take_mount(key: str, trash: writer.Trash) -> bool:
    """Remove a cache mount that no step has mounted."""
    try:
        lock = Lock(f"{build_cache.MOUNTS}/{key}/lock", NEW_FILE, wait=0)
    except (FileNotFoundError, BlockingIOError):
        return False
    with lock:
        # The lock stays on a directory that is about to be removed: a build that waits for it makes a new one.
        return trash.take(f"{build_cache.MOUNTS}/{key}")


def _test(text: str):  # type: ignore[no-untyped-def]
    key, equals, value = text.partition("=")
    key, value = key.strip().lower(), value.strip()
    if not equals or key not in FILTERS or (key == "type" and value not in _TYPES):
        raise InvalidArgument(f"invalid filter '{text}'", f"KEY=VALUE, with {', '.join(FILTERS)} as the key", FAILED)
    if key == "until":
        latest = times.moment(value, time_ns())
        return lambda entry: entry.used < latest
    if key == "id":
        return lambda entry: entry.id.startswith(value)
    if key == "type":
        return lambda entry: entry.type == value
    if key == "description":
        return lambda entry: value in entry.about
    wanted = value in ("1", "true")
    return (lambda entry: entry.shared == wanted) if key == "shared" else (lambda entry: not wanted)
