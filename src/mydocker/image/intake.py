"""The one way of an image into the store, for load, pull, build, import and commit.

    layers = [Layer(descriptor, diff_id, open) for …]          # bottom first
    image = intake.take(config, layers, ["nginx:1.25"], manifest, "nginx@sha256:…", progress)

config is the image config as it came: its digest is the image's ID, and it is stored byte for byte; so is a manifest,
OCI's or docker's (v2 schema 2), if one came. A layer's open() is called when a worker is free to read it, in order, and
not at all if the store has the layer; everything is read once, as a stream, and checked against its digest and size.

A layer that is made here (of a container's changes) has no blob yet: make() takes what a function writes.

Nothing is in the store before all is there: blobs and layers are collected in a Workspace (writer.py), which a crash
leaves for the next change to remove. Every error is a MydockerError of one line.
"""

from __future__ import annotations

import fcntl
import functools
import io
import os
import threading
from typing import TYPE_CHECKING, cast

from mydocker import config as config_file
from mydocker import jsontext, paths
from mydocker.errors import CorruptRecord, HostError, MydockerError, NotFound
from mydocker.image import config_types, store, unpacking, workers, writer
from mydocker.image.drivers import choice
from mydocker.image.limits import Budget
from mydocker.image.streams import CHUNK, Tee
from mydocker.image.taking import DONE, EXISTS, READING, Layer, Taking, layer_name, refused
from mydocker.image.tar_reader import Reader
from mydocker.kernel import files

if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from mydocker.image.drivers.base import Driver, Indexing
    from mydocker.image.streams import Stream
    from mydocker.image.taking import Progress

__all__ = ["DONE", "EXISTS", "READING", "Layer", "Progress", "Taking", "refused"]  # and all that is defined here

_F_SETPIPE_SZ = 1031
_TRIES = 3


def take(
    config: bytes,
    layers: list[Layer],
    names: list[str],
    manifest: bytes | None = None,
    repo_digest: str = "",
    progress: Progress | None = None,
) -> store.Image:
    """Put an image into the store, and return it. layers: bottom first, as in the config's diff_ids. names: normalised;
    each is taken from the image that has it. manifest: as it came, else one is made. repo_digest: NAME@sha256:…, by
    which a registry knows the image.

    Raises InvalidArgument (exit code 1) for an image that is malformed or not to be trusted, HostError for a full disk
    or a missing program, and what a layer's open() and read() raise."""
    diff_ids = diff_ids_of(config)
    if diff_ids != [layer.diff_id for layer in layers]:
        raise refused(f"the image's config has {len(diff_ids)} layers, which are not those of its manifest")
    if manifest is not None:
        _compare(manifest, config, layers)
    chain_ids = store.chain_ids(diff_ids)
    for _ in range(_TRIES):
        with writer.Workspace() as work:
            try:
                taken = _take_layers(work, layers, chain_ids, progress or _ignore)
            except _Removed:
                continue
            descriptors = [layer.descriptor for layer in taken]
            if manifest is None or _digests(descriptors) != _digests([layer.descriptor for layer in layers]):
                manifest = writer.manifest_for(config, descriptors)  # or the driver keeps layers in another form
            with writer.lock(work):
                if not writer.missing(work, _digests(descriptors), [layer.name for layer in taken]):
                    return writer.add(work, config, manifest, names, repo_digest)
        # Another process has removed layers that the store had when they were looked for.
    raise HostError("another process keeps removing the image's layers", "try again")


def complete(image: store.Image) -> None:
    """Unpack the layers of an image that another program brought as blobs. Raises CorruptRecord for a blob that does
    not have its digest, InvalidArgument for a layer that is not to be trusted."""
    descriptors = store.layer_descriptors(image.manifest)
    diff_ids = image.config["rootfs"]["diff_ids"]
    layers = [
        Layer(row, diff_id, functools.partial(_absent, row["digest"])) for row, diff_id in zip(descriptors, diff_ids)
    ]
    with writer.Workspace() as work:
        try:
            _take_layers(work, layers, image.layers, _ignore)
        except _Removed:
            raise NotFound(f"image {image.id[:19]} has just been removed", "import it again") from None
        with writer.lock(work):
            store.look(image.id)  # else nothing refers to its layers
            writer.adopt_layers(work)


