"""Write a container's output to disk in the CRI log format, which Kubernetes' tools read too; one record a line:

    2016-10-06T00:17:09.669794202Z stdout F text
    <RFC 3339, nanoseconds, UTC>   <stream> <tag> <bytes>

F: a line. P: a piece without a newline, of a line above 16 KiB, or the last bytes of a stream. So each stream reads
back byte for byte. The head of a record is always 40 bytes wide, which makes crireader.py quick.

    container.log -> container.log.1 -> container.log.2     the newest first; a full file is renamed, the oldest removed

Each bare monitor has this module in memory (see supervise.py).
"""

from __future__ import annotations

import errno
import posix as os
from time import time_ns

from mydocker.model.timestamp import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIND, _REGULAR = 0o170000, 0o100000  # of a mode, as in stat(2)
_LONGEST = 16 << 10  # bytes of text in one record


class LogWriter:
    """Appends to a log and rotates it. max_size: bytes of a file. max_files: to keep, the current one included.

    A write that fails (a full disk) loses only its own output: `dropped` counts those bytes, `why` is the last error.
    The next write is tried again.
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
        """dropped, why, kept: the state() of another writer of this log."""
        self.path = path
        self.max_size = max_size
        self.max_files = max_files
        self.dropped = dropped
        self.why = why
        # stream -> an unfinished line
        self._kept = {stream.encode(): text.encode("latin-1") for stream, text in (kept or {}).items()}
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        info = os.fstat(self._file)
        if info.st_mode & _KIND != _REGULAR:
            raise OSError(errno.EINVAL, "is not a regular file", path)
        self._size = info.st_size
        # A crash can leave half a record: then the next record starts on a new line.
        self._torn = self._size > 0 and os.pread(self._file, 1, self._size - 1) != b"\n"

    def write(self, stream: bytes, chunk: bytes) -> None:
        """Log a chunk of a stream (b"stdout" or b"stderr"), with one timestamp."""
        text = self._kept.pop(stream, b"") + chunk
        head = rfc3339(time_ns(), fixed=True).encode() + b" " + stream
        full, part = head + b" F ", head + b" P "
        out = []
        begin = place = 0  # of the lines that are not in `out` yet; of the current line
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
        """Return the state for another process that continues this log."""
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
        """Log the unfinished lines, and close the file."""
        for stream, text in self._kept.items():
            self._append(b"%b %b P %b\n" % (rfc3339(time_ns(), fixed=True).encode(), stream, text), len(text))
        self._kept.clear()
        os.close(self._file)

    def _append(self, records: bytes, carries: int) -> None:
        """Write records, in as many files as they need. carries: the number of bytes of output in them."""
        view = memoryview(records)
        place = 0
        while place < len(records):
            room = self.max_size - self._size
            end = len(records)
            if end - place > room:
                end = records.rfind(b"\n", place, place + max(room, 0)) + 1
                if not end and self._size and self._rotate():
                    continue
                # A record that is larger than a file gets a file of its own.
                end = end or records.find(b"\n", place) + 1
            if not self._put(view[place:end]):
                self.dropped += carries
                return
            place = end

    def _put(self, records: memoryview) -> bool:
        """Write all of the records or, if that fails, none. Returns False if it failed."""
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
        """Start a new file. Returns False if that fails: then the old one grows on."""
        try:
            file = os.open(f"{self.path}.new", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            names = [self.path] + [f"{self.path}.{number}" for number in range(1, self.max_files)]
            for newer, older in reversed(list(zip(names, names[1:]))):
                try:
                    os.rename(newer, older)
                except FileNotFoundError:
                    pass  # there are fewer files so far
            os.rename(f"{self.path}.new", self.path)
        except OSError:
            return False
        os.close(self._file)
        self._file, self._size, self._torn = file, 0, False
        return True


def _lines(head: bytes, text: bytes) -> list[bytes]:
    """Make records of whole lines."""
    return [head, text[:-1].replace(b"\n", b"\n" + head), b"\n"] if text else []
