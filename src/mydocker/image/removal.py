"""Removals from the image store: of names, of images with their last name, and of the blobs and layers that nothing
refers to any more.

An image that is being taken in, or from which a container is being made, loses nothing: its new blobs and layers are
in a workspace until they and the index that refers to them come in under the lock, and store.keep() holds the lock
until a container's record refers to its image.
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, HostError
from mydocker.image import build_cache, sizes, store, writer
from mydocker.kernel import files
from mydocker.model.options.references import repository
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

    Rows = list[dict[str, Any]]  # the descriptors of the index


@record
class User:
    """A container that may prevent the removal of an image: its image's ID, the chain ids of its layers."""

    container: str
    image_id: str
    layers: list[str]
    running: bool


def remove(reference: str, force: bool, users: Callable[[], list[User]]) -> list[str]:
    """Remove a name from an image, and the image with its last name, as docker does. A registry's digest counts as a
    name; with the last tag of a repository its digests go, too. By ID, all names are removed.

    users: lists the containers; called under the lock. Returns docker's lines, `Untagged: …` and `Deleted: …`.

    Raises Conflict if a container uses the image. `force` removes it all the same, unless the container is running:
    then the image can only lose its name. `force` also removes the name of a corrupt image.
    """
    name = store.normalise(reference)
    with writer.Trash() as trash, store.lock():
        index = store.read_index()
        rows = index["manifests"]
        try:
            listed = store.all_images()
            match = next((image for image in listed if name in _names(image)), None) or store.look(reference)
            image = next(image for image in listed if image.id == match.id)  # with the names of all its manifests
        except CorruptRecord:
            if not force or all(store.name_in(row) != name for row in rows):
                raise
            index["manifests"] = [row for row in rows if store.name_in(row) != name]
            writer.write_index(index)
            return [f"Untagged: {name}"]
        containers = users()
        own = [user for user in containers if user.image_id == image.id]
        running = [user for user in own if user.running]
        by_name = name in _names(image)
        going = _with_digests(image, name) if by_name else _names(image)
        last = len(going) == len(_names(image))
        if (last and own and not force) or (running and not by_name):
            state, hint = ("running", "stop and remove it") if running else ("stopped", "remove it, or use -f")
            container = (running or own)[0].container[:12]
            raise Conflict(f"image '{reference}' is used by the {state} container {container}", hint)
        if not by_name and not force and (len(image.names) > 1 or len(set(map(repository, going))) > 1):
            shown = image.names if len(image.names) > 1 else going
            raise Conflict(f"image '{reference}' has {len(shown)} names: {', '.join(shown)}", "remove them, or use -f")
        for each in going:
            rows = _without(rows, each)
        lines = [f"Untagged: {each}" for each in going]
        if last and not running:
            rows = [row for row in rows if _image_id(row) != image.id]
            lines.append(f"Deleted: {image.id}")
        index["manifests"] = rows
        gone = _collect(trash, index, containers)
        lines += [f"Deleted: {chain_id}" for chain_id in _top_first(image, gone)]
    return lines


def prune(
    is_unwanted: Callable[[store.Image], bool], users: Callable[[], list[User]], dry_run: bool = False
) -> tuple[list[str], int]:
    """Remove the unwanted images that no container uses, with all their names. dry_run: remove nothing. Returns (lines
    as remove() does, the bytes of the layers that are gone)."""
    with writer.Trash() as trash, store.lock():
        containers = users()
        used = {user.image_id for user in containers}
        unwanted = [image for image in store.all_images() if image.id not in used and is_unwanted(image)]
        known = {chain_id: size for image in unwanted for chain_id, size in zip(image.layers, sizes.of_layers(image))}
        ids = {image.id for image in unwanted}
        index = store.read_index()
        index["manifests"] = [row for row in index["manifests"] if _image_id(row) not in ids]
        if dry_run:
            gone = {each.chain_id for each in _unneeded_layers(_needed(index, containers)[1]) if each.own}
        else:
            gone = _collect(trash, index, containers)
    lines = []
    left = set(gone)
    for image in unwanted:
        lines += [f"Untagged: {name}" for name in _names(image)]
        lines.append(f"Deleted: {image.id}")
        own = left.intersection(image.layers)
        lines += [f"Deleted: {chain_id}" for chain_id in _top_first(image, own)]
        left -= own
    return lines, sum(known.get(chain_id, 0) for chain_id in gone)


def collect(users: list[User], trash: writer.Trash) -> None:
    """Remove what nothing refers to any more, after a change of the build cache. Caller holds the lock."""
    _collect(trash, store.read_index(), users)


def _names(image: store.Image) -> list[str]:
    return [*image.names, *image.repo_digests]


