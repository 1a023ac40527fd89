"""The container's log: what is written reads back byte for byte, through rotation, full disks and crashes."""

from __future__ import annotations

import errno
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.cli import logview
from mydocker.model.options.times import parse_rfc3339
from mydocker.runtime import crilog, crireader
from mydocker.runtime.crilog import LogWriter
from mydocker.runtime.crireader import LogReader

LONGEST = 16 << 10
RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)\n")
OUT, ERR = b"stdout", b"stderr"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "container.log")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture
def clock(monkeypatch):
    """The writer's time: each call is a second later, from 2016-10-06T00:17:09.000000042Z on."""
    now = [parse_rfc3339("2016-10-06T00:17:09.000000042Z") - 10**9]

    def tick():
        now[0] += 10**9
        return now[0]

    monkeypatch.setattr(crilog, "time_ns", tick)


def content(path, number=0):
    with open(f"{path}.{number}" if number else path, "rb") as file:
        return file.read()


def write(path, *chunks, **settings):
    writer = LogWriter(path, **settings)
    for stream, chunk in chunks:
        writer.write(stream, chunk)
    writer.close()
    return writer


def read(path, **options):
    """{stream: its bytes}, by both ways of reading."""
    said = {OUT: b"", ERR: b""}
    for stream, data in LogReader(path).runs(**options):
        said[stream] += data
    by_record = {OUT: b"", ERR: b""}
    for records in LogReader(path).records(**options):
        for _, stream, data in records:
            by_record[stream] += data
    assert by_record == said
    return said


def everything(chunks):
    return {name: b"".join(chunk for stream, chunk in chunks if stream == name) for name in (OUT, ERR)}


class TestWriter:
    def test_format(self, path, clock):
        write(path, (OUT, b"text\nmore\n"), (ERR, b"par"), (OUT, b"x\0\xff\r\n\n"), (ERR, b"t\nrest"))
        assert content(path) == (
            b"2016-10-06T00:17:09.000000042Z stdout F text\n"
            b"2016-10-06T00:17:09.000000042Z stdout F more\n"
            b"2016-10-06T00:17:11.000000042Z stdout F x\0\xff\r\n"
            b"2016-10-06T00:17:11.000000042Z stdout F \n"
            b"2016-10-06T00:17:12.000000042Z stderr F part\n"
            b"2016-10-06T00:17:13.000000042Z stderr P rest\n"
        )

    @pytest.mark.parametrize("piece", [1000, 4096, 16384, 65536, 200_000])
    @pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 100_000])
    def test_a_long_line_is_cut(self, path, length, piece):
        data = b"a\n" + b"x" * length + b"\n" + b"b\n"
        chunks = [(OUT, data[place : place + piece]) for place in range(0, len(data), piece)]
        write(path, *chunks)
        records = [RECORD.fullmatch(line) for line in content(path).splitlines(keepends=True)]
        assert all(records)
        assert max(len(record[3]) for record in records) <= LONGEST
        assert [record[2] for record in records if len(record[3]) < LONGEST].count(b"P") == 0
        assert read(path)[OUT] == data

    def test_goes_on_where_an_earlier_one_ended(self, path):
        write(path, (OUT, b"one\n"))
        write(path, (OUT, b"two\n"))
        assert read(path)[OUT] == b"one\ntwo\n"

    def test_a_record_that_a_crash_cut_off_does_not_spoil_the_next(self, path):
        write(path, (OUT, b"one\ntwo\n"))
        os.truncate(path, os.path.getsize(path) - 30)
        write(path, (OUT, b"three\n"))
        reader = LogReader(path)
        assert list(reader.runs()) == [(OUT, b"one\nthree\n")]
        assert reader.skipped == 1

    def test_only_its_owner_may_read_it(self, path):
        write(path, (OUT, b"secret\n"))
        assert os.stat(path).st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("files", [1, 2, 3, 5])
    def test_rotation(self, path, files):
        lines = [b"line %d\n" % number for number in range(1000)]
        write(path, *((OUT, line) for line in lines), max_size=4096, max_files=files)
        names = sorted(os.listdir(os.path.dirname(path)))
        assert names == ["container.log", *(f"container.log.{number}" for number in range(1, files))]
        assert all(4000 < len(content(path, number)) <= 4096 for number in range(1, files))
        text = read(path)[OUT]
        assert b"".join(lines).endswith(text)
        assert len(text) > 500 * (files - 1)

    def test_one_large_chunk_fills_several_files(self, path):
        write(path, (OUT, b"\n" * 1000 + b"x" * 9000 + b"\n" * 1000), max_size=4096, max_files=100)
        numbers = range(len(os.listdir(os.path.dirname(path))))
        sizes = [len(content(path, number)) for number in numbers]
        assert max(sizes) == 9000 + 41  # a record that is larger than a file has one to itself
        assert sorted(sizes)[-2] <= 4096
        assert read(path)[OUT] == b"\n" * 1000 + b"x" * 9000 + b"\n" * 1000

    def test_a_rotation_that_fails_costs_nothing(self, path, monkeypatch):
        def refuse(*names):
            raise OSError(errno.EROFS, "read-only")

        monkeypatch.setattr(crilog.os, "rename", refuse)
        writer = write(path, *((OUT, b"line\n") for _ in range(500)), max_size=4096)
        assert read(path)[OUT] == b"line\n" * 500
        assert writer.dropped == 0


