"""Limits for images from elsewhere, against bombs: few bytes that become many, or files without number.

The limits are those of config.yaml: image_size, image_entries, image_depth, image_layers. They hold for an image, so
that the processes that unpack its layers side by side share their counts.
"""

from __future__ import annotations

import mmap
import struct

from mydocker import config, paths
from mydocker.errors import FAILED, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.image import tar

_SLOT = struct.Struct("=2Q")  # entries, bytes
_STEP = 256, 1 << 20  # entries, bytes: at most so many are counted by one process before it tells the others


_OVERHEAD = 2048  # bytes of an entry in a tar beside its content: header, extended header, padding


class Budget:
    """The limits for one image. Make it before the processes are forked that use its meters. tar: bytes that a layer's
    plain tar may have; what is behind its end mark counts, too."""

    def __init__(self, layers: int = 1) -> None:
        """Raises InvalidArgument for an image of too many layers."""
        settings = config.load()
        self.entries: int = settings["image_entries"]
        self.size: int = settings["image_size"]
        self.depth: int = settings["image_depth"]
        self.tar = self.size + _OVERHEAD * self.entries
        if layers > settings["image_layers"]:
            raise over(f"{layers} layers, more than {settings['image_layers']}", "image_layers")
        self._slots = mmap.mmap(-1, max(layers, 1) * _SLOT.size)

    def meter(self, at: int = 0) -> Meter:
        """Return the meter of one layer. at: its place."""
        return Meter(self, at)

    def publish(self, at: int, entries: int, size: int) -> None:
        """Note what a layer has needed so far. Raises InvalidArgument if the image needs too much."""
        _SLOT.pack_into(self._slots, at * _SLOT.size, entries, size)
        layers = list(_SLOT.iter_unpack(self._slots[:]))
        if sum(entries for entries, _ in layers) > self.entries:
            raise over(f"more than {self.entries} entries", "image_entries")
        if sum(size for _, size in layers) > self.size:
            raise over(f"more than {self.size} bytes", "image_size")


class Meter:
    """Counts the entries of a layer, and the bytes of their content as they are written: holes do not count."""

    def __init__(self, budget: Budget, at: int) -> None:
        self.depth, self.tar = budget.depth, budget.tar
        self._budget = budget
        self._at = at
        self._entries = self._size = 0
        self._told = 0, 0

    def take(self, path: str, entry: tar.Entry, position: int) -> None:
        """Count an entry of an archive. path: its plain name. position: bytes of the archive before its content. Raises
        InvalidArgument."""
        if position > self.tar:
            raise over(f"an archive of more than {self.tar} bytes", "image_size")
        if path.count("/") > self.depth:
            raise over(f"a path of more than {self.depth} directories", "image_depth")
        self.count(entry.size if entry.data is None else sum(length for _, length in entry.data))

    def count(self, size: int = 0) -> None:
        """Count an entry before it is made. Raises InvalidArgument if the image has too many, or too many bytes."""
        self._entries += 1
        self._size += size
        entries, told = self._told
        if self._entries - entries >= _STEP[0] or self._size - told >= _STEP[1]:
            self.finish()

    def finish(self) -> None:
        """Count what is left, at the end of the layer."""
        self._told = self._entries, self._size
        self._budget.publish(self._at, *self._told)


def over(what: str, key: str) -> InvalidArgument:
    return InvalidArgument(f"refused image: it has {what}", f"{key} in {paths.CONFIG} is the limit", FAILED)