def _with_digests(image: store.Image, name: str) -> list[str]:
    """Return the name and, if it is the last tag of its repository, the digests of the repository."""
    others = [each for each in image.names if each != name and repository(each) == repository(name)]
    digests = [each for each in image.repo_digests if repository(each) == repository(name)]
    return [name] if "@" in name or others else [name, *digests]


def _without(rows: Rows, name: str) -> Rows:
    return writer.with_repo_digest(rows, "", name) if "@" in name else writer.without_name(rows, name)


def _image_id(row: dict[str, Any]) -> str:
    image_id: str = store.manifest_of(row["digest"])["config"]["digest"]
    return image_id


def _top_first(image: store.Image, chain_ids: set[str]) -> list[str]:
    """Sort chain ids as docker lists them: from the image's top down; others, which a crash has left, at the end."""
    known = [chain_id for chain_id in reversed(image.layers) if chain_id in chain_ids]
    return [*known, *sorted(chain_ids.difference(known))]


def _collect(trash: writer.Trash, index: dict[str, Any], containers: list[User]) -> set[str]:
    """Write the index; remove the blobs that it does not refer to, and the layers that neither it nor a container
    needs. Returns their chain ids. Also removes the files that a crash has left unfinished. Caller holds the lock."""
    blobs, chains = _needed(index, containers)
    entries = _entries(f"{paths.IMAGES}/blobs/sha256")
    gone_blobs = [f"{paths.IMAGES}/blobs/sha256/{entry}" for entry in entries if f"sha256:{entry}" not in blobs]
    try:
        writer.write_index(index)
    except HostError:
        if not _write_index_over(gone_blobs, index):
            raise
    for path in gone_blobs:
        if os.path.lexists(path):
            os.unlink(path)
    gone = set()
    for each in _unneeded_layers(chains):
        if trash.take(f"{paths.LAYERS}/{each.entry}") and each.own:
            gone.add(each.chain_id)
    files.cleanup_unfinished(paths.IMAGES)
    files.cleanup_unfinished(build_cache.STEPS)
    return gone


def _write_index_over(blobs: list[str], index: dict[str, Any]) -> bool:
    """Write the index on a full disk: into the largest of these blobs, which are to be removed. Returns False if none
    has room for it."""
    data = jsontext.dumps(index).encode()
    infos = [(os.stat(path), path) for path in blobs]
    own = [(info.st_size, path) for info, path in infos if info.st_nlink == 1]  # others are being saved or pushed
    size, blob = max(own, default=(0, ""))
    if size < len(data):
        return False
    new = f"{paths.IMAGES}/.index.json.new"
    os.rename(blob, new)
    with open(new, "r+b", buffering=0) as file:
        files.write_all(file.fileno(), data)
        file.truncate()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    os.rename(new, f"{paths.IMAGES}/index.json")
    files.sync(paths.IMAGES)
    return True


def _needed(index: dict[str, Any], containers: list[User]) -> tuple[set[str], set[str]]:
    """Return (digests of the blobs, chain ids) that the index, the build cache or a container needs."""
    blobs, chains = _reachable(index["manifests"])
    cached_blobs, cached_chains = build_cache.roots()
    containers_chains = (chain_id for user in containers for chain_id in user.layers)
    return blobs | cached_blobs, chains.union(cached_chains, containers_chains)


@record
class _Layer:
    """An entry of the layers' directory. own: the layer or a driver's form of it; else a link to it."""

    entry: str
    chain_id: str
    own: bool


def _unneeded_layers(chains: set[str]) -> Iterator[_Layer]:
    for entry in _entries(paths.LAYERS):
        if entry.startswith("."):
            continue
        path = f"{paths.LAYERS}/{entry}"
        name = os.readlink(path) if os.path.islink(path) else entry
        chain_id = f"sha256:{name.partition('.')[0]}"  # a driver's own form of a layer has a name with an end
        if chain_id not in chains:
            yield _Layer(entry, chain_id, entry == name)


def _reachable(rows: Rows) -> tuple[set[str], set[str]]:
    """Return (digests of the blobs, chain ids) that the index refers to."""
    blobs: set[str] = set()
    chains: set[str] = set()
    todo = [row["digest"] for row in rows]
    while todo:
        digest = todo.pop()
        if digest in blobs or not os.path.exists(store.blob(digest)):
            continue  # a copy of a list of manifests need not have all of them
        blobs.add(digest)
        content = store.json_blob(digest)
        try:
            todo += [inner["digest"] for inner in content.get("manifests", ())]
            blobs.update(layer["digest"] for layer in content.get("layers", ()))
            if "config" in content:
                blobs.add(content["config"]["digest"])
                rootfs = store.json_blob(content["config"]["digest"]).get("rootfs") or {}
                chains.update(store.chain_ids(rootfs.get("diff_ids") or []))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise store.corrupt(store.blob(digest), error) from None
    return blobs, chains


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
