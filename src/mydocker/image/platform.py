"""--platform: accepted if it names this machine's own platform."""

from __future__ import annotations

from mydocker.errors import InvalidArgument, NotFound
from mydocker.image import store

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
# Variants of an architecture that are accepted, too: their images run if the processor has the features that they use.
_VARIANTS = {"amd64": ("v1", "v2", "v3", "v4"), "arm64": ("v8",)}


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
