"""How much containers have written, for SIZE in `ps`: found by walking their files, so only where it is asked for."""

from __future__ import annotations

import os
import stat

from mydocker import paths
from mydocker.errors import NotFound
from mydocker.image import layer, store
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_WRITTEN = {"overlay": "upper", "aufs": "rw"}  # the driver's directory for what a container changes


def of(found: Container) -> tuple[int, int]:
    """(bytes that the container has written, those of its image): docker's SizeRw, and its share of SizeRootFs."""
    try:
        image = store.resolve(found.image_id).size
    except NotFound:
        image = 0  # removed by force
    if found.driver in _WRITTEN:
        return _bytes(f"{found.directory}/{_WRITTEN[found.driver]}"), image
    layers = sum(_bytes(paths.layer(chain_id)) for chain_id in found.layers)
    return max(0, _bytes(f"{found.directory}/rootfs") - layers), image


def _bytes(directory: str) -> int:
    """Of all that is no directory, a file with several names once; without what each container gets at its start. 0
    where there is no such directory yet."""
    try:
        root = os.open(directory, files.DIR)
    except FileNotFoundError:
        return 0
    try:
        sizes = {
            (entry.info.st_dev, entry.info.st_ino): entry.info.st_size
            for entry in layer.walk(root)
            if not (stat.S_ISDIR(entry.info.st_mode) or layer.is_mark(entry))
        }
    finally:
        os.close(root)
    return sum(sizes.values())
