"""Images of an OCI image layout (image-spec, image-layout.md): index.json lists manifests, and indexes of manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mydocker.errors import NotFound
from mydocker.image import intake, store
from mydocker.image.platform import choose
from mydocker.image.sources.base import Source, need, normalise, parse, read, refused
from mydocker.model.options import references
from mydocker.record import record

if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.platform import Platform
    from mydocker.image.sources.base import File, Place

    Descriptor = dict[str, Any]

INDEX = "index.json"
CONTAINERD_NAME = "io.containerd.image.name"
_CONFIGS = (store.CONFIG, "application/vnd.docker.container.image.v1+json")
_MAX_DEPTH = 4  # indexes within indexes
_MAX_ENTRIES = 1000  # of an index


@record
class Manifest:
    """The manifest of an image. digest, data: its blob. config: the config's descriptor. layers: the layers', bottom
    first."""

    digest: str
    data: bytes
    config: Descriptor
    layers: list[Descriptor]


def sources(place: Place, platform: Platform) -> list[Source]:
    """List the images of index.json, each once with all its names; of those that exist for several platforms, the one
    for `platform`. Raises InvalidArgument for a malformed layout, NotFound if an image lacks the platform."""
    by_digest: dict[str, Source] = {}
    for descriptor in _for_platform(_entries(read(place, INDEX), INDEX), platform):
        manifest = _follow(place, descriptor, platform)
        if manifest is None:
            continue
        if manifest.digest not in by_digest:
            config = _blob(place, manifest.config)
            layers = [(row, _layer(place, row)) for row in manifest.layers]
            by_digest[manifest.digest] = Source(config, manifest.data, layers, [])
        _add_name(by_digest[manifest.digest], descriptor)
    return list(by_digest.values())


def manifests(place: Place) -> list[Manifest]:
    """List the manifests in index.json itself, of any platform."""
    if place.find(INDEX) is None:
        return []
    rows = _entries(read(place, INDEX), INDEX)
    blobs = {row["digest"]: _blob(place, row) for row in rows}
    parsed = {digest: parse(data, digest, dict) for digest, data in blobs.items()}
    return [_manifest(digest, blobs[digest]) for digest, document in parsed.items() if "layers" in document]


def _follow(place: Place, descriptor: Descriptor, platform: Platform) -> Manifest | None:
    """Return the manifest that a descriptor leads to; None if it is not that of an image."""
    for _ in range(_MAX_DEPTH):
        digest, data = descriptor["digest"], _blob(place, descriptor)
        document = parse(data, digest, dict)
        if "manifests" not in document:
            break
        descriptor = choose(_entries(data, digest), platform)
    else:
        raise refused(f"more than {_MAX_DEPTH} indexes within each other")
    if document.get("schemaVersion") == 1:
        raise refused("it has a manifest of docker's schema 1, which nothing writes any more")
    manifest = _manifest(digest, data)
    return manifest if manifest.config.get("mediaType") in _CONFIGS else None


def _manifest(digest: str, data: bytes) -> Manifest:
    return Manifest(digest, data, intake.config_of(data), intake.layers_of(data))


def _for_platform(rows: list[Descriptor], platform: Platform) -> list[Descriptor]:
    """Leave out the descriptors for other platforms, where one of the same name is for this platform."""
    by_name: dict[str, list[Descriptor]] = {}
    for row in rows:
        by_name.setdefault("".join(_names(row)), []).append(row)
    kept = []
    for same in by_name.values():
        try:
            chosen = choose([row for row in same if row.get("platform")], platform)["platform"]
        except NotFound:
            chosen = None
        kept += [row for row in same if chosen is None or row.get("platform") in (None, chosen)]
    return kept


def _entries(data: bytes, about: str) -> list[Descriptor]:
    """Return the descriptors of an index, without statements about others. Raises InvalidArgument."""
    document = parse(data, about, dict)
    rows = document.get("manifests") or []  # null in a layout without images (umoci init)
    if not isinstance(rows, list) or len(rows) > _MAX_ENTRIES:
        raise refused(f"'{about}' is malformed, or has more than {_MAX_ENTRIES} entries")
    for row in rows:
        well_formed = (
            isinstance(row, dict)
            and references.is_digest(str(row.get("digest")))
            and isinstance(row.get("size"), int)
            and isinstance(row.get("platform") or {}, dict)
            and isinstance(row.get("annotations") or {}, dict)
            and all(isinstance(text, str) for text in (row.get("annotations") or {}).values())
        )
        if not well_formed:
            raise refused(f"an entry of '{about}' is malformed")
    return [row for row in rows if (row.get("platform") or {}).get("os") != "unknown"]


def _blob(place: Place, descriptor: Descriptor) -> bytes:
    """Read an index, manifest or config. Raises InvalidArgument if its digest or size is not the descriptor's."""
    data = read(place, _path(descriptor))
    if store.digest_of(data) != descriptor["digest"] or len(data) != descriptor.get("size"):
        raise refused(f"{descriptor['digest']} does not have this digest, or not the size that is said of it")
    return data


def _layer(place: Place, descriptor: Descriptor) -> File:
    """Return a layer's blob. Raises InvalidArgument if it has not the size that the manifest says."""
    file = need(place, _path(descriptor))
    if file.size != descriptor["size"]:
        raise refused(f"layer {descriptor['digest']} has {file.size} bytes, its manifest says {descriptor['size']}")
    return file


def _path(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor['digest'][7:]}"


# --- names ------------------------------------------------------------------------------------------------------------


def _names(descriptor: Descriptor) -> tuple[str, str]:
    """Return an image's (name with tag, tag alone), one or both of them "". docker's and containerd's annotation counts
    first. The standard's holds a name (podman's) or a tag alone (docker's, skopeo's, umoci's)."""
    annotations = descriptor.get("annotations") or {}
    name = annotations.get(CONTAINERD_NAME)
    reference = annotations.get(store.REF_NAME)
    if name:
        return normalise(name), ""
    if reference and ("/" in reference or ":" in reference):
        return normalise(reference), ""
    return "", reference or ""


def _add_name(source: Source, descriptor: Descriptor) -> None:
    name, tag = _names(descriptor)
    if name and name not in source.names:
        source.names.append(name)
    source.tag = source.tag or tag
