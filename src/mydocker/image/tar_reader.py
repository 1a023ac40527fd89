"""Read a tar archive from anybody, as a stream and in constant memory.

Formats: pax (POSIX.1-2001), ustar, GNU with long names, v7; GNU's four forms of sparse files.
"""

from __future__ import annotations

import functools
import os

from mydocker.errors import FAILED, InvalidArgument
from mydocker.image import tar
from mydocker.image.streams import CHUNK
from mydocker.kernel.files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.image.streams import Stream

_GNU_SPARSE, _GNU_NAME, _GNU_TARGET, _PAX_GLOBAL = b"S", b"L", b"K", b"g"
_FILES = (tar.FILE, b"\0", b"7", _GNU_SPARSE)
_WITHOUT_CONTENT = (tar.LINK, tar.SYMLINK, tar.CHARACTER, tar.BLOCK_DEVICE, tar.DIR, tar.FIFO)
_LARGEST_FILE = 1 << 60  # bytes; a tmpfs would take a hole of eight times that
_PIECE = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


class Reader:
    """Iterates over an archive's entries; `copy_content` is for the current one.

    Raises InvalidArgument if the stream is not a tar, is damaged or ends within an entry. The end mark may be missing,
    and no bytes at all are an archive without entries: docker takes both.

    position: bytes that have been read. At an entry, that is where its content begins."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seekable = stream.seekable()
        self.position = 0
        self._content = 0  # bytes of the current entry's content that are still to be read
        self._padding = 0
        self._buffer = memoryview(bytearray(CHUNK))
        self._any = False  # a header has been read

    def __iter__(self) -> Iterator[tar.Entry]:
        while True:
            entry = self._next()
            if entry is None:
                return
            yield entry

    def copy_content(self, entry: tar.Entry, descriptor: int) -> None:
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
                raise _truncated()
            write_all(descriptor, self._buffer[:count])
            self.position += count
            length -= count

    def _read(self, length: int) -> bytes:
        data = self._stream.read(length)
        self.position += len(data)
        if len(data) != length:
            raise _truncated()
        return data

    def _skip_content(self) -> None:
        left = self._content + self._padding
        if left > tar.BLOCK and self._seekable:
            self._stream.seek(left - 1, os.SEEK_CUR)
            self.position += left - 1
            left = 1  # the last byte is read, so that a cut is noticed
        while left:
            left -= len(self._read(min(left, CHUNK)))
        self._content = self._padding = 0

    def _read_content(self) -> bytes:
        if self._content > tar.LONGEST_HEADER:
            raise _damaged(f"an extended header of {self._content} bytes")
        data = self._read(self._content)
        self._content = 0
        return data

    def _set_size(self, size: int) -> None:
        if not 0 <= size < 1 << 63:
            raise _damaged(f"a file of {size} bytes")
        self._content, self._padding = size, -size % tar.BLOCK

    def _next(self) -> tar.Entry | None:
        """Return the next entry, with what the headers before it say about it; None at the end."""
        records: dict[str, bytes] = {}
        extended = 0  # bytes of all headers before the entry
        while True:
            self._skip_content()
            block = self._stream.read(tar.BLOCK)
            self.position += len(block)
            if not block:
                return None
            if len(block) < tar.BLOCK:
                raise _truncated() if self._any else _no_tar()
            if not block.strip(b"\0"):
                return None
            try:
                fields = _parse(block)
                kind, size = fields[7], _number(fields[4])
            except ValueError:
                raise (_damaged("a header is malformed") if self._any else _no_tar()) from None
            self._any = True
            if kind in (tar.PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET):
                self._set_size(size)
                content = self._read_content()
                extended += size
                if extended > 4 * tar.LONGEST_HEADER:
                    raise _damaged(f"{extended} bytes of extended headers before an entry")
                if kind == tar.PAX:
                    records.update(_pax_records(content))
                elif kind != _PAX_GLOBAL:  # a global header holds a comment (git archive); docker skips it, too
                    records["path" if kind == _GNU_NAME else "linkpath"] = content.partition(b"\0")[0]
            else:
                return self._entry(fields, size, records, block)

    def _entry(self, fields: tuple[bytes, ...], size: int, records: dict[str, bytes], block: bytes) -> tar.Entry:
        name, mode, uid, gid, _, mtime, _, kind, target, magic, _, _, major, minor, prefix = fields
        entry = tar.Entry()
        try:
            name = name.partition(b"\0")[0]
            if prefix[0] and magic[:6] == b"ustar\0":
                name = prefix.partition(b"\0")[0] + b"/" + name
            name = records.get("path", name)
            entry.name = os.fsdecode(name)
            entry.type = tar.DIR if kind == b"\0" and name.endswith(b"/") else tar.FILE if kind in _FILES else kind
            entry.mode = _number(mode) & 0o7777
            entry.uid = _decimal(records["uid"]) if "uid" in records else _number(uid)
            entry.gid = _decimal(records["gid"]) if "gid" in records else _number(gid)
            entry.time = _nanoseconds(records["mtime"]) if "mtime" in records else _number(mtime) * 1_000_000_000
            entry.target = os.fsdecode(records.get("linkpath", target.partition(b"\0")[0]))
            entry.major, entry.minor = (_number(major), _number(minor)) if entry.type in tar.DEVICES else (0, 0)
            length = _decimal(records["size"]) if "size" in records else size
            self._set_size(0 if entry.type in _WITHOUT_CONTENT else length)
            entry.size, entry.data = self._content, None
            if kind == _GNU_SPARSE:
                self._gnu_map(entry, block)
            elif records and any(key.startswith("GNU.sparse.") for key in records):
                self._pax_map(entry, records)
        except (KeyError, ValueError) as error:
            raise _damaged(f"the header of '{os.fsdecode(name)}': {error}") from None
        entry.xattrs = {_attribute(key): value for key, value in records.items() if key.startswith(tar.XATTR)}
        return entry

    def _gnu_map(self, entry: tar.Entry, block: bytes) -> None:
        """Read a map of the old GNU format: four pieces in the header, 21 in each block that may follow."""
        places, more = [block[386:482]], block[482]
        while more and len(places) * tar.BLOCK < tar.LONGEST_HEADER:
            extension = self._read(tar.BLOCK)
            places.append(extension[:504])
            more = extension[504]
        table = b"".join(places)
        numbers = [_number(table[at : at + 12]) for at in range(0, len(table), 12)]
        self._set_map(entry, numbers, _number(block[483:495]))

    def _pax_map(self, entry: tar.Entry, records: dict[str, bytes]) -> None:
        """Read a map of GNU's pax formats: in 0.0 and 0.1 it is in the extended header, in 1.0 before the content."""
        version = records.get("GNU.sparse.major", b"0") + b"." + records.get("GNU.sparse.minor", b"0")
        if "GNU.sparse.name" in records:
            entry.name = os.fsdecode(records["GNU.sparse.name"])
        if version in (b"0.0", b"0.1"):
            numbers = [_decimal(number) for number in records.get("GNU.sparse.map", b"").split(b",") if number]
            self._set_map(entry, numbers, _decimal(records["GNU.sparse.size"]))
            return
        if version != b"1.0":
            raise ValueError("a sparse file in an unknown format")
        table, lines = b"", 1
        while table.count(b"\n") < lines:
            if len(table) > tar.LONGEST_HEADER or self._content < tar.BLOCK:
                raise ValueError("a map of holes that does not end")
            table += self._read(tar.BLOCK)
            self._content -= tar.BLOCK
            if b"\n" in table:
                lines = 1 + 2 * _decimal(table[: table.index(b"\n")])
        numbers = [_decimal(number) for number in table.split(b"\n")[1:lines]]
        self._set_map(entry, numbers, _decimal(records["GNU.sparse.realsize"]))

    def _set_map(self, entry: tar.Entry, numbers: list[int], size: int) -> None:
        """Check a map and put it into the entry. numbers: offset, length, offset, length … of the data. size: of the
        file with its holes."""
        if size > _LARGEST_FILE:
            raise ValueError("a file with holes that is larger than any disk")
        if len(numbers) % 2:
            raise ValueError("a map of holes with an odd number of values")
        entry.size = size
        entry.data = [(offset, length) for offset, length in zip(numbers[::2], numbers[1::2]) if length]
        end = 0
        for offset, length in entry.data:
            if not 0 <= end <= offset <= offset + length <= size:
                raise ValueError("a map of holes that is not in order")
            end = offset + length
        if sum(length for _, length in entry.data) != self._content:
            raise ValueError("a map of holes that does not match the length of the data")


