"""Print a container's log: its stdout to stdout, its stderr to stderr, byte for byte."""

from __future__ import annotations

from mydocker.cli.output import emit
from mydocker.model.timestamp import rfc3339
from mydocker.runtime.crireader import LogReader, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mydocker.runtime.crireader import Record

_DESCRIPTORS = {b"stdout": 1, b"stderr": 2}


def show(
    path: str,
    tail: int | None = None,
    since: int | None = None,
    until: int | None = None,
    timestamps: bool = False,
    done: Callable[[], bool] | None = None,
    details: str | None = None,
) -> None:
    """Print a container's log. Raises OSError if it can't be printed.

    tail: only the last lines, this many. since, until: nanoseconds since 1970, both included. done: follow the log
    until done() is true, which means that the container has ended. details: a text before each line.
    """
    reader = LogReader(path)
    if since is None and until is None and not timestamps and details is None:
        for stream, data in reader.runs(tail, done):
            emit(data, _DESCRIPTORS[stream])
    else:
        head = None if details is None and not timestamps else _Head(timestamps, details)
        for records in reader.records(tail, _time(since, b""), _time(until, b"~"), done):
            for stream, data in merged(head(records) if head else records):
                emit(data, _DESCRIPTORS[stream])
    if reader.skipped:
        emit(f"mydocker: skipped {reader.skipped} malformed lines in {path}\n", 2)


def _time(ns: int | None, otherwise: bytes) -> bytes:
    return otherwise if ns is None else rfc3339(ns, fixed=True).encode()


class _Head:
    """Puts the time and the details before each line, but not before a long line's later pieces."""

    def __init__(self, timestamps: bool, details: str | None) -> None:
        self.timestamps = timestamps
        self.details = b"" if details is None else f"{details} ".encode()
        self.inside: set[bytes] = set()  # streams in the middle of a line

    def __call__(self, records: list[Record]) -> Iterator[Record]:
        for time, stream, data in records:
            head = b"" if stream in self.inside else (time + b" " if self.timestamps else b"") + self.details
            yield time, stream, head + data
            (self.inside.discard if data.endswith(b"\n") else self.inside.add)(stream)
