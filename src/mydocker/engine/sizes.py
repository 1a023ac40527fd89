"""The bytes that a container has written: SIZE in `ps`, and what its removal frees. They take a walk over its files, so
only --size shows them."""

from __future__ import annotations

from mydocker import paths
from mydocker.errors import NotFound
from mydocker.image import layer, sizes, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_WRITTEN = {"erofs": "upper", "overlay": "upper", "aufs": "rw"}  # the driver's directory for a container's changes


def of(container: Container) -> tuple[int, int]:
    """Return (bytes that the container has written, bytes of its image): docker's SizeRw, and the difference to
    SizeRootFs."""
    try:
        image = sizes.of_image(store.resolve(container.image_id))
    except NotFound:
        image = 0  # removed with force
    return written(container), image


def written(container: Container) -> int:
    """Return the bytes that the container has written, 0 before its first start."""
    if container.driver in _WRITTEN:
        return _bytes(f"{container.directory}/{_WRITTEN[container.driver]}")
    layers = sum(_bytes(paths.layer(chain_id)) for chain_id in container.layers)
    return max(0, _bytes(f"{container.directory}/rootfs") - layers)


def _bytes(directory: str) -> int:
    """Sum the sizes of all files below, without those that every start makes. 0 if the directory does not exist yet."""
    try:
        return sizes.of_tree(directory, layer.is_mark)
    except FileNotFoundError:
        return 0
