"""Turn the changes in a step's container directory into a layer of the store.

With a driver that keeps changes in overlay's form, the directory itself becomes the unpacked layer, by a rename: it
holds what the layer's tar does, once that is written. Otherwise the tar is unpacked.
"""

from __future__ import annotations

import io
import os
import stat

from mydocker import paths
from mydocker.image import layer, store, writer
from mydocker.image.build_cache import EMPTY
from mydocker.image.writer import Workspace
from mydocker.kernel import files
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.drivers.base import Driver, Indexing

_EMPTY_TAR = bytes(1024)


@record
class Layer:
    """A layer. diff_id: the digest of its tar. descriptor: its blob's {mediaType, digest, size}."""

    diff_id: str
    descriptor: dict[str, Any]


def stack(layers: list[str], driver: Driver) -> list[str]:
    """Return the chain IDs of the layers to mount for these. Drivers need one at least: an empty one stands for the
    root of `FROM scratch`, and is never in an image."""
    if not layers and driver.missing([EMPTY]):
        with Workspace() as work:
            files.write_new(f"{work.path}/blob", _EMPTY_TAR, 0o644)
            _make_directory(driver, f"{work.path}/blob", [], EMPTY, work)
            with store.lock():
                writer.adopt_layers(work)
    return layers or [EMPTY]


class _Hashed(io.RawIOBase):
    """A new file, whose content is hashed while it is written."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        import hashlib

        self._sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        files.write_all(self._descriptor, data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def capture(
    driver: Driver, directory: str, below: list[str], work: Workspace, epoch: int | None = None
) -> tuple[Layer, list[str]]:
    """Make a layer of the changes in the container-directory, and put its blob and its unpacked form into the
    workspace. Returns it, and a sentence for each file that was left out because a layer can't hold it.

    below: chain IDs of the layers under it, bottom first. epoch: later times become this one, in seconds since 1970."""
    from mydocker.engine.build import tidying

    mounted = stack(below, driver)
    changes = driver.upper(directory)
    if changes:
        lowers = [] if driver.form else [paths.layer(chain_id) for chain_id in reversed(mounted)]
        tidying.tidy(changes, tidying.made_points(f"{directory}/made"), lowers)
        if epoch is not None:
            _clamp(changes, epoch)
        if lowers and _is_unchanged(changes, lowers):
            return _empty(below, lowers[0], work), []
    else:  # all files of the root are there: a directory that was there before must stay
        tidying.tidy(f"{directory}/rootfs", tidying.made_points(f"{directory}/made"), [])
    blob = f"{work.path}/blob"
    with _Hashed(blob) as raw, io.BufferedWriter(raw, 1 << 20) as out:
        left_out = driver.changes(directory, mounted, out)
        out.flush()
        digest, size = raw.digest, raw.size
    if changes and not left_out and not driver.form:
        os.rename(changes, f"{work.layers}/{chain_of(below, digest)[7:]}")
    else:
        _make_directory(driver, blob, below, digest, work)
    os.rename(blob, f"{work.blobs}/{digest[7:]}")
    return Layer(digest, {"mediaType": store.LAYER, "digest": digest, "size": size}), left_out


def _make_directory(driver: Driver, blob: str, below: list[str], digest: str, work: Workspace) -> None:
    """Make a layer's directory of its tar, in the form that the driver uses."""
    lowers = [paths.layer(chain_id, driver.form) for chain_id in reversed(below)]
    directory = f"{work.layers}/{os.path.basename(paths.layer(chain_of(below, digest), driver.form))}"
    os.mkdir(directory, 0o700)
    if driver.form:
        indexing: Indexing = driver  # type: ignore[assignment]
        indexing.complete_layer(directory, indexing.index_layer(blob, directory), lowers)
        return
    from mydocker.image import unpacking

    with io.BufferedReader(io.FileIO(blob), 1 << 20) as source:
        bare = unpacking.unpack_layer(source, directory)
    unpacking.complete(directory, bare, lowers)


def chain_of(below: list[str], diff_id: str) -> str:
    """Return the chain ID of a layer on these ones."""
    return store.chain_ids([below[-1], diff_id])[-1] if below else diff_id


def _empty(below: list[str], lower: str, work: Workspace) -> Layer:
    """Make a layer without content. Its directory, which is empty, has the owner and mode of the root below."""
    tree = f"{work.layers}/{chain_of(below, EMPTY)[7:]}"
    os.mkdir(tree, 0o755)
    top = os.stat(lower)
    os.chown(tree, top.st_uid, top.st_gid)
    os.chmod(tree, stat.S_IMODE(top.st_mode))
    files.write_new(f"{work.blobs}/{EMPTY[7:]}", _EMPTY_TAR, 0o644)
    return Layer(EMPTY, {"mediaType": store.LAYER, "digest": EMPTY, "size": len(_EMPTY_TAR)})


def _is_unchanged(changes: str, lowers: list[str]) -> bool:
    here, below = os.stat(changes), os.stat(lowers[0])
    same = (here.st_mode, here.st_uid, here.st_gid) == (below.st_mode, below.st_uid, below.st_gid)
    return same and not os.listdir(changes)


def _clamp(changes: str, epoch: int) -> None:
    """Set every later time to `epoch`, in seconds, so that a second build makes the same layer."""
    latest = epoch * 10**9
    root = os.open(changes, files.DIR)
    try:
        for entry in layer.walk(root):
            if entry.info.st_mtime_ns > latest and not files.is_whiteout(entry.info):
                os.utime(entry.name, ns=(latest, latest), dir_fd=entry.parent, follow_symlinks=False)
        if os.fstat(root).st_mtime_ns > latest:
            os.utime(root, ns=(latest, latest))
    finally:
        os.close(root)
