"""The interface of a storage driver, a module with these functions. It makes a container's root of the image's layers.

directory: the container's, paths.container(ID); the root is mounted at <directory>/rootfs.
layers: chain IDs, bottom first; unpacked at paths.layer(), or in another form (Indexing).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Protocol

    from mydocker.image.comparison import Change
    from mydocker.image.limits import Meter
    from mydocker.ops.base import Op

    class Driver(Protocol):
        name: str
        form: str  # "", or the end of the names of its own directories of layers (Indexing)

        def why_not(self, try_it: bool = True) -> str:
            """Return why this host can't use the driver, "" if it can. try_it: if False, write nothing."""

        def missing(self, layers: list[str]) -> list[int]:
            """List the places, from 0 at the bottom, of the layers that the store lacks in the driver's form, or that
            have been changed there."""

        def holds(self, layers: list[str], candidates: list[str]) -> bool:
            """True if one of the layers has a file at one of the paths."""

        def prepare(self, directory: str, layers: list[str]) -> None:
            """Make the files that root_ops() needs. A second call changes nothing."""

        def host_ops(self, directory: str, layers: list[str]) -> list[Op]:
            """Plan what containers share while they run, in the host's mount namespace. The files need not be there
            yet."""

        def root_ops(self, directory: str, layers: list[str], shared: bool = False) -> list[Op]:
            """Plan the mounts of the root, in the container's mount namespace. The files need not be there yet. shared:
            host_ops() have been done."""

        def view_ops(self, directory: str, layers: list[str]) -> list[Op]:
            """Plan the mounts that show the same root at <directory>/rootfs, in another mount namespace: read-only, and
            without what a running container has mounted in it."""

        def differences(self, directory: str, layers: list[str]) -> list[Change]:
            """List what the container has added, changed and deleted, sorted by path."""

        def upper(self, directory: str) -> str:
            """Return the directory that holds the container's changes and nothing else, in the form that unpacked
            layers have; "" if there is none."""

        def changes(self, directory: str, layers: list[str], out: BinaryIO) -> list[str]:
            """Write a layer's tar of the container's changes. Returns a sentence for each file that was left out."""

    class Indexing(Driver, Protocol):
        """A driver whose layers are not unpacked: paths.layer(chain_id, form) is a directory that it makes itself. The
        store keeps a layer's plain tar for it, even if the layer came compressed."""

        def index_layer(self, tar: str, directory: str, is_layer: bool = True, meter: Meter | None = None) -> list[Any]:
            """Make what the driver needs of a layer in the new directory. tar: the path of its plain tar, whose digest
            has been checked; it may be renamed or removed afterwards, so link it into the directory to keep it.
            is_layer: False for a root file system, without whiteouts. meter: counts its entries, if not only this
            layer's count. Returns JSON for complete_layer().

            Raises InvalidArgument, which names the entry, for an archive that is not to be trusted."""

        def complete_layer(self, directory: str, bare: list[Any], below: list[str]) -> None:
            """Finish a layer when those below are finished. below: their directories, top first."""
