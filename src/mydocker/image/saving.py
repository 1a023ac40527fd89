"""Write images as an archive that every tool loads: docker's from 25 on, an OCI layout with a manifest.json.

    oci-layout, index.json                 for podman, skopeo (oci-archive:), containerd, umoci
    manifest.json, repositories            for docker, skopeo (docker-archive:)
    blobs/sha256/DIGEST                    manifests, configs, layers; each once

The same images give the same bytes: the order is fixed, and every time is 0. What a reader needs to know comes first.

docker 20.10 loads layers that are plain or compressed with gzip, bzip2 or xz (with the program xz), but not with zstd.
Plain layers and those with gzip are written as they are, and so is the manifest of an image that has no others. All
others become plain, in a new manifest. A manifest of docker's own type becomes OCI's, which umoci demands; the digests
of config and layers stay.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading

from mydocker import jsontext
from mydocker.errors import CorruptRecord
from mydocker.image import store, writer
from mydocker.image.sources.oci_layout import CONTAINERD_NAME
from mydocker.image.streams import CHUNK, Tee, compression, decompressed
from mydocker.image.tar import BLOCK
from mydocker.image.tar_writer import Writer
from mydocker.kernel.copying import send
from mydocker.model.options import references
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    Descriptor = dict[str, Any]

_TYPES = {"": store.LAYER, "gzip": f"{store.LAYER}+gzip"}  # compression -> media type of a layer that is kept


@record
class Saved:
    """An image to be written. names: those that it has in the archive."""

    image: store.Image
    names: list[str]


@record
class _Image:
    """An image as it is written. manifest, config, layers: descriptors; layers bottom first."""

    names: list[str]
    manifest: Descriptor
    config: Descriptor
    layers: list[Descriptor]


def save(images: list[Saved], descriptor: int) -> None:
    """Write the images into an open file or pipe. Raises CorruptRecord for a blob that is missing or does not have its
    digest, OSError from the writes."""
    with writer.Workspace() as work:
        _link_blobs(work, images)
        prepared = [_prepare(work, each) for each in images]
        with open(descriptor, "wb", CHUNK, closefd=False) as out:
            _write(work, prepared, out)


def _link_blobs(work: writer.Workspace, images: list[Saved]) -> None:
    """Link the images' blobs into the workspace, so that they stay although an image is removed meanwhile."""
    with store.lock(shared=True):
        for each in images:
            digest, manifest = store.find_manifest(each.image.manifest)
            each.image.manifest = digest
            for blob in {digest, manifest["config"]["digest"], *(row["digest"] for row in manifest["layers"])}:
                try:
                    os.link(store.blob(blob), _path(work, blob))
                except FileExistsError:
                    pass  # another image has it, too
                except FileNotFoundError:
                    raise store.corrupt(store.blob(blob), "it is missing") from None


def _path(work: writer.Workspace, digest: str) -> str:
    return f"{work.blobs}/{digest[7:]}"


# --- manifests --------------------------------------------------------------------------------------------------------


def _prepare(work: writer.Workspace, saved: Saved) -> _Image:
    """Give an image a manifest that every tool reads, with layers that docker 20.10 reads."""
    digest = saved.image.manifest
    manifest = store.json_blob(digest)
    diff_ids = saved.image.config["rootfs"]["diff_ids"]
    layers = [_readable(work, row, diff_id) for row, diff_id in zip(manifest["layers"], diff_ids)]
    if layers != manifest["layers"] or manifest.get("mediaType", store.MANIFEST) != store.MANIFEST:
        manifest = {
            **manifest,
            "mediaType": store.MANIFEST,
            "config": {**manifest["config"], "mediaType": store.CONFIG},
            "layers": layers,
        }
        digest = work.write_blob(jsontext.dumps(manifest).encode())
    size = os.path.getsize(_path(work, digest))
    return _Image(
        saved.names,
        {"mediaType": store.MANIFEST, "digest": digest, "size": size},
        manifest["config"],
        layers,
    )


