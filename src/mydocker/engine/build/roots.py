"""The root of a stage or an image, as its storage driver mounts it in a child's own mount namespace."""

from __future__ import annotations

from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.image.drivers.base import Driver
    from mydocker.ops.base import Op

# Where a container's changes are, by driver: the root of an image without layers, for which there is nothing to mount.
_WITHOUT_LAYERS = {"aufs": "rw", "copy": "rootfs"}


@record
class Root:
    """directory: a container directory. layers: chain IDs, bottom first; none for `FROM scratch`."""

    driver: Driver
    directory: str
    layers: list[str]

    def prepare(self) -> None:
        self.driver.prepare(self.directory, self.layers)

    def ops(self) -> list[Op]:
        """Plan the mounts for writing. Call prepare() before they are made."""
        return self.driver.root_ops(self.directory, self.layers) if self.layers else []

    def view_ops(self) -> list[Op]:
        """Plan the mounts for reading."""
        return self.driver.view_ops(self.directory, self.layers) if self.layers else []

    @property
    def path(self) -> str:
        if self.layers:
            return f"{self.directory}/rootfs"
        return f"{self.directory}/{_WITHOUT_LAYERS.get(self.driver.name, 'upper')}"
