"""The interface of a place that holds images, an archive (archive.py) or a directory (directory.py): files by name.

The names come from anybody's manifest. None leads out of the place: neither by `..`, nor by a link in it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mydocker import jsontext
from mydocker.errors import FAILED, InvalidArgument
from mydocker.image import store
from mydocker.image.entries import inside
from mydocker.model.options import references
from mydocker.record import record

if TYPE_CHECKING:
    from typing import Any, Callable, Protocol, TypeVar

    _Kind = TypeVar("_Kind", list[Any], dict[str, Any])

    class Place(Protocol):
        json_left: int  # bytes of documents that may be read, LARGEST_SUM at first

        def find(self, name: str) -> File | None:
            """Look up a regular file, also through links; None if there is none of that name. Raises InvalidArgument
            for a name that leads outside."""


LARGEST_SUM = 64 << 20  # bytes of all indexes, manifests and configs, which are in memory together
_MAX_LINKS = 40  # on the way to one file, as in the kernel
_LONGEST_NAME = 4096  # letters: a path of Linux has as many bytes at most


@record
class File:
    """A regular file of a place. open: returns a new unbuffered stream of its content."""

    name: str
    size: int
    open: Callable[[], Any]


@record
class Source:
    """An image of a place. config, manifest: as they are; manifest None: there is none. layers: bottom first, as (the
    blob's descriptor, in which the digest may be ""; the blob). names: with their tags. tag: an image without names may
    have a tag alone, which skopeo and docker write."""

    config: bytes
    manifest: bytes | None
    layers: list[tuple[dict[str, Any], File]]
    names: list[str]
    tag: str = ""


def need(place: Place, name: str) -> File:
    """Look up a file that a manifest names. Raises InvalidArgument if it is missing."""
    file = place.find(name)
    if file is None:
        raise refused(f"there is no file '{name[:100]}', which is part of an image")
    return file


def read(place: Place, name: str) -> bytes:
    """Read a document. Raises InvalidArgument if it is missing, or too large."""
    file = need(place, name)
    place.json_left -= file.size
    if file.size > store.LARGEST_JSON or place.json_left < 0:
        raise refused(f"'{name[:100]}' is larger than any image's")
    with io.BufferedReader(file.open()) as stream:
        data: bytes = stream.read(file.size + 1)
    if len(data) != file.size:
        raise refused(f"'{name[:100]}' is cut off, or changes while it is read")
    return data


def parse(data: bytes, about: str, kind: type[_Kind]) -> _Kind:
    """Parse a JSON document, an object or a list. Raises InvalidArgument if it is malformed. about: its name."""
    try:
        document = jsontext.loads(data)
    except ValueError as error:
        raise refused(f"'{about[:100]}' is malformed: {error}") from None
    if not isinstance(document, kind):
        raise refused(f"'{about[:100]}' is malformed: it is not {'a list' if kind is list else 'an object'}")
    return document


def normalise(name: object) -> str:
    """Normalise the name of an image. Raises InvalidArgument for one that no image can have."""
    try:
        text = references.normalise(str(name))
    except InvalidArgument as error:
        raise refused(error.message) from None
    if "@" in text:
        raise refused(f"an image is called '{text[:100]}', which is a digest")
    return text


def safe_path(name: str, about: str = "") -> str:
    """Return a member's name as a plain relative path. Raises InvalidArgument for one that leads outside. about: the
    member that it belongs to, if it is a link's target."""
    if len(name) > _LONGEST_NAME:
        raise refused(f"a name of {len(name)} letters: '{name[:100]}'")
    path = None if name.startswith("/") else inside(name)
    if path is None:
        whose = f"'{about[:100]}' is a link that leads outside: " if about else "a name that leads outside: "
        raise refused(f"{whose}'{name[:100]}'")
    return path


def resolve(name: str, link: Callable[[str], str | None]) -> str:
    """Follow the links in a name. link: returns the target of the link with that name, as a name; None if it is not a
    link. Raises InvalidArgument for a loop of links."""
    todo = safe_path(name).split("/")[::-1]
    path = ""
    links = 0
    while todo:
        part = todo.pop()
        path = f"{path}/{part}" if path else part
        target = link(path)
        if target is not None:
            links += 1
            if links > _MAX_LINKS:
                raise refused(f"'{name[:100]}' leads through a loop of links")
            todo += filter(None, target.split("/")[::-1])
            path = ""
    return path


def refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"refused archive: {why[:400]}", exit_code=FAILED)
