"""Platforms: --platform, and the choice from an index of images for several platforms."""

from __future__ import annotations

import os

from mydocker.errors import InvalidArgument, NotFound
from mydocker.image import store
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
# Variants of an architecture that are accepted, too: their images run if the processor has the features that they use.
_VARIANTS = {"amd64": ("v1", "v2", "v3", "v4"), "arm64": ("v8",)}
# Other spellings, as containerd reads them: what is typed -> architecture and variant.
_SPELLINGS = {
    **{spelling: (architecture, "") for spelling, architecture in _ARCHITECTURES.items()},
    "i386": ("386", ""),
    "arm": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_PLAIN = {"amd64": 1, "arm64": 8}  # the number of the variant that an entry without one means
_MACHINES = {"armv6l": ("arm", "v6"), "armv7l": ("arm", "v7"), "i686": ("386", "")}
_ALSO = {"amd64": "386", "arm64": "arm"}  # what its processors run, too
_OTHER = 100  # the rank of such an entry: any of its own architecture is better
_UNNAMED = 1000  # the rank of an entry without a platform, which comes last


def check(text: str) -> None:
    """Check a --platform. Raises InvalidArgument if it is not this machine's. text: linux, ARCHITECTURE, or
    linux/ARCHITECTURE[/VARIANT], in docker's spellings."""
    own = store.architecture()
    variants = [[], *([variant] for variant in _VARIANTS.get(own, ()))]
    words = text.lower().split("/")
    if words[0] != "linux":
        words = ["linux", *words] if len(words) == 1 else [""]
    words[1:2] = [_ARCHITECTURES.get(word, word) for word in words[1:2]]
    if words[1:2] not in ([], [own]) or "" in words or words[2:] not in variants:
        raise InvalidArgument(f"platform '{text}' is not this machine's", f"linux/{own}, or leave --platform out")


def check_image(text: str, name: str, image: store.Image) -> None:
    """Check a --platform and an image that is to run. Raises NotFound if the image is for another architecture."""
    check(text)
    made_for = image.config.get("architecture") or store.architecture()
    if made_for != store.architecture():
        raise NotFound(f"image {name} is not for platform '{text}'", f"it is for linux/{made_for}")


@record
class Platform:
    """os, architecture, variant: in Go's words; variant "": the plainest that there is."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def own() -> Platform:
    """Return this machine's platform."""
    return Platform("linux", *_MACHINES.get(os.uname().machine, (store.architecture(), "")))


def parse(text: str) -> Platform:
    """Parse a platform that an index or a registry is asked for: linux, ARCHITECTURE, or linux/ARCHITECTURE[/VARIANT].
    "": this machine's. Raises InvalidArgument."""
    words = text.lower().split("/")
    if words in ([""], ["linux"]):
        return own()
    if len(words) == 1:
        words = ["linux", *words]
    if len(words) > 3 or not all(word and word.replace("-", "").replace("_", "").isalnum() for word in words):
        raise InvalidArgument(f"invalid platform '{text}'", "such as linux/arm64 or linux/arm/v7")
    architecture, variant = _SPELLINGS.get(words[1], (words[1], ""))
    return Platform(words[0], architecture, words[2] if words[2:] else variant)


def choose(entries: list[dict[str, Any]], platform: Platform) -> dict[str, Any]:
    """Return the descriptor of an index that is for the platform: the plainest variant, of several alike the first;
    else one that names no platform. Raises NotFound, with docker's words."""
    ranked = [(rank, at) for at, entry in enumerate(entries) if (rank := _rank(entry.get("platform"), platform)) >= 0]
    if not ranked:
        offered = sorted({_described(entry["platform"]) for entry in entries if entry.get("platform")} - {"unknown"})
        raise NotFound(
            f"no matching manifest for {platform} in the manifest list entries",
            f"it has {', '.join(offered)}" if offered else "the list is empty",
        )
    return entries[min(ranked)[1]]


def _rank(offered: dict[str, Any] | None, platform: Platform) -> int:
    """Return how far an entry's platform is from the best one; -1: it is for another. A processor runs what is made for
    lower variants, and where none is asked for, a higher one is better than nothing (docker 28's choice)."""
    if not offered:
        return _UNNAMED
    if offered.get("os") != platform.os:
        return -1
    if offered.get("architecture") != platform.architecture:
        return _OTHER if offered.get("architecture") == _ALSO.get(platform.architecture) else -1
    has = _number(offered.get("variant"), platform.architecture)
    best = _number(platform.variant, platform.architecture)
    return best - has if has <= best else -1 if platform.variant else has - best


def _number(variant: str | None, architecture: str) -> int:
    digits = str(variant or "").removeprefix("v")
    return int(digits) if digits.isdecimal() and len(digits) < 3 else _PLAIN.get(architecture, 0)


def _described(offered: dict[str, Any]) -> str:
    """Return a platform as text: "unknown" for a statement about another entry (an attestation)."""
    words = (offered.get("os"), offered.get("architecture"), offered.get("variant"))
    return "unknown" if "unknown" in words else "/".join(str(word) for word in words if word)
