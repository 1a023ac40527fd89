"""Shell patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*` and `?` only, in time that grows with the texts' lengths.

As in Go's regular expressions, neither `*` nor `?` matches a newline. The states of a match are the bits of an integer:
bit i says that the first i characters of the pattern are matched.
"""

from __future__ import annotations

from mydocker.build.failure import Malformed

_LONGEST = 4096  # characters of a pattern: each takes a bit in each step


class Pattern:
    """characters: those of the pattern, None for a `?`. stars: bit i is set if there is a `*` before character i."""

    def __init__(self, characters: list[str | None], stars: int) -> None:
        self._stars = stars
        self._accept = 1 << len(characters)
        self._size = len(characters)
        self._characters = characters
        anything = sum(1 << at for at, char in enumerate(characters) if char is None)
        self._anything = anything
        self._masks: dict[str, int] = {}
        for at, char in enumerate(characters):
            if char is not None:
                self._masks[char] = self._masks.get(char, anything if char != "\n" else 0) | 1 << at

    def reversed(self) -> Pattern:
        """Return the pattern of the same texts read backwards."""
        stars = sum(1 << self._size - at for at in range(self._size + 1) if self._stars >> at & 1)
        return Pattern(self._characters[::-1], stars)

    def extents(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Return the ends of the shortest and of the longest match that begins at start, or None."""
        shortest = longest = start if self._accept == 1 else -1
        states = 1
        for at in range(start, len(text)):
            states = self._step(states, text[at])
            if states & self._accept:
                longest = at + 1
                shortest = longest if shortest < 0 else shortest
            if not states:
                break
        return None if shortest < 0 else (shortest, longest)

    def starts(self, text: str) -> list[bool]:
        """Say for each offset, the end included, if a match begins there."""
        backwards, states, result = self.reversed(), 1, [self._accept == 1]
        for char in reversed(text):
            states = backwards._step(states, char) | 1
            result.append(bool(states & self._accept))
        return result[::-1]

    def _step(self, states: int, char: str) -> int:
        mask = self._masks.get(char, 0 if char == "\n" else self._anything)
        return (states & mask) << 1 | (0 if char == "\n" else states & self._stars)


def compile_pattern(text: str) -> Pattern:
    """Read a pattern. A backslash escapes `*`, `?` and itself; before `}` and `/` it is left out."""
    if len(text) > _LONGEST:
        raise Malformed(f"a pattern of {len(text)} characters in substitution, more than {_LONGEST}")
    characters: list[str | None] = []
    stars, at = 0, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            stars |= 1 << len(characters)
        elif char == "?":
            characters.append(None)
        elif char == "\\" and text[at : at + 1] not in ("}", "/"):
            if text[at : at + 1] not in ("*", "?", "\\"):
                raise Malformed(f"invalid pattern ({text}) in substitution: invalid escape '\\{text[at : at + 1]}'")
            characters.append(text[at])
            at += 1
        elif char != "\\":
            characters.append(char)
    return Pattern(characters, stars)


def without_prefix(value: str, pattern: str, longest: bool) -> str:
    """Remove the shortest or the longest beginning that matches."""
    reach = compile_pattern(pattern).extents(value)
    return value[reach[longest] :] if reach else value


def without_suffix(value: str, pattern: str, longest: bool) -> str:
    """Remove the shortest or the longest end that matches."""
    reach = compile_pattern(pattern).reversed().extents(value[::-1])
    return value[: len(value) - reach[longest]] if reach else value


def replaced(value: str, pattern: str, replacement: str, everywhere: bool, room: int) -> str:
    """Replace the first match, the longest from there, or every match. An empty match right behind another is none.
    room: characters that the replacements may have together."""
    compiled = compile_pattern(pattern)
    parts, at, behind = [], 0, -1
    starts = compiled.starts(value)
    for start in range(len(value) + 1):
        if start < at or not starts[start]:
            continue
        reach = compiled.extents(value, start)
        end = reach[1] if reach else start
        if end == start == behind:
            continue
        room -= len(replacement)
        if room < 0:
            raise Malformed("the replacements have too many characters")
        parts += [value[at:start], replacement]
        at = behind = end
        if not everywhere:
            break
    return "".join([*parts, value[at:]])
