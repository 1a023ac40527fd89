"""Tar archives as streams: read from anybody, in constant memory, and written.

tarfile is no reader for this: it keeps every entry in memory, reads an extended header of any size into it, and in the
versions of Python that distributions ship a crafted one keeps it busy for ever (CVE-2024-6232, CVE-2025-8194). It is
three times as slow, too. Formats: pax (POSIX.1-2001), ustar, GNU with long names, v7; GNU's four forms of sparse files.
"""

from __future__ import annotations

import errno
import os
import stat
from struct import Struct
from typing import TYPE_CHECKING

from mydocker.errors import FAILED, InvalidArgument
from mydocker.image.streams import CHUNK
from mydocker.kernel.files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mydocker.image.streams import Stream

BLOCK = 512
CAPABILITY = "security.capability"

# An entry's type, <tar.h>. The rest are headers that tell about the entry that follows.
FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIR, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_GNU_SPARSE, _GNU_NAME, _GNU_TARGET, _PAX, _PAX_GLOBAL = b"S", b"L", b"K", b"x", b"g"
_LARGEST_FILE = 1 << 60  # bytes; a tmpfs would take a hole of eight times that
_FILES = (FILE, b"\0", b"7", _GNU_SPARSE)
_DEVICES = (CHARACTER, BLOCK_DEVICE)
_HEADER_ONLY = (LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIR, FIFO)

# name, mode, uid, gid, size, mtime, checksum, type, target, magic, user, group, major, minor, prefix
_HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_LONGEST_HEADER = 1 << 20  # bytes of an extended header or a map of holes, as in Go's archive/tar
LONGEST_ATTRIBUTES = _LONGEST_HEADER - (
    16 << 10
)  # bytes of them that an extended header has room for: it names files, too
_XATTR = "SCHILY.xattr."

# A hole is worth being written as one only if it is larger: fewer programs read the sparse form than the plain one.
_SMALLEST_HOLE = 64 << 10
_MOST_PIECES = 20_000  # of data between holes; their map has to fit into _LONGEST_HEADER


class Entry:
    """What an archive says of one thing. name, target: as os.fsdecode gives them. target: of a link, symbolic or hard.
    time: nanoseconds. data: of a sparse file, where its data lies, as (offset, length); else None."""

    __slots__ = ("data", "gid", "major", "minor", "mode", "name", "size", "target", "time", "type", "uid", "xattrs")

    name: str
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    time: int
    target: str
    major: int
    minor: int
    xattrs: dict[str, bytes]
    data: list[tuple[int, int]] | None


def is_carried(attribute: str) -> bool:
    """Images carry this extended attribute. Others would change what the host or overlay makes of a file."""
    return attribute == CAPABILITY or attribute.startswith("user.")


