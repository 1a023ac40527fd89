"""The images: one OCI image layout, which skopeo and its like read and write as `oci:/var/lib/mydocker/images:NAME`.

    images/index.json              a descriptor for each name of a manifest (org.opencontainers.image.ref.name)
    images/blobs/sha256/<hex>      manifests, image configs, layers
    layers/<chain id>/             the layers unpacked, shared by images and containers (see layer.py)
    layers/.new.<random>/          a workspace: what is being made, flocked while its maker lives

Readers take no lock: index.json is replaced atomically, after what it names is there and before anything else goes.
Changes are made under one flock, on the folder images/.

Imports are restricted: `resolve` is on the way of every start.
"""

from __future__ import annotations

import fcntl
import os
import sys

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.kernel import files
from mydocker.model import references
from mydocker.model.times import parse_rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"

_LARGEST_JSON = 8 << 20  # bytes of an index, manifest or config
_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 3  # `run dd` and `run df` mean the commands, whatever IDs there are


@record
class Image:
    """id: the config's digest. manifest: the manifest's. names: with their tags. config: the OCI image config.
    layers: chain ids, bottom first. size: bytes of the layers as they are stored. created: RFC 3339, or ""."""

    id: str
    manifest: str
    names: list[str]
    config: dict[str, Any]
    layers: list[str]
    size: int
    created: str


@record
class User:
    """A container, as far as removing an image minds: its image's ID, the chain ids of its layers."""

    container: str
    image_id: str
    layers: list[str]
    running: bool


# --- reading ----------------------------------------------------------------------------------------------------------


def resolve(reference: str) -> Image:
    """An image by name, name:tag, ID or unambiguous prefix of its ID. Raises NotFound, Conflict or CorruptRecord."""
    try:
        return look(reference)
    except CorruptRecord:  # or it was removed between two reads: under the lock what is missing is missing
        with Lock(shared=True):
            return look(reference)


def look(reference: str) -> Image:
    """`resolve` for a caller that holds the lock."""
    descriptors = _index()["manifests"]
    name = _normalise(reference)
    for descriptor in descriptors:
        if _name(descriptor) == name:
            return _image(descriptor["digest"], descriptors)
    digits = reference[7:] if reference.startswith("sha256:") else reference
    if _SHORTEST_ID <= len(digits) <= 64 and _HEX.issuperset(digits):
        found: dict[str, Image] = {}
        for digest in {descriptor["digest"]: None for descriptor in descriptors}:
            if _manifest(digest)["config"]["digest"][7:].startswith(digits):
                image = _image(digest, descriptors)
                found.setdefault(image.id, image)
        if len(found) > 1:
            raise Conflict(f"'{reference}' fits {len(found)} images", "give more digits of the ID")
        for image in found.values():
            return image
    raise NotFound(
        f"no such image: {reference}",
        "'mydocker images' lists them; get one with 'mydocker import FILE NAME' or "
        f"'skopeo copy SOURCE oci:{paths.IMAGES}:NAME:TAG'",
    )


def _normalise(name: str) -> str:
    """A name with its tag. What no name can look like stays as it is."""
    try:
        return references.normalise(name)
    except InvalidArgument:
        return name


def images() -> list[Image]:
    """All of them, each once with all its names, the newest first."""
    try:
        return _images()
    except CorruptRecord:
        with Lock(shared=True):
            return _images()


def _images() -> list[Image]:
    descriptors = _index()["manifests"]
    found: dict[str, Image] = {}
    for digest in {descriptor["digest"]: None for descriptor in descriptors}:
        image = _image(digest, descriptors)
        if image.id in found:  # two manifests of one config: the same image, compressed in two ways
            found[image.id].names = sorted({*found[image.id].names, *image.names})
        else:
            found[image.id] = image
    return sorted(found.values(), key=lambda image: (image.created, image.names), reverse=True)


def chain_ids(diff_ids: list[str]) -> list[str]:
    """What a stack of layers is called (image-spec, config.md): one ID for each layer with all that is under it."""
    chain = diff_ids[:1]
    for diff_id in diff_ids[1:]:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()))
    return chain


