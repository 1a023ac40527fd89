"""The wildcards of COPY and ADD, as Go's filepath.Match reads them: `*` and `?` match no slash, there is no `**`."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    Ranges = tuple[bool, list[tuple[str, str]]]  # True for all but these; the first and last character of each
    Token = Optional[Ranges]  # None for a `*`


def has_wildcards(part: str) -> bool:
    """True if a part of a path has a `*`, `?` or `[` that no backslash takes the meaning from."""
    return re.search(r"[*?[]", re.sub(r"\\.", "", part, flags=re.DOTALL)) is not None


class Pattern:
    """The pattern of a name, a part of a path. Raises ValueError for one that is malformed."""

    def __init__(self, text: str) -> None:
        self._tokens: list[Token] = []
        at = 0
        while at < len(text):
            if text[at] == "*":
                self._tokens.append(None)
                at += 1
            elif text[at] == "?":
                self._tokens.append((True, []))
                at += 1
            elif text[at] == "[":
                ranges, at = _class(text, at + 1)
                self._tokens.append(ranges)
            else:
                char, at = _character(text, at)
                self._tokens.append((False, [(char, char)]))

    def matches(self, name: str) -> bool:
        """True if the pattern matches the whole name. The time is at most the product of both lengths."""
        tokens = self._tokens
        at = token = 0
        star, resume = -1, 0  # the last `*`, and where the name goes on behind what it has matched so far
        while at < len(name):
            if token < len(tokens) and tokens[token] is None:
                star, resume = token, at
                token += 1
            elif token < len(tokens) and _is_in(name[at], tokens[token]):
                at += 1
                token += 1
            elif star >= 0:
                resume += 1
                at, token = resume, star + 1
            else:
                return False
        return all(left is None for left in tokens[token:])


def _is_in(char: str, ranges: Token) -> bool:
    assert ranges
    negated, pairs = ranges
    return negated != any(first <= char <= last for first, last in pairs)


def _class(text: str, at: int) -> tuple[Ranges, int]:
    """Parse `[a-c]` or `[^a-c]`. at: behind the bracket. Returns the ranges and the offset behind the end."""
    negated = text[at : at + 1] == "^"
    at += negated
    pairs: list[tuple[str, str]] = []
    while text[at : at + 1] != "]" or not pairs:
        if text[at : at + 1] in ("", "-", "]"):
            raise _malformed(text)
        first, at = _character(text, at)
        last = first
        if text[at : at + 1] == "-":
            if text[at + 1 : at + 2] in ("", "-", "]"):
                raise _malformed(text)
            last, at = _character(text, at + 1)
        pairs.append((first, last))
    return (negated, pairs), at + 1


def _character(text: str, at: int) -> tuple[str, int]:
    """Return the character at an offset, behind a backslash if there is one, and the offset behind it."""
    if text[at] == "\\":
        at += 1
        if at == len(text):
            raise _malformed(text)
    return text[at], at + 1


def _malformed(text: str) -> ValueError:
    return ValueError(f"syntax error in pattern '{text}'")
