"""save and load: images as archives."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from mydocker import config
from mydocker.engine.output_file import OutputFile
from mydocker.errors import FAILED, HostError, InvalidArgument, NotFound
from mydocker.image import intake, lookup, saving, store, writer
from mydocker.image import platform as platforms
from mydocker.image.saving import Saved
from mydocker.image.sources import docker_archive, oci_layout
from mydocker.image.sources.archive import Archive
from mydocker.image.sources.base import refused
from mydocker.image.sources.directory import Directory
from mydocker.model.options import references
from mydocker.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from mydocker.image.platform import Platform
    from mydocker.image.sources.base import Place, Source

    class Watcher(Protocol):
        def begin(self, layers: list[tuple[str, int]]) -> None:
            """Take note of the next image. layers: diff IDs and sizes of the blobs, bottom first."""

        def advance(self, at: int, state: str, count: int) -> None:
            """Take note of a layer: see Progress in image/taking.py."""


@record
class Loaded:
    """An image that has been loaded. names: [] if the archive has none for it. tag: then maybe a tag alone."""

    id: str
    names: list[str]
    tag: str


def load(path: str, platform: str, watcher: Watcher) -> Iterator[Loaded]:
    """Load the images of an archive, and yield each when it is in the store. path: a file or a directory that is an OCI
    layout; "" for stdin. platform: the one to choose where there are several, this machine's by default; others are an
    error only if one is given.

    Raises InvalidArgument for an archive that is not to be trusted, which leaves nothing, but for the images before."""
    wanted = platforms.parse(platform)
    if path and os.path.isdir(path):
        with Directory(path) as directory:
            yield from _take(directory, wanted, bool(platform), watcher)
        return
    source = _open(path)
    with writer.Workspace() as work:
        kept = f"{work.path}/archive"
        os.mkdir(kept, 0o700)
        with Archive(source, kept, config.load()["image_size"]) as archive:
            yield from _take(archive, wanted, bool(platform), watcher)


def _open(path: str) -> io.FileIO:
    if not path and os.isatty(0):
        raise InvalidArgument(
            "requested load from stdin, but stdin is a terminal", "-i FILE, or redirect stdin", FAILED
        )
    try:
        return io.FileIO(path) if path else io.FileIO(0, closefd=False)
    except OSError as error:
        raise HostError(f"can't read {path}: {os.strerror(error.errno or 0).lower()}", "give an archive") from None


def _take(place: Place, wanted: Platform, strict: bool, watcher: Watcher) -> Iterator[Loaded]:
    for source in _sources(place, wanted):
        _check_platform(intake.parsed(source.config, "config"), source, wanted if strict else None)
        diff_ids = intake.diff_ids_of(source.config)
        if len(diff_ids) != len(source.layers):
            raise intake.refused(f"its config has {len(diff_ids)} layers, its manifest {len(source.layers)}")
        layers = [intake.Layer(row, diff_id, blob.open) for (row, blob), diff_id in zip(source.layers, diff_ids)]
        watcher.begin([(diff_id, blob.size) for (_, blob), diff_id in zip(source.layers, diff_ids)])
        image = intake.take(source.config, layers, source.names, source.manifest, progress=watcher.advance)
        yield Loaded(image.id, source.names, source.tag)


def _sources(place: Place, platform: Platform) -> list[Source]:
    """List the images of an archive by its manifest.json, as docker does, or by its index.json; those of a directory
    the other way round: umoci changes the index of a layout, not the manifest.json of an unpacked archive."""
    has_manifest, has_index = place.find(docker_archive.MANIFEST), place.find(oci_layout.INDEX)
    if has_index and (isinstance(place, Directory) or not has_manifest):
        sources = oci_layout.sources(place, platform)
    elif has_manifest:
        sources = docker_archive.sources(place)
    else:
        message = "this is not an archive of images: it has no manifest.json and no index.json"
        raise InvalidArgument(message, "'mydocker import' takes the tar of a root file system", FAILED)
    if not sources:
        raise refused("there is no image in it")
    return sources


def _check_platform(document: dict[str, Any], source: Source, wanted: Platform | None) -> None:
    """Refuse an image of another system and, if a platform is wanted, of another architecture. docker loads all that
    are for Linux; they may be for an emulator."""
    name = source.names[0] if source.names else "the image"
    system, architecture = document.get("os") or "linux", document.get("architecture")
    if system != "linux":
        raise refused(f"{name} is for {str(system)[:50]}, not for linux")
    if wanted and architecture and (system, architecture) != (wanted.os, wanted.architecture):
        raise NotFound(f"{name} is not for platform {wanted}", f"it is for {system}/{str(architecture)[:50]}")


# --- save -------------------------------------------------------------------------------------------------------------


def save(texts: list[str], output: str, platform: str = "") -> None:
    """Write images as an archive. texts: names or IDs; a name without a tag stands for all tags of it, as with
    docker. output: a file, replaced when the archive is complete; "" for stdout. Raises InvalidArgument if that is a
    terminal, NotFound, Conflict, CorruptRecord, HostError."""
    if not output and os.isatty(1):
        raise InvalidArgument("cowardly refusing to save to a terminal", "use -o FILE, or redirect stdout", FAILED)
    images = _selected(texts)
    for each in images if platform else ():
        platforms.check_image(platform, (each.names or [each.image.id[:19]])[0], each.image)
    if output:
        with OutputFile(output) as descriptor:
            saving.save(images, descriptor)
    else:
        sys.stdout.flush()
        saving.save(images, 1)


def _selected(texts: list[str]) -> list[Saved]:
    """Look up images, each once, in the order of the first mention; with the names by which they were mentioned."""
    chosen: dict[str, Saved] = {}
    for text in texts:
        for image, names in _matches(text):
            each = chosen.setdefault(image.id, Saved(image, []))
            each.names += [name for name in names if name not in each.names]
    return list(chosen.values())


def _matches(text: str) -> list[tuple[store.Image, list[str]]]:
    """Return the images that a text means, each with the names meant."""
    repository = _repository(text)
    if repository:
        tagged = [(image, _tags(image, repository)) for image in store.images()]
        matches = [(image, names) for image, names in tagged if names]
        if matches:
            return matches
    image = lookup.find(text)
    name = store.normalise(text)
    return [(image, [name] if name in image.names else [])]


def _repository(text: str) -> str:
    """Return the name, in its short form, of a text that has neither tag nor digest, else ""."""
    if "@" in text or ":" in text.rpartition("/")[2]:
        return ""
    try:
        return references.parse(text).name
    except InvalidArgument:
        return ""


def _tags(image: store.Image, repository: str) -> list[str]:
    return [name for name in image.names if name.rpartition(":")[0] == repository]