def make(work: writer.Workspace, write: Callable[[BinaryIO], object], below: list[str]) -> tuple[dict[str, Any], str]:
    """Make a layer of the tar that write(out) writes, such as a storage driver's `changes`; it is stored and unpacked
    meanwhile. below: the chain ids of the layers under it, bottom first.

    Returns (its descriptor, its chain id), for a config, a manifest and writer.add(); ({}, "") for a layer without
    changes, of which nothing is kept."""
    driver = driver_in_use()
    with _Pipe(write) as source:
        descriptor, directory, bare = _store(source, work, driver, unpacking.unpack_layer)
    blob = f"{work.blobs}/{descriptor['digest'][7:]}"
    if _is_empty(blob):
        files.remove_tree(directory)
        os.unlink(blob)
        return {}, ""
    _complete(driver, directory, bare, [paths.layer(lower, driver.form) for lower in reversed(below)])
    chain_id: str = store.chain_ids([*below[-1:], descriptor["digest"]])[-1]
    os.rename(directory, f"{work.layers}/{layer_name(chain_id, driver)}")
    return descriptor, chain_id


def store_plain(source: Stream, work: writer.Workspace) -> dict[str, Any]:
    """Store a root file system's plain tar as an image's only layer, and unpack it meanwhile. Returns its
    descriptor."""
    driver = driver_in_use()
    descriptor, directory, bare = _store(source, work, driver, unpacking.unpack, is_layer=False)
    _complete(driver, directory, bare, [])
    os.rename(directory, f"{work.layers}/{layer_name(descriptor['digest'], driver)}")
    return descriptor


def _store(
    source: Stream,
    work: writer.Workspace,
    driver: Driver,
    unpack: Callable[[Stream, str], list[Any]],
    is_layer: bool = True,
) -> tuple[dict[str, Any], str, list[Any]]:
    """Store a plain tar in the form that the driver uses. Returns (its descriptor, the driver's directory, the
    directories that it lacks)."""
    blob, directory = f"{work.path}/blob", f"{work.path}/directory"
    bare: list[Any] = []
    os.mkdir(directory, 0o700)
    with Tee(source, blob, Budget().tar) as tee, io.BufferedReader(tee, CHUNK) as reader:
        if not driver.form:
            bare = unpack(reader, directory)
        digest = tee.finish()
    if driver.form:
        bare = cast("Indexing", driver).index_layer(blob, directory, is_layer)
    os.rename(blob, f"{work.blobs}/{digest[7:]}")
    return {"mediaType": store.LAYER, "digest": digest, "size": tee.size}, directory, bare


def _complete(driver: Driver, directory: str, bare: list[Any], below: list[str]) -> None:
    """Finish a layer in the form that the driver uses. below: the directories of those below, top first."""
    if driver.form:
        cast("Indexing", driver).complete_layer(directory, bare, below)
    elif bare:
        unpacking.complete(directory, bare, below)


def _is_empty(tar: str) -> bool:
    """True if a layer's tar has no entry but the root."""
    with open(tar, "rb") as stream:
        return all(entry.name == "./" for entry in Reader(stream))


# --- documents --------------------------------------------------------------------------------------------------------