def _parse(block: bytes) -> tuple[bytes, ...]:
    """Return a header block's fields. Raises ValueError if its checksum is wrong: then it is not a header."""
    fields: tuple[bytes, ...] = tar.HEADER.unpack(block)
    blanked = block[:148] + b"        " + block[156:]
    checksum, total = _number(fields[6]), sum(blanked)
    if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in blanked):  # bytes were signed once
        raise ValueError
    return fields


@functools.lru_cache(1024)  # most entries have the same owner, mode and time as others
def _number(field: bytes) -> int:
    """Parse a header's number: octal digits, or GNU's binary form (star's, two's complement), marked by the highest
    bit."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
        return value - (0x80 << 8 * (len(field) - 1)) if field[0] & 0x40 else value
    return int(field.partition(b"\0")[0].strip(b" ") or b"0", 8)


def _decimal(text: bytes) -> int:
    """Parse a number of an extended header or a map of holes. int() alone takes underscores and blanks, and needs
    quadratic time for many digits where Python has no limit on them."""
    digits = text[1:] if text.startswith(b"-") else text
    if len(digits) > 20 or not digits.isdigit():
        raise ValueError(f"{text[:20]!r} is not a number")
    return int(text)


def _nanoseconds(seconds: bytes) -> int:
    """Parse a pax header's time, such as -1.5."""
    integer, _, fraction = seconds.partition(b".")
    part = _decimal(fraction[:9].ljust(9, b"0"))
    return _decimal(integer) * 1_000_000_000 + (-part if integer.startswith(b"-") else part)


