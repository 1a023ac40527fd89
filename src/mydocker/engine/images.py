"""The commands on images: images, tag, rmi, import. What only import needs is imported there, so that the others are as
quick as ps."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine import listing
from mydocker.errors import HostError, InvalidArgument, NotFound
from mydocker.image import lookup, removal, sizes, store, writer
from mydocker.model.options import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


_CHUNK = 1 << 20
FILTERS = ("dangling", "label", "before", "since", "reference")


def images(pattern: str | None, filters: list[str]) -> list[store.Image]:
    """List the images, the newest first, each with the names that match. pattern: NAME or NAME:TAG, with wildcards.
    filters: KEY=VALUE as typed."""
    selected = store.images()
    selections = [_filter(text) for text in filters]
    if pattern:
        selections.append(lambda image: _only_named(image, pattern))
    for select in selections:
        selected = [image for image in map(select, selected) if image is not None]
    return selected


def size(image: store.Image) -> int:
    """Return the bytes of an image's files as docker counts them."""
    return sizes.of_image(image)


def _filter(text: str) -> Callable[[store.Image], store.Image | None]:
    key, equals, value = text.partition("=")
    key, value = key.strip().lower(), value.strip()
    if not equals or key not in FILTERS or (key == "dangling" and value not in ("true", "false", "1", "0")):
        raise listing.invalid(text, f"KEY=VALUE, with {', '.join(FILTERS)} as the key")
    if key == "reference":
        return lambda image: _only_named(image, value)
    if key == "dangling":
        return lambda image: image if (not image.names) == (value in ("true", "1")) else None
    if key == "label":
        return lambda image: image if listing.has_label(image.labels, value) else None
    created = store.resolve(value).created
    if key == "before":
        return lambda image: image if image.created < created else None
    return lambda image: image if image.created > created else None


def _only_named(image: store.Image, pattern: str) -> store.Image | None:
    plain = references.familiar(pattern)
    names = [name for name in image.names if _matches(name, plain) or _matches(_without_tag(name), plain)]
    return store.Image(**{**image.__dict__, "names": names}) if names else None


def _matches(name: str, pattern: str) -> bool:
    """Compare part by part: as in docker, no wildcard matches a slash."""
    from fnmatch import fnmatchcase

    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _without_tag(name: str) -> str:
    return name.rpartition(":")[0]


def tag(source: str, target: str) -> None:
    name = new_name(target)
    writer.tag(lookup.find(source).id, name)


def remove(reference: str, force: bool) -> list[str]:
    """Remove a name or an image. Returns docker's lines, `Untagged: …` and `Deleted: …`. Raises Conflict if a container
    uses the image."""
    try:
        return removal.remove(reference, force, _users)
    except NotFound as error:
        error.hint = "see 'mydocker images'"  # instead of the commands that get an image
        raise


def _users() -> list[removal.User]:
    return [removal.User(each.id, each.image_id, each.layers, each.is_active()) for each in state.containers()]


def import_image(file: str, name: str, changes: list[str], message: str, platform: str = "") -> str:
    """Make an image of a root file system's tar. file: its path, or - for stdin. name: "" for none. Returns its ID."""
    import io

    if platform:
        from mydocker.image.platform import check

        check(platform)

    from mydocker.image import archive

    if file == "-" and os.isatty(0):
        raise InvalidArgument("stdin is a terminal, not a tar archive", "name a file, or redirect stdin")
    target = new_name(name) if name else ""
    try:
        source = io.FileIO(0, closefd=False) if file == "-" else io.FileIO(file)
    except OSError as error:
        raise HostError(f"can't read {file}: {error.strerror}", "give a tar file, or - for stdin") from None
    with io.BufferedReader(source, _CHUNK) as stream:
        return archive.import_image(stream, target, changes, message).id


def new_name(text: str) -> str:
    """Normalise a new name for an image. Raises InvalidArgument for a digest."""
    name = references.normalise(text)
    if "@" in name or name.startswith("sha256:"):
        raise InvalidArgument(f"'{text}' is not a name for an image", "give NAME:TAG: a digest is computed")
    return name
