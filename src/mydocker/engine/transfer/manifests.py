"""Manifests and lists of manifests as a registry sends them, docker's or OCI's: what is taken, and what is refused."""

from __future__ import annotations

from mydocker.errors import HostError, NotFound
from mydocker.image import intake, platform, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONFIGS = (store.CONFIG, "application/vnd.docker.container.image.v1+json", "application/octet-stream")
_REFERENCE = "vnd.docker.reference.type"  # the annotation of an entry that is a statement about another one


def is_list(document: dict[str, Any]) -> bool:
    return "manifests" in document


def check(document: dict[str, Any], what: str) -> None:
    """Refuse what is neither an image's manifest nor a list of such. what: names it in errors. Raises HostError for a
    manifest of schema 1, InvalidArgument for all else."""
    if document.get("schemaVersion") == 1:
        raise HostError(f"the registry has {what} only as a manifest of schema 1, which is obsolete", "push it anew")
    if is_list(document):
        rows = document["manifests"]
        if not isinstance(rows, list) or not all(map(_is_row, rows)):
            raise intake.refused(f"the list of manifests of {what} is malformed")
        return
    row = document.get("config")
    kind = row.get("mediaType") if isinstance(row, dict) else None
    if kind not in _CONFIGS:
        raise intake.refused(f"{what} is not an image but {kind}" if kind else f"the manifest of {what} has no config")


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or type(row.get("size")) is not int:
        return False
    try:
        store.blob(row["digest"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return False
    place, notes = row.get("platform") or {}, row.get("annotations") or {}
    return (
        isinstance(place, dict)
        and isinstance(notes, dict)
        and all(isinstance(place.get(key) or "", str) for key in ("os", "architecture", "variant"))
    )


def choose(document: dict[str, Any], wanted: platform.Platform) -> dict[str, Any]:
    """Return the descriptor of a list's image for a platform. Raises NotFound if there is none."""
    rows = [row for row in document["manifests"] if _REFERENCE not in (row.get("annotations") or {})]
    try:
        return platform.choose(rows, wanted)
    except NotFound as error:
        error.hint += "; --platform takes another one" if rows else ""
        raise


def check_platform(config: dict[str, Any], wanted: platform.Platform, what: str) -> None:
    """Refuse an image without a list of platforms that is for another one. Raises NotFound."""
    place = {"os": config.get("os") or wanted.os, "architecture": config.get("architecture") or wanted.architecture}
    try:
        platform.choose([{"platform": place}], wanted)
    except NotFound:
        made_for = platform.Platform(str(place["os"]), str(place["architecture"]))
        raise NotFound(f"{what} is for {made_for}, not for {wanted}", f"--platform {made_for} pulls it") from None
