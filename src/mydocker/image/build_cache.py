"""The build cache: the results of steps, and the images that running builds use. Both keep blobs and layers.

    build/steps/<key>.json      a step's result; its mtime is the time of its last use
    build/running/<id>.lock     held by a build as long as it runs
    build/running/<id>.json     the layers of the images that it has begun from
    build/downloads/<key>.json  the version of a file that an ADD has fetched: its ETag and content's hash
    build/mounts/<key>/         a cache mount (engine/build/mounts.py)
    build/synced                the ID of the boot; its mtime is the time of the last sync: a power cut may have damaged
                                what came later

A key is the SHA-256 of all that a step depends on. A record that can't be read, or whose layer is missing, counts as
missing: the step runs again.
"""

from __future__ import annotations

import os
from time import time_ns

from mydocker import jsontext, paths
from mydocker.image import store
from mydocker.kernel import files
from mydocker.kernel.locks import NEW_FILE, Lock
from mydocker.record import from_json, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mydocker.image.drivers.base import Driver

SCHEMA = 1
# The digest of a tar without entries, 1024 zeros: the layer of a step that changes nothing.
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
DOWNLOADS = f"{paths.BUILD}/downloads"
STEPS, MOUNTS, RUNNING = f"{paths.BUILD}/steps", f"{paths.BUILD}/mounts", f"{paths.BUILD}/running"
SYNCED = f"{paths.BUILD}/synced"
_TICK = 10**8  # ns: by less than this, a file's time is behind the clock


@record
class Step:
    """The result of a step. about: the instruction, as the history has it. created: RFC 3339. chain_id: its layer with
    all that is below. diff_id: the digest of its tar. media_type, digest, size: its blob's descriptor."""

    key: str
    about: str
    created: str
    chain_id: str
    diff_id: str
    media_type: str
    digest: str
    size: int
    schema: int = SCHEMA

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @property
    def path(self) -> str:
        return f"{STEPS}/{self.key}.json"


def key_of(facts: dict[str, Any]) -> str:
    """Return the key of a step. facts: all that its result depends on, as JSON."""
    return store.digest_of(jsontext.dumps(facts).encode("utf-8", "surrogateescape"))[7:]


def find(key: str, driver: Driver) -> Step | None:
    """Look up a result whose layer is in the store, and note that it is used now."""
    step = _read(key)
    if not step or driver.missing([step.chain_id]) or not os.path.exists(store.blob(step.digest)):
        return None
    try:
        os.utime(step.path)
    except FileNotFoundError:
        return None  # it has just been pruned
    return step


def _read(key: str) -> Step | None:
    try:
        values = jsontext.loads(files.read_regular(f"{STEPS}/{key}.json"))
        step: Step = from_json(Step, values)
        store.blob(step.digest)
        store.blob(step.chain_id)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return step if step.schema == SCHEMA and step.key == key else None


def put(step: Step) -> None:
    """Record a result, before its layer comes into the store. Caller holds the store's lock."""
    files.make_private(STEPS)
    files.write_atomic(step.path, jsontext.dumps(step.__dict__).encode())


def discard(step: Step) -> bool:
    """Remove a result that no running build has used. Returns False for one that stays. Caller holds the store's
    lock."""
    hidden = f"{STEPS}/.{step.key}"  # unfinished, for a crash
    try:
        os.rename(step.path, hidden)  # from now on find() misses it; a build that uses it noted that before
    except FileNotFoundError:
        return False
    if os.stat(hidden).st_mtime_ns >= oldest_running():
        os.rename(hidden, step.path)
        return False
    os.unlink(hidden)
    return True


def trust(boot_id: str) -> None:
    """Note that the results that are left are good."""
    files.make_private(paths.BUILD)
    files.write_atomic(SYNCED, boot_id.encode())


def note_sync(began: int) -> None:
    """Note that the layers of all results of before `began` (ns) are on the disk: a sync that began then is over."""
    os.utime(SYNCED, ns=(began - _TICK, began - _TICK))


def unsynced(boot_id: str) -> list[Step] | None:
    """List the results, the first time in a boot, whose layers a power cut may have damaged; None from then on."""
    try:
        if files.read_regular(SYNCED) == boot_id.encode():
            return None
        last = os.stat(SYNCED).st_mtime_ns
    except FileNotFoundError:
        last = 0
    return [step for step, used in steps() if used > last]


def steps() -> Iterator[tuple[Step, int]]:
    """Yield (each result, the time of its last use in ns). Results that can't be read are removed."""
    for entry in _entries(STEPS):
        step = _read(entry[:-5]) if entry.endswith(".json") else None
        try:
            if step:
                yield step, os.stat(step.path).st_mtime_ns
            elif not entry.startswith("."):  # being written
                os.unlink(f"{STEPS}/{entry}")
        except FileNotFoundError:
            continue


def grown_since(moment: int) -> bool:
    """True if a result may have been added since a time in ns, or removed."""
    try:
        return os.stat(STEPS).st_mtime_ns >= moment
    except FileNotFoundError:
        return False


