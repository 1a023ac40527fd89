"""Write a tar archive: ustar headers, and pax ones where those are too small."""

from __future__ import annotations

import errno
import os
import stat

from mydocker.image import tar
from mydocker.image.streams import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

LONGEST_ATTRIBUTES = tar.LONGEST_HEADER - (16 << 10)  # bytes that an extended header has for them beside the names

# A smaller hole is written as zeros: fewer programs read the sparse form than the plain one.
_SMALLEST_HOLE = 64 << 10
_SECOND = 1_000_000_000  # nanoseconds
_MAX_PIECES = 20_000  # of data between holes; their map has to fit into tar.LONGEST_HEADER
_LARGEST = {"uid": 0o7777777, "gid": 0o7777777, "size": 0o77777777777, "mtime": 0o77777777777}
TYPES = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIR,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
}


class Writer:
    """Writes an archive. Owners are numbers only, as in docker's own archives. Times are exact: fractions of a second
    are in an extended header, which docker's archives do without. Files with large holes have GNU's pax format 1.0,
    which GNU tar, docker (all of Go) and Python read; docker refuses GNU's older format."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._buffer = memoryview(bytearray(CHUNK))

    def add(
        self,
        path: str,
        info: os.stat_result,
        target: str = "",
        link: str = "",
        xattrs: dict[str, bytes] | None = None,
        content: int = -1,
    ) -> None:
        """Write an entry. target: of a symbolic link. link: the path, in the archive, of the file of which this is a
        hard link. content: a descriptor of the regular file, of which exactly info.st_size bytes are read. xattrs:
        extended attributes, of not more than LONGEST_ATTRIBUTES bytes."""
        kind = tar.LINK if link else TYPES[stat.S_IFMT(info.st_mode)]
        size = info.st_size if kind == tar.FILE else 0
        name = os.fsencode(f"{path.rstrip('/')}/" if kind == tar.DIR else path)
        records = {_key(attribute): value for attribute, value in xattrs.items()} if xattrs else {}
        pieces, table = [(0, size)], b""
        if size >= _SMALLEST_HOLE:
            pieces = _pieces(content, size)
        if pieces != [(0, size)]:
            table = _table(pieces, size)
            records["GNU.sparse.major"], records["GNU.sparse.minor"] = b"1", b"0"
            records["GNU.sparse.name"], records["GNU.sparse.realsize"] = name, b"%d" % size
            name = b"GNUSparseFile.0/" + name  # a program that does not know the format unpacks map and data under it
        if info.st_mtime_ns % _SECOND and not link:
            records["mtime"] = _decimal(info.st_mtime_ns)
        length = len(table) + sum(length for _, length in pieces) if table else size
        self._header(
            name,
            kind,
            stat.S_IMODE(info.st_mode),
            {"uid": info.st_uid, "gid": info.st_gid, "size": length, "mtime": info.st_mtime_ns // _SECOND},
            os.fsencode(link or target),
            info.st_rdev if kind in tar.DEVICES else 0,
            records,
        )
        if length:
            self._out.write(table)
            for offset, count in pieces:
                self._copy(content, offset, count)
            self._out.write(bytes(-length % tar.BLOCK))

    def add_empty(self, path: str) -> None:
        """Write an empty file, owned by root, from 1970."""
        self._header(os.fsencode(path), tar.FILE, 0o644, {"uid": 0, "gid": 0, "size": 0, "mtime": 0})

    def begin_file(self, path: str, size: int) -> None:
        """Write the header of a file, owned by root, from 1970. The caller writes its content and the padding."""
        self._header(os.fsencode(path), tar.FILE, 0o644, {"uid": 0, "gid": 0, "size": size, "mtime": 0})

    def add_directory(self, path: str) -> None:
        """Write a directory, owned by root, from 1970."""
        self._header(os.fsencode(f"{path}/"), tar.DIR, 0o755, {"uid": 0, "gid": 0, "size": 0, "mtime": 0})

    def finish(self) -> None:
        self._out.write(bytes(2 * tar.BLOCK))
        self._out.flush()

    def _header(
        self,
        name: bytes,
        kind: bytes,
        mode: int,
        numbers: dict[str, int],
        target: bytes = b"",
        device: int = 0,
        records: dict[str, bytes] | None = None,
    ) -> None:
        """Write a header. records: for an extended header, which also gets what does not fit into the plain one."""
        records = dict(records or {})
        for key, value in (("path", name), ("linkpath", target)):
            if len(value) > 100 or not value.isascii():
                records[key] = value
        for key, number in numbers.items():
            if not 0 <= number <= _LARGEST[key]:
                records.setdefault(key, b"%d" % number)
                numbers = {**numbers, key: 0}
        if records:
            data = b"".join(pax_record(os.fsencode(key), value) for key, value in sorted(records.items()))
            self._out.write(
                _block(b"PaxHeaders/entry", tar.PAX, 0o644, {"uid": 0, "gid": 0, "size": len(data), "mtime": 0})
            )
            self._out.write(data + bytes(-len(data) % tar.BLOCK))
        self._out.write(_block(name, kind, mode, numbers, target, device))

    def _copy(self, content: int, offset: int, length: int) -> None:
        """Copy `length` bytes, as the header has announced them. Zeros replace what a file has lost meanwhile."""
        end = offset + length
        while offset < end:
            count = os.preadv(content, [self._buffer[: min(end - offset, CHUNK)]], offset)
            if not count:
                count = min(end - offset, CHUNK)
                self._buffer[:count] = bytes(count)
            self._out.write(self._buffer[:count])
            offset += count


def _pieces(content: int, size: int) -> list[tuple[int, int]]:
    """Find a file's data, as (offset, length): [(0, size)] if it has no large hole."""
    pieces: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size:
            start = os.lseek(content, at, os.SEEK_DATA)
            at = min(os.lseek(content, start, os.SEEK_HOLE), size)
            if start < at:
                pieces.append((start, at - start))
    except OSError as error:
        if error.errno != errno.ENXIO:  # nothing but a hole is left
            raise
    smallest = _SMALLEST_HOLE
    merged = _merge(pieces, size, smallest)
    while len(merged) > _MAX_PIECES:
        smallest *= 2
        merged = _merge(merged, size, smallest)
    return merged


