"""A layer on its way into the store: read once, checked, stored as a blob, and brought into the form that the storage
driver uses: unpacked, or an index of its plain tar. It is the job of a worker (workers.py)."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, cast

from mydocker import paths
from mydocker.errors import FAILED, CorruptRecord, InvalidArgument, MydockerError
from mydocker.image import store, unpacking
from mydocker.image.streams import CHUNK, SMALL, Tee, compression, decompressed, with_magic
from mydocker.record import record

if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from mydocker.image.drivers.base import Driver, Indexing
    from mydocker.image.limits import Meter
    from mydocker.image.streams import Stream
    from mydocker.image.writer import Workspace

    # Called with the layer's place (0 is the bottom), its state, and the bytes of its blob that have been read.
    Progress = Callable[[int, str, int], None]
    Others = Callable[[], dict[str, dict[str, Any]]]  # diff ID -> the descriptor of a blob that the store has

EXISTS, READING, DONE = "exists", "reading", "done"  # a layer's states; there is one READING for each step

_STEP = 1 << 20  # bytes of a blob between two calls of progress


@record
class Layer:
    """A layer as it comes. descriptor: {mediaType, digest, size} of its blob; digest "" or size -1: not known (docker's
    archives do not tell). diff_id: the digest of the plain tar.

    open: returns the blob as an unbuffered binary stream (io.FileIO of a pipe or file, at its first byte), of which
    exactly `size` bytes are read: it may be a part of an archive. It is called in this process; a worker reads the
    stream in a copy of this process; then close() is called here, also after an error.

    is_far: it comes over a network, so a blob of the store with the same tar in another compression replaces it."""

    descriptor: dict[str, Any]
    diff_id: str
    open: Callable[[], BinaryIO]
    is_far: bool = False


class Taking:
    """The job of one layer. descriptor: of its blob in the store. directory: what the driver uses of it, in the
    workspace or, if it was there, in the store. name: the directory's. bare: directories that the archive lacks
    (unpacking.py). is_ready: the driver has the layer. is_missing: there is something to do. meter: counts what is
    unpacked."""

    def __init__(
        self,
        at: int,
        layer: Layer,
        chain_id: str,
        is_ready: bool,
        work: Workspace,
        driver: Driver,
        meter: Meter,
        progress: Progress,
        others: Others,
    ) -> None:
        self.at = at
        self.descriptor = layer.descriptor
        self.name = layer_name(chain_id, driver)
        self.directory = paths.layer(self.name)
        self._layer = layer
        self._work = work
        self._driver = driver
        self._progress = progress
        self._others = others
        self.meter = meter
        self.threaded = True  # there are processors that no other layer keeps busy
        self._source: BinaryIO | None = None
        self.bare: list[Any] = []
        self._blob = f"{work.path}/blob.{at}"
        self.is_ready = is_ready
        if not is_ready:
            self.directory = f"{work.layers}/{self.name}"
        self._stored = self._find_blob()
        self.is_missing = not (self._stored and self.is_ready)

    def _find_blob(self) -> str:
        """Return the path of the layer's blob in the store, "" if it is not there. The plain tar does, too, if that is
        what the driver uses, or if nothing is known of the blob; and any blob, if this one is far away."""
        digest = self.descriptor["digest"]
        path = store.blob(digest) if digest else ""
        if path and os.path.exists(path):
            return path
        plain = store.blob(self._layer.diff_id)
        if (self._driver.form or not digest or self._layer.is_far) and os.path.exists(plain):
            self.descriptor = _plain(self._layer.diff_id, os.stat(plain).st_size)
            return plain
        other = self._others().get(self._layer.diff_id) if self._layer.is_far and not self._driver.form else None
        if other and os.path.exists(store.blob(other["digest"])):
            self.descriptor = other
            return store.blob(other["digest"])
        return ""

    def is_removed(self) -> bool:
        """True if the store has lost what it had of the layer."""
        has_blob = not self._stored or os.path.exists(self._stored)
        return not has_blob or (self.is_ready and not os.path.isdir(self.directory))

    # --- in the parent

    def prepare(self) -> None:
        self._source = io.FileIO(self._stored) if self._stored else self._layer.open()
        if not self.is_ready:
            os.mkdir(self.directory, 0o700)

    def advance(self, count: int) -> None:
        self._progress(self.at, READING, count)

    def close(self) -> None:
        if self._source:
            self._source.close()
            self._source = None

    def done(self, result: tuple[dict[str, Any], list[Any]]) -> None:
        self.descriptor, self.bare = result
        if not self._stored:
            os.rename(self._blob, f"{self._work.blobs}/{self.descriptor['digest'][7:]}")
        self._progress(self.at, DONE, self.descriptor["size"])

    # --- in the worker

    def work(self, report: Callable[[int], None]) -> tuple[dict[str, Any], list[Any]]:
        """Read the layer. Returns (descriptor, bare)."""
        assert self._source
        blob = _Blob(self._source, self.descriptor["size"], report)
        diff_id, size, failure = "", 0, None
        with with_magic(io.BufferedReader(blob, SMALL)) as stream:
            compressed = compression(stream.peek(6)[:6]) != ""
            keep = "" if self._stored else self._blob
            keep_plain = self._blob if self._driver.form and compressed else ""
            with (
                Tee(stream, "" if keep_plain else keep, threaded=self.threaded) as packed,
                io.BufferedReader(packed, CHUNK) as reader,
            ):
                try:
                    if compressed:
                        diff_id, size = self._decompress(reader, keep_plain)
                    else:
                        self._unpack(reader)
                except MydockerError as error:  # the digest will tell whether the layer or its way is at fault
                    failure = error
                digest = packed.finish()
        self._check(digest, diff_id or digest, blob.size, failure)
        if self._driver.form and not self.is_ready:
            tar = self._blob if keep_plain or keep else self._stored
            self.bare = cast("Indexing", self._driver).index_layer(tar, self.directory, meter=self.meter)
        if keep_plain and keep:
            return _plain(diff_id, size), self.bare
        kind = self.descriptor.get("mediaType") or store.LAYER
        return {**self.descriptor, "mediaType": kind, "digest": digest, "size": blob.size}, self.bare

    def _decompress(self, packed: Stream, keep: str) -> tuple[str, int]:
        """Unpack a compressed tar. Returns (its diff id, its size)."""
        with (
            decompressed(packed) as plain,
            Tee(plain, keep, self.meter.tar, self.threaded) as tee,
            io.BufferedReader(tee, CHUNK) as reader,
        ):
            self._unpack(reader)
            return tee.finish(), tee.size

    def _unpack(self, plain: Stream) -> None:
        if not (self.is_ready or self._driver.form):
            self.bare = unpacking.unpack_layer(plain, self.directory, self.meter)

    def _check(self, digest: str, diff_id: str, size: int, failure: MydockerError | None) -> None:
        expected, announced = self.descriptor["digest"] or digest, self.descriptor["size"]
        if digest != expected or size < announced:
            why = f"its digest is {digest}" if size >= announced else f"it ends after {size} of {announced} bytes"
            if self._stored:
                raise CorruptRecord(f"corrupt image store: {self._stored}: {why}", "import the image again")
            raise refused(f"layer {self.descriptor['digest'] or self._layer.diff_id}: {why}")
        if failure:
            raise failure
        if diff_id != self._layer.diff_id:
            if self._stored:
                raise CorruptRecord(f"corrupt image: layer {digest} holds {diff_id}, not {self._layer.diff_id}")
            raise refused(f"layer {digest} holds {diff_id}, not {self._layer.diff_id}")


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
        view, count = memoryview(buffer)[:room], 0
        # A pipe brings less at once, and every piece costs the same on its way through all stages.
        while count < room and (more := self._source.readinto(view[count:])):  # type: ignore[attr-defined]
            count += more
        self.size += count
        if self._left > 0:
            self._left -= count
        if self.size - self._reported >= _STEP:
            self._reported = self.size
            self._report(self.size)
        return count


def layer_name(chain_id: str, driver: Driver) -> str:
    """Return the name of a layer's directory."""
    return os.path.basename(paths.layer(chain_id, driver.form))


def _plain(diff_id: str, size: int) -> dict[str, Any]:
    return {"mediaType": store.LAYER, "digest": diff_id, "size": size}


def refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"refused image: {why[:300]}", exit_code=FAILED)
