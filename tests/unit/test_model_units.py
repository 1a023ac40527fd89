"""units.py and signals.py: the numbers that people write."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import signals, units

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        ("32b", 32),
        ("100m", 100 * MIB),
        ("100M", 100 * MIB),
        ("32Kb", 32 * KIB),
        ("32KIB", 32 * KIB),
        ("32 kb", 32 * KIB),
        ("1.5g", 3 * GIB // 2),
        ("0.3MB", 314572),  # rounded down
        ("32.3", 32),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
        ("8388607t", 8388607 << 40),
    ],
)
def test_size(text, expected):
    assert units.size(text) == expected


@pytest.mark.parametrize(
    "text", [
        "", "hello", "-32", " 32 ", ".3k", "3.k", "1.2.3", "32m b", "32bm", "12q", "1e3", "0x10", "٣m", "1\u212a", "³",
        "8388608t", "99999p", "0.5", "9" * 21, "1" + "0" * 5000,
    ],
)  # fmt: skip
def test_no_size(text):
    with pytest.raises(InvalidArgument, match="invalid memory size '") as caught:
        units.size(text, "memory size")
    assert "100m" in caught.value.hint


@given(st.integers(0, (1 << 63) - 1))
def test_every_count_of_bytes_reads_back(count):
    assert units.size(str(count)) == count


@pytest.mark.parametrize(
    ("count", "digits", "expected"),
    [
        (0, 3, "0B"),
        (999, 4, "999B"),
        (1000, 4, "1kB"),
        (1024, 4, "1.024kB"),
        (1048576, 4, "1.049MB"),
        (1982270, 3, "1.98MB"),
        (999_999, 3, "1MB"),  # docker prints 1e+03kB
        (3_420_000_000, 4, "3.42GB"),
        (5 * 10**19, 3, "50EB"),
    ],
)
def test_human_size(count, digits, expected):
    assert units.human_size(count, digits) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.5", 1_500_000_000), (".5", 500_000_000), ("2", 2_000_000_000), ("0.01", 10_000_000), ("0", 0)],
)
def test_cpus(text, expected):
    assert units.cpus(text, online=2) == expected


@pytest.mark.parametrize("text", ["2.001", "99", "0.009", "0.0000000001", "-1", "x", "", "1.", "1e1", "NaN"])
def test_cpus_that_are_not_there(text):
    with pytest.raises(InvalidArgument, match="number of CPUs"):
        units.cpus(text, online=2)


@pytest.mark.parametrize("text", ["0", "0-3", "0-1,3", "2,0", "0,0"])
def test_cpuset(text):
    assert units.cpuset(text, "0-3") == text


@pytest.mark.parametrize("text", ["4", "0-4", "3-8191"])
def test_cpuset_that_is_not_there(text):
    with pytest.raises(InvalidArgument, match=r"CPUs '.*' are not available") as caught:
        units.cpuset(text, "0-3")
    assert caught.value.hint == "this machine has 0-3"


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "2-1", "1,,2", "1 2", "0-8192", "9" * 30])
def test_malformed_cpuset(text):
    with pytest.raises(InvalidArgument, match="invalid list of memory nodes"):
        units.cpuset(text, "0-3", "memory nodes")


@given(st.sets(st.integers(0, 200), min_size=1))
def test_a_list_of_cpus_reads_back(cpus):
    assert units.numbers(",".join(map(str, cpus))) == cpus
    assert units.numbers(f"{min(cpus)}-{max(cpus)}") == set(range(min(cpus), max(cpus) + 1))


@pytest.mark.parametrize(
    ("text", "soft", "hard"),
    [
        ("nofile=1024", 1024, 1024),
        ("nofile=1024:4096", 1024, 4096),
        ("core=0:-1", 0, -1),
        ("core=0:0", 0, 0),
        ("core=unlimited", -1, -1),
        ("core=-1:infinity", -1, -1),
    ],
)
def test_ulimit(text, soft, hard):
    assert units.ulimit(text) == {"name": text.partition("=")[0], "soft": soft, "hard": hard}


@pytest.mark.parametrize(
    "text", [
        "nofile", "nofile=", "nofile=a", "nofile=5:2", "nofile=-1:5", "nofile=1:", "nofile=:1", "nofile=1:2:3",
        "nofile=-2", "as=1", "x=1", "", "=1", "NOFILE=1", "nofile=9223372036854775808",
    ],
)  # fmt: skip
def test_no_ulimit(text):
    with pytest.raises(InvalidArgument, match="ulimit"):
        units.ulimit(text)


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("-5", -5), ("010", 10), ("7", 7)])
def test_whole(text, expected):
    assert units.integer(text, "number", -5, 10) == expected


@pytest.mark.parametrize("text", ["", "-", "--1", "1.0", " 1", "11", "-6", "+1", "1_0", "²", "9" * 5000])
def test_not_whole(text):
    with pytest.raises(InvalidArgument, match="invalid PIDs limit '") as caught:
        units.integer(text, "PIDs limit", -5, 10)
    assert caught.value.hint == "an integer from -5 to 10"


@pytest.mark.parametrize("kind", [found for found in signal.Signals if found not in (signal.SIGRTMIN, signal.SIGRTMAX)])
def test_signals_are_numbered_as_pythons(kind):
    short = kind.name[3:]
    assert {signals.number(text) for text in (kind.name, short, short.lower(), str(kind.value))} == {kind.value}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("RTMIN", 34),
        ("RTMIN+3", 37),
        ("sigrtmax-1", 63),
        ("SIGRTMAX", 64),
        ("CLD", 17),
        ("64", 64),
        ("RTMAX-30", 34),
        ("RTMIN+30", 64),
    ],
)
def test_signal(text, number):
    assert signals.number(text) == number


@pytest.mark.parametrize(
    "text", [
        "", "0", "65", "-9", "FOO", "SIG", "SIGSIGTERM", "RTMIN+31", "RTMAX-31", "RTMIN-1", "RTMIN+", "RTMIN+99999",
        "15 ", "\uff11\uff15",
    ],
)  # fmt: skip
def test_no_signal(text):
    with pytest.raises(InvalidArgument, match="invalid signal"):
        signals.number(text)


@given(st.integers(1, 64).filter(lambda number: number not in (32, 33)))  # glibc's own have no name
def test_a_signals_name_is_its_number(number):
    assert signals.number(signals.name(number)) == number


def test_a_signals_name():
    assert [signals.name(number) for number in (9, 15, 34, 37)] == ["SIGKILL", "SIGTERM", "SIGRTMIN", "SIGRTMIN+3"]


@pytest.mark.parametrize(
    "parse",
    [
        units.size,
        units.ulimit,
        lambda text: units.cpus(text, 4),
        lambda text: units.cpuset(text, "0-3"),
        lambda text: units.integer(text, "number", 0, 10),
        signals.number,
    ],
)
@given(text=st.text() | st.text(alphabet="0123456789.,-:=kmgibRTMINAX+nofile "))
def test_nothing_but_invalid_argument(parse, text):
    try:
        parse(text)
    except InvalidArgument as error:
        assert error.hint  # noqa: PT017