def _merge(pieces: list[tuple[int, int]], size: int, smallest: int) -> list[tuple[int, int]]:
    """Join the pieces over every hole that is smaller than `smallest`."""
    merged: list[tuple[int, int]] = []
    end = 0
    for offset, length in [*pieces, (size, 0)]:
        if offset - end < smallest:
            start = merged.pop()[0] if merged else 0
            merged.append((start, offset + length - start))
        elif length:
            merged.append((offset, length))
        end = offset + length
    return merged


def _table(pieces: list[tuple[int, int]], size: int) -> bytes:
    """Make format 1.0's map. Its last piece is empty and lies at the file's end: from it GNU tar knows the length of a
    file that ends with a hole."""
    rows = [*pieces, (size, 0)]
    table = b"%d\n" % len(rows) + b"".join(b"%d\n%d\n" % row for row in rows)
    return table + bytes(-len(table) % tar.BLOCK)


def _decimal(nanoseconds: int) -> bytes:
    """Return a time as a pax header has it: -1.5 for -1,500,000,000 nanoseconds."""
    seconds, fraction = divmod(abs(nanoseconds), _SECOND)
    return (b"-" if nanoseconds < 0 else b"") + (b"%d.%09d" % (seconds, fraction)).rstrip(b"0")


def _key(attribute: str) -> str:
    return tar.XATTR + attribute.replace("%", "%25").replace("=", "%3D")


def _block(name: bytes, kind: bytes, mode: int, numbers: dict[str, int], target: bytes = b"", device: int = 0) -> bytes:
    fields = [
        name[:100],
        b"%07o\0" % mode,
        b"%07o\0" % numbers["uid"],
        b"%07o\0" % numbers["gid"],
        b"%011o\0" % numbers["size"],
        b"%011o\0" % numbers["mtime"],
        b" " * 8,
        kind,
        target[:100],
        b"ustar\00000",
        b"",
        b"",
        b"%07o\0" % os.major(device),
        b"%07o\0" % os.minor(device),
        b"",
    ]
    fields[6] = b"%06o\0 " % sum(tar.HEADER.pack(*fields))
    return tar.HEADER.pack(*fields)


def pax_record(key: bytes, value: bytes) -> bytes:
    """Make "LENGTH KEY=VALUE\\n", where the length counts its own digits too."""
    others = len(key) + len(value) + 3
    length = others + len(b"%d" % others)
    if len(b"%d" % length) > len(b"%d" % others):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)
