"""Make images of a root file system's tar or a container's changes, and unpack layers that other programs brought."""

from __future__ import annotations

import fcntl
import io
import os
import threading
from time import time_ns
from typing import TYPE_CHECKING

from mydocker import paths
from mydocker.errors import CorruptRecord, MydockerError
from mydocker.image import store, unpacking, writer
from mydocker.image.changes import apply_changes
from mydocker.image.streams import CHUNK, Tee, decompressed
from mydocker.model.timestamp import rfc3339

if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from mydocker.image.streams import Stream

_F_SETPIPE_SZ = 1031


def import_image(source: Stream, name: str, changes: list[str], message: str) -> store.Image:
    """Make an image with one layer of a tar, plain or compressed. name: normalised, or "" for none. changes: Dockerfile
    instructions. Raises InvalidArgument for an archive that is not to be trusted; nothing of it is left then."""
    config = apply_changes({}, changes)
    with decompressed(source) as plain, writer.Workspace() as work:
        descriptor, tree = _take_in(plain, work, None)
        os.rename(tree, f"{work.layers}/{descriptor['digest'][7:]}")
        created = rfc3339(time_ns())
        document = {
            "created": created,
            "architecture": store.architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"]]},
            "history": [{"created": created, "comment": message or "Imported from -"}],
        }
        with store.lock():
            return writer.add(work, document, [descriptor], name)


def commit(
    write_changes: Callable[[BinaryIO], object],
    parent: store.Image,
    name: str,
    config: dict[str, Any],
    created_by: str,
    author: str = "",
    message: str = "",
) -> store.Image:
    """Make an image of `parent` with another layer. write_changes: writes the layer's tar (a storage driver's
    `changes`), which is stored and unpacked meanwhile. config: the OCI config's "config". created_by: the command that
    made the changes. A layer without changes is left out, as with docker."""
    with writer.Workspace() as work:
        below = [paths.layer(chain_id) for chain_id in reversed(parent.layers)]
        with _Pipe(write_changes) as source:
            descriptor, tree = _take_in(source, work, below)
        diff_ids = list(parent.config["rootfs"]["diff_ids"])
        descriptors = store.layer_descriptors(parent.manifest)
        created = rfc3339(time_ns())
        history: dict[str, Any] = {"created": created, "created_by": created_by}
        if author:
            history["author"] = author
        if message:
            history["comment"] = message
        if os.listdir(tree):
            diff_ids.append(descriptor["digest"])
            descriptors.append(descriptor)
            os.rename(tree, f"{work.layers}/{store.chain_ids(diff_ids)[-1][7:]}")
        else:
            history["empty_layer"] = True
            os.unlink(f"{work.blobs}/{descriptor['digest'][7:]}")
        document = {
            **parent.config,
            "created": created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [*(parent.config.get("history") or []), history],
        }
        document.pop("author", None)
        if author:
            document["author"] = author
        with store.lock():
            store.look(parent.id)  # raises NotFound if the parent has been removed, and its layers with it
            return writer.add(work, document, descriptors, name)


def unpack_layers(image: store.Image) -> None:
    """Unpack the layers of an image that another program brought as blobs. Raises CorruptRecord for a blob that does
    not have its digest, InvalidArgument for a layer that is not to be trusted."""
    descriptors = store.layer_descriptors(image.manifest)
    for at, chain_id in enumerate(image.layers):
        if os.path.isdir(paths.layer(chain_id)):
            continue
        below = [paths.layer(lower) for lower in reversed(image.layers[:at])]
        with writer.Workspace() as work:
            tree = f"{work.layers}/{chain_id[7:]}"
            os.mkdir(tree, 0o700)
            _unpack_blob(descriptors[at]["digest"], image.config["rootfs"]["diff_ids"][at], tree, below)
            with store.lock():
                writer.adopt_layers(work)


def _unpack_blob(digest: str, diff_id: str, tree: str, below: list[str]) -> None:
    path = store.blob(digest)
    try:
        file = io.BufferedReader(io.FileIO(path), CHUNK)
    except FileNotFoundError:
        raise CorruptRecord(f"corrupt image store: {path}: it is missing", "import the image again") from None
    with file, Tee(file) as packed, io.BufferedReader(packed, CHUNK) as packed_reader:
        failure = None
        inner = ""
        try:
            plain = decompressed(packed_reader)
            if plain is packed_reader:
                unpacking.unpack(plain, tree, below)
            else:
                with plain, Tee(plain) as unpacked, io.BufferedReader(unpacked, CHUNK) as reader:
                    unpacking.unpack(reader, tree, below)
                    inner = unpacked.finish()
        except MydockerError as error:  # the digest will tell whether the layer or the disk is at fault
            failure = error
        actual = packed.finish()
        if actual != digest:
            raise CorruptRecord(f"corrupt image store: {path}: its digest is {actual}", "import the image again")
        if failure:
            raise failure
        if (inner or actual) != diff_id:
            raise CorruptRecord(f"corrupt image: layer {digest} holds {inner or actual}, not {diff_id}")


def _take_in(source: Stream, work: writer.Workspace, below: list[str] | None) -> tuple[dict[str, Any], str]:
    """Store a plain tar and unpack it in parallel. Returns (its descriptor, the directory)."""
    blob, tree = f"{work.path}/blob", f"{work.path}/tree"
    os.mkdir(tree, 0o700)
    with Tee(source, keep=blob) as tee, io.BufferedReader(tee, CHUNK) as reader:
        unpacking.unpack(reader, tree, below)
        digest = tee.finish()
    os.rename(blob, f"{work.blobs}/{digest[7:]}")
    return {"mediaType": store.LAYER, "digest": digest, "size": tee.size}, tree


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
