"""Streams are decompressed, refused if they are damaged, hashed and stored."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import HostError, InvalidArgument
from mydocker.image import streams
from mydocker.kernel import programs

COMPRESS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
DATA = os.urandom(3000) + bytes(3_000_000) + os.urandom(3000)


def stream(raw: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(raw))


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_one_stream_or_several_in_a_row(kind, copies):
    assert streams.decompressed(stream(COMPRESS[kind](DATA) * copies)).read() == DATA * copies


@given(st.sampled_from(list(COMPRESS)), st.binary(max_size=500), st.integers(1, 64))
def test_in_pieces_of_any_size(kind, data, size):
    plain = streams.decompressed(stream(COMPRESS[kind](data)))
    pieces = iter(lambda: plain.read(size), b"")
    assert b"".join(pieces) == data


def test_a_stream_that_is_not_compressed_is_returned_as_it_is():
    plain = stream(b"plain text")
    assert streams.decompressed(plain) is plain


class Slow(io.RawIOBase):
    """A pipe that brings one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = iter(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        byte = next(self._rest, None)
        if byte is None:
            return 0
        buffer[0] = byte
        return 1


@pytest.mark.parametrize("data", [b"", b"few", b"plain text"])
@pytest.mark.parametrize("kind", ["", *COMPRESS])
def test_the_first_bytes_may_come_one_by_one(kind, data):
    raw = COMPRESS[kind](data) if kind else data
    assert streams.decompressed(io.BufferedReader(Slow(raw))).read() == data


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("cut", [20, -1])
def test_a_truncated_stream_is_refused(kind, cut):
    with pytest.raises(InvalidArgument, match="compressed data"):
        streams.decompressed(stream(COMPRESS[kind](DATA)[:cut])).read()


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_wrong_byte_is_refused(kind):
    raw = bytearray(COMPRESS[kind](DATA))
    raw[1500] ^= 1
    with pytest.raises(InvalidArgument, match="compressed data"):
        streams.decompressed(stream(bytes(raw))).read()


def test_xz_has_a_limit_of_memory():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    raw = lzma.compress(b"x", filters=filters)
    with pytest.raises(InvalidArgument):
        streams.decompressed(stream(raw)).read()


def test_zstd_without_its_program_is_an_error_that_names_the_package(monkeypatch):
    """The message fits an image in the store and an archive. test_images_store.py tests that zstd is read."""
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setattr(programs, "find", lambda name: "")
    for magic in ("28b52ffd", "502a4d18", "5f2a4d18"):
        with pytest.raises(HostError, match="install the package zstd"):
            streams.decompressed(stream(bytes.fromhex(magic) + b"x"))


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("padding", [1, 3 << 20])
def test_padding_after_the_end_is_read_completely(kind, padding):
    """A program that writes them into a pipe must not get EPIPE."""
    source = stream(COMPRESS[kind](DATA) + bytes(padding))
    assert streams.decompressed(source).read() == DATA
    assert source.read() == b""


@pytest.mark.parametrize("kind", COMPRESS)
def test_other_bytes_after_the_end_are_refused(kind):
    for behind in (b"garbage", bytes(100_000) + b"garbage", bytes(100_000) + b"\1" + bytes(100_000)):
        with pytest.raises(InvalidArgument, match="compressed data"):
            streams.decompressed(stream(COMPRESS[kind](b"x") + behind)).read()


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_tee_hashes_and_stores_all_bytes(tmp_path, keep, threaded):
    path = str(tmp_path / "kept") if keep else ""
    with streams.Tee(stream(DATA), path, threaded=threaded) as tee:
        assert tee.read(10) == DATA[:10]  # the rest is read by finish()
        assert tee.finish() == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
        assert tee.size == len(DATA)
    if keep:
        assert (tmp_path / "kept").read_bytes() == DATA


def test_tee_reads_the_bytes_that_its_reader_has_left():
    data = bytes(20 << 20)
    with streams.Tee(stream(data)) as tee, io.BufferedReader(tee, streams.CHUNK) as reader:
        reader.read(10)
        assert tee.finish() == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert tee.size == len(data)


def test_a_closed_tee_cannot_be_read():
    """Its bytes would be counted, but not hashed: a BufferedReader without references closes its Tee."""
    tee = streams.Tee(stream(bytes(20 << 20)))
    io.BufferedReader(tee).read(10)
    with pytest.raises(ValueError, match="would not be hashed"):
        tee.finish()


def test_tee_does_not_wait_for_a_thread_that_has_failed(monkeypatch):
    def fails(self, chunk) -> None:
        raise MemoryError

    monkeypatch.setattr(streams.Tee, "_take", fails)
    with streams.Tee(stream(bytes(20 << 20))) as tee, pytest.raises(MemoryError):
        tee.finish()


@pytest.mark.parametrize("threaded", [True, False])
def test_tee_raises_the_error_of_a_full_disk_in_its_reader(tmp_path, threaded):
    tee = streams.Tee(stream(DATA * 10), str(tmp_path / "kept"), threaded=threaded)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, tee._descriptor)
    os.close(full)
    with pytest.raises(OSError, match="No space"):
        tee.finish()
    tee.close()


def test_tee_ends_its_thread_after_any_error(tmp_path):
    def interrupted(tee: streams.Tee) -> None:
        with tee:
            tee.read(10)
            raise KeyboardInterrupt

    tee = streams.Tee(stream(DATA), str(tmp_path / "kept"))
    with pytest.raises(KeyboardInterrupt):
        interrupted(tee)
    assert not tee._thread.is_alive()
