"""Image references, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by the grammar of all registries. A name without a host is a
name on Docker Hub: `busybox`, `library/busybox` and `docker.io/library/busybox` are the same image.

Source: https://github.com/distribution/reference.
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.names import DIGITS, LETTERS
from mydocker.record import record

BUSYBOX = "busybox:latest"  # the built-in image; what `run COMMAND` runs in
_HEX = frozenset("0123456789abcdef")
_LOWER = frozenset(LETTERS[:26] + DIGITS)
_ALNUM = frozenset(LETTERS + DIGITS)
_HUB = ("docker.io", "index.docker.io")  # the second is its old name
_HINT = "NAME or NAME:TAG, with lower-case letters, digits and single . _ - / in between"


@record
class Reference:
    """name: in its short form, with a host unless that is Docker Hub. tag, digest: one of them is ""."""

    name: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """Parse a reference. The default tag is `latest`; with a digest a tag is ignored."""
    tagged, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidArgument(f"invalid image digest in '{text}'", "NAME@sha256: and 64 hex digits")
    name, colon, tag = tagged.rpartition(":")
    if not colon or "/" in tag:  # a colon before a slash belongs to a host's port
        name, colon, tag = tagged, "", "latest"
    if not (_is_name(name) and _is_tag(tag)):
        raise InvalidArgument(f"invalid image reference '{text}'", _HINT)
    name = familiar(name)
    if len(name) == 64 and _HEX.issuperset(name):
        raise InvalidArgument(f"invalid image name '{name}'", "64 hex digits are an image's ID")
    return Reference(name, digest=digest) if digest else Reference(name, tag)


def normalise(text: str) -> str:
    """Return a reference with its tag: `busybox:latest` for `busybox`."""
    return str(parse(text))


def familiar(name: str) -> str:
    """Return docker's short form of a name: `busybox` for `docker.io/library/busybox`. A tag is kept."""
    host, _, path = name.partition("/")
    if host in _HUB and path and not _has_host(path):
        name = path
    official = name.removeprefix("library/")
    return official if official and "/" not in official else name


def full(reference: Reference) -> str:
    """Return a reference with its host: `docker.io/library/busybox:latest` for `busybox:latest`."""
    name = reference.name
    if not _has_host(name):
        name = f"{_HUB[0]}/{name if '/' in name else f'library/{name}'}"
    return str(Reference(name, reference.tag, reference.digest))


def host_of(name: str) -> str:
    """Return the registry of a name in its short form: `docker.io` for one on Docker Hub."""
    return name.partition("/")[0] if _has_host(name) else _HUB[0]


def repository(name: str) -> str:
    """Return a name without its tag or digest. name: in its full form, with one of them."""
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def is_digest(text: str) -> bool:
    return text.startswith("sha256:") and len(text) == 71 and _HEX.issuperset(text[7:])


def _is_name(name: str) -> bool:
    if not _has_host(name):
        return len(name) <= 255 and all(map(_is_path_part, name.split("/")))
    first, _, path = name.partition("/")
    host, colon, port = first.partition(":")
    return (
        len(name) <= 255
        and all(map(_is_host_part, host.split(".")))
        and (not colon or (port.isascii() and port.isdigit()))
        and all(map(_is_path_part, path.split("/")))
    )


def _has_host(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return slash != "" and (first == "localhost" or "." in first or ":" in first or first != first.lower())


def _is_host_part(part: str) -> bool:
    return part != "" and part[0] != "-" and part[-1] != "-" and _ALNUM.issuperset(part.replace("-", ""))


def _is_path_part(part: str) -> bool:
    """True for runs of lower-case letters and digits, separated by one `.`, one or two `_`, or any number of `-`."""
    separator = ""
    for char in part:
        if char in _LOWER:
            if separator.strip("-") not in ("", ".", "_", "__") or (separator.strip("-") and "-" in separator):
                return False
            separator = ""
        elif char in "._-":
            separator += char
        else:
            return False
    return part != "" and not separator and part[0] in _LOWER


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= 128 and tag[0] not in ".-" and _ALNUM.issuperset(tag.translate({46: "", 45: "", 95: ""}))
