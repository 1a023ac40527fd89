"""The files of a context that a .dockerignore leaves out, by the rules of moby's patternmatcher.

The last pattern that matches a path, or a directory above it, decides.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from mydocker.build.failure import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

_WILD = re.compile(r"[*?\[\\]")


def read(data: bytes) -> Ignore:
    """Read a .dockerignore. A line that begins with `#` is a comment. Raises Malformed."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return Ignore(line for line in text.split("\n") if not line.startswith("#"))


def file_names(dockerfile: str) -> list[str]:
    """Return the files to look for, the first that is there counts: beside the Dockerfile, then in the context's top.

    dockerfile: the path of the Dockerfile. The second is relative to the context.
    """
    return [f"{dockerfile}.dockerignore", ".dockerignore"]


class Ignore:
    """Patterns, one a text; `!` takes files in again. Paths are relative to the context's top: `a/b`, never `/a`.

    A path may be asked for with its surrogates (PEP 383). Raises Malformed for an invalid pattern.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_Pattern(text) for text in (line.strip() for line in patterns) if text]
        self._known: dict[str, list[bool]] = {"": [False] * len(self._patterns)}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, path: str) -> bool:
        """Say if the path is left out."""
        return self._patterns != [] and self._verdict(self._matched(path))

    def may_contain(self, directory: str) -> bool:
        """Say if something below a directory that is left out may be taken in again; else a walk can pass it over."""
        parts = directory.split("/")
        return any(pattern.takes_in and pattern.may_match_below(parts) for pattern in self._patterns)

    def _matched(self, path: str) -> list[bool]:
        """Say for each pattern if it matches the path or a directory above it."""
        parent = path.rpartition("/")[0]
        above = self._known.get(parent)
        if above is None:
            # Directories are kept, as a walk asks for all that is in one: not more than are on one path.
            above = self._matched(parent)
            self._known = {known: hits for known, hits in self._known.items() if _is_above(known, parent)}
            self._known[parent] = above
        return [before or pattern.matches(path) for before, pattern in zip(above, self._patterns)]

    def _verdict(self, matched: list[bool]) -> bool:
        for pattern, hit in zip(reversed(self._patterns), reversed(matched)):
            if hit:
                return not pattern.takes_in
        return False


def _is_above(directory: str, path: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")


class _Pattern:
    """takes_in: it begins with `!`."""

    def __init__(self, text: str) -> None:
        self.takes_in = text.startswith("!")
        pattern = text[1:].strip() if self.takes_in else text
        if not pattern:
            raise Malformed(f"invalid ignore pattern {text}: illegal exclusion pattern")
        pattern = posixpath.normpath(pattern)
        pattern = pattern.lstrip("/") or pattern
        self._parts = pattern.split("/")
        self._plain = None if _WILD.search(pattern) else pattern
        try:
            self._expression = re.compile(_expression(pattern))
        except (re.error, OverflowError, RecursionError):
            raise Malformed(f"invalid ignore pattern {text}: syntax error in pattern") from None

    def matches(self, path: str) -> bool:
        if self._plain is not None:
            return path == self._plain
        return self._expression.fullmatch(path) is not None

    def may_match_below(self, directory: list[str]) -> bool:
        """Say if the pattern may match something below the directory."""
        for part, name in zip(self._parts, directory):
            if "**" in part:
                return True
            if not _WILD.search(part) and part != name:
                return False
        return len(self._parts) > len(directory)


def _expression(pattern: str) -> str:
    """Translate a pattern. Raises Malformed for a class or an escape that Go's filepath.Match refuses."""
    parts, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if pattern.startswith("**", at - 1):
            at += 1
            at += pattern.startswith("/", at)
            parts.append("(?s:.*)" if at >= len(pattern) else "(?s:.*/)?")
        elif char == "*":
            parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            text, at = _class(pattern, at)
            parts.append(text)
        elif char == "\\":
            if at == len(pattern):
                raise Malformed("syntax error in pattern")
            parts.append(re.escape(pattern[at]))
            at += 1
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Translate `[a-z]` or `[^a]` from behind its bracket. Return it and the offset behind it. Raises Malformed."""
    start = "^" if pattern.startswith("^", at) else ""
    at += len(start)
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    inner = "".join(ranges)
    if not inner:
        return ("(?s:.)" if start else "(?!)"), at + 1
    return f"[{start}{inner}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    elif pattern[at : at + 1] in ("-", "]"):
        raise Malformed("syntax error in pattern")
    if at + 1 >= len(pattern):
        raise Malformed("syntax error in pattern")
    return pattern[at], at + 1
