"""Quotes, escapes and variables of a word: `$x`, `${x}`, and the forms `:- - :+ + :? ? # ## % %% / //`.

Source: BuildKit's frontend/dockerfile/shell. A variable that is not set is empty.
"""

from __future__ import annotations

from mydocker.build import patterns
from mydocker.build.failure import Malformed
from mydocker.build.lines import BLANKS
from mydocker.gotemplate.formats import quote
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = "@*#?-$!"  # the names of a shell's own parameters, which are never set here
_DEEPEST = 100  # ${a:-${b:-…}}
_LARGEST = 1 << 20  # characters that the variables of a text may bring: of `ENV A=$A$A`, each is twice the one before


@record
class Expanded:
    """text: the result as one word. words: the result split at blanks that are neither quoted nor escaped. missing: the
    names that were used and are not set, each once."""

    text: str
    words: list[str]
    missing: list[str]


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Return the word without its quotes and escapes, with its variables expanded. Raises Malformed."""
    return process(word, variables, escape).text


def process(text: str, variables: Mapping[str, str], escape: str = "\\", quotes: bool = True) -> Expanded:
    """Expand, and return everything that is known then. quotes: False takes them for text, as in a heredoc of COPY."""
    return _Lexer(text, variables, escape, quotes).run()


def raw_words(text: str, unquote: bool = False) -> list[str]:
    """Split at blanks that are neither quoted nor escaped, and expand nothing. Quotes and escapes stay, unless unquote
    is set. `<<` keeps the word behind it, as in `<< EOF`."""
    return _Lexer(text, None, "\\", raw=not unquote).run().words


class _Words:
    """Collects words. A character that splits is a blank outside of quotes."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Add text with the blanks that split it."""
        for number, piece in enumerate(_split(text)):
            if number:
                self.end()
            self.keep(piece)

    def keep(self, text: str) -> None:
        """Add text that nothing splits."""
        if text:
            self._parts.append(text)

    def end(self) -> None:
        """End the word, unless it is empty."""
        if self._parts:
            self.words.append("".join(self._parts))
            self._parts = []


def _split(text: str) -> list[str]:
    for blank in BLANKS:
        if blank in text:
            text = text.replace(blank, " ")
    return text.split(" ")


