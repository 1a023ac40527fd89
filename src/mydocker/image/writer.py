"""Additions to the image store, which are atomic, and changes of names. removal.py takes away.

layers/.new.<random>/          a workspace: new blobs and layers, locked until they are in the store
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.errors import CorruptRecord
from mydocker.image import store
from mydocker.kernel import files
from mydocker.kernel.locks import DIRECTORY, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Workspace:
    """`with Workspace() as work:` a directory beside the layers, for new blobs and layers. add() moves the content of
    `work.blobs` and `work.layers` into the store. The directory is removed at the end or, after a crash, when the next
    one is made."""

    def __enter__(self) -> Workspace:
        files.make_private(paths.LAYERS)
        files.cleanup_hidden(paths.LAYERS)  # before this one needs the space
        while True:
            self.path = files.hidden_beside(paths.layer("new"))
            os.mkdir(self.path, 0o700)
            try:
                self._lock = Lock(self.path, DIRECTORY)
                break
            except FileNotFoundError:
                continue  # removed by cleanup() before it could be locked
        self.blobs, self.layers = f"{self.path}/blobs", f"{self.path}/layers"
        try:
            os.mkdir(self.blobs, 0o700)
            os.mkdir(self.layers, 0o700)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            try:
                files.remove_tree(self.path)
            except (KeyboardInterrupt, SystemExit):  # by a signal: the removal is finished before
                files.remove_tree(self.path)
                raise

    def write_blob(self, data: bytes) -> str:
        """Write a blob into the workspace. Returns its digest."""
        digest = store.digest_of(data)
        files.write_atomic(f"{self.blobs}/{digest[7:]}", data, 0o644, durable=True)
        return digest

    def sync(self) -> None:
        """Write all blobs and layers to the disk, so that a power cut finds them whole where a name refers to them."""
        files.sync_filesystem(self.path)


class Trash:
    """`with Trash() as trash, store.lock():` directories that are hidden under the lock, and removed after it. A full
    disk has room for that."""

    def __enter__(self) -> Trash:
        files.make_private(paths.LAYERS)
        files.cleanup_hidden(paths.LAYERS)
        self._hidden: list[tuple[str, Lock]] = []
        path = files.hidden_beside(paths.layer("old"))
        try:
            os.mkdir(path, 0o700)
            self._hidden.append((path, Lock(path, DIRECTORY)))
        except FileNotFoundError:
            pass  # removed by cleanup_hidden() before it could be locked
        except OSError as error:
            if error.errno not in files.NO_SPACE:
                raise
        return self

    def take(self, path: str) -> bool:
        """Hide a directory, or remove a link. Returns False if it has to stay: there may be no room for its new name,
        and a part of a layer must not have the old one."""
        if os.path.islink(path):
            os.unlink(path)
            return True
        try:
            if self._hidden:
                os.rename(path, files.hidden_beside(f"{self._hidden[0][0]}/old"))
            else:  # the others then go into this one
                hidden = files.hidden_beside(path)
                lock = Lock(path, DIRECTORY)  # so that no other process takes it for one that a crash has left
                os.rename(path, hidden)
                self._hidden.append((hidden, lock))
        except OSError as error:
            if error.errno not in files.NO_SPACE:
                raise
            return False
        return True

    def __exit__(self, *_: object) -> None:
        for path, lock in self._hidden:
            with lock:
                files.remove_tree(path)


class Scratch:
    """`with Scratch() as scratch:` the path of a Workspace, which is made when the path is first asked for."""

    _work: Workspace | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._work:
            self._work.__exit__()

    @property
    def path(self) -> str:
        if not self._work:
            self._work = Workspace().__enter__()
        return self._work.path


def lock(work: Workspace) -> Lock:
    """Sync the workspace and lock the store, for add(): a lock should not last as long as a sync may take."""
    work.sync()
    return store.lock()


def documents(config: dict[str, Any], layers: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Make the blobs of an image's config and of its manifest. layers: descriptors, bottom first."""
    data = jsontext.dumps(config).encode()
    return data, manifest_for(data, layers)


