"""The commands on images: images, tag, rmi, image prune, import. What only import needs is imported there, so that the
others are as quick as ps."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine import listing
from mydocker.errors import HostError, InvalidArgument, NotFound
from mydocker.image import lookup, removal, sizes, store, writer
from mydocker.model.options import references, times

_CHUNK = 1 << 20
_ZERO_TIME = -(1 << 63)  # an image without a time is older than all others


def images(pattern: str | None, filters: list[str]) -> list[store.Image]:
    """List the images, the newest first, each with the names that match. pattern: NAME or NAME:TAG, with wildcards.
    filters: KEY=VALUE as typed."""
    tests = listing.parse(filters, _FILTERS)
    wanted = tests.pop("reference", [])
    if pattern:
        wanted.append(_reference(pattern))
    shown = [image for image in store.images() if listing.passes(image, tests)]
    if not wanted:
        return shown
    narrowed = (_only_named(image, wanted) for image in shown)
    return [image for image in narrowed if image]


def size(image: store.Image) -> int:
    """Return the bytes of an image's files as docker counts them."""
    return sizes.of_image(image)


def _only_named(image: store.Image, wanted: list[listing.Test]) -> store.Image | None:
    """Return the image with those of its names that pass a test; None if none does."""
    names, digests = (
        [name for name in every if any(test(name) for test in wanted)] for every in (image.names, image.repo_digests)
    )
    return store.Image(**{**image.__dict__, "names": names, "repo_digests": digests}) if names or digests else None


def _reference(pattern: str) -> listing.Test:
    """Match a name, with or without its tag or digest."""
    plain = references.familiar(pattern)
    return lambda name: _matches(name, plain) or _matches(references.repository(name), plain)


def _matches(name: str, pattern: str) -> bool:
    """Compare part by part: as in docker, no wildcard matches a slash."""
    from fnmatch import fnmatchcase

    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _created(image: store.Image) -> int:
    return times.parse_rfc3339(image.created) if image.created else _ZERO_TIME


def _before(value: str) -> listing.Test:
    limit = _created(store.resolve(value))
    return lambda image: _created(image) < limit


def _since(value: str) -> listing.Test:
    limit = _created(store.resolve(value))
    return lambda image: _created(image) > limit


def _is_dangling(image: store.Image, value: str) -> bool:
    """docker lists an image that only has a registry's digest as both."""
    return not image.names if value in ("true", "1") else bool(image.names or image.repo_digests)


_FILTERS: dict[str, listing.Maker] = {
    "dangling": listing.choice("dangling", "true false 1 0", _is_dangling),
    "label": listing.label,
    "label!": listing.no_label,
    "before": _before,
    "since": _since,
    "until": listing.until(_created),
    "reference": _reference,
}
_PRUNE_FILTERS: dict[str, listing.Maker] = {
    **{key: _FILTERS[key] for key in ("label", "label!", "until")},
    "dangling": listing.choice(
        "dangling", "true false 1 0", lambda image, value: value in ("false", "0") or not image.names
    ),
}


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


def check_prune_filters(filters: list[str]) -> None:
    """Raise InvalidArgument for filters that prune() would refuse: before the user is asked whether to remove."""
    listing.parse(filters, _PRUNE_FILTERS)


def prune(everything: bool, filters: list[str], dry_run: bool = False) -> tuple[list[str], int]:
    """Remove images that no container uses: those without a tag, or all. filters: KEY=VALUE as typed. dry_run: remove
    nothing. Returns (lines as remove() does, the bytes of the layers that are gone)."""
    tests = listing.parse(filters, _PRUNE_FILTERS)
    if everything:
        tests.pop("dangling", None)
    else:
        tests.setdefault("dangling", [_PRUNE_FILTERS["dangling"]("true")])
    return removal.prune(lambda image: listing.passes(image, tests), _users, dry_run)


def _users() -> list[removal.User]:
    return [removal.User(each.id, each.image_id, each.layers, each.is_active()) for each in state.containers()]


def import_image(file: str, name: str, changes: list[str], message: str, platform: str = "") -> str:
    """Make an image of a root file system's tar. file: its path, or - for stdin. name: "" for none. Returns its ID."""
    import io

    if platform:
        from mydocker.image.platform import check

        check(platform)

    from mydocker.build.changes import apply_changes
    from mydocker.image import archive

    if file == "-" and os.isatty(0):
        raise InvalidArgument("stdin is a terminal, not a tar archive", "name a file, or redirect stdin")
    target, config = new_name(name) if name else "", apply_changes({}, changes)
    try:
        source = io.FileIO(0, closefd=False) if file == "-" else io.FileIO(file)
    except OSError as error:
        raise HostError(
            f"can't read {file}: {os.strerror(error.errno or 0).lower()}", "give a tar file, or - for stdin"
        ) from None
    with io.BufferedReader(source, _CHUNK) as stream:
        return archive.import_image(stream, target, config, message).id


def new_name(text: str) -> str:
    """Normalise a new name for an image. Raises InvalidArgument for a digest."""
    name = references.normalise(text)
    if "@" in name or name.startswith("sha256:"):
        raise InvalidArgument(f"'{text}' is not a name for an image", "give NAME:TAG: a digest is computed")
    return name
