"""Archives of tarfile and GNU tar are read, damaged ones are refused, and ours can be read by others."""

from __future__ import annotations

import io
import itertools
import os
import stat
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.image import tar, tar_writer
from mydocker.image.tar_reader import Reader
from mydocker.image.tar_writer import Writer, pax_record

NAMES = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=150)


def written(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def read(raw: bytes) -> list[tuple[tar.Entry, bytes]]:
    """Return all entries with their content, read through a memory file."""
    entries = []
    for entry in (reader := Reader(io.BufferedReader(io.BytesIO(raw)))):
        content = b""
        if entry.type == tar.FILE:
            descriptor = os.memfd_create("content")
            reader.copy_content(entry, descriptor)
            content = os.pread(descriptor, 1 << 22, 0)
            os.close(descriptor)
        entries.append((entry, content))
    return entries


@given(
    format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    path=st.lists(NAMES, min_size=1, max_size=4),
    content=st.binary(max_size=2000),
    owner=st.integers(0, (1 << 32) - 2),
    mode=st.integers(0, 0o7777),
    mtime=st.integers(-(1 << 33), 1 << 35),
)
def test_a_file_is_read_as_it_was_written(format, path, content, owner, mode, mtime):
    name = "/".join(path)
    wanted = member(name, content, uid=owner, gid=owner, mode=mode, mtime=mtime)
    ((entry, data),) = read(written(wanted, format=format))
    assert (entry.name, data) == (name, content)
    assert (entry.uid, entry.gid, entry.mode, entry.time) == (owner, owner, mode, mtime * 10**9)


@given(target=st.lists(NAMES, min_size=1, max_size=3), format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_links_are_read_as_they_were_written(target, format):
    target = "/".join(target)
    symbolic = member("s", type=tarfile.SYMTYPE, linkname=target)
    hard = member("h", type=tarfile.LNKTYPE, linkname=target)
    entries = [entry for entry, _ in read(written(symbolic, hard, format=format))]
    assert [(entry.type, entry.target) for entry in entries] == [(tar.SYMLINK, target), (tar.LINK, target)]


def test_other_kinds():
    raw = written(
        member("d", type=tarfile.DIRTYPE),
        member("p", type=tarfile.FIFOTYPE),
        member("c", type=tarfile.CHRTYPE, devmajor=5, devminor=2),
        member("old/", type=tarfile.AREGTYPE),
        format=tarfile.USTAR_FORMAT,
    )
    entries = [entry for entry, _ in read(raw)]
    assert [entry.type for entry in entries] == [tar.DIR, tar.FIFO, tar.CHARACTER, tar.DIR]
    assert (entries[2].major, entries[2].minor) == (5, 2)


def test_names_that_are_not_utf_8_keep_their_bytes():
    raw = bytearray(written(member("XX.txt"), format=tarfile.USTAR_FORMAT))
    raw[0:2] = b"\xff\xfe"
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    assert os.fsencode(read(bytes(raw))[0][0].name) == b"\xff\xfe.txt"


def test_the_extended_header_s_time_is_exact_and_its_attributes_are_bytes():
    capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\xff"
    headers = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "mtime": "-1.000000001",
    }
    out = tarfile.TarInfo("x")
    out.pax_headers = headers
    raw = out.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + bytes(1024)
    entry = read(raw)[0][0]
    assert entry.xattrs == {"security.capability": capability}
    assert entry.time == -1_000_000_001


def sparse_gnu() -> bytes:
    """Make a file in the old GNU format, with 5 pieces, so that the map needs a second block."""
    info, _ = member("sparse")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    pieces = [(at * 4096, 3) for at in range(5)]
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 15
    for index, (offset, length) in enumerate(pieces[:4]):
        header[386 + index * 24 : 410 + index * 24] = b"%011o\0%011o\0" % (offset, length)
    header[482] = 1
    header[483:495] = b"%011o\0" % 20000
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    extension = (b"%011o\0%011o\0" % pieces[4]).ljust(512, b"\0")
    return bytes(header) + extension + b"abcdefghijklmno".ljust(512, b"\0") + bytes(1024)


def sparse_pax(version: str, pieces: str = "0,3,4096,3,8192,3,12288,3,16384,3", size: str = "20000") -> bytes:
    info, content = member("GNUSparseFile.1/sparse", b"abcdefghijklmno")
    info.pax_headers = {"GNU.sparse.name": "sparse"}
    if version == "0.0":
        keys = itertools.cycle([b"GNU.sparse.offset", b"GNU.sparse.numbytes"])
        records = b"".join(pax_record(next(keys), number.encode()) for number in pieces.split(","))
        records += pax_record(b"GNU.sparse.size", size.encode()) + pax_record(b"GNU.sparse.numblocks", b"5")
        return extended(records, after=written(member("sparse", content)))
    if version == "1.0":
        table = ("5\n" + pieces.replace(",", "\n") + "\n").encode()
        content = table.ljust(512, b"\0") + content
        info.pax_headers.update({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": size})
    else:
        info.pax_headers.update({"GNU.sparse.map": pieces, "GNU.sparse.size": size})
    return written((info, content))


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files(form):
    ((entry, content),) = read(sparse_gnu() if form == "gnu" else sparse_pax(form))
    assert entry.name == "sparse"
    expected = bytearray(20000)
    for index in range(5):
        expected[index * 4096 : index * 4096 + 3] = b"abcdefghijklmno"[index * 3 : index * 3 + 3]
    assert content == bytes(expected)


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        ("0,3,4096,3,8192,3,12288,3", "20000"),
        ("0,3,0,3,1,3,4,3,8,3", "20000"),
        ("0,3,4096,3,8192,3,12288,3,16384,4", "20000"),
        ("0,3,4096,3,8192,3,12288,3,99999,3", "20000"),
        ("-9,3,4096,3,8192,3,12288,3,16384,3", "20000"),
        ("0,-3,4096,3,8192,3,12288,3,16384,9", "20000"),
        ("0,3,4096,3,8192,3,12288,3,16384,3", "200"),
        ("0,3,4096,3,8192,3,12288,3,16384,3", "many"),
        ("0,3,4096,three,8192,3,12288,3,16384,3", "20000"),
    ],
)
def test_a_malformed_map_of_holes(version, pieces, size):
    with pytest.raises(InvalidArgument, match="damaged"):
        read(sparse_pax(version, pieces, size))


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "1", "GNU.sparse.realsize": "1"},
        {"GNU.sparse.map": "0,1"},
        {"GNU.sparse.map": "0,0_1", "GNU.sparse.size": "1"},
        {"GNU.sparse.map": "0," + "9" * 1000, "GNU.sparse.size": "1"},
        {"uid": "1_000"},
        {"mtime": "9" * 1000},
        {"GNU.sparse.map": "0,1,2", "GNU.sparse.size": "1"},
        {"GNU.sparse.offset": "0", "GNU.sparse.size": "1"},
        {"GNU.sparse.numbytes": "1", "GNU.sparse.size": "1"},
        {"GNU.sparse.name": "x"},
    ],
)
def test_malformed_records_are_refused(records):
    info, content = member("x", b"1")
    info.pax_headers = records
    with pytest.raises(InvalidArgument, match="damaged"):
        read(written((info, content)))


