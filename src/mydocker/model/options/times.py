"""Points in time and spans of it, as integers of nanoseconds since 1970, without datetime (and without its import)."""

from __future__ import annotations

import time

from mydocker.errors import InvalidArgument
from mydocker.model.options.units import is_number
from mydocker.model.timestamp import SECOND

NEVER = "0001-01-01T00:00:00Z"  # what docker shows for a time that has not come
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_MONTH_ENDS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_rfc3339(text: str) -> int:
    """Raises ValueError: not an RFC 3339 time with its zone."""
    day, letter, rest = text.partition("T")
    if letter and rest.endswith("Z"):
        clock, offset = rest[:-1], 0
    else:
        clock, sign, zone = rest[:-6], rest[-6:-5], rest[-5:]
        if not letter or sign not in ("+", "-") or zone[2:3] != ":":
            raise ValueError(f"no RFC 3339 time: {text!r}")
        offset = (_field(zone[:2], 2, 0, 23) * 60 + _field(zone[3:], 2, 0, 59)) * (60 if sign == "+" else -60)
    return (_days(*_date(day)) * 86400 - offset) * SECOND + _clock(clock)


def _field(text: str, digits: int, low: int, high: int) -> int:
    if len(text) == digits and is_number(text) and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"no number from {low} to {high} of {digits} digits: {text!r}")


def _date(text: str) -> tuple[int, int, int]:
    """YYYY-MM-DD."""
    if text[4:5] != "-" or text[7:8] != "-":
        raise ValueError(f"no date: {text!r}")
    year, month = _field(text[:4], 4, 1, 9999), _field(text[5:7], 2, 1, 12)
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return year, month, _field(text[8:], 2, 1, _MONTH_ENDS[month - 1] + leap)


def _clock(text: str) -> int:
    """HH:MM:SS[.fraction], HH:MM or HH, in nanoseconds."""
    clock, point, fraction = text.partition(".")
    parts = clock.split(":")
    if len(parts) > 3 or (point and len(parts) < 3) or (point and not (is_number(fraction) and len(fraction) <= 9)):
        raise ValueError(f"no time of day: {text!r}")
    hour, minute, second = (*parts, "00", "00")[:3]
    seconds = _field(hour, 2, 0, 23) * 3600 + _field(minute, 2, 0, 59) * 60 + _field(second, 2, 0, 59)
    return seconds * SECOND + int(fraction.ljust(9, "0") if point else 0)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of the Gregorian calendar. Years begin in March here, so that a leap day comes last."""
    year -= month < 3
    month = (month + 9) % 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 719469


def duration(text: str) -> int:
    """Nanoseconds: numbers with units, such as 10m, 1h30m or 1.5s (Go's format, without a sign)."""
    rest, total = text, 0
    while rest:
        number, rest = _split(rest, "0123456789.")
        unit, rest = _split(rest, "hmsunµ")
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not is_number(whole + fraction):
            rest, total = "", -1
        else:
            total += int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction)
    if not text or total < 0:
        raise InvalidArgument(f"invalid duration '{text}'", "numbers with units, such as 90s, 10m or 1h30m")
    return total


def _split(text: str, letters: str) -> tuple[str, str]:
    """What `text` begins with of these letters, and the rest."""
    rest = text.lstrip(letters)
    return text[: len(text) - len(rest)], rest


def moment(text: str, now: int) -> int:
    """--since, --until: a duration before now (-5s: after it), seconds since 1970, or a date with or without time and
    zone. A date without a zone is in the local one.
    """
    seconds, _, fraction = text.partition(".")
    if is_number(seconds) and is_number(fraction or "0") and len(fraction) <= 9:
        return int(seconds) * SECOND + int(fraction.ljust(9, "0"))
    try:
        if "-" not in text[1:]:
            sign = -1 if text.startswith("-") else 1
            return now - sign * (duration(text[1:]) if text[:1] in ("-", "+") else duration(text))
        day, letter, clock = text.partition("T")
        if "Z" in clock or "+" in clock or "-" in clock:
            return parse_rfc3339(text)
        rest = _clock(clock) if letter else 0
        local = (*_date(day), rest // (3600 * SECOND), rest // (60 * SECOND) % 60, rest // SECOND % 60, 0, 0, -1)
        return int(time.mktime(local)) * SECOND + rest % SECOND
    except (ValueError, OverflowError, InvalidArgument):
        hint = "such as 10m, 1700000000, 2024-01-31 or 2024-01-31T12:00:00Z"
        raise InvalidArgument(f"invalid time '{text}'", hint) from None


def human_duration(ns: int) -> str:
    """About how long, in docker's words: 3 seconds, About a minute, 5 weeks."""
    seconds = ns // SECOND
    minutes, hours = seconds // 60, (seconds + 1800) // 3600
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for days, limit, name in ((1, 14, "days"), (7, 60, "weeks"), (30, 730, "months")):
        if hours < limit * 24:
            return f"{hours // 24 // days} {name}"
    return f"{seconds // 3600 // 24 // 365} years"


def ago(then: str, now: int) -> str:
    """How long ago an RFC 3339 time is: "2 minutes ago"; "" if there is none."""
    return f"{human_duration(now - parse_rfc3339(then))} ago" if then else ""
