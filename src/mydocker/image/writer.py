"""Changes the image store: what is made in a workspace is taken in whole; what no name leads to any more goes.

layers/.new.<random>/          a workspace: what is being made, flocked while its maker lives
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord
from mydocker.image import store
from mydocker.kernel import files
from mydocker.kernel.locks import DIRECTORY, Lock
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


@record
class User:
    """A container, as far as removing an image minds: its image's ID, the chain ids of its layers."""

    container: str
    image_id: str
    layers: list[str]
    running: bool


class Workspace:
    """`with Workspace() as work:` a directory beside the layers to make things in. `add` takes what is in `work.blobs`
    and `work.layers` into the store; the rest goes at the end or, after a crash, with the next change of the store."""

    def __enter__(self) -> Workspace:
        files.make_private(paths.LAYERS)
        while True:
            self.path = files.hidden_beside(paths.layer("new"))
            os.mkdir(self.path, 0o700)
            try:
                self._lock = Lock(self.path, DIRECTORY)
                break
            except FileNotFoundError:
                continue  # removed by cleanup() before it could be locked
        self.blobs, self.layers = f"{self.path}/blobs", f"{self.path}/layers"
        os.mkdir(self.blobs, 0o700)
        os.mkdir(self.layers, 0o700)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            files.remove_tree(self.path)

    def write_blob(self, data: bytes) -> str:
        """Make a store.blob of it; its digest."""
        digest = store.digest_of(data)
        files.write_atomic(f"{self.blobs}/{digest[7:]}", data, 0o644, durable=True)
        return digest


def cleanup() -> None:
    """Remove the workspaces that a crash has left. Caller holds the lock."""
    files.cleanup_hidden(paths.LAYERS)


def documents(config: dict[str, Any], layers: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """The blobs of an image's config and of its manifest. layers: descriptors, bottom first."""
    data = jsontext.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": store.MANIFEST,
        "config": {"mediaType": store.CONFIG, "digest": store.digest_of(data), "size": len(data)},
        "layers": layers,
    }
    return data, jsontext.dumps(manifest).encode()