def test_a_map_of_holes_has_a_maximum_length():
    raw = bytearray(sparse_pax("1.0"))
    at = raw.index(b"5\n0\n3\n")
    raw[at : at + 2] = b"99"
    with pytest.raises(InvalidArgument, match="damaged"):
        read(bytes(raw))


def extended(records: bytes, size: int = -1, kind: bytes = b"x", after: bytes = b"") -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(records) if size < 0 else size
    return info.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512) + (after or written(member("x")))


@pytest.mark.parametrize(
    "records",
    [
        b"x path=a\n",
        b"999 path=a\n",
        b"0 path=a\n",
        b"-1 path=a\n",
        b"3 path=a\n",
        b"9 path=a",
        b"8 path:a\n",
        b"12 uid=many\n",
        b"10 size=-\n",
        b"12 size=-99\n",
        b"13 mtime=nan\n",
        b"15 mtime=1e300\n",
        b"25 SCHILY.xattr.user.\0a=b\n",
    ],
)
def test_a_malformed_extended_header(records):
    with pytest.raises(InvalidArgument, match="damaged"):
        read(extended(records))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_extended_header_has_a_maximum_length(kind):
    with pytest.raises(InvalidArgument, match="an extended header of 8589934591 bytes"):
        read(extended(b"", 8589934591, kind))


def test_a_global_header_is_skipped():
    assert [entry.name for entry, _ in read(extended(b"10 path=a\n", kind=b"g"))] == ["x"]