def digest_of(data: bytes) -> str:
    if not _sha256:
        _sha256.append(_find_sha256())
    return f"sha256:{_sha256[0](data).hexdigest()}"


_sha256: list[Any] = []


def _find_sha256() -> Any:
    """hashlib's, without hashlib and OpenSSL, which cost more than all else here."""
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:  # an interpreter that has OpenSSL's alone (Red Hat's)
        from hashlib import sha256
    return sha256


def blob(digest: str) -> str:
    """The file of a blob. Raises ValueError for what is no SHA-256 digest: it may come from anybody's manifest."""
    digits = digest[7:]
    if not digest.startswith("sha256:") or len(digits) != 64 or not _HEX.issuperset(digits):
        raise ValueError(f"'{digest}' is no SHA-256 digest")
    return f"{paths.IMAGES}/blobs/sha256/{digits}"


def architecture() -> str:
    """This machine's, by Go's names, which OCI uses."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def layer_descriptors(manifest_digest: str) -> list[dict[str, Any]]:
    """The manifest's layers, bottom first: mediaType, digest, size."""
    layers: list[dict[str, Any]] = _manifest(manifest_digest)["layers"]
    return layers


def _index() -> dict[str, Any]:
    path = f"{paths.IMAGES}/index.json"
    try:
        index: dict[str, Any] = _json(path)
    except FileNotFoundError:
        if not os.path.isdir(f"{paths.IMAGES}/blobs"):
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        raise _corrupt(path, "it is missing") from None
    try:
        for descriptor in index["manifests"]:
            blob(descriptor["digest"])
            _name(descriptor)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(path, error) from None
    return index


def _name(descriptor: dict[str, Any]) -> str:
    name = (descriptor.get("annotations") or {}).get(REF_NAME)
    return _normalise(name) if name else ""


def _manifest(digest: str) -> dict[str, Any]:
    """An image manifest; of a list of them, the one for this machine."""
    manifest = _json_blob(digest)
    try:
        if "manifests" in manifest:
            for descriptor in manifest["manifests"]:
                platform = descriptor.get("platform") or {}
                if (platform.get("os"), platform.get("architecture")) == ("linux", architecture()):
                    return _manifest(descriptor["digest"])
            raise ValueError(f"it has no image for linux/{architecture()}")
        blob(manifest["config"]["digest"])
        for layer in manifest["layers"]:
            blob(layer["digest"])
            if not isinstance(layer["size"], int):
                raise ValueError("a layer's size is no number")
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise _corrupt(blob(digest), error) from None
    return manifest


def _image(digest: str, descriptors: list[dict[str, Any]]) -> Image:
    names = sorted({_name(descriptor) for descriptor in descriptors if descriptor["digest"] == digest} - {""})
    try:
        return _read_image(digest, names)
    except CorruptRecord as error:
        if names:
            error.hint = f"restore the file, or 'mydocker rmi -f {names[0]}' and get it again"
        raise


