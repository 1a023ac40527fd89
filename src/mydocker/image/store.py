"""The image store: one OCI image layout, which skopeo and others read and write as `oci:/var/lib/mydocker/images:NAME`.

    images/index.json              a descriptor for each name of a manifest (org.opencontainers.image.ref.name)
    images/blobs/sha256/<hex>      manifests, image configs, layers
    layers/<chain id>/             the layers unpacked, shared by images and containers (see unpacking.py)

Readers take no lock: index.json is replaced atomically, after new blobs have been added and before old ones are
removed. Changes (writer.py) are made under one flock, on the directory images/.
"""

from __future__ import annotations

import os
import sys

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, ImageNotFound, InvalidArgument, NotFound
from mydocker.kernel import files
from mydocker.kernel.locks import DIRECTORY, Lock
from mydocker.model.options import references
from mydocker.model.options.times import parse_rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.drivers.base import Driver

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"
REPO_DIGESTS = "io.mydocker.repo-digests"  # in the index: by which registries know the image, separated by blanks

LARGEST_JSON = 8 << 20  # bytes of an index, manifest or config
_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 3  # so that `run dd` and `run df` always mean the commands


@record
class Image:
    """An image. id: the config's digest. manifest: the manifest's. names: with their tags. config: the OCI image
    config. layers: chain ids, bottom first. size: bytes of the layers as they are stored. created: RFC 3339, or "".
    repo_digests: NAME@sha256:…, by which registries know it."""

    id: str
    manifest: str
    names: list[str]
    config: dict[str, Any]
    layers: list[str]
    size: int
    created: str
    repo_digests: list[str] = []

    @property
    def labels(self) -> dict[str, str]:
        return (self.config.get("config") or {}).get("Labels") or {}


# --- reading ----------------------------------------------------------------------------------------------------------


def resolve(reference: str) -> Image:
    """Look up an image by name, name:tag, ID or unambiguous prefix of its ID. Raises NotFound, Conflict or
    CorruptRecord."""
    try:
        return look(reference)
    except CorruptRecord:  # or the image was removed between two reads, which the lock rules out
        with lock(shared=True):
            return look(reference)


def look(reference: str) -> Image:
    """Do the same as resolve() for a caller that holds the lock."""
    descriptors = read_index()["manifests"]
    name = normalise(reference)
    for descriptor in descriptors:
        if name_in(descriptor) == name or ("@" in name and name in repo_digests_in(descriptor)):
            return image_of(descriptor["digest"], descriptors)
    digits = reference[7:] if reference.startswith("sha256:") else reference
    if _SHORTEST_ID <= len(digits) <= 64 and _HEX.issuperset(digits):
        matches: dict[str, Image] = {}
        for digest in {descriptor["digest"]: None for descriptor in descriptors}:
            if manifest_of(digest)["config"]["digest"][7:].startswith(digits):
                image = image_of(digest, descriptors)
                matches.setdefault(image.id, image)
        if len(matches) > 1:
            raise Conflict(f"'{reference}' matches {len(matches)} images", "give more digits of the ID")
        for image in matches.values():
            return image
    raise ImageNotFound(f"no such image: {reference}", how_to_get(reference), reference)


def how_to_get(reference: str) -> str:
    """Return the commands that get an image, as a hint."""
    try:
        references.normalise(reference)
    except InvalidArgument:
        reference = "NAME:TAG"
    return f"'mydocker pull {reference}', or 'mydocker load -i FILE' for an archive of it"


def ids_of(names: set[str]) -> dict[str, str]:
    """Map names, with or without tags, to IDs. A name that no image has is left out."""
    by_name = {name_in(descriptor): descriptor["digest"] for descriptor in read_index()["manifests"]}
    digests = {name: by_name.get(normalise(name)) for name in names}
    return {name: manifest_of(digest)["config"]["digest"] for name, digest in digests.items() if digest}


def normalise(name: str) -> str:
    """Add the default tag to a name that has none. A text that is not a valid name stays as it is."""
    try:
        return references.normalise(name)
    except InvalidArgument:
        return name


def images() -> list[Image]:
    """List all images, each once with all its names, the newest first."""
    try:
        return all_images()
    except CorruptRecord:
        with lock(shared=True):
            return all_images()


