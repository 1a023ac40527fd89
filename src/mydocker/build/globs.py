"""Patterns for paths, `*`, `?`, `[a-z]`, `**` and `\\`, matched in time that grows with both lengths.

The states of a match are the bits of an integer: bit i says that the first i tokens are matched. No expression of
Python is made of a pattern, as `*a*a*a*a*b` would take it forever.

Source: moby's patternmatcher, and Go's filepath.Match for what is invalid.
"""

from __future__ import annotations

from mydocker.build.failure import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

SYNTAX = "syntax error in pattern"
_SPECIAL = frozenset("*?[]\\")


def has_wildcards(path: str) -> bool:
    """Say if a path has a `*`, `?` or `[` that no backslash takes the meaning from."""
    at = 0
    while at < len(path):
        if path[at] in "*?[":
            return True
        at += 2 if path[at] == "\\" else 1
    return False


class Glob:
    """A compiled pattern. double_stars: `**` matches slashes, too; else it is `*`, as for Go's filepath.Match. Raises
    Malformed for an invalid pattern."""

    def __init__(self, pattern: str, double_stars: bool = True) -> None:
        self._knows_double_stars = double_stars
        self._tokens: list[Callable[[str], bool]] = []
        self._stars = 0  # states that stay for any character but a slash
        self._double_stars = 0  # states that stay for any character
        self._optional = 0  # states before `**/` or `**`, which matches nothing, or anything that a slash ends
        self._masks: dict[str, int] = {}
        at = 0
        while at < len(pattern):
            at = self._add(pattern, at)
        self._accept = 1 << len(self._tokens)

    def matches(self, path: str) -> bool:
        """Say if the whole path matches."""
        states = self._entered(1)
        for char in path:
            mask = self._masks.get(char)
            if mask is None:
                mask = sum(1 << at for at, token in enumerate(self._tokens) if token(char))
                self._masks[char] = mask
            stay = self._double_stars if char == "/" else self._double_stars | self._stars
            states = self._entered((states & mask) << 1) | states & stay
            if not states:
                return False
        return bool(states & self._accept)

    def _entered(self, states: int) -> int:
        """Add the states that are reached with no character: behind `**/`, and within it."""
        while (more := states | (states & self._optional) << 1 | (states & self._optional) << 2) != states:
            states = more
        return states

    def _add(self, pattern: str, at: int) -> int:
        """Add the token at the offset. Return the offset behind it."""
        here = 1 << len(self._tokens)
        char = pattern[at]
        if self._knows_double_stars and pattern.startswith("**", at):
            behind = at + (3 if pattern.startswith("/", at + 2) else 2)
            if behind == len(pattern) or (at == 0 and behind == 2 and _SPECIAL.isdisjoint(pattern[2:])):
                self._double_stars |= here  # `a/**`; and `**b`, which docker takes for any path that ends in b
            else:
                self._optional |= here
                self._double_stars |= here << 1
                self._tokens += [_never, "/".__eq__]
            return behind
        if char == "*":
            self._stars |= here
        elif char == "?":
            self._tokens.append("/".__ne__)
        elif char == "[":
            token, at = _class(pattern, at + 1)
            self._tokens.append(token)
            return at
        else:
            at += char == "\\"
            if at == len(pattern):
                raise Malformed(SYNTAX)
            self._tokens.append(pattern[at].__eq__)
        return at + 1


def _never(char: str) -> bool:
    return False


def _class(pattern: str, at: int) -> tuple[Callable[[str], bool], int]:
    """Read `[a-z]` or `[^a]` from behind its bracket. Return it and the offset behind it."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        ranges.append((low, high))
    return (lambda char: any(low <= char <= high for low, high in ranges) != negated), at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    elif pattern[at : at + 1] in ("-", "]"):
        raise Malformed(SYNTAX)
    if at + 1 >= len(pattern):
        raise Malformed(SYNTAX)
    return pattern[at], at + 1
