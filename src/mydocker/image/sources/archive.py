"""A tar archive as a place of images: its files have names, and are read where they are.

A plain tar in a regular file is read in place: the content of its members is skipped. Any other (from a pipe, or
compressed) is read once, and the content of its members is kept in a directory.
"""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING

from mydocker.image import tar
from mydocker.image.sources.base import LARGEST_SUM, File, refused, resolve, safe_path
from mydocker.image.streams import CHUNK, decompressed
from mydocker.image.tar_reader import Reader
from mydocker.kernel import files

if TYPE_CHECKING:
    from typing import Any

    from mydocker.errors import InvalidArgument
    from mydocker.image.streams import Stream

MAX_MEMBERS = 20_000  # of an archive; docker's have four for each layer
_OVERHEAD = 4096  # bytes of a member beside its content: header, extended headers, padding
_BUFFER = 64 << 10  # bytes: more would be read for nothing between two members


class Archive:
    """`with Archive(source, directory, limit) as archive:` reads the archive, which is closed at the end. directory: an
    empty one for what cannot be read in place, of `limit` bytes at most. The caller removes it.

    Raises InvalidArgument for a stream that is not a tar, for members that no tool writes (names and links that lead
    outside, two different files of one name), for too many members, and for too many bytes."""

    def __init__(self, source: io.FileIO, directory: str, limit: int) -> None:
        self._source = source
        self._directory = directory
        self.json_left = LARGEST_SUM
        self._left = limit
        self._limit = limit
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}  # the name of a symbolic link -> that of its target

    def __enter__(self) -> Archive:
        # The buffer does not close the descriptor, which is read again.
        stream = io.BufferedReader(io.FileIO(self._source.fileno(), closefd=False), _BUFFER)
        plain = decompressed(stream)
        in_place = plain is stream and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        try:
            self._scan(plain, in_place)
        finally:
            plain.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def find(self, name: str) -> File | None:
        return self._files.get(resolve(name, self._links.get))

    def _scan(self, stream: Stream, in_place: bool) -> None:
        reader = Reader(stream)
        for number, entry in enumerate(reader):
            if number == MAX_MEMBERS:
                raise refused(f"it has more than {MAX_MEMBERS} members")
            stored = entry.size if entry.data is None else sum(length for _, length in entry.data)
            if not in_place and reader.position + stored > self._limit + _OVERHEAD * MAX_MEMBERS:
                raise self._too_large()
            name = safe_path(entry.name)
            if entry.type == tar.FILE:
                # A sparse file has no content of its own in the archive that could be read as it is.
                if in_place and entry.data is None:
                    file = self._member(name, stream.tell(), entry.size)
                else:
                    file = self._keep(name, reader, entry, str(number))
                self._add_file(name, file)
            elif entry.type == tar.LINK:
                target = self._files.get(safe_path(entry.target, entry.name))
                if target is None:
                    raise refused(f"'{entry.name}' is a hard link to '{entry.target}', which is not before it")
                self._add_file(name, target)
            elif entry.type == tar.SYMLINK:
                target_name = _link_target(name, entry.target)
                if name in self._files or self._links.setdefault(name, target_name) != target_name:
                    raise refused(f"two different members are called '{name}'")

    def _add_file(self, name: str, file: File) -> None:
        before = self._files.setdefault(name, file)
        if name in self._links or (before is not file and not _equal(before, file)):
            raise refused(f"two different members are called '{name}'")

    def _member(self, name: str, offset: int, size: int) -> File:
        descriptor = self._source.fileno()
        return File(name, size, lambda: _Part(descriptor, offset, size))

    def _keep(self, name: str, reader: Reader, entry: tar.Entry, number: str) -> File:
        """Write a member's content to a file. Raises HostError if the disk is full."""
        self._left -= entry.size if entry.data is None else sum(length for _, length in entry.data)
        if self._left < 0:
            raise self._too_large()
        path = f"{self._directory}/{number}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            reader.copy_content(entry, descriptor)
        except OSError as error:
            if error.errno in files.NO_SPACE:
                raise files.no_space(path, error) from None
            raise
        finally:
            os.close(descriptor)
        return File(name, entry.size, lambda: io.FileIO(path))

    def _too_large(self) -> InvalidArgument:
        return refused(f"it has more than {self._limit} bytes: image_size in the configuration")


class _Part(io.RawIOBase):
    """A part of an open file. It has a position of its own, so that several processes can read from one descriptor."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._at = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(self._end - self._at, 0)]
        count = os.preadv(self._descriptor, [view], self._at) if view else 0
        self._at += count
        return count


def _link_target(name: str, target: str) -> str:
    """Return the name to which a symbolic link leads. Raises InvalidArgument if it leads outside."""
    if target.startswith("/"):
        raise refused(f"'{name}' is a link that leads outside: {target}")
    above = name.rpartition("/")[0]
    return safe_path(f"{above}/{target}", name)


def _equal(one: File, other: File) -> bool:
    """True if two members have the same content, as some tools write a layer of two images twice."""
    if one.size != other.size:
        return False
    with io.BufferedReader(one.open(), CHUNK) as first, io.BufferedReader(other.open(), CHUNK) as second:
        while data := first.read(CHUNK):
            if data != second.read(CHUNK):
                return False
    return True