def all_images() -> list[Image]:
    """Do the same as images() for a caller that holds the lock."""
    descriptors = read_index()["manifests"]
    by_id: dict[str, Image] = {}
    for digest in {descriptor["digest"]: None for descriptor in descriptors}:
        image = image_of(digest, descriptors)
        if image.id in by_id:  # two manifests of one config: the same image, compressed in two ways
            known = by_id[image.id]
            known.names = sorted({*known.names, *image.names})
            known.repo_digests = sorted({*known.repo_digests, *image.repo_digests})
        else:
            by_id[image.id] = image
    return sorted(by_id.values(), key=lambda image: (image.created, image.names), reverse=True)


def chain_ids(diff_ids: list[str]) -> list[str]:
    """Return the chain IDs of a stack of layers (image-spec, config.md): each names a layer with all that is below."""
    chain = diff_ids[:1]
    for diff_id in diff_ids[1:]:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()))
    return chain


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def sha256(data: bytes = b"") -> Any:
    """Return an object as hashlib's, for little data."""
    if not _sha256:
        _sha256.append(_find_sha256())
    return _sha256[0](data)


_sha256: list[Any] = []


def _find_sha256() -> Any:
    """Return hashlib's sha256 without importing hashlib and OpenSSL, which take more time than all else here."""
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:  # an interpreter that has OpenSSL's only (Red Hat's)
        from hashlib import sha256
    return sha256


def blob(digest: str) -> str:
    """Return the path of a blob. Raises ValueError if the digest, which may come from anybody's manifest, is not a
    SHA-256 digest."""
    digits = digest[7:]
    if not digest.startswith("sha256:") or len(digits) != 64 or not _HEX.issuperset(digits):
        raise ValueError(f"'{digest}' is not a SHA-256 digest")
    return f"{paths.IMAGES}/blobs/sha256/{digits}"


def architecture() -> str:
    """Return this machine's architecture by Go's name for it, which OCI uses."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def layer_descriptors(manifest_digest: str) -> list[dict[str, Any]]:
    """Return the manifest's layers, bottom first, as {mediaType, digest, size}."""
    layers: list[dict[str, Any]] = manifest_of(manifest_digest)["layers"]
    return layers


def blobs_of_layers() -> dict[str, dict[str, Any]]:
    """Map diff IDs of all images' layers to the descriptors {mediaType, digest, size} of their blobs. An image that is
    damaged, or just being removed, is left out."""
    known = {}
    for digest in {row["digest"]: None for row in read_index()["manifests"]}:
        try:
            rows, config = layer_descriptors(digest), json_blob(manifest_of(digest)["config"]["digest"])
        except CorruptRecord:
            continue
        for diff_id, row in zip(config["rootfs"]["diff_ids"], rows):
            known[diff_id] = {key: row[key] for key in ("mediaType", "digest", "size")}
    return known


def read_index() -> dict[str, Any]:
    path = f"{paths.IMAGES}/index.json"
    try:
        index: dict[str, Any] = _json(path)
    except FileNotFoundError:
        if not os.path.isdir(f"{paths.IMAGES}/blobs"):
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        raise corrupt(path, "it is missing") from None
    try:
        for descriptor in index["manifests"]:
            blob(descriptor["digest"])
            name_in(descriptor)
            repo_digests_in(descriptor)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise corrupt(path, error) from None
    return index


def name_in(descriptor: dict[str, Any]) -> str:
    name = (descriptor.get("annotations") or {}).get(REF_NAME)
    return normalise(name) if name else ""


def repo_digests_in(descriptor: dict[str, Any]) -> list[str]:
    digests: str = (descriptor.get("annotations") or {}).get(REPO_DIGESTS) or ""
    return digests.split()


def manifest_of(digest: str) -> dict[str, Any]:
    """Read an image manifest; of a list of manifests, the one for this machine."""
    return find_manifest(digest)[1]