def test_thousands_of_entries_are_not_kept():
    info = tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)
    reader = Reader(io.BufferedReader(io.BytesIO(info * 5000 + bytes(1024))))
    assert sum(1 for _ in reader) == 5000


GOOD = written(member("a", b"1" * 1000), member("b", b"2" * 5000))


@given(st.integers(1, len(GOOD.rstrip(b"\0"))))
def test_an_archive_that_is_cut_within_an_entry_is_refused(length):
    reader = Reader(io.BufferedReader(io.BytesIO(GOOD[:length])))
    if length in (1536, 1536 + 512 + 5120):  # between two entries
        assert list(reader)
    else:
        with pytest.raises(InvalidArgument, match=r"unexpected end|not a tar"):
            list(reader)


@pytest.mark.parametrize("raw", [b"", bytes(512), bytes(1024)])
def test_an_archive_without_entries_is_empty(raw):
    assert read(raw) == []


def test_a_name_with_a_slash_at_its_end_is_a_directory_only_in_the_oldest_format():
    for kind, expected in ((tarfile.REGTYPE, tar.FILE), (tarfile.AREGTYPE, tar.DIR)):
        info, _ = member("f/", type=kind, size=3 if kind == tarfile.REGTYPE else 0)
        raw = info.tobuf(tarfile.USTAR_FORMAT) + (b"abc".ljust(512, b"\0") if info.size else b"")
        ((entry, content),) = read(raw)
        assert (entry.type, content) == (expected, b"abc" if info.size else b"")


@given(st.integers(0, 511), st.integers(1, 255))
def test_a_header_with_a_wrong_byte_is_refused(at, change):
    raw = bytearray(GOOD)
    raw[at] ^= change
    try:
        entries = read(bytes(raw))
    except InvalidArgument:
        return
    # The checksum's own blanks and NULs may change and say the same.
    assert 148 <= at < 156
    assert len(entries) == 2


@given(st.binary(max_size=2048))
def test_any_bytes_are_refused_or_read(raw):
    try:
        read(raw)
    except InvalidArgument:
        pass


@given(
    path=st.lists(st.binary(min_size=1, max_size=150), min_size=1, max_size=3),
    target=st.binary(max_size=200),
    kind=st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK]),
    owner=st.integers(0, (1 << 32) - 1),
    mtime=st.integers(-(1 << 40), 1 << 40),
    device=st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1)),
    xattrs=st.dictionaries(
        st.sampled_from(["security.capability", "user.a", "user.%3D=%25", "user.\udcff é"]), st.binary(max_size=120)
    ),
)
def test_what_is_written_is_read(path, target, kind, owner, mtime, device, xattrs):
    name = os.fsdecode(b"/".join(path).replace(b"\0", b"0").strip(b"/") or b"x")
    target = os.fsdecode(target.replace(b"\0", b"0"))
    info = os.stat_result(
        (kind | 0o1750, 1, 2, 1, owner, owner, 0, 0, mtime, 0),
        {"st_mtime_ns": mtime * 10**9, "st_rdev": os.makedev(*device)},
    )
    out = io.BytesIO()
    writer = Writer(out)
    writer.add(name, info, target, xattrs=xattrs)
    writer.add(name, info, link="first")
    writer.finish()
    (entry, _), (link, _) = read(out.getvalue())
    directory = kind == stat.S_IFDIR
    assert (entry.name, entry.type) == (f"{name}/" if directory else name, tar_writer.TYPES[kind])
    assert (entry.mode, entry.uid, entry.gid, entry.time, entry.target) == (0o1750, owner, owner, mtime * 10**9, target)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        assert (entry.major, entry.minor) == device
    assert entry.xattrs == xattrs
    assert (link.name, link.type, link.target, link.xattrs) == (name, tar.LINK, "first", {})


