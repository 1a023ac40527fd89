"""Images as `docker save` writes them: manifest.json names the config, the layers and the tags of each.

The forms differ in names only: docker's up to 24 (ID/layer.tar), skopeo's and podman's (DIFFID.tar, to which
ID/layer.tar is a link), and docker's from 25 on, which is an OCI layout as well (blobs/sha256/DIGEST).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mydocker.errors import InvalidArgument
from mydocker.image import store
from mydocker.image.sources import oci_layout
from mydocker.image.sources.base import Source, need, normalise, parse, read, refused
from mydocker.image.streams import compression

if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.sources.base import File, Place

MANIFEST = "manifest.json"
_MAX_IMAGES = 1000
_TYPES = {"gzip": f"{store.LAYER}+gzip", "zstd": f"{store.LAYER}+zstd"}  # the others have none of their own


def sources(place: Place) -> list[Source]:
    """List the images of manifest.json. Raises InvalidArgument if it is malformed, or if it names what is not there."""
    documents = parse(read(place, MANIFEST), MANIFEST, list)
    if len(documents) > _MAX_IMAGES:
        raise refused(f"it has more than {_MAX_IMAGES} images")
    manifests = _manifests(place)
    return [_source(place, document, manifests) for document in documents]


def _source(place: Place, document: Any, manifests: list[oci_layout.Manifest]) -> Source:
    try:
        names = [document["Config"], *(document["Layers"] or []), *(document.get("RepoTags") or [])]
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name is not a text")
    except (KeyError, TypeError, AttributeError) as error:
        raise refused(f"{MANIFEST} is malformed: {error}") from None
    config = read(place, document["Config"])
    blobs = [need(place, name) for name in document["Layers"] or []]
    tags = [_tagged(tag) for tag in document.get("RepoTags") or []]
    digest = store.digest_of(config)
    for manifest in manifests:
        # Layers of the same sizes are those of manifest.json; else its blobs are others, such as plain tars.
        if manifest.config["digest"] == digest and [row["size"] for row in manifest.layers] == [b.size for b in blobs]:
            return Source(config, manifest.data, list(zip(manifest.layers, blobs)), tags)
    return Source(config, None, [(_descriptor(blob), blob) for blob in blobs], tags)


def _manifests(place: Place) -> list[oci_layout.Manifest]:
    """List the manifests of an archive that is an OCI layout as well. With them an image keeps its digest; it can be
    loaded without them, so an error in this part does not count, as with docker."""
    try:
        return oci_layout.manifests(place)
    except InvalidArgument:
        return []


def _descriptor(blob: File) -> dict[str, Any]:
    with blob.open() as stream:
        kind = compression(stream.read(6))
    return {"mediaType": _TYPES.get(kind, store.LAYER), "digest": "", "size": blob.size}


def _tagged(text: str) -> str:
    """Normalise a name that must have a tag, as with docker."""
    if ":" not in text.rpartition("/")[2] or "@" in text:
        raise refused(f"an image is called '{text[:100]}', which has no tag")
    return normalise(text)
