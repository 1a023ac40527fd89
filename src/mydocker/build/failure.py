"""Errors and warnings about a Dockerfile: the line, and an excerpt of the lines around it."""

from __future__ import annotations

from mydocker.errors import InvalidArgument, MydockerError
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST, _MOST = 64, 256  # of a word, and how many are compared: each pair costs the product of their lengths
_FARTHEST = 3  # changes of one letter that make another word, from which it is not a mistyped one


class Malformed(ValueError):
    """A piece of a Dockerfile is invalid. Whoever knows its line makes a DockerfileError of it: Source.located()."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DockerfileError(MydockerError):
    """An invalid Dockerfile. line: its line, or 0. excerpt: the lines around it, to print before the message, or ""."""

    def __init__(self, message: str, hint: str = "", line: int = 0, excerpt: str = "") -> None:
        super().__init__(message, hint)
        self.line = line
        self.excerpt = excerpt


@record
class BuildWarning:
    """A warning of docker's `build`. rule: its name in docker's documentation, such as JSONArgsRecommended."""

    rule: str
    message: str
    line: int

    def __str__(self) -> str:
        return f"{self.rule}: {self.message} (line {self.line})"


@record
class Source:
    """The text of a Dockerfile. name: its file name, for excerpts. lines: all its lines, without their ends."""

    name: str
    lines: list[str]

    def excerpt(self, first: int, last: int) -> str:
        """Return the lines first to last (from 1), marked with `>>>`, and some around them, as docker prints them."""
        if not 1 <= first <= len(self.lines):
            return ""
        last = min(max(first, last), len(self.lines))
        top, bottom, room = first, last, 4 if first == last else 2
        while room > 0:  # one round: a line above, a line below, and one less to give
            above, below = int(top > 1), int(bottom < len(self.lines))
            top, bottom, room = top - above, bottom + below, room - above - below - 1
        rows = [f"{self.name}:{first}", "-" * 20]
        for number in range(top, bottom + 1):
            mark = ">>>" if first <= number <= last else "   "
            rows.append(f" {number:3} | {mark} {_printable(self.lines[number - 1])}")
        return "\n".join([*rows, "-" * 20])

    def error(self, message: str, hint: str = "", first: int = 0, last: int = 0) -> DockerfileError:
        """Return an error about the lines first to last, as it is shown after their excerpt."""
        return DockerfileError(message, hint, first, self.excerpt(first, last))

    def located(self, first: int, last: int) -> _Located:
        """Turn a Malformed that is raised within, or an InvalidArgument, into a DockerfileError about the lines."""
        return _Located(self, first, last)


class _Located:
    def __init__(self, source: Source, first: int, last: int) -> None:
        self._source, self._first, self._last = source, first, last

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, where: object) -> None:
        if isinstance(error, (Malformed, InvalidArgument)):
            message = f"dockerfile parse error on line {self._first}: {error.message}"
            raise self._source.error(message, error.hint, self._first, self._last) from None


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a hint that names the known word that is most like this one, or "". prefix: put before it."""
    known = list(known)
    if len(word) > _LONGEST or len(known) > _MOST:
        return ""
    known = [each for each in known if abs(len(each) - len(word)) < _FARTHEST]
    nearest = min(((_distance(word, each), each) for each in sorted(known)), default=(_FARTHEST, ""))
    return f"did you mean {prefix}{nearest[1]}?" if 0 < nearest[0] < _FARTHEST else ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's: how many letters are changed, added or removed to make the other word."""
    row = list(range(len(other) + 1))
    for number, char in enumerate(one, 1):
        previous, row[0] = row[0], number
        for at, letter in enumerate(other, 1):
            previous, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, previous + (char != letter))
    return row[-1]
