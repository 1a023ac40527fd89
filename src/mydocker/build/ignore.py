"""The files of a context that a .dockerignore leaves out, by the rules of moby's patternmatcher.

The last pattern that matches a path, or a directory above it, decides.
"""

from __future__ import annotations

import posixpath

from mydocker.build.failure import Malformed, Source
from mydocker.build.globs import Glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WILD = frozenset("*?[\\")


def read(data: bytes, name: str = ".dockerignore") -> Ignore:
    """Read a .dockerignore. A line that begins with `#` is a comment. Raises DockerfileError."""
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    source = Source(name, lines)
    patterns = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                patterns.append(_Pattern(line.strip()))
            except Malformed as error:
                message = f"invalid pattern on line {number} of {name}: {error.message}"
                raise source.error(message, error.hint, number, number) from None
    ignore = Ignore([])
    ignore.extend(patterns)
    return ignore


class Ignore:
    """Patterns, one a text; `!` takes files in again. Raises Malformed for an invalid one.

    Paths are relative to the context's top: `a/b`, never `/a`; bytes that are not UTF-8 are surrogates (PEP 383).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns: list[_Pattern] = []
        self._known: dict[str, list[bool]] = {}
        self.extend(_Pattern(text) for text in (line.strip() for line in patterns) if text)

    def extend(self, patterns: Iterable[_Pattern]) -> None:
        """Add patterns behind the others."""
        self._patterns += patterns
        self._known = {"": [False] * len(self._patterns)}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, path: str) -> bool:
        """Say if the path is left out."""
        return self._hits(path, self._above(path))[1]

    def may_contain(self, directory: str) -> bool:
        """Say if something below a directory that is left out may be taken in again; else a walk can pass it over."""
        parts = directory.split("/")
        return any(pattern.takes_in and pattern.may_match_below(parts) for pattern in self._patterns)

    def _hits(self, path: str, above: list[bool]) -> tuple[list[bool], bool]:
        """Say for each pattern if it matches the path or, by `above`, its directory; and if the path is left out.

        A pattern that cannot change the result so far is not tried, and counts below the path as one that did not
        match: `d/x` and then `!d` leave d/x out.
        """
        hits, left_out = [], False
        for pattern, hit in zip(self._patterns, above):
            if not hit and pattern.takes_in == left_out:
                hit = pattern.matches(path)
            hits.append(hit)
            if hit:
                left_out = not pattern.takes_in
        return hits, left_out

    def _above(self, path: str) -> list[bool]:
        """Return the hits of the directory that the path is in.

        Those of all directories above are kept, as a walk asks for everything that is in one.
        """
        hits, directory = self._known[""], ""
        kept = {"": hits}
        for name in path.split("/")[:-1]:
            directory = f"{directory}/{name}" if directory else name
            hits = self._known.get(directory) or self._hits(directory, hits)[0]
            kept[directory] = hits
        self._known = kept
        return hits


class _Pattern:
    """A line of the file. takes_in: it begins with `!`."""

    def __init__(self, text: str) -> None:
        self.takes_in = text.startswith("!")
        pattern = text[1:].strip() if self.takes_in else text
        if not pattern:
            raise Malformed("illegal exclusion pattern: !", "! and a pattern")
        pattern = posixpath.normpath(pattern)
        pattern = pattern.lstrip("/") or pattern
        self._parts = pattern.split("/")
        self.matches = pattern.__eq__ if _WILD.isdisjoint(pattern) else Glob(pattern).matches

    def may_match_below(self, directory: list[str]) -> bool:
        """Say if the pattern may match something below the directory."""
        for part, name in zip(self._parts, directory):
            if "**" in part:
                return True
            if part != name and _WILD.isdisjoint(part):
                return False
        return len(self._parts) > len(directory)
