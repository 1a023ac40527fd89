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
from typing import TYPE_CHECKING

from mydocker import jsontext, paths
from mydocker.errors import FAILED, CorruptRecord, HostError, InvalidArgument, MydockerError
from mydocker.image import store, unpacking, workers, writer
from mydocker.image.streams import CHUNK, Tee, decompressed
from mydocker.kernel import files
from mydocker.record import record

if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from mydocker.image.streams import Stream

    # Called with the layer's place (0 is the bottom), its state, and the bytes of its blob that have been read.
    Progress = Callable[[int, str, int], None]

EXISTS, READING, DONE = "exists", "reading", "done"  # a layer's states; there is one READING for each step

_F_SETPIPE_SZ = 1031
_STEP = 1 << 20  # bytes of a blob between two calls of progress
_TRIES = 3
_NOT_SHARED = "application/vnd.docker.image.rootfs.foreign"  # layers that a registry does not hand out (Windows)


@record
class Layer:
    """A layer as it comes. descriptor: {mediaType, digest, size} of its blob; digest "" or size -1: not known (docker's
    archives do not tell). diff_id: the digest of the plain tar.

    open: returns the blob as an unbuffered binary stream (io.FileIO of a pipe or file, at its first byte), of which
    exactly `size` bytes are read: it may be a part of an archive. It is called in this process; a worker reads the
    stream in a copy of this process; then close() is called here, also after an error."""

    descriptor: dict[str, Any]
    diff_id: str
    open: Callable[[], BinaryIO]


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
            descriptors = _take_layers(work, layers, chain_ids, progress or _ignore)
            data = manifest if manifest is not None else writer.manifest_for(config, descriptors)
            with store.lock():
                if not writer.missing(work, descriptors, chain_ids):
                    return writer.add(work, config, data, names, repo_digest)
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
        _take_layers(work, layers, image.layers, _ignore)
        with store.lock():
            writer.adopt_layers(work)


def make(work: writer.Workspace, write: Callable[[BinaryIO], object], below: list[str]) -> tuple[dict[str, Any], str]:
    """Make a layer of the tar that write(out) writes, such as a storage driver's `changes`; it is stored and unpacked
    meanwhile. below: the chain ids of the layers under it, bottom first.

    Returns (its descriptor, its chain id), for a config, a manifest and writer.add(); ({}, "") for a layer without
    changes, of which nothing is kept."""
    with _Pipe(write) as source:
        descriptor, tree, bare = _store(source, work, unpacking.unpack_layer)
    if not os.listdir(tree):
        files.remove_tree(tree)
        os.unlink(f"{work.blobs}/{descriptor['digest'][7:]}")
        return {}, ""
    unpacking.complete(tree, bare, [paths.layer(chain_id) for chain_id in reversed(below)])
    chain_id: str = store.chain_ids([*below[-1:], descriptor["digest"]])[-1]
    os.rename(tree, f"{work.layers}/{chain_id[7:]}")
    return descriptor, chain_id


def store_plain(source: Stream, work: writer.Workspace) -> dict[str, Any]:
    """Store a root file system's plain tar as an image's only layer, and unpack it meanwhile. Returns its
    descriptor."""
    descriptor, tree, _ = _store(source, work, unpacking.unpack)
    os.rename(tree, f"{work.layers}/{descriptor['digest'][7:]}")
    return descriptor


def _store(
    source: Stream, work: writer.Workspace, unpack: Callable[[Stream, str], Any]
) -> tuple[dict[str, Any], str, Any]:
    """Store and unpack a plain tar. Returns (its descriptor, the directory, unpack's result)."""
    blob, tree = f"{work.path}/blob", f"{work.path}/tree"
    os.mkdir(tree, 0o700)
    with Tee(source, keep=blob) as tee, io.BufferedReader(tee, CHUNK) as reader:
        result = unpack(reader, tree)
        digest = tee.finish()
    os.rename(blob, f"{work.blobs}/{digest[7:]}")
    return {"mediaType": store.LAYER, "digest": digest, "size": tee.size}, tree, result


# --- documents --------------------------------------------------------------------------------------------------------


def diff_ids_of(config: bytes) -> list[str]:
    """Return the diff ids of an image config, bottom first. Raises InvalidArgument for a malformed one."""
    document = parsed(config, "config")
    try:
        store.check_config(document)
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
    if [row["digest"] for row in document["layers"]] != [layer.descriptor["digest"] for layer in layers]:
        raise refused("its layers are not those of the manifest")


def refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"refused image: {why[:300]}", exit_code=FAILED)


# --- layers -----------------------------------------------------------------------------------------------------------