class Reader:
    """Iterate over it for the entries; `copy_content` is for the one at hand. Raises InvalidArgument for what is no
    tar, is damaged or ends within an entry. The end mark may be missing, and no bytes at all are an archive without
    entries: docker takes both."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._content = 0  # bytes of the current entry's content that are still to be read
        self._padding = 0
        self._buffer = memoryview(bytearray(CHUNK))
        self._any = False

    def __iter__(self) -> Iterator[Entry]:
        while True:
            entry = self._next()
            if entry is None:
                return
            yield entry

    def copy_content(self, entry: Entry, descriptor: int) -> None:
        """Write a regular file's content to an empty file; holes stay holes."""
        if entry.data is None:
            self._copy(descriptor, entry.size)
            return
        for offset, length in entry.data:
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._copy(descriptor, length)
        os.ftruncate(descriptor, entry.size)

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

    def _whole_content(self) -> bytes:
        if self._content > _LONGEST_HEADER:
            raise _damaged(f"an extended header of {self._content} bytes")
        data = self._read(self._content)
        self._content = 0
        return data

    def _set_size(self, size: int) -> None:
        if not 0 <= size < 1 << 63:
            raise _damaged(f"a file of {size} bytes")
        self._content, self._padding = size, -size % BLOCK

    def _next(self) -> Entry | None:
        """The next entry, with what the headers before it say about it; None at the end."""
        records: dict[str, bytes] = {}
        while True:
            self._skip_content()
            block = self._stream.read(BLOCK)
            if not block:
                return None
            if len(block) < BLOCK:
                raise truncated() if self._any else _no_tar()
            if not block.strip(b"\0"):
                return None
            try:
                fields = _parse(block)
                kind, size = fields[7], _number(fields[4])
            except ValueError:
                raise (_damaged("a header makes no sense") if self._any else _no_tar()) from None
            self._any = True
            if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET):
                self._set_size(size)
                content = self._whole_content()
                if kind == _PAX:
                    records.update(_pax_records(content))
                elif kind != _PAX_GLOBAL:  # that holds a comment (git archive), and is skipped, as docker does
                    records["path" if kind == _GNU_NAME else "linkpath"] = content.partition(b"\0")[0]
            else:
                return self._entry(fields, size, records, block)

    def _entry(self, fields: tuple[bytes, ...], size: int, records: dict[str, bytes], block: bytes) -> Entry:
        name, mode, uid, gid, _, mtime, _, kind, target, magic, _, _, major, minor, prefix = fields
        entry = Entry()
        try:
            name = name.partition(b"\0")[0]
            if prefix[0] and magic[:6] == b"ustar\0":
                name = prefix.partition(b"\0")[0] + b"/" + name
            name = records.get("path", name)
            entry.name = os.fsdecode(name)
            entry.type = DIR if kind == b"\0" and name.endswith(b"/") else FILE if kind in _FILES else kind
            entry.mode = _number(mode) & 0o7777
            entry.uid = _decimal(records["uid"]) if "uid" in records else _number(uid)
            entry.gid = _decimal(records["gid"]) if "gid" in records else _number(gid)
            entry.time = _nanoseconds(records["mtime"]) if "mtime" in records else _number(mtime) * 1_000_000_000
            entry.target = os.fsdecode(records.get("linkpath", target.partition(b"\0")[0]))
            entry.major, entry.minor = (_number(major), _number(minor)) if entry.type in _DEVICES else (0, 0)
            length = _decimal(records["size"]) if "size" in records else size
            self._set_size(0 if entry.type in _HEADER_ONLY else length)
            entry.size, entry.data = self._content, None
            if kind == _GNU_SPARSE:
                self._gnu_map(entry, block)
            elif records and any(key.startswith("GNU.sparse.") for key in records):
                self._pax_map(entry, records)
        except (KeyError, ValueError) as error:
            raise _damaged(f"the header of '{os.fsdecode(name)}': {error}") from None
        entry.xattrs = {_attribute(key): value for key, value in records.items() if key.startswith(_XATTR)}
        return entry

    def _gnu_map(self, entry: Entry, block: bytes) -> None:
        """Old GNU format: four places in the header, 21 in each block that may follow."""
        places, more = [block[386:482]], block[482]
        while more and len(places) * BLOCK < _LONGEST_HEADER:
            extension = self._read(BLOCK)
            places.append(extension[:504])
            more = extension[504]
        table = b"".join(places)
        numbers = [_number(table[at : at + 12]) for at in range(0, len(table), 12)]
        self._set_map(entry, numbers, _number(block[483:495]))

    def _pax_map(self, entry: Entry, records: dict[str, bytes]) -> None:
        """GNU's pax formats 0.0 and 0.1 (the map is in the extended header) and 1.0 (it comes before the content)."""
        version = records.get("GNU.sparse.major", b"0") + b"." + records.get("GNU.sparse.minor", b"0")
        if "GNU.sparse.name" in records:
            entry.name = os.fsdecode(records["GNU.sparse.name"])
        if version in (b"0.0", b"0.1"):
            numbers = [_decimal(number) for number in records.get("GNU.sparse.map", b"").split(b",") if number]
            self._set_map(entry, numbers, _decimal(records["GNU.sparse.size"]))
            return
        if version != b"1.0":
            raise ValueError("a sparse file of an unknown format")
        table, lines = b"", 1
        while table.count(b"\n") < lines:
            if len(table) > _LONGEST_HEADER or self._content < BLOCK:
                raise ValueError("a map of holes without end")
            table += self._read(BLOCK)
            self._content -= BLOCK
            if b"\n" in table:
                lines = 1 + 2 * _decimal(table[: table.index(b"\n")])
        numbers = [_decimal(number) for number in table.split(b"\n")[1:lines]]
        self._set_map(entry, numbers, _decimal(records["GNU.sparse.realsize"]))

    def _set_map(self, entry: Entry, numbers: list[int], size: int) -> None:
        """numbers: offset, length, offset, length … of the data. size: of the file with its holes."""
        if size > _LARGEST_FILE:
            raise ValueError("a file with holes that is larger than any disk")
        if len(numbers) % 2:
            raise ValueError("half a piece in a map of holes")
        entry.size = size
        entry.data = [(offset, length) for offset, length in zip(numbers[::2], numbers[1::2]) if length]
        end = 0
        for offset, length in entry.data:
            if not 0 <= end <= offset <= offset + length <= size:
                raise ValueError("a map of holes that makes no sense")
            end = offset + length
        if sum(length for _, length in entry.data) != self._content:
            raise ValueError("a map of holes for another length of data")