def add(work: Workspace, config: dict[str, Any], layers: list[dict[str, Any]], name: str) -> store.Image:
    """Make an image of blobs and unpacked layers, those in the workspace and those that are in the store already.
    layers: descriptors, bottom first. name: normalised, or "" for none; it is taken from the image that has it.
    With the lock held."""
    config_data, manifest_data = documents(config, layers)
    work.write_blob(config_data)
    digest = work.write_blob(manifest_data)
    index = store.read_index()
    cleanup()
    blobs = f"{paths.IMAGES}/blobs/sha256"
    if not os.path.isdir(blobs):
        # index.json comes first: a store without it is store.corrupt, not empty.
        _write_index(index)
        files.write_atomic(f"{paths.IMAGES}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        files.make_private(blobs)
    for entry in os.listdir(work.blobs):
        os.rename(f"{work.blobs}/{entry}", f"{blobs}/{entry}")
    files.sync(blobs)
    adopt_layers(work)
    wanted = {"mediaType": store.MANIFEST, "digest": digest, "size": len(manifest_data)}
    index["manifests"] = named(index["manifests"], wanted, name)
    _write_index(index)
    return store.image_of(digest, index["manifests"])


def adopt_layers(work: Workspace) -> None:
    """Move the workspace's unpacked layers to where containers find them. Another process may have been first."""
    for entry in os.listdir(work.layers):
        try:
            os.rename(f"{work.layers}/{entry}", paths.layer(entry))
        except OSError:
            if not os.path.isdir(paths.layer(entry)):
                raise


def named(descriptors: list[dict[str, Any]], wanted: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The index's descriptors, with one for `wanted` under `name`, which is taken from whoever has it. What has no name
    left is listed without one; name "" only makes sure that `wanted` is listed."""
    rows = unnamed(descriptors, name)
    if name:
        plain = {key: value for key, value in wanted.items() if key != "annotations"}
        rows = [row for row in rows if row["digest"] != wanted["digest"] or store.name_in(row)]
        return [*rows, {**plain, "annotations": {store.REF_NAME: name}}]
    return rows if any(row["digest"] == wanted["digest"] for row in rows) else [*rows, wanted]


def unnamed(descriptors: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The index's descriptors, none of which has the name."""
    rows = [row for row in descriptors if not name or store.name_in(row) != name]
    for row in descriptors:
        if row not in rows and all(other["digest"] != row["digest"] for other in rows):
            rows.append({key: value for key, value in row.items() if key != "annotations"})
    return rows


def tag(source: str, name: str) -> None:
    """Give an image another name (normalised), which is taken from the image that has it."""
    with store.lock():
        image = store.look(source)
        index = store.read_index()
        wanted = next(row for row in index["manifests"] if row["digest"] == image.manifest)
        index["manifests"] = named(index["manifests"], wanted, name)
        _write_index(index)


def remove(reference: str, force: bool, users: Callable[[], list[User]]) -> list[str]:
    """Take a name from an image, and remove the image with its last name, as docker does; all names at once by ID.
    users: asked, under the lock, for the containers. Returns docker's lines, `Untagged: …` and `Deleted: …`.

    Raises Conflict where a container uses the image: unless `force`, and even then for a running one, whose image can
    only lose its name. Forced, it takes the name from an image that is store.corrupt, too.
    """
    name = store.normalise(reference)
    with Workspace() as work, store.lock():
        index = store.read_index()
        rows = index["manifests"]
        try:
            listed = store.all_images()
            found = next((image for image in listed if name in image.names), None) or store.look(reference)
            image = next(image for image in listed if image.id == found.id)  # with the names of all its manifests
        except CorruptRecord:
            if not force or all(store.name_in(row) != name for row in rows):
                raise
            index["manifests"] = [row for row in rows if store.name_in(row) != name]
            _write_index(index)
            return [f"Untagged: {name}"]
        containers = users()
        own = [user for user in containers if user.image_id == image.id]
        running = [user for user in own if user.running]
        by_name = name in image.names
        going = [name] if by_name else image.names
        last = going == image.names
        if (last and own and not force) or (running and not by_name):
            state, hint = ("running", "stop and remove it") if running else ("stopped", "remove it, or use -f")
            container = (running or own)[0].container[:12]
            raise Conflict(f"image '{reference}' is used by the {state} container {container}", hint)
        if len(going) > 1 and not force:
            raise Conflict(f"image '{reference}' has {len(going)} names: {', '.join(going)}", "remove them, or use -f")
        for gone in going:
            rows = unnamed(rows, gone)
        lines = [f"Untagged: {gone}" for gone in going]
        if last and not running:
            rows = [row for row in rows if store.manifest_of(row["digest"])["config"]["digest"] != image.id]
            lines.append(f"Deleted: {image.id}")
        blobs, chains = _reachable(rows)
        chains.update(chain_id for user in containers for chain_id in user.layers)
        index["manifests"] = rows
        _write_index(index)
        lines += [f"Deleted: {chain_id}" for chain_id in _collect(work, blobs, chains)]
        cleanup()
    return lines


def _reachable(descriptors: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """(digests of the blobs, chain ids) that the index leads to."""
    blobs: set[str] = set()
    chains: set[str] = set()
    todo = [descriptor["digest"] for descriptor in descriptors]
    while todo:
        digest = todo.pop()
        if digest in blobs or not os.path.exists(store.blob(digest)):
            continue  # of a list of manifests some may have been left out
        blobs.add(digest)
        content = store.json_blob(digest)
        try:
            todo += [inner["digest"] for inner in content.get("manifests", ())]
            blobs.update(layer["digest"] for layer in content.get("layers", ()))
            if "config" in content:
                blobs.add(content["config"]["digest"])
                rootfs = store.json_blob(content["config"]["digest"]).get("rootfs") or {}
                chains.update(store.chain_ids(rootfs.get("diff_ids") or []))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise store.corrupt(store.blob(digest), error) from None
    return blobs, chains


def _collect(work: Workspace, blobs: set[str], chains: set[str]) -> list[str]:
    """Remove the blobs and move into the workspace the layers that are not to be kept. The latter's chain ids."""
    for entry in _entries(f"{paths.IMAGES}/blobs/sha256"):
        if f"sha256:{entry}" not in blobs:
            os.unlink(f"{paths.IMAGES}/blobs/sha256/{entry}")
    gone = []
    for entry in _entries(paths.LAYERS):
        if entry.startswith("."):
            continue
        path = f"{paths.LAYERS}/{entry}"
        chain_id = f"sha256:{os.readlink(path) if os.path.islink(path) else entry}"
        if chain_id not in chains:
            os.rename(path, f"{work.path}/{entry}")
            if entry == chain_id[7:]:
                gone.append(chain_id)
    return sorted(gone)


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _write_index(index: dict[str, Any]) -> None:
    files.write_atomic(f"{paths.IMAGES}/index.json", jsontext.dumps(index).encode(), 0o644, durable=True)
