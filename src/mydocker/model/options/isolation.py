"""Rarer options on what a container's process is and sees: loaded only when one of them is given."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mydocker.model.options.mounts import Mount
    from mydocker.model.options.request import CreateRequest

_OWN = "io.mydocker."
_LAST_ID = 2**32 - 2
_LONGEST = 64  # bytes of the kernel's domain name
_MODES = ("", "ro", "rw", "z", "Z", "ro,z", "ro,Z", "rw,z", "rw,Z", "z,ro", "Z,ro", "z,rw", "Z,rw")


def parse(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the options that are given, by their keys. Returns fields of CreateRequest. Raises InvalidArgument."""
    fields: dict[str, Any] = {}
    for key, value in given.items():
        if key == "domainname":
            fields[key] = _domain(value)
        elif key == "group_add":
            fields[key] = [_group(text) for text in value]
        elif key == "umask":
            fields[key] = _umask(value)
        elif key == "annotation":
            fields["annotations"] = dict(map(_annotation, value))
        elif key == "volumes_from":
            for text in value:
                split_source(text)
            fields[key] = value
        elif key == "cgroupns" and value not in ("", "host", "private"):
            raise InvalidArgument(f"unknown cgroupns mode '{value}'", "--cgroupns private or host")
        elif key == "cgroupns":
            fields[key] = "host" if value == "host" else ""
    return fields


def add(request: CreateRequest, given: Mapping[str, Any]) -> None:
    """Parse the options that are given, put them into the request, and check it. Raises InvalidArgument."""
    for field, value in parse(given).items():
        setattr(request, field, value)
    check(request)


def check(request: CreateRequest) -> None:
    """Raises InvalidArgument."""
    if request.domainname and request.uts == "host":
        raise InvalidArgument("conflicting options: --domainname and --uts host", "it would rename the host")


def _domain(text: str) -> str:
    if len(text.encode("utf-8", "surrogateescape")) > _LONGEST or not text.isprintable() or text.split() != [text]:
        raise InvalidArgument(f"invalid domain name '{text}'", "up to 64 bytes without blanks, such as lab.example")
    return text


def _group(text: str) -> str:
    too_large = text.isdigit() and (not units.is_number(text) or int(text) > _LAST_ID)
    if (
        too_large
        or not text.isprintable()
        or not text.strip(":,")
        or any(char in text for char in ":,")
        or text[0] == "-"
    ):
        raise InvalidArgument(f"invalid group '{text}'", "the name of a group of the image, or a GID")
    return text


def _umask(text: str) -> int:
    if not 0 < len(text) <= 4 or text.strip("01234567") or int(text, 8) > 0o777:
        raise InvalidArgument(f"invalid umask '{text}'", "octal, such as 0022")
    return int(text, 8)


def _annotation(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key or key.startswith(_OWN):
        raise InvalidArgument(f"invalid annotation '{text}'", f"KEY=VALUE; keys that begin with {_OWN} are its own")
    return key, value


def split_source(text: str) -> tuple[str, bool]:
    """Parse --volumes-from CONTAINER[:MODE] to (the container, True if it is read-only)."""
    name, _, mode = text.partition(":")
    if not name or mode not in _MODES:
        raise InvalidArgument(f"invalid --volumes-from '{text}'", "CONTAINER, CONTAINER:ro or CONTAINER:rw")
    return name, "ro" in mode.split(",")


def with_mounts_of(request: CreateRequest, others: list[tuple[CreateRequest, bool]]) -> list[Mount]:
    """Return the request's mounts with those of other containers, as docker does: its own replace theirs, theirs the
    image's volumes, a later container's an earlier one's. others: (request, True if they are read-only)."""
    theirs: dict[str, Mount] = {}
    for other, read_only in others:
        for mount in other.mounts:
            if mount["type"] != "tmpfs":
                taken = {"anonymous": False, "copy": False, "option": "from", "mode": ""}
                new: Any = {**mount, **taken, "read_only": mount["read_only"] or read_only}
                theirs[mount["target"]] = new
    own = [mount for mount in request.mounts if mount["option"] != "image" or mount["target"] not in theirs]
    targets = {mount["target"] for mount in own}
    return own + [mount for mount in theirs.values() if mount["target"] not in targets]