def _readable(work: writer.Workspace, layer: Descriptor, diff_id: str) -> Descriptor:
    """Return the descriptor of a layer that docker 20.10 reads: its own, or that of the plain tar, which is made."""
    path = _path(work, layer["digest"])
    with io.BufferedReader(io.FileIO(path), CHUNK) as stream:
        kind = compression(stream.peek(6)[:6])
        if kind in _TYPES:
            return {**layer, "mediaType": _TYPES[kind]}
        plain = _path(work, diff_id)
        if not os.path.exists(plain):
            part = f"{work.path}/plain"
            with decompressed(stream) as source, Tee(source, keep=part) as tee:
                actual = tee.finish()
            if actual != diff_id:
                raise CorruptRecord(f"corrupt image: layer {layer['digest']} holds {actual}, not {diff_id}")
            os.rename(part, plain)
    return {"mediaType": store.LAYER, "digest": diff_id, "size": os.path.getsize(plain)}


def _index(images: list[_Image]) -> bytes:
    rows = []
    for image in images:
        for name in image.names:
            reference = references.parse(name)
            annotations = {CONTAINERD_NAME: references.full(reference), store.REF_NAME: reference.tag}
            rows.append({**image.manifest, "annotations": annotations})
        if not image.names:
            rows.append(image.manifest)
    return _json({"schemaVersion": 2, "mediaType": store.INDEX, "manifests": rows})


def _manifest_json(images: list[_Image]) -> bytes:
    return _json(
        [
            {
                "Config": _name(image.config["digest"]),
                "RepoTags": image.names or None,
                "Layers": [_name(layer["digest"]) for layer in image.layers],
            }
            for image in images
        ]
    )


def _repositories(images: list[_Image]) -> bytes:
    """Make the file that docker read before manifest.json: repository -> tag -> the top layer."""
    top: dict[str, dict[str, str]] = {}
    for image in images:
        for name in image.names:
            repository, _, tag = name.rpartition(":")
            if image.layers:
                top.setdefault(repository, {})[tag] = image.layers[-1]["digest"][7:]
    return _json(top)


def _json(document: Any) -> bytes:
    return jsontext.dumps(document).encode() + b"\n"


def _name(digest: str) -> str:
    return f"blobs/sha256/{digest[7:]}"


# --- the tar ----------------------------------------------------------------------------------------------------------


def _write(work: writer.Workspace, images: list[_Image], out: BinaryIO) -> None:
    tar = Writer(out)
    for name, data in (
        ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
        ("index.json", _index(images)),
        ("manifest.json", _manifest_json(images)),
        ("repositories", _repositories(images)),
    ):
        tar.begin_file(name, len(data))
        out.write(data + bytes(-len(data) % BLOCK))
    tar.add_directory("blobs")
    tar.add_directory("blobs/sha256")
    documents = [descriptor["digest"] for image in images for descriptor in (image.manifest, image.config)]
    layers = [layer["digest"] for image in images for layer in image.layers]
    for digest in dict.fromkeys([*documents, *layers]):
        _write_blob(work, digest, tar, out)
    tar.finish()


def _write_blob(work: writer.Workspace, digest: str, tar: Writer, out: BinaryIO) -> None:
    source = os.open(_path(work, digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(source).st_size
        tar.begin_file(_name(digest), size)
        out.flush()
        with _Digest(source) as actual:
            send(source, out.fileno(), size)
        if actual.digest != digest:
            raise store.corrupt(store.blob(digest), f"its digest is {actual.digest}")
        out.write(bytes(-size % BLOCK))
    finally:
        os.close(source)


class _Digest:
    """`with _Digest(descriptor) as actual:` hashes a file in a thread during the block; then `actual.digest` is its
    digest. hashlib releases the interpreter's lock."""

    digest = ""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = False

    def __enter__(self) -> _Digest:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stopped = kind is not None
        self._thread.join()

    def _run(self) -> None:
        actual = hashlib.sha256()
        buffer = memoryview(bytearray(CHUNK))
        at = 0
        try:
            while not self._stopped and (count := os.preadv(self._descriptor, [buffer], at)):
                actual.update(buffer[:count])
                at += count
        except OSError as error:
            self.digest = f"unknown, {os.strerror(error.errno or 0).lower()}"
            return
        self.digest = f"sha256:{actual.hexdigest()}"