class TestWriter:
    def archive(self, *calls) -> tarfile.TarFile:
        out = io.BytesIO()
        writer = Writer(out)
        for path, info, options in calls:
            writer.add(path, info, **options)
        writer.add_empty(".wh.gone")
        writer.finish()
        return tarfile.open(fileobj=io.BytesIO(out.getvalue()), encoding="utf-8", errors="surrogateescape")

    def info(self, mode: int, size: int = 0, mtime_ns: int = 5_999_999_999) -> os.stat_result:
        return os.stat_result(
            (mode, 1, 2, 1, 70000, 3000000, size, 0, mtime_ns // 10**9, 0),
            {"st_mtime_ns": mtime_ns, "st_rdev": os.makedev(8, 1)},
        )

    def test_is_read_by_tarfile(self, tmp_path):
        (tmp_path / "file").write_bytes(b"content")
        descriptor = os.open(tmp_path / "file", os.O_RDONLY)
        long = "d/" + "n" * 300
        xattrs = {tar.CAPABILITY: b"\x01\xff\0", "user.=": b""}
        archive = self.archive(
            (long, self.info(stat.S_IFREG | 0o4755, 7), {"content": descriptor, "xattrs": xattrs}),
            ("directory", self.info(stat.S_IFDIR | 0o1777), {}),
            ("link", self.info(stat.S_IFLNK | 0o777), {"target": "../é\udcff"}),
            ("hard", self.info(stat.S_IFREG | 0o644, 7), {"link": long}),
            ("block", self.info(stat.S_IFBLK | 0o600), {}),
        )
        os.close(descriptor)
        first, directory, link, hard, block, empty = archive.getmembers()
        assert (first.name, first.mode, first.uid, first.gid) == (long, 0o4755, 70000, 3000000)
        assert first.pax_headers["mtime"] == "5.999999999"
        assert archive.extractfile(first).read() == b"content"
        assert first.pax_headers["SCHILY.xattr.security.capability"] == "\x01\udcff\0"
        assert first.pax_headers["SCHILY.xattr.user.%3D"] == ""  # as GNU tar has it
        assert (directory.isdir(), directory.mode) == (True, 0o1777)
        assert (link.issym(), link.linkname) == (True, "../é\udcff")
        assert (hard.islnk(), hard.linkname, hard.size) == (True, long, 0)
        assert (block.isblk(), block.devmajor, block.devminor) == (True, 8, 1)
        assert (empty.name, empty.size, empty.mtime) == (".wh.gone", 0, 0)

    def test_writes_the_announced_size_of_a_file_that_changes(self, tmp_path):
        (tmp_path / "file").write_bytes(b"12345")
        for promised, expected in ((3, b"123"), (8, b"12345\0\0\0")):
            descriptor = os.open(tmp_path / "file", os.O_RDONLY)
            archive = self.archive(("file", self.info(stat.S_IFREG | 0o644, promised), {"content": descriptor}))
            os.close(descriptor)
            assert archive.extractfile("file").read() == expected
            assert archive.getnames() == ["file", ".wh.gone"]


HOLES = st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 5000)), max_size=6)


@settings(max_examples=25)
@given(holes=HOLES, end=st.integers(0, 200_000))
def test_large_holes_are_written_as_holes(holes, end):
    """Our reader and tarfile read the same file again."""
    descriptor, size, data = os.memfd_create("sparse"), 0, 0
    for hole, length in holes:
        os.pwrite(descriptor, b"x" * length, size + hole)
        size, data = size + hole + length, data + length
    size += end
    os.ftruncate(descriptor, size)
    expected = os.pread(descriptor, size, 0)
    out = io.BytesIO()
    writer = Writer(out)
    writer.add("d/sparse", os.fstat(descriptor), content=descriptor)
    writer.finish()
    os.close(descriptor)
    raw = out.getvalue()
    ((entry, content),) = read(raw)
    assert (entry.name, entry.size, content) == ("d/sparse", size, expected)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        assert archive.extractfile("d/sparse").read() == expected
    pieces = len(holes) + 1
    assert len(raw) < data + pieces * (tar_writer._SMALLEST_HOLE + 8192) + 8192


def test_the_map_of_a_file_of_many_pieces_can_be_read(monkeypatch):
    monkeypatch.setattr(tar_writer, "_SMALLEST_HOLE", 4096)
    monkeypatch.setattr(tar_writer, "_MAX_PIECES", 50)
    descriptor, count = os.memfd_create("sparse"), 400
    for number in range(count):
        os.pwrite(descriptor, b"x", number * 65536)
    size = count * 65536
    os.ftruncate(descriptor, size)
    pieces = tar_writer._pieces(descriptor, size)
    assert len(pieces) <= 50
    assert all(any(at <= number * 65536 < at + length for at, length in pieces) for number in range(count))
    os.close(descriptor)