class TestFullDisk:
    @pytest.fixture
    def disk(self, monkeypatch):
        """disk["free"]: how many bytes the kernel still takes; None: any number."""
        state = {"free": None, "truncates": True}
        real_write, real_truncate = os.write, os.ftruncate

        def limited(descriptor, data):
            if state["free"] is None:
                return real_write(descriptor, data)
            if state["free"] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = real_write(descriptor, data[: state["free"]])
            state["free"] -= written
            return written

        def truncate(descriptor, size):
            if not state["truncates"]:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real_truncate(descriptor, size)

        monkeypatch.setattr(crilog.os, "write", limited)
        monkeypatch.setattr(crilog.os, "ftruncate", truncate)
        return state

    @pytest.mark.parametrize("free", [0, 1, 39, 40, 45, 60])
    @pytest.mark.parametrize("truncates", [True, False])
    def test_a_failed_write_loses_only_what_did_not_fit(self, path, disk, free, truncates):
        writer = LogWriter(path)
        writer.write(OUT, b"one\n")
        disk.update(free=free, truncates=truncates)
        writer.write(OUT, b"two\nmore\n")
        writer.write(ERR, b"gone\n")
        writer.write(OUT, b"kept until there is ")
        disk["free"] = None
        writer.write(OUT, b"space\n")
        writer.close()
        reader = LogReader(path)
        said = b"".join(data for _, data in reader.runs())
        assert said.startswith(b"one\n")
        assert said.endswith(b"kept until there is space\n")
        assert writer.dropped == len(b"two\nmore\ngone\n")
        assert writer.why == os.strerror(errno.ENOSPC)
        if truncates:
            assert said == b"one\nkept until there is space\n"
            assert reader.skipped == 0
        assert reader.skipped <= 1

    def test_a_short_write_is_finished(self, path, monkeypatch):
        real = os.write
        monkeypatch.setattr(crilog.os, "write", lambda descriptor, data: real(descriptor, data[:7]))
        write(path, (OUT, b"one\ntwo\n"))
        assert read(path)[OUT] == b"one\ntwo\n"


LINES = [b"line\n", b" stdout F \n", b"2016-10-06T00:17:09.669794202Z stderr P x\n"]
PIECES = [b"\n", b"a\nb\n", b"\n\n", b"x" * 5000, b"x" * (LONGEST - 1), b"x" * LONGEST + b"\n", b"x" * 40000]
CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([OUT, ERR]),
        st.binary(max_size=20) | st.sampled_from(PIECES) | st.lists(st.sampled_from(LINES)).map(b"".join),
    ),
    max_size=30,
)