class _Lexer:
    """Expands one text. variables: None leaves `$x` as it is. raw: keep quotes and escapes."""

    def __init__(
        self, text: str, variables: Mapping[str, str] | None, escape: str, quotes: bool = True, raw: bool = False
    ) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._escape = escape
        self._quotes = "'\"" if quotes else ""
        self._raw = raw
        self._raw_escapes = raw
        self._depth = 0
        self._missing: dict[str, None] = {}
        self._brought = 0

    def run(self) -> Expanded:
        words = _Words()
        try:
            text = self._until("", words)
        except Malformed as error:
            raise Malformed(f"failed to process {quote(_shortened(self._text))}: {error.message}", error.hint) from None
        words.end()
        return Expanded(text, words.words, list(self._missing))

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _plain(self, special: str) -> str:
        """Take characters up to one of these, or to the end."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in special:
            self._at += 1
        return self._text[start : self._at]

    def _until(self, stop: str, words: _Words) -> str:
        """Expand up to the stop character, which is taken too, or to the end for "". It must not be missing."""
        result: list[str] = []
        while char := self._peek():
            if char == stop:
                self._at += 1
                return "".join(result)
            if char == "$":
                part = self._dollar()
                words.add(part)
            elif char == self._escape:
                self._at += 1
                escaped = self._next()
                part = (char if self._raw_escapes else "") + escaped
                words.keep(part)
            elif char in self._quotes:
                part = self._single_quoted() if char == "'" else self._double_quoted()
                words.keep(part)
            elif char == "<":
                part = self._heredoc_mark()
                words.keep(part)
            else:
                part = self._plain(f"$<{self._escape}{self._quotes}{stop}")
                words.add(part)
            result.append(part)
        if stop:
            raise Malformed(f"unexpected end of statement while looking for matching {stop}")
        return "".join(result)

    def _heredoc_mark(self) -> str:
        """Take `<`, or `<<` with the blanks behind it, which do not end the word."""
        if not self._text.startswith("<<", self._at):
            return self._next()
        start = self._at
        self._at += 2
        while self._peek() in ("\t", "\r", " "):
            self._at += 1
        return self._text[start : self._at]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise Malformed("unexpected end of statement while looking for matching single-quote")
        inner, self._at = self._text[self._at + 1 : end], end + 1
        return f"'{inner}'" if self._raw else inner

    def _double_quoted(self) -> str:
        self._at += 1
        mark = '"' if self._raw else ""
        result = [mark]
        while char := self._peek():
            if char == '"':
                self._at += 1
                return "".join([*result, mark])
            if char == "$":
                result.append(self._dollar())
            elif char == self._escape:
                self._at += 1
                if self._raw_escapes:
                    result.append(char)
                if self._peek() in ('"', "$", self._escape):
                    char = self._next()
                if self._at < len(self._text) or char != self._escape:
                    result.append(char)
            else:
                result.append(self._plain(f'"${self._escape}'))
        raise Malformed("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        """Expand what begins with the `$` here."""
        start = self._at
        self._at += 1
        if self._peek() == "{":
            self._at += 1
            self._depth += 1
            if self._depth > _DEEPEST:
                raise Malformed(f"more than {_DEEPEST} substitutions in one another")
            value = self._braced()
            self._depth -= 1
        else:
            name = self._name()
            value = self._value(name) or "" if name else "$"
        return value if self._variables is not None else self._text[start : self._at]

    def _braced(self) -> str:
        if self._peek() in ("{", "}", ":"):
            raise Malformed("syntax error: bad substitution")
        name = self._name()
        form = self._next()
        if form == "}":
            return self._value(name) or ""
        if form == "/":
            return self._replaced(name)
        if form == ":":
            form += self._next()
        if form in ("", ":"):
            raise Malformed("syntax error: missing '}'")
        if form not in ("-", "+", "?", ":-", ":+", ":?", "#", "%"):
            raise Malformed(f"unsupported modifier ({form}) in substitution")
        word = self._inner("}", "syntax error: missing '}'", raw=form in "#%")
        value = self._value(name)
        if form in "#%":
            longest = word.startswith(form)
            remove = patterns.without_prefix if form == "#" else patterns.without_suffix
            return remove(value or "", word[longest:], longest)
        is_set = bool(value) if form[0] == ":" else value is not None
        if form[-1] == "+":
            return word if is_set else ""
        if form[-1] == "?" and not is_set:
            raise Malformed(f"{name}: {word or 'is not allowed to be ' + ('unset' if value is None else 'empty')}")
        return (value or "") if is_set else word

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern = self._inner("/", "syntax error: missing '/' in ${}", raw=True)
        replacement = self._inner("}", "syntax error: missing '}'", raw=True)
        value = self._value(name) or ""
        result = patterns.replaced(value, pattern, replacement, everywhere, _LARGEST)
        self._bring(max(len(result) - len(value), 0))
        return result

    def _inner(self, stop: str, missing: str, raw: bool) -> str:
        """Expand the inside of `${…}`. missing: the message if the stop character is. raw: keep escapes."""
        before, self._raw_escapes = self._raw_escapes, raw
        try:
            return self._until(stop, _Words())
        except Malformed:
            if self._at >= len(self._text):
                raise Malformed(missing) from None
            raise
        finally:
            self._raw_escapes = before

    def _name(self) -> str:
        """Take a name: letters, digits and _; or digits alone; or one special character; or ""."""
        start = self._at
        if self._peek() in tuple(_SPECIAL):
            self._at += 1
        elif self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        else:
            while self._peek().isalpha() or self._peek().isdecimal() or self._peek() == "_":
                self._at += 1
        return self._text[start : self._at]

    def _value(self, name: str) -> str | None:
        if self._variables is None:
            return None
        value = self._variables.get(name)
        if value is None:
            self._missing[name] = None
        else:
            self._bring(len(value))
        return value

    def _bring(self, count: int) -> None:
        self._brought += count
        if self._brought > _LARGEST:
            raise Malformed(f"its variables expand to more than {_LARGEST} characters")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