def download(url: str) -> dict[str, str] | None:
    """Return what put_download() has noted of a URL, and note that it is used now."""
    path = _download(url)
    try:
        facts = jsontext.loads(files.read_regular(path))
        if not all(isinstance(facts[key], str) for key in ("etag", "content", "checksum")):
            return None
        bytes.fromhex(facts["content"])
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    noted: dict[str, str] = facts
    return noted


def put_download(url: str, facts: dict[str, str]) -> None:
    """Note the version of a file. facts: etag, content (a hash, hexadecimal), checksum (that it was compared with)."""
    files.make_private(DOWNLOADS)
    files.write_atomic(_download(url), jsontext.dumps(facts).encode())


def remove_downloads(left: int) -> None:
    """Forget all versions of files but those that were used last, so many."""
    times = []
    for entry in _entries(DOWNLOADS):
        try:
            times.append((os.stat(f"{DOWNLOADS}/{entry}").st_mtime_ns, entry))
        except FileNotFoundError:
            continue
    for _, entry in sorted(times, reverse=True)[left:]:
        try:
            os.unlink(f"{DOWNLOADS}/{entry}")
        except FileNotFoundError:
            continue


def _download(url: str) -> str:
    return f"{DOWNLOADS}/{key_of({'url': url})}.json"  # the URL itself may have a password


def mounts() -> Iterator[tuple[str, str, int]]:
    """Yield (key, id, time of the last use in ns) for each cache mount."""
    for key in _entries(MOUNTS):
        path = f"{MOUNTS}/{key}/about.json"
        try:
            used = os.stat(path).st_mtime_ns
            about = jsontext.loads(files.read_regular(path))["id"]
        except (OSError, ValueError, TypeError, KeyError):
            used, about = 0, "?"
        yield key, str(about), used


def roots() -> tuple[set[str], set[str]]:
    """Return (digests of blobs, chain IDs of layers) that the cache and running builds need. A layer needs those
    below it, which other results or an image have."""
    blobs, chains = set(), set()
    for step, _ in steps():
        blobs.add(step.digest)
        chains.add(step.chain_id)
    for entry in _entries(RUNNING):
        if entry.endswith(".json"):
            try:
                held = jsontext.loads(files.read_regular(f"{RUNNING}/{entry}"))
                blobs.update(held["blobs"])
                chains.update(held["layers"])
            except (OSError, ValueError, TypeError, KeyError):
                continue  # it has just ended
    return blobs, chains


class Session:
    """`with Session() as session:` a running build. id: 64 hexadecimal digits, as a container's. began: the time in ns,
    by the clock of files."""

    def __enter__(self) -> Session:
        files.make_private(RUNNING)
        self.id = os.urandom(32).hex()
        self._lock = Lock(f"{RUNNING}/{self.id}.lock", NEW_FILE)
        self.began = os.stat(f"{RUNNING}/{self.id}.lock").st_mtime_ns
        self._blobs: set[str] = set()
        self._layers = {EMPTY}  # under the steps of `FROM scratch`
        self._write()
        return self

    def hold(self, image: store.Image, driver: Driver) -> None:
        """Keep an image's layers and blobs until the end of the build. Raises NotFound if it has just been removed."""
        self._layers.update(image.layers)
        self._blobs.update(layer["digest"] for layer in store.layer_descriptors(image.manifest))
        with store.keep(image, driver):
            self._write()

    def _write(self) -> None:
        held = {"blobs": sorted(self._blobs), "layers": sorted(self._layers)}
        files.write_atomic(f"{RUNNING}/{self.id}.json", jsontext.dumps(held).encode())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            forget(self.id)


def forget(build: str) -> None:
    """Remove the files of a build that has ended."""
    for suffix in ("json", "lock"):
        try:
            os.unlink(f"{RUNNING}/{build}.{suffix}")
        except FileNotFoundError:
            pass


def cleanup() -> None:
    """Remove the files of a build that was killed while it wrote them."""
    for entry in _entries(RUNNING):
        if entry.startswith(".") and not os.path.exists(f"{RUNNING}/{entry[1:65]}.lock"):
            os.unlink(f"{RUNNING}/{entry}")


def abandoned() -> Iterator[str]:
    """Yield the ID of each build that was killed, while its lock is held; forget() ends it."""
    for entry in _entries(RUNNING):
        if entry.endswith(".lock"):
            try:
                lock = Lock(f"{RUNNING}/{entry}", os.O_RDWR | os.O_CLOEXEC, wait=0)
            except (FileNotFoundError, BlockingIOError):
                continue
            with lock:
                yield entry[:-5]


def oldest_running() -> int:
    """Return the time, in ns, since when a build is running that may need what it has looked up; now, if none runs."""
    began = [time_ns()]
    for entry in _entries(RUNNING):
        if entry.endswith(".lock"):
            try:
                began.append(os.stat(f"{RUNNING}/{entry}").st_mtime_ns)
            except FileNotFoundError:
                continue
    return min(began)


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