def find_manifest(digest: str) -> tuple[str, dict[str, Any]]:
    """Do the same as manifest_of(), and return the manifest's digest, too."""
    manifest = json_blob(digest)
    try:
        if "manifests" in manifest:
            for descriptor in manifest["manifests"]:
                platform = descriptor.get("platform") or {}
                if (platform.get("os"), platform.get("architecture")) == ("linux", architecture()):
                    return find_manifest(descriptor["digest"])
            raise ValueError(f"it has no image for linux/{architecture()}")
        check_manifest(manifest)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise corrupt(blob(digest), error) from None
    return digest, manifest


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise KeyError, TypeError, AttributeError or ValueError for a malformed image manifest."""
    blob(manifest["config"]["digest"])
    for layer in manifest["layers"]:
        blob(layer["digest"])
        if not isinstance(layer["size"], int) or layer["size"] < 0:
            raise ValueError("a layer's size is not a number")


def image_of(digest: str, descriptors: list[dict[str, Any]]) -> Image:
    rows = [descriptor for descriptor in descriptors if descriptor["digest"] == digest]
    names = sorted({name_in(row) for row in rows} - {""})
    repo_digests = sorted({each for row in rows for each in repo_digests_in(row)})
    try:
        return _read_image(digest, names, repo_digests)
    except CorruptRecord as error:
        if names:
            error.hint = f"restore the file, or 'mydocker rmi -f {names[0]}' and import it again"
        raise


def _read_image(digest: str, names: list[str], repo_digests: list[str]) -> Image:
    manifest = manifest_of(digest)
    image_id = manifest["config"]["digest"]
    config = json_blob(image_id)
    try:
        check_config(config)
        diff_ids = config["rootfs"]["diff_ids"]
        if len(diff_ids) != len(manifest["layers"]):
            raise ValueError(f"it has {len(diff_ids)} layers, its manifest {len(manifest['layers'])}")
        return Image(
            image_id,
            digest,
            names,
            config,
            chain_ids(diff_ids),
            sum(layer["size"] for layer in manifest["layers"]),
            str(config.get("created") or ""),
            repo_digests,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise corrupt(blob(image_id), error) from None


def check_config(config: dict[str, Any]) -> None:
    """Raise KeyError, TypeError, AttributeError or ValueError for a malformed image config."""
    for key, kind in (("config", dict), ("history", list), ("created", str)):
        if not isinstance(config.get(key) or kind(), kind):
            raise ValueError(f"its {key} is malformed")
    if not isinstance((config.get("config") or {}).get("Labels") or {}, dict):
        raise ValueError("its Labels are malformed")
    if config.get("created"):
        parse_rfc3339(config["created"])
    for diff_id in config["rootfs"]["diff_ids"]:
        blob(diff_id)


def json_blob(digest: str) -> dict[str, Any]:
    path = blob(digest)
    try:
        return _json(path)
    except FileNotFoundError:
        raise corrupt(path, "it is missing") from None


def _json(path: str) -> dict[str, Any]:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        try:
            small = files.size_of(file.fileno(), path) <= LARGEST_JSON
        except OSError as error:
            raise corrupt(path, error.strerror) from None
        data = file.read() if small else b""
    try:
        if not small:
            raise ValueError(f"more than {LARGEST_JSON >> 20} MB")
        value = jsontext.loads(data)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        raise corrupt(path, error) from None
    return value


def corrupt(path: str, why: object) -> CorruptRecord:
    reason = f"{why} is missing" if isinstance(why, KeyError) else str(why)
    return CorruptRecord(f"corrupt image store: {path}: {reason}", "restore the file from a backup")


# --- locks ------------------------------------------------------------------------------------------------------------


def lock(shared: bool = False) -> Lock:
    """Lock the store: no other process changes it. shared: no process does. Not to be nested."""
    files.make_private(paths.IMAGES)
    return Lock(paths.IMAGES, DIRECTORY, shared=shared)


def keep(image: Image, driver: Driver) -> Lock:
    """Lock the store so that the image is not removed, until a container's record refers to it. Raises NotFound if it
    has been removed since it was looked up. Each layer is looked for: the build cache may have kept the top one."""
    shared = lock(shared=True)
    if not all(os.path.isdir(paths.layer(chain_id, driver.form)) for chain_id in image.layers):
        shared.release()
        raise NotFound(f"image {image.id[:19]} has just been removed", "import it again")
    return shared
