"""Pull images: manifests as the registry has them, config and layers as streams, straight into the store."""

from __future__ import annotations

from mydocker.engine.transfer import manifests
from mydocker.engine.transfer.proxy import Proxy
from mydocker.engine.transfer.skopeo import Skopeo
from mydocker.errors import InvalidArgument, MydockerError
from mydocker.image import intake, store
from mydocker.image import platform as platforms
from mydocker.kernel.files import read_regular
from mydocker.model.options import references
from mydocker.model.options.references import Reference, host_of
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Watcher(Protocol):
        def begin(self, reference: Reference, layers: list[dict[str, Any]]) -> None:
            """Called when the manifest is there. layers: its descriptors, bottom first."""

        def advance(self, at: int, state: str, count: int) -> None:
            """Called as intake.Progress."""


@record
class Pulled:
    """digest: of what the registry has under the name, an image or a list of images. new: False if the store had the
    image under this name."""

    image: store.Image
    digest: str
    new: bool


def pull(reference: Reference, platform: str, watcher: Watcher) -> Pulled:
    """Pull one image. platform: as typed; "" for this machine's. Raises NotFound, HostError, InvalidArgument."""
    wanted = platforms.parse(platform)
    registry = Skopeo(host_of(reference.name))
    data = registry.manifest(reference)
    digest = store.digest_of(data)
    if reference.digest and digest != reference.digest:
        raise MydockerError(f"registry {registry.host} sent {digest} for {reference}")
    manifest, exact = _of_platform(registry, reference, data, wanted)
    layers = intake.layers_of(manifest)
    source = _Source(registry, exact)
    with source:
        row = intake.config_of(manifest)
        config = source.read(row)
        document = intake.parsed(config, "config")
        if manifest is data:  # a list of images says itself for which platforms they are
            manifests.check_platform(document, wanted, str(reference))
        watcher.begin(reference, layers)
        before = store.ids_of({str(reference)}) if reference.tag else {}
        diff_ids = intake.diff_ids_of(config)
        rows = [intake.Layer(each, diff_id, source.opener(each), True) for each, diff_id in zip(layers, diff_ids)]
        names = [str(reference)] if reference.tag else []
        known = f"{reference.name}@{digest}"
        had = bool(before) or (not names and any(known in image.repo_digests for image in store.images()))
        image = intake.take(config, rows, names, manifest, known, watcher.advance)
    return Pulled(image, digest, not had or before.get(str(reference), image.id) != image.id)


def tags(name: str) -> list[str]:
    """List the tags that the registry has of a repository."""
    return Skopeo(host_of(name)).tags(name)


def _of_platform(
    registry: Skopeo, reference: Reference, data: bytes, wanted: platforms.Platform
) -> tuple[bytes, Reference]:
    """Return (the manifest for the platform, the reference by its digest)."""
    document = intake.parsed(data, "manifest")
    manifests.check(document, str(reference))
    if not manifests.is_list(document):
        return data, Reference(reference.name, digest=store.digest_of(data))
    chosen = manifests.choose(document, wanted)
    exact = Reference(reference.name, digest=chosen["digest"])
    manifest = _stored(chosen["digest"]) or registry.manifest(exact)
    if store.digest_of(manifest) != chosen["digest"] or len(manifest) != chosen["size"]:
        raise intake.refused(f"the manifest of {exact} does not have the digest and size that its list says")
    inner = intake.parsed(manifest, "manifest")
    manifests.check(inner, str(exact))
    if manifests.is_list(inner):
        raise intake.refused(f"{exact}, in a list of images, is a list itself")
    return manifest, exact


def _stored(digest: str) -> bytes:
    """Return a small blob of the store, b"" if it has none or another one under this name."""
    try:
        data = read_regular(store.blob(digest))
    except OSError:
        return b""
    return data if store.digest_of(data) == digest else b""


class _Source:
    """`with _Source(registry, reference) as source:` the blobs of an image. The registry is asked when the first one is
    needed."""

    def __init__(self, registry: Skopeo, reference: Reference) -> None:
        self._registry = registry
        self._reference = reference
        self._proxy: Proxy | None = None

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self._proxy:
            self._proxy.__exit__()

    def read(self, row: dict[str, Any]) -> bytes:
        """Return a config. row: its descriptor."""
        if row["size"] > store.LARGEST_JSON:
            raise intake.refused(f"its config has {row['size']} bytes")
        data = _stored(row["digest"]) or self._reach().read(row["digest"], row["size"])
        if store.digest_of(data) != row["digest"]:
            raise intake.refused(f"its config is {store.digest_of(data)}, not {row['digest']} as the manifest says")
        return data

    def opener(self, row: dict[str, Any]) -> Any:
        return lambda: self._reach().open(row["digest"], row["size"])

    def _reach(self) -> Proxy:
        if self._proxy is None:
            proxy = Proxy(self._registry, self._reference)
            self._proxy = proxy.__enter__()
        return self._proxy


def parse(text: str, all_tags: bool = False) -> Reference:
    """Parse what is to be pulled. all_tags: without a tag. Raises InvalidArgument."""
    reference = references.parse(text)
    if all_tags and (reference.digest or ":" in text.rpartition("/")[2]):
        raise InvalidArgument("tag can't be used with --all-tags/-a", "give the name alone")
    return reference
