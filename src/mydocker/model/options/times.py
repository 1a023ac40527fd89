"""Points in time and durations, as integers of nanoseconds. `import datetime` costs 2 ms, the C module below it 0.1."""

from __future__ import annotations

import time

from mydocker.errors import InvalidArgument
from mydocker.model.options.units import is_number
from mydocker.model.timestamp import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import date
else:
    from _datetime import date

NEVER = "0001-01-01T00:00:00Z"  # what docker shows for a time that has not come
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_EPOCH = date(1970, 1, 1).toordinal()


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with its zone. Raises ValueError."""
    day, letter, tail = text.partition("T")
    if letter and tail.endswith("Z"):
        clock, offset = tail[:-1], 0
    else:
        clock, sign, zone = tail[:-6], tail[-6:-5], tail[-5:]
        if not letter or sign not in ("+", "-") or zone[2:3] != ":":
            raise ValueError(f"not an RFC 3339 time: {text!r}")
        offset = (_field(zone[:2], 2, 0, 23) * 60 + _field(zone[3:], 2, 0, 59)) * (60 if sign == "+" else -60)
    return ((_date(day).toordinal() - _EPOCH) * 86400 - offset) * SECOND + _clock(clock)


def _field(text: str, digits: int, low: int, high: int) -> int:
    if len(text) == digits and is_number(text) and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"not a number from {low} to {high} of {digits} digits: {text!r}")


def _date(text: str) -> date:
    """YYYY-MM-DD. Raises ValueError."""
    if text[4:5] != "-" or text[7:8] != "-":
        raise ValueError(f"not a date: {text!r}")
    return date(_field(text[:4], 4, 1, 9999), _field(text[5:7], 2, 1, 12), _field(text[8:], 2, 1, 31))


def _clock(text: str) -> int:
    """HH:MM:SS[.fraction], HH:MM or HH, in nanoseconds."""
    clock, point, fraction = text.partition(".")
    parts = clock.split(":")
    if len(parts) > 3 or (point and len(parts) < 3) or (point and not (is_number(fraction) and len(fraction) <= 9)):
        raise ValueError(f"not a time of day: {text!r}")
    hour, minute, second = (*parts, "00", "00")[:3]
    seconds = _field(hour, 2, 0, 23) * 3600 + _field(minute, 2, 0, 59) * 60 + _field(second, 2, 0, 59)
    return seconds * SECOND + int(fraction.ljust(9, "0") if point else 0)


def duration(text: str) -> int:
    """Parse Go's format, without a sign, to nanoseconds: numbers with units, such as 10m, 1h30m or 1.5s."""
    tail, total = text, 0
    while tail:
        number, tail = _split(tail, "0123456789.")
        unit, tail = _split(tail, "hmsunµ")
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not is_number(whole + fraction):
            tail, total = "", -1
        else:
            total += int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction)
    if not text or total < 0:
        raise InvalidArgument(f"invalid duration '{text}'", "numbers with units, such as 90s, 10m or 1h30m")
    return total


def _split(text: str, letters: str) -> tuple[str, str]:
    """Split `text` behind the letters of this set that it begins with."""
    tail = text.lstrip(letters)
    return text[: len(text) - len(tail)], tail


def moment(text: str, now: int) -> int:
    """Parse --since, --until: a duration before now (-5s: after it), seconds since 1970, or a date, with or without a
    time and a zone. Without a zone it is local.
    """
    whole, _, decimals = text.partition(".")
    if is_number(whole) and is_number(decimals or "0") and len(decimals) <= 9:
        return int(whole) * SECOND + int(decimals.ljust(9, "0"))
    try:
        if "-" not in text[1:]:
            sign = -1 if text.startswith("-") else 1
            return now - sign * (duration(text[1:]) if text[:1] in ("-", "+") else duration(text))
        day, letter, clock = text.partition("T")
        if "Z" in clock or "+" in clock or "-" in clock:
            return parse_rfc3339(text)
        seconds, fraction = divmod(_clock(clock) if letter else 0, SECOND)
        local = (*_date(day).timetuple()[:3], seconds // 3600, seconds // 60 % 60, seconds % 60, 0, 0, -1)
        return int(time.mktime(local)) * SECOND + fraction
    except (ValueError, OverflowError, InvalidArgument):
        hint = "such as 10m, 1700000000, 2024-01-31 or 2024-01-31T12:00:00Z"
        raise InvalidArgument(f"invalid time '{text}'", hint) from None


def human_duration(ns: int) -> str:
    """Say about how long, in docker's words: 3 seconds, About a minute, 5 weeks."""
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
    """Say how long ago an RFC 3339 time is: "2 minutes ago"; "" if there is none."""
    return f"{human_duration(now - parse_rfc3339(then))} ago" if then else ""