@given(CHUNKS, st.sampled_from([4096, 20_000, 10 << 20]))
def test_round_trip(directory, chunks, size):
    path = f"{directory}/round"
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    write(path, *chunks, max_size=size, max_files=1000)
    assert read(path) == everything(chunks)


@given(CHUNKS, st.integers(0, 12), st.sampled_from([4096, 10 << 20]), st.sampled_from([7, 100, 32 << 10]))
def test_tail_is_the_last_lines(directory, chunks, count, size, block):
    path = f"{directory}/tail"
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    chunks = [(OUT, chunk) for _, chunk in chunks]
    write(path, *chunks, max_size=size, max_files=1000)
    text = everything(chunks)[OUT]
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crireader, "_TAIL_BLOCK", block)
        assert read(path, tail=count)[OUT] == b"".join(lines[len(lines) - count :] if count < len(lines) else lines)


class TestReader:
    def test_of_a_log_that_is_not_there(self, path):
        assert list(LogReader(path).runs()) == list(LogReader(path).runs(tail=3)) == []

    def test_streams_alternate_in_order(self, path):
        write(path, (OUT, b"1\n2\n"), (ERR, b"3\n"), (OUT, b"4\n"))
        assert list(LogReader(path).runs()) == [(OUT, b"1\n2\n"), (ERR, b"3\n"), (OUT, b"4\n")]

    def test_tail_counts_both_streams(self, path):
        write(path, (OUT, b"1\n2\n"), (ERR, b"3\n"), (OUT, b"4\n"))
        assert list(LogReader(path).runs(tail=3)) == [(OUT, b"2\n"), (ERR, b"3\n"), (OUT, b"4\n")]

    def test_tail_reads_the_end_only(self, path, monkeypatch):
        write(path, (OUT, b"some line of output\n" * 50_000), max_size=1 << 20)
        amount = []
        for name in ("read", "pread"):
            real = getattr(os, name)

            def counted(*args, real=real):
                data = real(*args)
                amount.append(len(data))
                return data

            monkeypatch.setattr(crilog.os, name, counted)
        assert list(LogReader(path).runs(tail=5)) == [(OUT, b"some line of output\n" * 5)]
        assert sum(amount) < 100_000

    @pytest.mark.parametrize(
        "line",
        [
            b"", b"text", b"x" * 100, b"2016-10-06T00:17:09.669794202Z", b"2016-10-06T00:17:09.669794202Z stdout X x",
            b"2016-10-06T00:17:09.669794202Z stdin F x", b"2016-10-06T00:17:09Z stdout F x", b"\0" * 40,
        ],
    )  # fmt: skip
    def test_lines_that_are_no_records_are_left_out(self, path, line):
        write(path, (OUT, b"one\n"))
        with open(path, "ab") as file:
            file.write(line + b"\n")
        write(path, (OUT, b"two\n"))
        for tail, said in ((None, b"one\ntwo\n"), (1, b"two\n"), (2, b"one\ntwo\n")):
            reader = LogReader(path)
            assert list(reader.runs(tail)) == [(OUT, said)]
            assert reader.skipped == 1

    def test_since_and_until_include_their_ends(self, path, clock):
        write(path, *((OUT, b"%d\n" % number) for number in range(5)))
        second = [b"2016-10-06T00:17:%02d.000000042Z" % number for number in range(9, 14)]

        def between(**limits):
            return [data for records in LogReader(path).records(**limits) for _, _, data in records]

        assert between() == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]
        assert between(since=second[3]) == [b"3\n", b"4\n"]
        assert between(until=second[1]) == [b"0\n", b"1\n"]
        assert between(since=second[1], until=second[2]) == [b"1\n", b"2\n"]
        assert between(since=second[4] + b"~") == []

    def test_no_descriptor_is_left_open(self, path):
        write(path, (OUT, b"line\n" * 1000), max_size=4096)
        before = sorted(os.listdir("/proc/self/fd"))
        for tail in (None, 0, 1, 100):
            list(LogReader(path).runs(tail))
        next(LogReader(path).runs())
        assert sorted(os.listdir("/proc/self/fd")) == before