def _read_image(digest: str, names: list[str]) -> Image:
    manifest = _manifest(digest)
    image_id = manifest["config"]["digest"]
    config = _json_blob(image_id)
    try:
        for key, kind in (("config", dict), ("history", list), ("created", str)):
            if not isinstance(config.get(key) or kind(), kind):
                raise ValueError(f"its {key} is malformed")
        if not isinstance((config.get("config") or {}).get("Labels") or {}, dict):
            raise ValueError("its Labels are malformed")
        if config.get("created"):
            parse_rfc3339(config["created"])
        diff_ids = config["rootfs"]["diff_ids"]
        for diff_id in diff_ids:
            blob(diff_id)
        if len(diff_ids) != len(manifest["layers"]):
            raise ValueError(f"{len(diff_ids)} layers, where the manifest has {len(manifest['layers'])}")
        return Image(
            image_id,
            digest,
            names,
            config,
            chain_ids(diff_ids),
            sum(layer["size"] for layer in manifest["layers"]),
            str(config.get("created") or ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(blob(image_id), error) from None


def _json_blob(digest: str) -> dict[str, Any]:
    path = blob(digest)
    try:
        return _json(path)
    except FileNotFoundError:
        raise _corrupt(path, "it is missing") from None


def _json(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        data = file.read(_LARGEST_JSON + 1)
    try:
        if len(data) > _LARGEST_JSON:
            raise ValueError(f"more than {_LARGEST_JSON >> 20} MB")
        value = jsontext.loads(data)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise _corrupt(path, error) from None
    return value


def _corrupt(path: str, why: object) -> CorruptRecord:
    reason = f"no {why}" if isinstance(why, KeyError) else str(why)
    return CorruptRecord(f"corrupt image store: {path}: {reason}", "restore the file from a backup")


# --- changing ---------------------------------------------------------------------------------------------------------


class Lock:
    """`with Lock():` nobody else changes the store. shared: nobody changes it at all. Not to be nested."""

    def __init__(self, shared: bool = False) -> None:
        self._how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX

    def __enter__(self) -> None:
        files.make_private(paths.IMAGES)
        self._descriptor = os.open(paths.IMAGES, files.FOLDER)
        fcntl.flock(self._descriptor, self._how)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


class Keep(Lock):
    """`with Keep(image):` nobody removes the image: for the time that it takes to make a container of it, until the
    container's record says so. Raises NotFound if it has gone since it was found."""

    def __init__(self, image: Image) -> None:
        super().__init__(shared=True)
        self._image = image

    def __enter__(self) -> None:
        super().__enter__()
        if not all(os.path.isdir(paths.layer(chain_id)) for chain_id in self._image.layers):
            self.__exit__()
            raise NotFound(f"image {self._image.id[:19]} has just been removed", "get it again")


class Workspace:
    """`with Workspace() as work:` a folder beside the layers to make things in. `add` takes what is in `work.blobs` and
    `work.layers` into the store; the rest goes at the end or, after a crash, with the next change of the store."""

    def __enter__(self) -> Workspace:
        files.make_private(paths.LAYERS)
        while True:
            self.path = f"{paths.LAYERS}/.new.{os.urandom(6).hex()}"
            os.mkdir(self.path, 0o700)
            try:
                self._descriptor = os.open(self.path, files.FOLDER)
            except FileNotFoundError:  # swept away, as if it had been left by a crash, before it could be locked
                continue
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if os.path.isdir(self.path):
                break
            os.close(self._descriptor)
        self.blobs, self.layers = f"{self.path}/blobs", f"{self.path}/layers"
        os.mkdir(self.blobs, 0o700)
        os.mkdir(self.layers, 0o700)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            files.remove_tree(self.path)
        finally:
            os.close(self._descriptor)

    def write_blob(self, data: bytes) -> str:
        """Make a blob of it; its digest."""
        digest = digest_of(data)
        files.write_atomic(f"{self.blobs}/{digest[7:]}", data, 0o644, durable=True)
        return digest


def sweep() -> None:
    """Remove the workspaces that a crash has left. With the lock held."""
    for entry in _entries(paths.LAYERS):
        if entry.startswith(".new."):
            path = f"{paths.LAYERS}/{entry}"
            try:
                descriptor = os.open(path, files.FOLDER)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.remove_tree(path)
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)


def documents(config: dict[str, Any], layers: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """The blobs of an image's config and of its manifest. layers: descriptors, bottom first."""
    data = jsontext.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(data), "size": len(data)},
        "layers": layers,
    }
    return data, jsontext.dumps(manifest).encode()


def add(work: Workspace, config: dict[str, Any], layers: list[dict[str, Any]], name: str) -> Image:
    """Make an image of blobs and unpacked layers, those in the workspace and those that are in the store already.
    layers: descriptors, bottom first. name: normalised, or "" for none; it is taken from the image that has it.
    With the lock held."""
    config_data, manifest_data = documents(config, layers)
    work.write_blob(config_data)
    digest = work.write_blob(manifest_data)
    index = _index()
    sweep()
    blobs = f"{paths.IMAGES}/blobs/sha256"
    if not os.path.isdir(blobs):
        # index.json comes first: a store without it is corrupt, not empty.
        _write_index(index)
        files.write_atomic(f"{paths.IMAGES}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        files.make_private(blobs)
    for entry in os.listdir(work.blobs):
        os.rename(f"{work.blobs}/{entry}", f"{blobs}/{entry}")
    files.sync_folder(blobs)
    adopt_layers(work)
    wanted = {"mediaType": MANIFEST, "digest": digest, "size": len(manifest_data)}
    index["manifests"] = named(index["manifests"], wanted, name)
    _write_index(index)
    return _image(digest, index["manifests"])


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
        rows = [row for row in rows if row["digest"] != wanted["digest"] or _name(row)]
        return [*rows, {**plain, "annotations": {REF_NAME: name}}]
    return rows if any(row["digest"] == wanted["digest"] for row in rows) else [*rows, wanted]


def unnamed(descriptors: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The index's descriptors, none of which has the name."""
    rows = [row for row in descriptors if not name or _name(row) != name]
    for row in descriptors:
        if row not in rows and all(other["digest"] != row["digest"] for other in rows):
            rows.append({key: value for key, value in row.items() if key != "annotations"})
    return rows


def tag(source: str, name: str) -> None:
    """Give an image another name (normalised), which is taken from the image that has it."""
    with Lock():
        image = look(source)
        index = _index()
        wanted = next(row for row in index["manifests"] if row["digest"] == image.manifest)
        index["manifests"] = named(index["manifests"], wanted, name)
        _write_index(index)


def remove(reference: str, force: bool, users: Callable[[], list[User]]) -> list[str]:
    """Take a name from an image, and remove the image with its last name, as docker does; all names at once by ID.
    users: asked, under the lock, for the containers. Returns docker's lines, `Untagged: …` and `Deleted: …`.

    Raises Conflict where a container uses the image: unless `force`, and even then for a running one, whose image can
    only lose its name. Forced, it takes the name from an image that is corrupt, too.
    """
    name = _normalise(reference)
    with Workspace() as work, Lock():
        index = _index()
        rows = index["manifests"]
        try:
            listed = _images()
            found = next((image for image in listed if name in image.names), None) or look(reference)
            image = next(image for image in listed if image.id == found.id)  # with the names of all its manifests
        except CorruptRecord:
            if not force or all(_name(row) != name for row in rows):
                raise
            index["manifests"] = [row for row in rows if _name(row) != name]
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
            rows = [row for row in rows if _manifest(row["digest"])["config"]["digest"] != image.id]
            lines.append(f"Deleted: {image.id}")
        blobs, chains = _reachable(rows)
        chains.update(chain_id for user in containers for chain_id in user.layers)
        index["manifests"] = rows
        _write_index(index)
        lines += [f"Deleted: {chain_id}" for chain_id in _collect(work, blobs, chains)]
        sweep()
    return lines


def _reachable(descriptors: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """(digests of the blobs, chain ids) that the index leads to."""
    blobs: set[str] = set()
    chains: set[str] = set()
    todo = [descriptor["digest"] for descriptor in descriptors]
    while todo:
        digest = todo.pop()
        if digest in blobs or not os.path.exists(blob(digest)):  # of a list of manifests some may have been left out
            continue
        blobs.add(digest)
        content = _json_blob(digest)
        try:
            todo += [inner["digest"] for inner in content.get("manifests", ())]
            blobs.update(layer["digest"] for layer in content.get("layers", ()))
            if "config" in content:
                blobs.add(content["config"]["digest"])
                rootfs = _json_blob(content["config"]["digest"]).get("rootfs") or {}
                chains.update(chain_ids(rootfs.get("diff_ids") or []))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _corrupt(blob(digest), error) from None
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


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _write_index(index: dict[str, Any]) -> None:
    files.write_atomic(f"{paths.IMAGES}/index.json", jsontext.dumps(index).encode(), 0o644, durable=True)