def _parse(block: bytes) -> tuple[bytes, ...]:
    """A header block's fields. Raises ValueError for what is none: its checksum is wrong."""
    fields: tuple[bytes, ...] = _HEADER.unpack(block)
    blanked = block[:148] + b"        " + block[156:]
    checksum, total = _number(fields[6]), sum(blanked)
    if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in blanked):  # bytes were signed once
        raise ValueError
    return fields


def _number(field: bytes) -> int:
    """A header's number: octal digits, or GNU's binary form (star's, two's complement), marked by the highest bit."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
        return value - (0x80 << 8 * (len(field) - 1)) if field[0] & 0x40 else value
    return int(field.partition(b"\0")[0].strip(b" ") or b"0", 8)


def _decimal(text: bytes) -> int:
    """A number of an extended header or a map of holes. int() alone takes underscores and blanks, and needs quadratic
    time for many digits where Python has no limit on them."""
    digits = text[1:] if text.startswith(b"-") else text
    if len(digits) > 20 or not digits.isdigit():
        raise ValueError(f"{text[:20]!r} is no number")
    return int(text)


def _nanoseconds(seconds: bytes) -> int:
    """A pax header's time, such as -1.5."""
    whole, _, fraction = seconds.partition(b".")
    part = _decimal(fraction[:9].ljust(9, b"0"))
    return _decimal(whole) * 1_000_000_000 + (-part if whole.startswith(b"-") else part)


