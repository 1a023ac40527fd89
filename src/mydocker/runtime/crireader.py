"""Reads a container's log, in the format that crilog.py describes: forwards, from its end, or as it grows."""

from __future__ import annotations

import os
from time import sleep

from mydocker.kernel.files import REGULAR, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Record = tuple[bytes, bytes, bytes]  # its time, its stream, its bytes with the line's end if it has one

_HEAD = 40
_HEADS = {b"Z stdout F ": (b"stdout", True), b"Z stdout P ": (b"stdout", False)}
_HEADS.update({b"Z stderr F ": (b"stderr", True), b"Z stderr P ": (b"stderr", False)})
_BLOCK = 256 << 10
_TAIL_BLOCK = 32 << 10
_NAP = 0.05  # seconds between two looks at a log that is followed


class LogReader:
    """Reads a log, its oldest file first. skipped: lines so far that were no records (a crash, a stranger's pen)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.skipped = 0

    def blocks(self, tail: int | None = None, done: Callable[[], bool] | None = None) -> Iterator[bytes]:
        """The log in blocks of whole records. tail: only what the last so many lines of output need.

        done: follow the log, through its rotations, until done() says that nothing more is coming.
        """
        files = self._files()
        torn = b""
        try:
            if tail is not None:
                _skip_to_tail(files, tail)
            while True:
                # These two are asked before the read: if that then finds nothing, there is nothing.
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
        """The log as records, block by block. since, until: times in a record's form; what is outside is left out."""
        for block in self.blocks(tail, done):
            last = block.rfind(b"\n", 0, -1) + 1
            if block[last : last + len(since)] < since:
                continue  # a long log is passed over without a look at each record
            found = self._parse(block)
            yield [record for record in found if since <= record[0] <= until]
            if found and found[-1][0] > until:
                return

    def runs(self, tail: int | None = None, done: Callable[[], bool] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The output alone, as (stream, bytes) in order, many lines at a time."""
        for block in self.blocks(tail, done):
            lines = block[:-1].split(b"\n")
            head = lines[0][29:_HEAD]
            if head in (b"Z stdout F ", b"Z stderr F "):
                texts = [line[_HEAD:] for line in lines if line[29:_HEAD] == head]
                if len(texts) == len(lines):  # nearly always, and several times as fast
                    yield _HEADS[head][0], b"\n".join(texts) + b"\n"
                    continue
            yield from joined(self._parse(block))

    def _parse(self, block: bytes) -> list[Record]:
        found: list[Record] = []
        for line in block[:-1].split(b"\n"):
            stream, whole = _HEADS.get(line[29:_HEAD], (b"", False))
            if stream:
                found.append((line[:30], stream, line[_HEAD:] + b"\n" if whole else line[_HEAD:]))
            else:
                self.skipped += 1
        return found

    def _files(self, after: int = -1) -> list[int]:
        """Open the log's files, the oldest first. after: a file that is open; only what was begun after it.

        They are opened newest first: then a rotation meanwhile can show a file twice, but can't hide one.
        """
        files: list[int] = []
        number = 0
        while True:
            try:
                path = f"{self.path}.{number}" if number else self.path
                file = os.open(path, REGULAR)
            except FileNotFoundError:
                if number:  # the newest has no name for a moment while the log is rotated
                    return files[::-1]
            else:
                size_of(file, path)  # a FIFO has no end
                if after >= 0 and os.path.sameopenfile(file, after):
                    os.close(file)
                    return files[::-1]
                if files and os.path.sameopenfile(file, files[-1]):
                    os.close(file)
                else:
                    files.append(file)
            number += 1

    def _is_over(self, files: list[int]) -> bool:
        """Whether the file that is read has been rotated away, and another taken its place."""
        try:
            return bool(files) and not os.path.samestat(os.fstat(files[0]), os.stat(self.path))
        except FileNotFoundError:
            return False


def joined(records: Iterable[Record]) -> Iterator[tuple[bytes, bytes]]:
    """(stream, bytes): what follows each other of the same stream in one piece."""
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
    """Move to where the last so many lines begin. Files before that are closed and dropped."""
    left = lines
    newest = True
    for index in reversed(range(len(files))):
        for place, whole in _records_from_end(files[index]):
            if whole or newest:  # what lacks its line's end at the very end is a line too
                if not left:
                    os.lseek(files[index], place, os.SEEK_SET)
                    for file in files[:index]:
                        os.close(file)
                    del files[:index]
                    return
                left -= 1
            newest = False


def _records_from_end(file: int) -> Iterator[tuple[int, bool]]:
    """Where each record ends, the last one first, and whether it ends a line."""
    start = os.fstat(file).st_size
    rest = b""
    while start:
        size = min(start, _TAIL_BLOCK)
        start -= size
        data = os.pread(file, size, start) + rest
        first = data.find(b"\n") + 1 if start else 0  # the record before that begins in an earlier block
        end = data.rfind(b"\n") + 1
        while end > first:
            begin = max(data.rfind(b"\n", first, end - 1) + 1, first)
            stream, whole = _HEADS.get(data[begin + 29 : begin + _HEAD], (b"", False))
            if stream:
                yield start + end, whole
            end = begin
        rest = data[:first] if first else data