def manifest_for(config: bytes, layers: list[dict[str, Any]]) -> bytes:
    """Make the manifest of a config and its layers. layers: descriptors, bottom first."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": store.MANIFEST,
        "config": {"mediaType": store.CONFIG, "digest": store.digest_of(config), "size": len(config)},
        "layers": layers,
    }
    return jsontext.dumps(manifest).encode()


def add(work: Workspace, config: bytes, manifest: bytes, names: list[str], repo_digest: str = "") -> store.Image:
    """Make an image of blobs and unpacked layers, in the workspace or in the store. config, manifest: stored byte for
    byte. names: normalised; each is taken from the image that has it. repo_digest: NAME@sha256:…, or "". Caller
    has synced the workspace and holds the lock."""
    work.write_blob(config)
    digest = work.write_blob(manifest)
    index = store.read_index()
    adopt(work)
    files.sync(f"{paths.IMAGES}/blobs/sha256")
    files.sync(paths.LAYERS)
    kind = jsontext.loads(manifest).get("mediaType") or store.MANIFEST
    descriptor = {"mediaType": kind, "digest": digest, "size": len(manifest)}
    for name in names or [""]:
        index["manifests"] = with_name(index["manifests"], descriptor, name)
    if repo_digest:
        index["manifests"] = with_repo_digest(index["manifests"], digest, repo_digest)
    write_index(index)
    return store.image_of(digest, index["manifests"])


def known(manifest: bytes, names: list[str]) -> store.Image | None:
    """Return the image of this manifest if the store has it, with all its blobs, under all these names."""
    digest = store.digest_of(manifest)
    with store.lock(shared=True):
        rows = store.read_index()["manifests"]
        has = [store.name_in(row) for row in rows if row["digest"] == digest]
        if not has or not set(names) <= set(has):
            return None
        try:
            image = store.image_of(digest, rows)
            digests = [image.id, *(row["digest"] for row in store.layer_descriptors(digest))]
        except CorruptRecord:
            return None
        return image if all(os.path.exists(store.blob(each)) for each in digests) else None


def adopt(work: Workspace) -> None:
    """Move the workspace's blobs and unpacked layers into the store, where something refers to them already, or will
    before the lock is released. Caller holds the lock."""
    blobs = f"{paths.IMAGES}/blobs/sha256"
    if not os.path.isdir(blobs):
        # index.json comes first: a store with blobs and without index.json is corrupt, not empty.
        write_index(store.read_index())
        files.write_atomic(f"{paths.IMAGES}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        files.make_private(blobs)
    for entry in os.listdir(work.blobs):
        os.rename(f"{work.blobs}/{entry}", f"{blobs}/{entry}")
    adopt_layers(work)


def missing(work: Workspace, digests: list[str], directories: list[str]) -> list[str]:
    """List the blobs and the layers' directories (their names) that are neither in the workspace nor in the store."""
    blobs, layers = os.listdir(work.blobs), os.listdir(work.layers)
    gone = [each for each in digests if each[7:] not in blobs and not os.path.exists(store.blob(each))]
    return gone + [each for each in directories if each not in layers and not os.path.isdir(paths.layer(each))]


def adopt_layers(work: Workspace) -> None:
    """Move the workspace's layers into the store. Another process may have added the same ones. One in another form
    than a tree that is there is replaced: for its driver it is damaged. The two exchange their names, so that a kill
    leaves one of them."""
    for entry in os.listdir(work.layers):
        new, there = f"{work.layers}/{entry}", paths.layer(entry)
        if "." in entry and os.path.isdir(there):
            files.exchange(new, there)
            continue
        try:
            os.rename(new, there)
        except OSError:
            if not os.path.isdir(there):
                raise


def with_name(descriptors: list[dict[str, Any]], new: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the index's descriptors with `new` under the name, which is taken from the descriptor that has it. A
    manifest without names has one descriptor. With name "", only make sure that `new` is listed."""
    known = _repo_digests(descriptors, new["digest"])
    rows = without_name(descriptors, name)
    if name:
        rows = [row for row in rows if row["digest"] != new["digest"] or store.name_in(row)]
        return [*rows, _row(new, name, known)]
    return rows if any(row["digest"] == new["digest"] for row in rows) else [*rows, new]


def without_name(descriptors: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the index's descriptors without the name. A manifest whose last name it was stays listed."""
    rows = [row for row in descriptors if not name or store.name_in(row) != name]
    for row in descriptors:
        if row not in rows and all(other["digest"] != row["digest"] for other in rows):
            rows.append(_row(row, "", store.repo_digests_in(row)))
    return rows


def with_repo_digest(descriptors: list[dict[str, Any]], digest: str, repo_digest: str) -> list[dict[str, Any]]:
    """Return the index's descriptors, of which those of the manifest `digest` have one more repo digest. It is taken
    from the manifest that has it."""
    rows = []
    for row in descriptors:
        known = [each for each in store.repo_digests_in(row) if each != repo_digest]
        rows.append(_row(row, store.name_in(row), [*known, repo_digest] if row["digest"] == digest else known))
    return rows


def _repo_digests(descriptors: list[dict[str, Any]], digest: str) -> list[str]:
    digests = {each: None for row in descriptors if row["digest"] == digest for each in store.repo_digests_in(row)}
    return list(digests)


def _row(descriptor: dict[str, Any], name: str, repo_digests: list[str]) -> dict[str, Any]:
    """Return the descriptor with these annotations only."""
    plain = {key: value for key, value in descriptor.items() if key != "annotations"}
    annotations = {}
    if name:
        annotations[store.REF_NAME] = name
    if repo_digests:
        annotations[store.REPO_DIGESTS] = " ".join(repo_digests)
    return {**plain, "annotations": annotations} if annotations else plain


def tag(source: str, name: str) -> None:
    """Give an image another name (normalised), which is taken from the image that has it."""
    with store.lock():
        image = store.look(source)
        index = store.read_index()
        descriptor = next(row for row in index["manifests"] if row["digest"] == image.manifest)
        index["manifests"] = with_name(index["manifests"], descriptor, name)
        write_index(index)


def note_digest(reference: str, repo_digest: str) -> None:
    """Note that a registry knows the image as NAME@sha256:…, as after a push."""
    with store.lock():
        image = store.look(reference)
        index = store.read_index()
        index["manifests"] = with_repo_digest(index["manifests"], image.manifest, repo_digest)
        write_index(index)


def write_index(index: dict[str, Any]) -> None:
    files.write_atomic(f"{paths.IMAGES}/index.json", jsontext.dumps(index).encode(), 0o644, durable=True)
