"""The size of an image as docker counts it: the bytes of its layers' files, not of their archives.

Of a layer, each file counts once, however many names it has, and with its holes; a link counts with the length of its
target; directories and whiteouts do not count. The size is known when the layer has been unpacked, and is kept in an
extended attribute of the layer's root, so that `images` reads one number a layer.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker import paths
from mydocker.image import layer, store
from mydocker.kernel import files

INDEXED = "erofs"  # the form of layers that are not unpacked (image/erofs/)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


def of_image(image: store.Image) -> int:
    """Return the bytes of the image's layers."""
    return sum(of_layers(image))


def of_layers(image: store.Image) -> list[int]:
    """Return the bytes of each layer, bottom first. One that is not unpacked yet has the size of its archive, as has a
    busybox image that is not in the store yet."""
    try:
        return [_of_layer(chain_id) for chain_id in image.layers]
    except FileNotFoundError:
        if not os.path.exists(store.blob(image.manifest)):
            return [image.size]
        packed = [descriptor["size"] for descriptor in store.layer_descriptors(image.manifest)]
        return [size if known is None else known for known, size in zip(map(_if_there, image.layers), packed)]


def _if_there(chain_id: str) -> int | None:
    try:
        return _of_layer(chain_id)
    except FileNotFoundError:
        return None


def _of_layer(chain_id: str) -> int:
    """Read the recorded size; measure and record it where another program or an older mydocker has not. Raises
    FileNotFoundError for a layer that is not unpacked and has no index."""
    try:
        return int(os.getxattr(paths.layer(chain_id, INDEXED), files.SIZE))
    except (OSError, ValueError):
        pass
    path = paths.layer(chain_id)
    try:
        return int(os.getxattr(path, files.SIZE))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
    size = of_tree(path)
    descriptor = os.open(path, files.DIR)
    try:
        record(descriptor, size)
    finally:
        os.close(descriptor)
    return size


def record(root: int, size: int) -> None:
    """Keep the size of an unpacked layer. root: a descriptor of its directory. Where the file system has no room for
    the attribute, or does not have such attributes, the size is measured each time."""
    try:
        os.setxattr(root, files.SIZE, str(size).encode())
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPERM):
            raise


def of_tree(directory: str, left_out: Callable[[layer.Entry], bool] | None = None) -> int:
    """Sum the sizes of all files below a directory. left_out: true for those that don't count. Raises
    FileNotFoundError."""
    root = os.open(directory, files.DIR)
    try:
        sizes = {
            (entry.info.st_dev, entry.info.st_ino): entry.info.st_size
            for entry in layer.walk(root)
            if not (stat.S_ISDIR(entry.info.st_mode) or (left_out and left_out(entry)))
        }
    finally:
        os.close(root)
    return sum(sizes.values())