def _pax_records(data: bytes) -> dict[str, bytes]:
    """Parse an extended header's "LENGTH KEY=VALUE\\n" lines. A value may hold anything, newlines and NULs too.

    GNU's sparse format 0.0 repeats a key: two lines for each piece of data. They are returned as the one line of
    format 0.1, GNU.sparse.map."""
    records: dict[str, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        length = data[at : max(space, at)]
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end - 1 < len(data) or data[end - 1] != 10 or not equals or b"\0" in key:
            raise _damaged("an extended header is malformed")
        if key in _PIECE:
            if key != _PIECE[len(pieces) % 2] or not value.isdigit():
                raise _damaged("a map of holes is malformed")
            pieces.append(value)
        else:
            records[os.fsdecode(key)] = value
        at = end
    if pieces:
        records["GNU.sparse.map"] = b",".join(pieces)
    # An empty value means that the header's own value counts; but an extended attribute may be empty.
    return {key: value for key, value in records.items() if value or key.startswith(tar.XATTR)}


def _attribute(key: str) -> str:
    """Return an extended attribute's name from an extended header's key. GNU tar escapes what would end the key."""
    return key[len(tar.XATTR) :].replace("%3D", "=").replace("%25", "%")


def _damaged(what: str) -> InvalidArgument:
    return InvalidArgument(f"the archive is damaged: {what}", exit_code=FAILED)


def _no_tar() -> InvalidArgument:
    hint = "give a tar, plain or compressed with gzip, bzip2, xz or zstd"
    return InvalidArgument("this is not a tar archive", hint, FAILED)


def _truncated() -> InvalidArgument:
    return InvalidArgument("unexpected end of archive", "it may have been truncated on its way", FAILED)
