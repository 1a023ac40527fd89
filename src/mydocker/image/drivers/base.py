"""What a storage driver is: a module with these functions. It makes a container's root from the image's layers.

directory: the container's, paths.container(ID); its root is to be at <directory>/rootfs.
layers: chain IDs, bottom first; unpacked at paths.layer().
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Protocol

    from mydocker.ops.base import Op

    class Driver(Protocol):
        name: str

        def why_not(self, try_it: bool = True) -> str:
            """Why this host can't use it, in a few words; "" if it can. try_it: if False nothing may be written."""

        def prepare(self, directory: str, layers: list[str]) -> None:
            """Make what root_ops needs on disk. Once made, it stays: a second call does no harm."""

        def root_ops(self, directory: str, layers: list[str]) -> list[Op]:
            """What mounts the root, in the container's mount namespace. It only plans: nothing need be there yet."""

        def view_ops(self, directory: str, layers: list[str]) -> list[Op]:
            """What makes the same root visible at <directory>/rootfs, read-only and without what a running container
            has mounted in it, in a mount namespace of its own."""

        def changes(self, directory: str, layers: list[str], out: BinaryIO) -> list[str]:
            """Write a layer's tar of what the container has changed. Returns what was left out, a sentence each."""
