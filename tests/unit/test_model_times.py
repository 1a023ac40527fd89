"""times.py against datetime, and docker's words for spans of time."""

from __future__ import annotations

import calendar
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model import timestamp
from mydocker.model.options import times

SECOND, MINUTE, HOUR, DAY = 10**9, 60 * 10**9, 3600 * 10**9, 86400 * 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NOW = 1_700_000_000 * SECOND
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(timezone.utc))


@pytest.fixture
def in_zone(monkeypatch):
    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


def nanoseconds(moment: datetime) -> int:
    span = moment - EPOCH
    return (span.days * 86400 + span.seconds) * SECOND + span.microseconds * 1000


@pytest.mark.parametrize(
    ("ns", "expected", "fixed"),
    [
        (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z"),
        (NOW + 250_000_000, "2023-11-14T22:13:20.25Z", "2023-11-14T22:13:20.250000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_rfc3339(ns, expected, fixed):
    assert timestamp.rfc3339(ns) == expected
    assert timestamp.rfc3339(ns, fixed=True) == fixed


@given(MOMENTS, st.integers(0, 999))
def test_a_time_reads_back_to_the_nanosecond(moment, rest):
    ns = nanoseconds(moment) + rest
    assert times.parse_rfc3339(timestamp.rfc3339(ns)) == ns
    assert timestamp.rfc3339(nanoseconds(moment), fixed=True) == moment.strftime("%Y").zfill(4) + moment.strftime(
        "-%m-%dT%H:%M:%S.%f000Z"
    )


@given(MOMENTS, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_a_zone_is_taken_off(moment, minutes):
    text = moment.isoformat(timespec="microseconds")[:26]
    zone = f"{'+' if minutes >= 0 else '-'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert times.parse_rfc3339(text + zone) == nanoseconds(moment - timedelta(minutes=minutes))


def test_the_zero_time():
    assert times.parse_rfc3339(times.NEVER) < 0
    assert timestamp.rfc3339(times.parse_rfc3339(times.NEVER)) == times.NEVER


@pytest.mark.parametrize(
    "text", [
        "", "now", "2024-01-31", "2024-01-31T00:00:00", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "0000-01-01T00:00:00Z",
        "2024-01-31T24:00:00Z", "2024-01-31T00:60:00Z", "2024-01-31T00:00:60Z", "2024-01-31T00:00:00.Z",
        "2024-01-31T00:00:00.1234567890Z", "2024-01-31T00:00:00+24:00",
        "2024-01-31T00:00:00+00:60", "2024-01-31T00:00:00:00Z", "2024_01-31T00:00:00Z", "2024-01_31T00:00:00Z",
        "2024-01-31T00:00:00+0100", "2024-01-31 00:00:00Z", "2024-1-31T00:00:00Z", "\uff12024-01-31T00:00:00Z",
    ],
)  # fmt: skip
def test_no_rfc3339(text):
    with pytest.raises(ValueError):  # noqa: PT011
        times.parse_rfc3339(text)


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024])
def test_a_month_has_its_days_and_no_more(year, month):
    last = calendar.monthrange(year, month)[1]
    assert times.parse_rfc3339(f"{year}-{month:02}-{last}T00:00:00Z") == nanoseconds(
        datetime(year, month, last, tzinfo=timezone.utc)
    )
    for day in (0, last + 1):
        with pytest.raises(ValueError):  # noqa: PT011
            times.parse_rfc3339(f"{year}-{month:02}-{day:02}T00:00:00Z")


def test_leap_days():
    assert times.parse_rfc3339("2000-02-29T00:00:00Z") == 951782400 * SECOND
    assert times.parse_rfc3339("2024-02-29T00:00:00Z") == 1709164800 * SECOND


@pytest.mark.parametrize(
    ("text", "expected"), [
        ("10m", 10 * MINUTE), ("1h30m", 90 * MINUTE), ("1.5s", 1_500_000_000), ("100ms", 10**8), ("1us2ns", 1002),
        ("0s", 0), ("3µs", 3000), (".5h", 30 * MINUTE), ("1.h", HOUR),
    ],
)  # fmt: skip
def test_duration(text, expected):
    assert times.duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "m", ".s", "1x", "1 m", "-1m", "1m-", "1hm", "1.2.3s", "٣s", "1d", "9" * 30 + "s"]
)
def test_no_duration(text):
    with pytest.raises(InvalidArgument, match="invalid duration"):
        times.duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours, minutes, seconds):
    assert times.duration(f"{hours}h{minutes}m{seconds}s") == hours * HOUR + minutes * MINUTE + seconds * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 10 * MINUTE),
        ("-1s", NOW + SECOND),
        ("-1h30m", NOW + 90 * MINUTE),
        ("+10m", NOW - 10 * MINUTE),
        ("1700000000", NOW),
        ("10", 10 * SECOND),
        ("1700000000.5", NOW + SECOND // 2),
        ("0.000000001", 1),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("2023-11-14T22:13:20.25Z", NOW + SECOND // 4),
    ],
)
def test_moment(text, expected):
    assert times.moment(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:13:20.5", NOW + 3 * HOUR + SECOND // 2),
        ("2023-11-14T22:13", NOW - 20 * SECOND + 3 * HOUR),
        ("2023-11-14T22", NOW - 13 * MINUTE - 20 * SECOND + 3 * HOUR),
        ("2023-11-14", 1_699_920_000 * SECOND + 3 * HOUR),
    ],
)
def test_a_moment_without_a_zone_is_local(in_zone, text, expected):
    in_zone("XXX3")  # POSIX: three hours behind UTC
    assert times.moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1.1234567890",
        "10x",
        "2024-13-01",
        "-5",
        "--5m",
        "-",
        "1.5.5",
        "2024-01-01T",
        "2024-01-01T1:00Z",
    ],
)
def test_no_moment(text):
    with pytest.raises(InvalidArgument, match="invalid time"):
        times.moment(text, NOW)


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (-SECOND, "Less than a second"),
        (SECOND - 1, "Less than a second"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (60 * SECOND, "About a minute"),
        (120 * SECOND, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (90 * MINUTE - 1, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_human_duration(ns, expected):
    assert times.human_duration(ns) == expected


def test_ago():
    assert times.ago("2023-11-14T22:11:00.5Z", NOW) == "2 minutes ago"
    assert times.ago("", NOW) == ""


@pytest.mark.parametrize("parse", [times.duration, lambda text: times.moment(text, NOW)])
@given(text=st.text() | st.text(alphabet="0123456789-:.TZ+hmsnuµ "))
def test_nothing_but_invalid_argument(parse, text):
    try:
        parse(text)
    except InvalidArgument as error:
        assert error.hint  # noqa: PT017


@given(st.text() | st.text(alphabet="0123456789-:.TZ+"))
def test_nothing_but_value_error(text):
    try:
        times.parse_rfc3339(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017