class TestFollow:
    @pytest.fixture
    def follow(self, path, monkeypatch):
        """The lines that a follower sees. While it sleeps, an act is done; with the last act the container ends."""

        def follow(acts, **options):
            acts = list(acts)
            monkeypatch.setattr(crireader, "sleep", lambda seconds: acts.pop(0)())
            return b"".join(data for _, data in LogReader(path).runs(done=lambda: not acts, **options))

        return follow

    @pytest.mark.parametrize("files", [1, 2, 3])
    @pytest.mark.parametrize("size", [4096, 10 << 20])
    def test_sees_all_that_comes(self, path, follow, size, files):
        writer = LogWriter(path, size, files)
        lines = [b"line %d\n" % number for number in range(1000)]
        acts = [lambda line=line: writer.write(OUT, line) for line in lines]
        assert follow(acts) == b"".join(lines)

    def test_a_rotation_between_two_looks_hides_nothing_that_is_still_there(self, path, follow):
        writer = LogWriter(path, 4096, 3)
        lines = [b"line %d\n" % number for number in range(2000)]
        acts = [
            lambda few=lines[place : place + 120]: writer.write(OUT, b"".join(few)) for place in range(0, 2000, 120)
        ]
        assert follow(acts) == b"".join(lines)

    def test_begins_with_a_tail(self, path, follow):
        write(path, (OUT, b"1\n2\n3\n"))
        writer = LogWriter(path)
        assert follow([lambda: writer.write(OUT, b"4\n")], tail=1) == b"3\n4\n"

    def test_waits_for_a_log_that_is_not_there_yet(self, path, follow):
        assert follow([lambda: None, lambda: write(path, (OUT, b"1\n")), lambda: None]) == b"1\n"

    def test_ends_with_a_log_that_is_removed(self, path, follow):
        write(path, (OUT, b"1\n"))
        assert follow([lambda: None, lambda: os.unlink(path), lambda: None]) == b"1\n"

    def test_half_a_record_is_waited_for(self, path, follow):
        write(path, (OUT, b"one\n"))
        whole = content(path)
        os.truncate(path, 20)

        def finish():
            with open(path, "ab") as file:
                file.write(whole[20:])

        assert follow([lambda: None, finish, lambda: None]) == b"one\n"


class TestShow:
    @pytest.fixture
    def shown(self, monkeypatch):
        said = []
        monkeypatch.setattr(logview, "emit", lambda data, descriptor=1: said.append((descriptor, data)))
        return said

    def test_each_stream_goes_to_its_own(self, path, shown):
        write(path, (OUT, b"a\xff\n"), (ERR, b"b\n"), (OUT, b"c"))
        logview.show(path)
        assert shown == [(1, b"a\xff\n"), (2, b"b\n"), (1, b"c")]

    def test_timestamps_stand_before_lines_only(self, path, clock, shown):
        write(path, (OUT, b"x" * 40000 + b"\nnext\n"), (ERR, b"e\n"))
        logview.show(path, timestamps=True)
        stamp = b"2016-10-06T00:17:09.000000042Z "
        assert shown[0] == (1, stamp + b"x" * 40000 + b"\n" + stamp + b"next\n")
        assert shown[1] == (2, b"2016-10-06T00:17:10.000000042Z e\n")

    def test_since_and_until(self, path, clock, shown):
        write(path, *((OUT, b"%d\n" % number) for number in range(5)))
        second = parse_rfc3339("2016-10-06T00:17:10.000000042Z")
        logview.show(path, since=second, until=second + 2 * 10**9)
        assert shown == [(1, b"1\n2\n3\n")]

    def test_one_warning_for_all_that_is_left_out(self, path, shown):
        write(path, (OUT, b"a\n"))
        with open(path, "ab") as file:
            file.write(b"garbage\n" * 3)
        logview.show(path)
        assert shown[0] == (1, b"a\n")
        assert shown[1][0] == 2
        assert f"skipped 3 malformed lines in {path}" in shown[1][1]
        assert len(shown) == 2
