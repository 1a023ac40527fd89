"""Tar archives as streams: read from anybody, in constant memory, and written.

tarfile knows how a header block is laid out, and does that here. The walk from one header to the next is our own:
tarfile keeps every member in memory, reads an extended header of any size into it, and in the versions of Python that
distributions ship it can be kept busy for ever by a crafted one (CVE-2024-6232, CVE-2025-8194).
"""

from __future__ import annotations

import os
import stat
import sys
import tarfile
from typing import TYPE_CHECKING

from mydocker.errors import InvalidArgument
from mydocker.kernel.files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mydocker.image.streams import Stream

BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20
_HEADER_ONLY = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
_LONGEST_HEADER = 1 << 20  # of an extended header or a sparse file's map, as Go's archive/tar has it
_XATTR = "SCHILY.xattr."
CAPABILITY = "security.capability"  # the one extended attribute that images carry


class Reader:
    """Iterate over it for the entries, a TarInfo each, names as os.fsdecode gives them; `copy_content` is for the
    entry at hand. Raises InvalidArgument for what is no tar, is damaged or ends too early."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._content = 0  # bytes of the current entry's content that are still to be read
        self._padding = 0
        self._buffer = memoryview(bytearray(CHUNK))
        self._data: list[tuple[int, int]] | None = None  # of a sparse file: where its data lies, as (offset, length)
        self.entries = 0
        self.xattrs: dict[str, bytes] = {}  # extended attributes of the entry at hand
        self.complete = False  # whether the archive's end mark has been seen

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        while True:
            info = self._next()
            if info is None:
                return
            self.entries += 1
            yield info

    def copy_content(self, info: tarfile.TarInfo, descriptor: int) -> None:
        """Write the entry's content to an empty file; holes stay holes."""
        if self._data is None:
            self._copy(descriptor, info.size)
            return
        for offset, length in self._data:
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._copy(descriptor, length)
        os.ftruncate(descriptor, info.size)

    def _copy(self, descriptor: int, length: int) -> None:
        self._content -= length
        while length:
            count = self._stream.readinto(self._buffer[: min(length, CHUNK)])
            if not count:
                raise truncated()
            write_all(descriptor, self._buffer[:count])
            length -= count

    def _read(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) != length:
            raise truncated()
        return data

    def _skip_content(self) -> None:
        left = self._content + self._padding
        while left:
            left -= len(self._read(min(left, CHUNK)))
        self._content = self._padding = 0

    def _next(self) -> tarfile.TarInfo | None:
        """The next entry, with what the extended headers before it say."""
        records: dict[str, bytes] = {}
        while True:
            self._skip_content()
            block = self._stream.read(BLOCK)
            if not block and self.entries:
                return None
            if len(block) < BLOCK:
                raise truncated() if self.entries else _no_tar()
            if not block.strip(b"\0"):
                self.complete = True
                return None
            info = self._header(block)
            if info.type == tarfile.XHDTYPE:
                records.update(_pax_records(self._whole_content()))
            elif info.type == tarfile.GNUTYPE_LONGNAME:
                records["path"] = self._whole_content().partition(b"\0")[0]
            elif info.type == tarfile.GNUTYPE_LONGLINK:
                records["linkpath"] = self._whole_content().partition(b"\0")[0]
            elif info.type != tarfile.XGLTYPE:  # a global header holds a comment (git archive): skipped, as docker does
                return self._entry(info, block, records)

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            info = tarfile.TarInfo.frombuf(block, sys.getfilesystemencoding(), "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError):
            raise (_damaged("a header makes no sense") if self.entries else _no_tar()) from None
        self._set_size(info.size)
        return info

    def _set_size(self, size: int) -> None:
        if not 0 <= size < 1 << 63:
            raise _damaged(f"a file of {size} bytes")
        self._content, self._padding = size, -size % BLOCK

    def _whole_content(self) -> bytes:
        if self._content > _LONGEST_HEADER:
            raise _damaged(f"an extended header of {self._content} bytes")
        data = self._read(self._content)
        self._content = 0
        return data

    def _entry(self, info: tarfile.TarInfo, block: bytes, records: dict[str, bytes]) -> tarfile.TarInfo:
        try:
            if "path" in records:
                info.name = os.fsdecode(records["path"])
            if "linkpath" in records:
                info.linkname = os.fsdecode(records["linkpath"])
            if "mtime" in records:
                info.mtime = float(records["mtime"])
            info.uid, info.gid = int(records.get("uid", info.uid)), int(records.get("gid", info.gid))
            if "size" in records:
                self._set_size(int(records["size"]))
            if info.type in _HEADER_ONLY:  # whatever size it claims
                self._set_size(0)
            info.size, self._data = self._content, None
            if info.type == tarfile.GNUTYPE_SPARSE:
                self._data, info.size = self._gnu_map(block)
            elif "GNU.sparse.major" in records or "GNU.sparse.map" in records:
                self._data, info.size = self._pax_map(records)
                info.name = os.fsdecode(records["GNU.sparse.name"])
        except (KeyError, ValueError, OverflowError) as error:
            raise _damaged(f"the header of '{info.name}': {error}") from None
        self._check_map(info)
        self.xattrs = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
        return info

    def _gnu_map(self, block: bytes) -> tuple[list[tuple[int, int]], int]:
        """Old GNU format: four places in the header block, 21 in each block that follows."""
        places, more = [block[386:482]], block[482]
        while more and len(places) * BLOCK < _LONGEST_HEADER:
            extension = self._read(BLOCK)
            places.append(extension[:504])
            more = extension[504]
        fields = b"".join(places)
        numbers = [_number(fields[at : at + 12]) for at in range(0, len(fields), 12)]
        pairs = [(offset, length) for offset, length in zip(numbers[::2], numbers[1::2]) if offset or length]
        return pairs, _number(block[483:495])

    def _pax_map(self, records: dict[str, bytes]) -> tuple[list[tuple[int, int]], int]:
        """GNU's pax formats 1.0 (the map stands before the content, padded to blocks) and 0.1 (it is in the header)."""
        if "GNU.sparse.map" in records:
            numbers = [int(number) for number in records["GNU.sparse.map"].split(b",")]
            return list(zip(numbers[::2], numbers[1::2])), int(records["GNU.sparse.size"])
        text, wanted = b"", 1
        while text.count(b"\n") < wanted:
            if len(text) > _LONGEST_HEADER or self._content < BLOCK:
                raise ValueError("its map of holes")
            text += self._read(BLOCK)
            self._content -= BLOCK
            if b"\n" in text:
                wanted = 1 + 2 * int(text[: text.index(b"\n")])
        numbers = [int(number) for number in text.split(b"\n")[1:wanted]]
        return list(zip(numbers[::2], numbers[1::2])), int(records["GNU.sparse.realsize"])

    def _check_map(self, info: tarfile.TarInfo) -> None:
        if self._data is None:
            return
        end = 0
        for offset, length in self._data:
            if offset < end or length < 0 or offset + length > info.size:
                raise _damaged(f"the map of holes of '{info.name}'")
            end = offset + length
        if sum(length for _, length in self._data) != self._content:
            raise _damaged(f"the map of holes of '{info.name}'")


def _pax_records(data: bytes) -> dict[str, bytes]:
    """An extended header's "LENGTH KEY=VALUE\\n" lines. A value may hold anything, newlines and NULs too."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        length = data[at : max(space, at)]
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end - 1 < len(data) or data[end - 1] != 10 or not equals:
            raise _damaged("an extended header makes no sense")
        records[key.decode("utf-8", "replace")] = value
        at = end
    return {key: value for key, value in records.items() if value}  # an empty one takes the header's own back


def _number(field: bytes) -> int:
    """A header's number: octal digits, or GNU's binary form, marked by the highest bit."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    return int(field.strip(b" \0") or b"0", 8)


def _damaged(what: str) -> InvalidArgument:
    return InvalidArgument(f"the archive is damaged: {what}")


def _no_tar() -> InvalidArgument:
    return InvalidArgument("this is no tar archive", "a tar, plain or compressed with gzip, bzip2 or xz")


def truncated() -> InvalidArgument:
    return InvalidArgument("the archive ends too early", "it was cut off on its way here")


class Writer:
    """Writes a tar in pax format. Times are whole seconds, owners numbers only, as in docker's own archives."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._buffer = memoryview(bytearray(CHUNK))

    def add(
        self,
        path: str,
        info: os.stat_result,
        target: str = "",
        link: str = "",
        capability: bytes = b"",
        content: int = -1,
    ) -> None:
        """One entry. target: a symbolic link's. link: the path, in the archive, of the file of which this is another
        name. content: a descriptor of the regular file, of which exactly info.st_size bytes are taken."""
        entry = tarfile.TarInfo(_text(path))
        entry.mode, entry.uid, entry.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
        entry.mtime = info.st_mtime_ns // 1_000_000_000
        entry.type = tarfile.LNKTYPE if link else _TYPES[stat.S_IFMT(info.st_mode)]
        entry.linkname = _text(link or target)
        if entry.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
        if entry.type == tarfile.REGTYPE:
            entry.size = info.st_size
        if capability and not link:
            entry.pax_headers = {_XATTR + CAPABILITY: capability.decode("utf-8", "surrogateescape")}
        self._out.write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if entry.size:
            self._copy(content, entry.size)

    def add_empty(self, path: str) -> None:
        """An empty file of root's, from 1970."""
        self._out.write(tarfile.TarInfo(_text(path)).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def finish(self) -> None:
        self._out.write(bytes(2 * BLOCK))
        self._out.flush()

    def _copy(self, content: int, size: int) -> None:
        """The header has promised `size` bytes: a file that shrinks meanwhile is filled up with zeros."""
        left = size
        while left:
            count = os.readv(content, [self._buffer[: min(left, CHUNK)]])
            if not count:
                self._buffer[: min(left, CHUNK)] = bytes(min(left, CHUNK))
                count = min(left, CHUNK)
            self._out.write(self._buffer[:count])
            left -= count
        self._out.write(bytes(-size % BLOCK))


_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _text(path: str) -> str:
    """A path of the file system as tarfile takes it, which writes it as UTF-8 and other bytes as they are."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")
