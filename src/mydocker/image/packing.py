"""Pack a directory, or the changes in a container's upper directory, into a tar."""

from __future__ import annotations

import errno
import os
import stat

from mydocker.image import layer
from mydocker.image.tar_writer import LONGEST_ATTRIBUTES, Writer
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

_LONGEST_PATH = os.pathconf("/", "PC_PATH_MAX")


def pack(directory: str, out: BinaryIO) -> list[str]:
    """Write a tar of everything in the directory, in a fixed order, without what is mounted below it. Returns a
    sentence for each file that was left out."""
    with Packer(directory, out) as packer:
        for entry in packer.entries():
            packer.add(entry)
    return packer.left_out


def pack_changes(upper: str, out: BinaryIO) -> list[str]:
    """Write a layer's tar from an overlay's upper directory. Returns what was left out, as `pack` does."""
    with Packer(upper, out) as packer:
        for entry in packer.changes():
            if files.is_whiteout(entry.info):
                packer.whiteout(entry.path)
                continue
            packer.add(entry)
            if stat.S_ISDIR(entry.info.st_mode) and files.is_opaque(entry.here):
                packer.mark(f"{entry.path}/{layer.OPAQUE_MARK}")
    return packer.left_out


def pack_entries(entries: Iterable[layer.Entry], out: BinaryIO) -> list[str]:
    """Write a tar of these entries only. Returns what was left out, as `pack` does."""
    with Packer("", out) as packer:
        for entry in entries:
            packer.add(entry)
    return packer.left_out


class Packer:
    """`with Packer(directory, out) as packer:` writes a tar of the entries that are added; after an error its end mark
    is missing. directory: its own entry is the first; "" for none. left_out: afterwards, a sentence for each file that
    a tar or layer can't hold."""

    def __init__(self, directory: str, out: BinaryIO) -> None:
        self._writer = Writer(out)
        self._directory = directory
        self._links: dict[tuple[int, int], str] = {}  # (device, inode) of a file with several names -> the first one
        self._too_deep: list[str] = []
        self.left_out: list[str] = []

    def __enter__(self) -> Packer:
        if self._directory:
            self._root = os.open(self._directory, files.DIR)
            self._writer.add("./", os.fstat(self._root), xattrs=layer.attributes(self._root))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._directory:
            os.close(self._root)
        if kind is None:
            self._writer.finish()
        for path in self._too_deep:
            self.left_out.append(f"/{path[:50]}…: left out, paths in it are longer than {_LONGEST_PATH} bytes")

    def entries(self) -> Iterator[layer.Entry]:
        return layer.walk(self._root, self._too_deep)

    def changes(self) -> Iterator[layer.Entry]:
        """Yield the entries for a layer. A name that would be taken for a whiteout is left out, with its content."""
        inside = None
        for entry in self.entries():
            if (inside and entry.path.startswith(inside)) or layer.is_mark(entry):
                continue
            if entry.name.startswith(layer.WHITEOUT):
                inside = f"{entry.path}/"
                self.left_out.append(f"/{entry.path}: left out: in a layer this name marks a removal")
            else:
                yield entry

    def add(self, entry: layer.Entry) -> None:
        """Add an entry. Sockets, which a tar can't hold, and files that have vanished are left out."""
        info = entry.info
        if stat.S_ISSOCK(info.st_mode):
            self.left_out.append(f"/{entry.path}: left out: a tar can't hold a socket")
            return
        inode = info.st_dev, info.st_ino
        link = self._links.get(inode, "")
        try:
            if link:
                self._writer.add(entry.path, info, link=link)
            elif stat.S_ISREG(info.st_mode):
                self._add_file(entry)
            elif stat.S_ISDIR(info.st_mode):
                self._writer.add(entry.path, info, xattrs=self._attributes(entry, entry.here))
            elif stat.S_ISLNK(info.st_mode):
                self._writer.add(entry.path, info, target=os.readlink(entry.name, dir_fd=entry.parent))
            else:
                self._writer.add(entry.path, info)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # gone, or something else by now
                raise
        else:
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                self._links.setdefault(inode, entry.path)

    def _add_file(self, entry: layer.Entry) -> None:
        content = files.open_regular(entry.parent, entry.name)
        try:
            xattrs = self._attributes(entry, content)
            self._writer.add(entry.path, os.fstat(content), xattrs=xattrs, content=content)
        finally:
            os.close(content)

    def _attributes(self, entry: layer.Entry, place: int | str) -> dict[str, bytes] | None:
        xattrs = layer.attributes(place)
        if xattrs is None or sum(len(name) + len(value) + 40 for name, value in xattrs.items()) > LONGEST_ATTRIBUTES:
            self.left_out.append(f"/{entry.path}: its extended attributes are left out, they are too long for a tar")
            return None
        return xattrs

    def whiteout(self, path: str) -> None:
        """Mark `path`, which a layer below has, as removed."""
        above, slash, name = path.rpartition("/")
        self.mark(f"{above}{slash}{layer.WHITEOUT}{name}")

    def mark(self, path: str) -> None:
        """Add an empty file, of which only the name matters."""
        self._writer.add_empty(path)
