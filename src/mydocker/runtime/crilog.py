"""A container's output on disk in the CRI log format, which Kubernetes' tools read too, one record a line:

    2016-10-06T00:17:09.669794202Z stdout F text
    <RFC 3339, nanoseconds, UTC>   <stream> <tag> <bytes>

F: the bytes and a line's end. P: a piece without one, of a line above 16 KiB, or the rest at the end. So each stream
reads back as the bytes that were written. A record's head is always 40 bytes wide, which makes reading quick.

    container.log -> container.log.1 -> container.log.2     the newest first; a full file is renamed, the oldest goes

Imports are restricted: every start and `logs` come here.
"""

from __future__ import annotations

import os
from time import sleep, time_ns

from mydocker.model.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Record = tuple[bytes, bytes, bytes]  # its time, its stream, its bytes with the line's end if it has one

_LONGEST = 16 << 10  # bytes of text in one record
_HEAD = 40
_HEADS = {b"Z stdout F ": (b"stdout", True), b"Z stdout P ": (b"stdout", False)}
_HEADS.update({b"Z stderr F ": (b"stderr", True), b"Z stderr P ": (b"stderr", False)})
_BLOCK = 256 << 10
_TAIL_BLOCK = 32 << 10
_NAP = 0.05  # seconds between two looks at a log that is followed


class LogWriter:
    """Appends to a log and rotates it. max_size: bytes a file. max_files: how many are kept, the current one included.

    A write that fails (a full disk) costs the output that it carried and no more: dropped counts those bytes, why has
    the kernel's last word on it. The next write is tried again.
    """

    def __init__(
        self,
        path: str,
        max_size: int = 10_000_000,
        max_files: int = 3,
        dropped: int = 0,
        why: str = "",
        kept: dict[str, str] | None = None,
    ) -> None:
        """Further arguments: state() of one that has written here before."""
        self.path = path
        self.max_size = max_size
        self.max_files = max_files
        self.dropped = dropped
        self.why = why
        # stream -> what still lacks its line's end
        self._kept = {stream.encode(): text.encode("latin-1") for stream, text in (kept or {}).items()}
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        # A crash can leave half a record: the next one starts on a line of its own.
        self._torn = self._size > 0 and os.pread(self._file, 1, self._size - 1) != b"\n"

    def write(self, stream: bytes, chunk: bytes) -> None:
        """Log what was read from a stream (b"stdout", b"stderr"). One time for all of it."""
        text = self._kept.pop(stream, b"") + chunk
        head = rfc3339(time_ns(), fixed=True).encode() + b" " + stream
        full, part = head + b" F ", head + b" P "
        out = []
        begin = place = 0  # of the lines that are not in `out` yet; of the line that is looked at
        while True:
            newline = text.rfind(b"\n", place, place + _LONGEST + 1)
            if newline < 0 and len(text) - place < _LONGEST:
                break
            if newline >= 0:
                place = newline + 1
                continue
            out += _lines(full, text[begin:place])
            out += part, text[place : place + _LONGEST], b"\n"
            begin = place = place + _LONGEST
        out += _lines(full, text[begin:place])
        if place < len(text):
            self._kept[stream] = text[place:]
        if out:
            self._append(b"".join(out), place)

    def state(self) -> dict[str, Any]:
        """As JSON, for another process that goes on with this log."""
        kept = {stream.decode(): text.decode("latin-1") for stream, text in self._kept.items()}
        return {
            "path": self.path,
            "max_size": self.max_size,
            "max_files": self.max_files,
            "dropped": self.dropped,
            "why": self.why,
            "kept": kept,
        }

    def close(self) -> None:
        """Log what has no line's end, and let go of the file."""
        for stream, text in self._kept.items():
            self._append(b"%b %b P %b\n" % (rfc3339(time_ns(), fixed=True).encode(), stream, text), len(text))
        self._kept.clear()
        os.close(self._file)

    def _append(self, records: bytes, carries: int) -> None:
        """Write records, in as many files as they need. carries: the bytes of output that are in them."""
        view = memoryview(records)
        place = 0
        while place < len(records):
            room = self.max_size - self._size
            end = len(records)
            if end - place > room:
                end = records.rfind(b"\n", place, place + max(room, 0)) + 1
                if not end and self._size and self._rotate():
                    continue
                # A record that is larger than a file has one to itself.
                end = end or records.find(b"\n", place) + 1
            if not self._put(view[place:end]):
                self.dropped += carries
                return
            place = end

    def _put(self, records: memoryview) -> bool:
        """Write all of it or, if that fails, nothing."""
        written = 0
        try:
            if self._torn:
                self._size += os.write(self._file, b"\n")
                self._torn = False
            while written < len(records):
                written += os.write(self._file, records[written:])
        except OSError as error:
            self.why = error.strerror or ""
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._size += written
                self._torn = self._torn or written > 0
            return False
        self._size += written
        return True

    def _rotate(self) -> bool:
        """Start a new file. If that fails, the old one grows on."""
        try:
            file = os.open(f"{self.path}.new", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            names = [self.path] + [f"{self.path}.{number}" for number in range(1, self.max_files)]
            for newer, older in reversed(list(zip(names, names[1:]))):
                if os.path.exists(newer):
                    os.rename(newer, older)
            os.rename(f"{self.path}.new", self.path)
        except OSError:
            return False
        os.close(self._file)
        self._file, self._size, self._torn = file, 0, False
        return True


def _lines(head: bytes, text: bytes) -> list[bytes]:
    """Whole lines as records."""
    return [head, text[:-1].replace(b"\n", b"\n" + head), b"\n"] if text else []


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
                file = os.open(f"{self.path}.{number}" if number else self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if number:  # the newest has no name for a moment while the log is rotated
                    return files[::-1]
            else:
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
