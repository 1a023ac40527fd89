"""Byte streams on their way into the store: decompressed, and hashed and stored while they are read."""

from __future__ import annotations

import bz2
import functools
import hashlib
import io
import lzma
import os
import queue
import select
import threading
import zlib

from mydocker.errors import FAILED, HostError, InvalidArgument
from mydocker.image.limits import over
from mydocker.kernel import programs
from mydocker.kernel.files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Stream = io.BufferedReader[Any]

CHUNK = 256 << 10  # small enough to stay in a processor's cache from one stage to the next
SMALL = 32 << 10  # bytes of a buffer that is read by large pieces: those go past it, without being copied
_INPUT = 16 << 10  # bytes for a decompressor, which copies those that are left over
_OUTPUT = 32 << 10  # bytes that a decompressor returns at most: more would be copied together from several blocks
_WRITEBACK = 16 << 20  # bytes
_XZ_MEMORY = 256 << 20  # bytes: `xz -9` needs 65 MB; a crafted archive may ask for 4 GB


def decompressed(stream: Stream) -> Stream:
    """Return the stream itself or, if its first bytes say gzip, bzip2, xz or zstd, the decompressed stream. Close the
    result, which may have a program behind it. Raises HostError if there is no program for zstd."""
    stream = with_magic(stream)
    kind = compression(stream.peek(6)[:6])
    if not kind:
        return stream
    if kind == "zstd":
        return io.BufferedReader(_unzstd(stream), SMALL)
    decompressors: dict[str, Callable[[], Any]] = {
        "gzip": _Gunzip,
        "bzip2": bz2.BZ2Decompressor,
        "xz": functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _XZ_MEMORY),
    }
    return io.BufferedReader(_Decompressed(stream, decompressors[kind]), SMALL)


def with_magic(stream: Stream, length: int = 6) -> Stream:
    """Return the stream with at least so many bytes in its buffer, unless it has fewer. A pipe may bring them one by
    one, and peek() reads once at most."""
    if len(stream.peek(length)) >= length:
        return stream
    first = stream.read(length)
    return io.BufferedReader(_Prepended(first, stream), CHUNK) if first else stream


class _Prepended(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, first: bytes, source: Stream) -> None:
        self._first, self._source = first, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._first or self._source.read1(len(buffer))
        buffer[: len(data)] = data
        self._first = b""
        return len(data)


def compression(magic: bytes) -> str:
    """Return how a stream that begins with these six bytes is compressed: gzip, bzip2, xz or zstd; "" for none."""
    if magic.startswith(b"\x1f\x8b"):
        return "gzip"
    if magic.startswith(b"BZh"):
        return "bzip2"
    if magic.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[:1] in _SKIPPABLE and magic[1:4] == b"\x2a\x4d\x18"):
        return "zstd"
    return ""


_SKIPPABLE = bytes(range(0x50, 0x60))  # the first byte of zstd's skippable frames, with which a stream may begin


def _unzstd(stream: Stream) -> io.RawIOBase:
    """Decompress by the standard library from Python 3.14 on, else by the program zstd. python3-zstandard cannot be
    used: either it has no bound on the output of a crafted frame, or it accepts a frame that was cut off."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        program = programs.find("zstd")
        if not program:
            hint = "install the package zstd"
            raise HostError("this is compressed with zstd, and zstd is not installed", hint) from None
        return _Filtered(stream, [program, "-dc", "--quiet"])
    return _Decompressed(stream, zstd.ZstdDecompressor)


class _Gunzip:
    """zlib's decompressor with the interface of bz2's and lzma's."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self._full = False  # the last output had the maximum length, so more may come without new input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        output = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self._full = len(output) == max_length
        return output

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._zlib.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


class _Decompressed(io.RawIOBase):
    """The content of one compressed stream, or of several in a row; in constant memory."""

    def __init__(self, source: Stream, make: Callable[[], Any]) -> None:
        self._source = source
        self._make = make
        self._decompressor = make()
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = 0
        while count < len(buffer) and (data := self._next(min(len(buffer) - count, _OUTPUT))):
            buffer[count : count + len(data)] = data
            count += len(data)
        return count

    def _next(self, maximum: int) -> bytes:
        """Return one byte or more, `maximum` at most; b"" at the end."""
        data = packed = b""
        while not data and not self._ended:
            if self._decompressor.eof:
                packed = (self._decompressor.unused_data or self._source.read1(_INPUT)).lstrip(b"\0")
                while not packed and (more := self._source.read1(CHUNK)):  # read all padding: its writer gets no EPIPE
                    packed = more.lstrip(b"\0")
                if not packed:
                    self._ended = True
                    break
                self._decompressor = self._make()
            elif self._decompressor.needs_input:
                packed = self._source.read1(_INPUT)
                if not packed:
                    raise _broken()
            else:
                packed = b""
            try:
                data = self._decompressor.decompress(packed, maximum)
            except Exception:  # zlib.error, LZMAError, ZstdError, and bz2's plain OSError
                raise _broken() from None
        return data


