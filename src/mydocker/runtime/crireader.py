"""Read a container's log, in the format that crilog.py describes: forwards, from its end, or as it grows."""

from __future__ import annotations

import os
from time import sleep

from mydocker.kernel.files import REGULAR, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Record = tuple[bytes, bytes, bytes]  # time, stream, bytes with the newline if there is one

_HEAD = 40
_HEADS = {b"Z stdout F ": (b"stdout", True), b"Z stdout P ": (b"stdout", False)}
_HEADS.update({b"Z stderr F ": (b"stderr", True), b"Z stderr P ": (b"stderr", False)})
_BLOCK = 256 << 10
_TAIL_BLOCK = 32 << 10
_NAP = 0.05  # seconds between two reads of a log that is followed


class LogReader:
    """Reads a log, its oldest file first. skipped: the number of malformed lines (from a crash, or another writer)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.skipped = 0

    def blocks(self, tail: int | None = None, done: Callable[[], bool] | None = None) -> Iterator[bytes]:
        """Yield the log in blocks of whole records. tail: only as much as the last so many lines of output need.

        done: follow the log, through its rotations, until done() returns True: nothing more is coming.
        """
        files = self._files()
        torn = b""
        try:
            if tail is not None:
                _skip_to_tail(files, tail)
            while True:
                # Check these two before the read: if the read then returns nothing, there is nothing.
                last = done is None or done()
                over = len(files) > 1 or (done is not None and self._is_over(files))
                data = os.read(files[0], _BLOCK) if files else b""
                end = data.rfind(b"\n") + 1
                if end:
                    yield torn + data[:end]
                    torn = b""
                torn += data[end:]
                if data:
                    continue
                if over:
                    self.skipped += bool(torn)
                    torn = b""
                    files += self._files(after=files[0]) if len(files) == 1 else []
                    os.close(files.pop(0))
                elif last:
                    return
                else:
                    sleep(_NAP)
                    files = files or self._files()
        finally:
            for file in files:
                os.close(file)

    def records(
        self, tail: int | None = None, since: bytes = b"", until: bytes = b"~", done: Callable[[], bool] | None = None
    ) -> Iterator[list[Record]]:
        """Yield the log as lists of records. since, until: only records between these times, in a record's form."""
        for block in self.blocks(tail, done):
            last = block.rfind(b"\n", 0, -1) + 1
            if block[last : last + len(since)] < since:
                continue  # skip a block without parsing its records
            records = self._parse(block)
            yield [record for record in records if since <= record[0] <= until]
            if records and records[-1][0] > until:
                return

    def runs(self, tail: int | None = None, done: Callable[[], bool] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the output alone, as (stream, bytes) in order, many lines at a time."""
        for block in self.blocks(tail, done):
            lines = block[:-1].split(b"\n")
            head = lines[0][29:_HEAD]
            if head in (b"Z stdout F ", b"Z stderr F "):
                texts = [line[_HEAD:] for line in lines if line[29:_HEAD] == head]
                if len(texts) == len(lines):  # the usual case, and several times as fast
                    yield _HEADS[head][0], b"\n".join(texts) + b"\n"
                    continue
            yield from merged(self._parse(block))

    def _parse(self, block: bytes) -> list[Record]:
        records: list[Record] = []
        for line in block[:-1].split(b"\n"):
            stream, whole = _HEADS.get(line[29:_HEAD], (b"", False))
            if stream:
                records.append((line[:30], stream, line[_HEAD:] + b"\n" if whole else line[_HEAD:]))
            else:
                self.skipped += 1
        return records

    def _files(self, after: int = -1) -> list[int]:
        """Open the log's files; returns the oldest first. after: an open file; return only the newer ones.

        They are opened newest first: then a concurrent rotation can make a file appear twice, but can't hide one.
        """
        files: list[int] = []
        number = 0
        while True:
            try:
                path = f"{self.path}.{number}" if number else self.path
                file = os.open(path, REGULAR)
            except FileNotFoundError:
                if number:  # the newest file has no name for a moment during a rotation
                    return files[::-1]
            else:
                size_of(file, path)  # raises for a FIFO, which has no end
                if after >= 0 and os.path.sameopenfile(file, after):
                    os.close(file)
                    return files[::-1]
                if files and os.path.sameopenfile(file, files[-1]):
                    os.close(file)
                else:
                    files.append(file)
            number += 1

    def _is_over(self, files: list[int]) -> bool:
        """Return True if the file that is read has been rotated away, and another has taken its place."""
        try:
            return bool(files) and not os.path.samestat(os.fstat(files[0]), os.stat(self.path))
        except FileNotFoundError:
            return False


def merged(records: Iterable[Record]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (stream, bytes), with consecutive records of a stream in one piece."""
    run: list[bytes] = []
    current = b""
    for _, stream, data in records:
        if stream != current and run:
            yield current, b"".join(run)
            run = []
        current = stream
        run.append(data)
    if run:
        yield current, b"".join(run)


def _skip_to_tail(files: list[int], lines: int) -> None:
    """Seek to the beginning of the last so many lines. Closes and drops the files before that."""
    left = lines
    newest = True
    for index in reversed(range(len(files))):
        for place, whole in _records_from_end(files[index]):
            if whole or newest:  # an unfinished line at the very end counts, too
                if not left:
                    os.lseek(files[index], place, os.SEEK_SET)
                    for file in files[:index]:
                        os.close(file)
                    del files[:index]
                    return
                left -= 1
            newest = False


def _records_from_end(file: int) -> Iterator[tuple[int, bool]]:
    """Yield (where a record ends, True if it ends a line), the last record first."""
    start = os.fstat(file).st_size
    remainder = b""
    while start:
        size = min(start, _TAIL_BLOCK)
        start -= size
        data = os.pread(file, size, start) + remainder
        first = data.find(b"\n") + 1 if start else 0  # the record before that begins in an earlier block
        end = data.rfind(b"\n") + 1
        while end > first:
            begin = max(data.rfind(b"\n", first, end - 1) + 1, first)
            stream, whole = _HEADS.get(data[begin + 29 : begin + _HEAD], (b"", False))
            if stream:
                yield start + end, whole
            end = begin
        remainder = data[:first] if first else data