def diff_ids_of(config: bytes) -> list[str]:
    """Return the diff ids of an image config, bottom first. Raises InvalidArgument for a malformed one."""
    document = parsed(config, "config")
    try:
        store.check_config(document)
        config_types.check(document)
        diff_ids: list[str] = document["rootfs"]["diff_ids"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise refused(f"its config is malformed: {error}") from None
    return diff_ids


def layers_of(manifest: bytes) -> list[dict[str, Any]]:
    """Return the descriptors of a manifest's layers, bottom first. Raises InvalidArgument for a malformed one."""
    return list(_manifest(manifest)["layers"])


def config_of(manifest: bytes) -> dict[str, Any]:
    """Return the descriptor of a manifest's config. Raises InvalidArgument for a malformed one."""
    descriptor: dict[str, Any] = _manifest(manifest)["config"]
    return descriptor


def parsed(data: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON document of an image, of limited size. what: its name in errors."""
    try:
        if len(data) > store.LARGEST_JSON:
            raise ValueError(f"more than {store.LARGEST_JSON >> 20} MB")
        document = jsontext.loads(data)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        raise refused(f"its {what} is malformed: {error}") from None
    return document


def _manifest(data: bytes) -> dict[str, Any]:
    document = parsed(data, "manifest")
    try:
        store.check_manifest(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise refused(f"its manifest is malformed: {error}") from None
    return document


def _compare(manifest: bytes, config: bytes, layers: list[Layer]) -> None:
    """Refuse a manifest that is not of this config and of these layers."""
    document = _manifest(manifest)
    if document["config"]["digest"] != store.digest_of(config):
        raise refused("its config does not have the digest that the manifest says")
    if _digests(document["layers"]) != _digests([layer.descriptor for layer in layers]):
        raise refused("its layers are not those of the manifest")


def _digests(descriptors: list[dict[str, Any]]) -> list[str]:
    return [descriptor["digest"] for descriptor in descriptors]


# --- layers -----------------------------------------------------------------------------------------------------------


def _take_layers(work: writer.Workspace, layers: list[Layer], chain_ids: list[str], progress: Progress) -> list[Taking]:
    """Read the layers that the store lacks, side by side. Raises _Removed if it loses some that it had."""
    driver = driver_in_use()
    budget, lacking = Budget(len(layers)), driver.missing(chain_ids)
    pairs, others = enumerate(zip(layers, chain_ids)), functools.cache(store.blobs_of_layers)
    jobs = [
        Taking(at, *pair, at not in lacking, work, driver, budget.meter(at), progress, others) for at, pair in pairs
    ]
    new = [job for job in jobs if job.is_missing]
    for job in jobs:
        if not job.is_missing:
            progress(job.at, EXISTS, job.descriptor["size"])
    for job in new:
        job.threaded = len(new) < len(os.sched_getaffinity(0))
    try:
        workers.run(new)
        for job in new:
            if not job.is_ready:
                _complete(driver, job.directory, job.bare, [lower.directory for lower in reversed(jobs[: job.at])])
    except (OSError, MydockerError):
        if any(job.is_removed() for job in jobs):
            raise _Removed from None
        raise
    return jobs


class _Removed(Exception):
    """Another process has removed layers that the store had when they were looked up."""


def driver_in_use() -> Driver:
    """Return the storage driver of new containers: it decides what a layer in the store is."""
    return choice.choose(config_file.load()["storage_driver"])[0]


class _Pipe:
    """`with _Pipe(write) as source:` calls write(out) in a thread; its output is read from `source`. An error of the
    writer replaces the reader's, which follows from the sudden end."""

    def __init__(self, write: Callable[[BinaryIO], object]) -> None:
        self._write = write
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with open(self._out, "wb", CHUNK) as out:
                self._write(out)
        except Exception as error:
            self._error = error

    def __enter__(self) -> Stream:
        source, self._out = os.pipe()
        fcntl.fcntl(self._out, _F_SETPIPE_SZ, CHUNK)
        self._source = io.BufferedReader(io.FileIO(source), CHUNK)
        self._thread.start()
        return self._source

    def __exit__(self, kind: object, *_: object) -> None:
        self._source.close()  # a writer that has not finished gets EPIPE
        self._thread.join()
        if self._error and not (kind is not None and isinstance(self._error, BrokenPipeError)):
            raise self._error


def _absent(digest: str) -> BinaryIO:
    raise CorruptRecord(f"corrupt image store: {store.blob(digest)}: it is missing", "import the image again")


def _ignore(*_: object) -> None:
    pass
