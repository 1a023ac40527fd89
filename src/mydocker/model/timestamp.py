"""A point in time as text: a small module, because each container's monitor keeps it in memory."""

from __future__ import annotations

from time import gmtime

SECOND = 10**9  # nanoseconds


def rfc3339(ns: int, fixed: bool = False) -> str:
    """Format as RFC 3339 in UTC. fixed: with all nine digits of nanoseconds, else without trailing zeros (Go's
    RFC3339Nano)."""
    seconds, tail = divmod(ns, SECOND)
    year, month, day, hour, minute, second = gmtime(seconds)[:6]
    fraction = f".{tail:09}" if fixed else f".{tail:09}".rstrip("0").rstrip(".")
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