def _pax_records(data: bytes) -> dict[str, bytes]:
    """An extended header's "LENGTH KEY=VALUE\\n" lines. A value may hold anything, newlines and NULs too.

    One key may come several times: GNU's sparse format 0.0 has two lines for each piece of data. They are returned as
    format 0.1's one line, GNU.sparse.map."""
    records: dict[str, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        length = data[at : max(space, at)]
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end - 1 < len(data) or data[end - 1] != 10 or not equals or b"\0" in key:
            raise _damaged("an extended header makes no sense")
        if key in _PIECE:
            if key != _PIECE[len(pieces) % 2] or not value.isdigit():
                raise _damaged("a map of holes makes no sense")
            pieces.append(value)
        else:
            records[os.fsdecode(key)] = value
        at = end
    if pieces:
        records["GNU.sparse.map"] = b",".join(pieces)
    # An empty value takes the header's own back, but a file may have an attribute that is empty.
    return {key: value for key, value in records.items() if value or key.startswith(_XATTR)}


_PIECE = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


def _attribute(key: str) -> str:
    """An extended attribute's name from an extended header's key, where GNU tar escapes what would end it."""
    return key[len(_XATTR) :].replace("%3D", "=").replace("%25", "%")


def _damaged(what: str) -> InvalidArgument:
    return InvalidArgument(f"the archive is damaged: {what}", exit_code=FAILED)


def _no_tar() -> InvalidArgument:
    return InvalidArgument("this is no tar archive", "a tar, plain or compressed with gzip, bzip2, xz or zstd", FAILED)


def truncated() -> InvalidArgument:
    return InvalidArgument("the archive ends too early", "it was cut off on its way here", FAILED)


class Writer:
    """Writes a tar: ustar headers, and pax ones where those are too small. Times are whole seconds, owners numbers
    only, as in docker's own archives. Files with large holes are in GNU's pax format 1.0, which GNU tar, docker (all of
    Go) and Python read; GNU's older format, docker refuses."""

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
        """One entry. target: a symbolic link's. link: the path, in the archive, of the file of which this is another
        name. content: a descriptor of the regular file, of which exactly info.st_size bytes are taken; holes are none.
        xattrs: extended attributes, of not more than LONGEST_ATTRIBUTES bytes."""
        kind = LINK if link else _TYPES[stat.S_IFMT(info.st_mode)]
        size = info.st_size if kind == FILE else 0
        name = os.fsencode(f"{path.rstrip('/')}/" if kind == DIR else path)
        records = {_key(attribute): value for attribute, value in xattrs.items()} if xattrs else {}
        pieces, table = [(0, size)], b""
        if size >= _SMALLEST_HOLE:
            pieces = _pieces(content, size)
        if pieces != [(0, size)]:
            table = _table(pieces, size)
            records["GNU.sparse.major"], records["GNU.sparse.minor"] = b"1", b"0"
            records["GNU.sparse.name"], records["GNU.sparse.realsize"] = name, b"%d" % size
            name = b"GNUSparseFile.0/" + name  # under which a program that does not know of holes unpacks map and data
        length = len(table) + sum(length for _, length in pieces) if table else size
        self._header(
            name,
            kind,
            stat.S_IMODE(info.st_mode),
            {"uid": info.st_uid, "gid": info.st_gid, "size": length, "mtime": info.st_mtime_ns // 1_000_000_000},
            os.fsencode(link or target),
            info.st_rdev if kind in _DEVICES else 0,
            records,
        )
        if length:
            self._out.write(table)
            for offset, count in pieces:
                self._copy(content, offset, count)
            self._out.write(bytes(-length % BLOCK))

    def add_empty(self, path: str) -> None:
        """An empty file of root's, from 1970."""
        self._header(os.fsencode(path), FILE, 0o644, {"uid": 0, "gid": 0, "size": 0, "mtime": 0})

    def finish(self) -> None:
        self._out.write(bytes(2 * BLOCK))
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
        """records: what an extended header shall say; to it goes what does not fit into this one."""
        records = dict(records or {})
        for key, value in (("path", name), ("linkpath", target)):
            if len(value) > 100 or not value.isascii():
                records[key] = value
        for key, number in numbers.items():
            if not 0 <= number <= _LARGEST[key]:
                records[key] = b"%d" % number
                numbers = {**numbers, key: 0}
        if records:
            data = b"".join(_pax_record(os.fsencode(key), value) for key, value in sorted(records.items()))
            self._out.write(
                _block(b"PaxHeaders/entry", _PAX, 0o644, {"uid": 0, "gid": 0, "size": len(data), "mtime": 0})
            )
            self._out.write(data + bytes(-len(data) % BLOCK))
        self._out.write(_block(name, kind, mode, numbers, target, device))

    def _copy(self, content: int, offset: int, length: int) -> None:
        """The header has promised `length` bytes: a file that shrinks meanwhile is filled up with zeros."""
        end = offset + length
        while offset < end:
            count = os.preadv(content, [self._buffer[: min(end - offset, CHUNK)]], offset)
            if not count:
                count = min(end - offset, CHUNK)
                self._buffer[:count] = bytes(count)
            self._out.write(self._buffer[:count])
            offset += count


def _pieces(content: int, size: int) -> list[tuple[int, int]]:
    """Where a file has data, as (offset, length): [(0, size)] if it has no hole that is worth it."""
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
    found = _merged(pieces, size, smallest)
    while len(found) > _MOST_PIECES:
        smallest *= 2
        found = _merged(found, size, smallest)
    return found


def _merged(pieces: list[tuple[int, int]], size: int, smallest: int) -> list[tuple[int, int]]:
    """The pieces, and with them all holes that are smaller."""
    found: list[tuple[int, int]] = []
    end = 0
    for offset, length in [*pieces, (size, 0)]:
        if offset - end < smallest:
            start = found.pop()[0] if found else 0
            found.append((start, offset + length - start))
        elif length:
            found.append((offset, length))
        end = offset + length
    return found


def _table(pieces: list[tuple[int, int]], size: int) -> bytes:
    """Format 1.0's map. Its last piece is an empty one at the end, from which GNU tar knows the length of a file that
    ends with a hole."""
    rows = [*pieces, (size, 0)]
    table = b"%d\n" % len(rows) + b"".join(b"%d\n%d\n" % row for row in rows)
    return table + bytes(-len(table) % BLOCK)


def _key(attribute: str) -> str:
    return _XATTR + attribute.replace("%", "%25").replace("=", "%3D")


_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
}
_LARGEST = {"uid": 0o7777777, "gid": 0o7777777, "size": 0o77777777777, "mtime": 0o77777777777}


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
    fields[6] = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields)


def _pax_record(key: bytes, value: bytes) -> bytes:
    """ "LENGTH KEY=VALUE\\n", where the length counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(b"%d" % rest)
    if len(b"%d" % length) > len(b"%d" % rest):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)
