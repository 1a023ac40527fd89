"""From the bytes of a Dockerfile to its instructions' lines: directives, comments, continuations, heredoc bodies.

Source: BuildKit's frontend/dockerfile/parser, whose rules are in docs/dockerfile.md.
"""

from __future__ import annotations

from mydocker.build.failure import BuildWarning, Malformed, Source
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
LONGEST_LINE = 65535  # bytes
_DIRECTIVES = ("escape", "syntax", "check")
_ASCII_BLANKS = "\t\n\f\r "


@record
class Line:
    """An instruction's text, its lines joined. first, last: the lines of the file that it is on, from 1."""

    text: str
    first: int
    last: int


class LineReader:
    """A Dockerfile, read from the top. Iterate for its instructions; body() takes the heredoc behind the last one.

    directives: those at the file's head, "escape", "syntax", "check" -> value. Texts are UTF-8; other bytes are
    surrogates (PEP 383).
    """

    def __init__(self, data: bytes, name: str = "Dockerfile") -> None:
        rows = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        self._rows = rows if rows[-1] else rows[:-1]
        self._next = 0
        self.source = Source(name, rows)
        self.directives: dict[str, str] = {}
        self._directives_possible = True
        self.warnings: list[BuildWarning] = []
        for number, row in enumerate(data.split(b"\n"), 1):
            if len(row) > LONGEST_LINE:
                message = f"dockerfile line greater than max allowed size of {LONGEST_LINE}"
                raise self.source.error(f"{message}, on line {number}", "split it with a \\ at the end of a line")

    @property
    def escape(self) -> str:
        """Return the escape character, `\\` unless a directive says that it is a backtick."""
        return self.directives.get("escape", "\\")

    @property
    def line(self) -> int:
        """Return the number of the line that was read last."""
        return self._next

    def __iter__(self) -> Iterator[Line]:
        while self._next < len(self._rows):
            row = self._take().rstrip("\r").lstrip(BLANKS)
            first = self._next
            with self.source.located(first, first):
                self._note_directive(row)
            text, continues = self._continuation("" if row.startswith("#") else row)
            if text or continues:
                yield Line(self._joined(text) if continues else text, first, self._next)

    def body(self, terminator: str, strip_tabs: bool) -> str | None:
        """Take a heredoc's body, up to the line that is its terminator. None: that line is missing."""
        first = self._next
        while self._next < len(self._rows):
            row = self._take().rstrip("\r")
            if (row.lstrip("\t") if strip_tabs else row) == terminator:
                return "".join(f"{each}\n" for each in self._rows[first : self._next - 1])
        return None

    def _take(self) -> str:
        self._next += 1
        return self._rows[self._next - 1]

    def _joined(self, text: str) -> str:
        """Return the text and the lines that continue it: comments are left out, blank lines with a warning."""
        parts, continues, blank = [text], True, False
        while continues and self._next < len(self._rows):
            row = self._take().rstrip("\r")
            start = row.lstrip(BLANKS)
            if not start:
                blank = True
            elif not start.startswith("#"):
                part, continues = self._continuation(row)
                parts.append(part)
        joined = "".join(parts)
        if blank:
            message = "Empty continuation lines will become errors in a future release"
            self.warnings.append(BuildWarning("NoEmptyContinuation", message, self._next))
        return joined

    def _continuation(self, row: str) -> tuple[str, bool]:
        """Return the row without the escape character at its end, and True if it has one that is not escaped itself."""
        end = row.rstrip(" \t")
        if end.endswith(self.escape) and not end.endswith(self.escape * 2):
            return end[:-1], True
        return row, False

    def _note_directive(self, row: str) -> None:
        """Take `# NAME=VALUE`, as long as there is nothing else above it."""
        if not self._directives_possible:
            return
        name, sign, value = row[1:].partition("=")
        name, value = name.strip(_ASCII_BLANKS).lower(), value.strip(_ASCII_BLANKS)
        if not (row.startswith("#") and sign and value and name in _DIRECTIVES):
            self._directives_possible = False
        elif name in self.directives:
            raise Malformed(f"only one {name} parser directive can be used")
        elif name == "escape" and value not in ("\\", "`"):
            raise Malformed(f"invalid escape token '{value}'", "\\ or `")
        else:
            self.directives[name] = value