class _Filtered(io.RawIOBase):
    """A program's output for a stream as its input. Writes and reads alternate, as the program is ready for them: no
    thread is needed that could wait forever, and only one chunk is in memory."""

    def __init__(self, source: Stream, argv: list[str]) -> None:
        import subprocess

        self._source = source
        self._pending = memoryview(b"")  # has been read and is not written yet
        self._process = subprocess.Popen(
            argv, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            ready, _, _ = select.select([self._out], [] if self._in.closed else [self._in], [])
            if ready:
                count = os.readv(self._out.fileno(), [buffer])
                if not count and self._process.wait():
                    raise _broken()
                return count
            self._feed()

    def _feed(self) -> None:
        self._pending = self._pending or memoryview(self._source.read1(CHUNK))
        try:
            if self._pending:
                self._pending = self._pending[os.write(self._in.fileno(), self._pending) :]
            else:
                self._in.close()
        except BlockingIOError:
            pass
        except BrokenPipeError:  # the program has ended, and its exit code says why
            self._in.close()

    def close(self) -> None:
        if not self.closed:
            self._process.kill()
            self._process.wait()
            self._in.close()
            self._out.close()
        super().close()


def _broken() -> InvalidArgument:
    return InvalidArgument("the archive is damaged: its compressed data is malformed or cut off", exit_code=FAILED)


class Tee(io.RawIOBase):
    """Passes a stream on to its reader, hashes the same bytes and writes them to the new file `keep`, if one is given.
    threaded: a thread does that meanwhile. hashlib and write(2) release the interpreter's lock, so that reader and
    thread run in parallel, at the price of a copy and of handing the lock over; where all processors have work, it is
    not worth that. limit: bytes that the stream may have (limits.py); 0 for any number.

    Use it as a context manager, and call finish() before its end. Keep a reference to a BufferedReader of it until
    then: without references the reader closes it."""

    def __init__(self, source: Stream, keep: str = "", limit: int = 0, threaded: bool = True) -> None:
        self._source = source
        self._keep = keep
        self._limit = limit
        self._digest = hashlib.sha256()
        self._chunks: queue.Queue[bytes] = queue.Queue(8)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True) if threaded else None
        self._written = self._started = 0  # bytes of `keep` that are written, and those whose write-back has begun
        self._descriptor = os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644) if keep else -1
        self.size = 0
        if self._thread:
            self._thread.start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.closed:
            raise ValueError("read after close(): these bytes would not be hashed")
        count = self._source.readinto1(buffer)
        if self._error:
            raise self._error
        if count:
            self.size += count
            if 0 < self._limit < self.size:
                raise over(f"a layer of more than {self._limit} bytes", "image_size")
            chunk = memoryview(buffer)[:count]
            if self._thread:
                self._chunks.put(bytes(chunk))
            else:
                self._take(chunk)
        return count

    def finish(self) -> str:
        """Read the stream to its end and wait for the thread. Returns the digest, `sha256:…`."""
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            pass
        if self._thread:
            self._stop()
            if self._error:
                raise self._error
        else:
            self._sync()
        return f"sha256:{self._digest.hexdigest()}"

    def _work(self) -> None:
        try:
            while chunk := self._chunks.get():
                self._take(chunk)
            self._sync()
        except BaseException as error:
            self._error = error
            while self._chunks.get():
                pass  # the reader must not wait for ever on a full queue

    def _take(self, chunk: bytes | memoryview) -> None:
        self._digest.update(chunk)
        if self._keep:
            write_all(self._descriptor, chunk)
            self._written += len(chunk)
            if self._written - self._started >= _WRITEBACK:
                # Start write-back now and drop the pages: nothing reads them soon.
                length = self._written - self._started
                os.posix_fadvise(self._descriptor, self._started, length, os.POSIX_FADV_DONTNEED)
                self._started = self._written

    def _sync(self) -> None:
        if self._keep:
            os.fsync(self._descriptor)

    def _stop(self) -> None:
        if self._thread and self._thread.is_alive():
            self._chunks.put(b"")
            self._thread.join()

    def close(self) -> None:
        if not self.closed:
            self._stop()
            if self._keep:
                os.close(self._descriptor)
        super().close()