def _take_layers(
    work: writer.Workspace, layers: list[Layer], chain_ids: list[str], progress: Progress
) -> list[dict[str, Any]]:
    """Read and unpack the layers that the store lacks, side by side. Returns all layers' descriptors, complete."""
    jobs = [_Taking(at, *pair, work, progress) for at, pair in enumerate(zip(layers, chain_ids))]
    new = [job for job in jobs if job.is_missing()]
    for job in jobs:
        if job not in new:
            progress(job.at, EXISTS, job.descriptor["size"])
    for job, (descriptor, bare) in zip(new, workers.run(new)):
        job.descriptor, job.bare = descriptor, bare
        if job.blob and os.path.exists(job.blob):
            os.rename(job.blob, f"{work.blobs}/{descriptor['digest'][7:]}")
    where = [job.directory() for job in jobs]
    for job in new:
        if job.bare:
            unpacking.complete(where[job.at], job.bare, where[: job.at][::-1])
    return [job.descriptor for job in jobs]


class _Taking:
    """The job of one layer."""

    def __init__(self, at: int, layer: Layer, chain_id: str, work: writer.Workspace, progress: Progress) -> None:
        self.at = at
        self.layer = layer
        self.descriptor = layer.descriptor
        self.bare: list[str] = []  # directories that the archive lacks
        self._chain_id = chain_id
        self._tree = f"{work.layers}/{chain_id[7:]}"
        self._progress = progress
        self._source: BinaryIO | None = None
        self.blob = f"{work.path}/blob.{at}"
        digest = layer.descriptor["digest"]
        self._stored = store.blob(digest) if digest and os.path.exists(store.blob(digest)) else ""
        if not digest and os.path.exists(store.blob(layer.diff_id)) and os.path.isdir(paths.layer(chain_id)):
            self._stored = store.blob(layer.diff_id)
            self.descriptor = {"mediaType": store.LAYER, "digest": layer.diff_id, "size": os.stat(self._stored).st_size}
        self._unpacked = os.path.isdir(paths.layer(chain_id))

    def is_missing(self) -> bool:
        return not (self._stored and self._unpacked)

    def directory(self) -> str:
        return paths.layer(self._chain_id) if self._unpacked else self._tree

    def prepare(self) -> None:
        if self._stored:
            self.blob = ""
            self._source = io.FileIO(self._stored)
        else:
            self._source = self.layer.open()
        if not self._unpacked:
            os.mkdir(self._tree, 0o700)

    def advance(self, count: int) -> None:
        self._progress(self.at, READING, count)

    def close(self) -> None:
        if self._source:
            self._source.close()
            self._source = None
            self._progress(self.at, DONE, self.descriptor["size"])

    def work(self, report: Callable[[int], None]) -> tuple[dict[str, Any], list[str]]:
        assert self._source
        descriptor = self.descriptor
        blob = _Blob(self._source, descriptor["size"], report)
        with io.BufferedReader(blob, CHUNK) as stream, Tee(stream, self.blob) as packed:
            reader = io.BufferedReader(packed, CHUNK)
            failure = None
            inner, bare = "", []
            try:
                plain = decompressed(reader)
                if plain is reader:
                    bare = self._unpack(plain)
                else:
                    with plain, Tee(plain) as unpacked, io.BufferedReader(unpacked, CHUNK) as inner_reader:
                        bare = self._unpack(inner_reader)
                        inner = unpacked.finish()
            except MydockerError as error:  # the digest will tell whether the layer or its way is at fault
                failure = error
            digest = packed.finish()
        self._check(digest, inner or digest, blob.size, failure)
        kind = descriptor.get("mediaType") or store.LAYER
        return {**descriptor, "mediaType": kind, "digest": digest, "size": blob.size}, bare

    def _unpack(self, stream: Stream) -> list[str]:
        return [] if self._unpacked else unpacking.unpack_layer(stream, self._tree)

    def _check(self, digest: str, diff_id: str, size: int, failure: MydockerError | None) -> None:
        descriptor = self.descriptor
        expected = descriptor["digest"] or digest
        if digest != expected or size < descriptor["size"]:
            why = f"its digest is {digest}" if size >= descriptor["size"] else f"it ends after {size} bytes"
            if self._stored:
                raise CorruptRecord(f"corrupt image store: {self._stored}: {why}", "import the image again")
            raise refused(f"layer {descriptor['digest'] or self.layer.diff_id}: {why}")
        if failure:
            raise failure
        if diff_id != self.layer.diff_id:
            if self._stored:
                raise CorruptRecord(f"corrupt image: layer {digest} holds {diff_id}, not {self.layer.diff_id}")
            raise refused(f"layer {digest} holds {diff_id}, not {self.layer.diff_id}")


class _Blob(io.RawIOBase):
    """The first `size` bytes of a stream (-1: all of it), counted."""

    def __init__(self, source: BinaryIO, size: int, report: Callable[[int], None]) -> None:
        self._source = source
        self._left = size
        self._report = report
        self._reported = 0
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = len(buffer) if self._left < 0 else min(len(buffer), self._left)
        count: int = self._source.readinto(memoryview(buffer)[:room]) if room else 0  # type: ignore[attr-defined]
        self.size += count
        if self._left > 0:
            self._left -= count
        if self.size - self._reported >= _STEP:
            self._reported = self.size
            self._report(self.size)
        return count


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
