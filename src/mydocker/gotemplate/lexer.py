"""The tokens of a Go template, as Go's text/template/parse splits it, and the values of its literals."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Token = tuple[str, str, int]  # kind, text, where it starts

SPACE = (" ", "\t", "\r", "\n")
SPACES = "".join(SPACE)


def tokens(text: str) -> list[Token]:
    """Split a template. Kinds: text, {{, }}, space, name, field, variable, number, string, raw, char; `:=` and every
    other character is its own kind. The last token is eof, or error with the message as its text."""
    return _Lexer(text).tokens


class _Malformed(Exception):
    """An error at the place that the lexer has reached."""


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.trim = False  # the last action ended in -}}
        self.tokens: list[Token] = []
        try:
            while self.take_text():
                if self.text.startswith("/*", self.place):
                    self.take_comment()
                else:
                    self.take_action()
            self.tokens.append(("eof", "", self.place))
        except _Malformed as error:
            self.tokens.append(("error", str(error), self.place))

    def take(self, kind: str, end: int) -> None:
        self.tokens.append((kind, self.text[self.place : end], self.place))
        self.place = end

    def take_text(self) -> bool:
        """Take the text before the next action, and the action's {{ or {{-. False at the end of the template."""
        start = self.text.find("{{", self.place)
        end = start if start >= 0 else len(self.text)
        chunk = self.text[self.place : end]
        if self.trim:
            chunk = chunk.lstrip(SPACES)
        trims = self.text.startswith("-", end + 2) and self.text.startswith(SPACE, end + 3)
        if trims:
            chunk = chunk.rstrip(SPACES)
        if chunk:
            self.tokens.append(("text", chunk, self.place))
        self.place = end if start < 0 else end + (4 if trims else 2)
        return start >= 0

    def closes(self) -> bool:
        """Skip a right delimiter, }} or -}} with the space before it. False if there is none here."""
        self.trim = self.text.startswith(SPACE, self.place) and self.text.startswith("-}}", self.place + 1)
        if not self.trim and not self.text.startswith("}}", self.place):
            return False
        self.place += 4 if self.trim else 2
        return True

    def take_comment(self) -> None:
        end = self.text.find("*/", self.place + 2)
        if end < 0:
            raise _Malformed("unclosed comment")
        self.place = end + 2
        if not self.closes():
            raise _Malformed("comment ends before closing delimiter")

    def take_action(self) -> None:
        self.tokens.append(("{{", "{{", self.place))
        parens = 0
        while not self.closes():
            char = self.text[self.place : self.place + 1]
            if not char:
                raise _Malformed("unclosed action")
            if char in SPACE:
                end = self.place + 1
                while self.text.startswith(SPACE, end) and not self.text.startswith("-}}", end + 1):
                    end += 1
                self.take("space", end)
            elif char == "`":
                end = self.text.find("`", self.place + 1)
                if end < 0:
                    raise _Malformed("unterminated raw quoted string")
                self.take("raw", end + 1)
            elif char == '"':
                self.take_quoted("string", char, "unterminated quoted string")
            elif char == "'":
                self.take_quoted("char", char, "unterminated character constant")
            elif char in "+-" or self.text[self.place + (char == ".") :][:1].isdecimal():
                self.take_number()
            elif char in ".$" or _in_word(char):
                self.take_word({".": "field", "$": "variable"}.get(char, "name"))
            elif char == ":":
                if not self.text.startswith(":=", self.place):
                    raise _Malformed("expected :=")
                self.take(":=", self.place + 2)
            elif not char.isprintable() or not char.isascii():
                raise _Malformed(f"unrecognized character in action: {_named(char)}")
            else:
                parens += {"(": 1, ")": -1}.get(char, 0)
                if parens < 0:
                    raise _Malformed("unexpected right paren")
                self.take(char, self.place + 1)
        if parens:
            raise _Malformed("unclosed left paren")
        self.tokens.append(("}}", "}}", self.place))

    def take_quoted(self, kind: str, mark: str, unterminated: str) -> None:
        end = self.place + 1
        while not self.text.startswith(mark, end):
            end += 2 if self.text.startswith("\\", end) else 1
            if end >= len(self.text) or self.text[end - 1] == "\n":
                raise _Malformed(unterminated)
        self.take(kind, end + 1)

    def take_number(self) -> None:
        end = self.place + 1
        while self.text[end : end + 1] and (
            _in_word(self.text[end])
            or (self.text[end] in "+-" and self.text[end - 1] in "eE")
            or (self.text[end] == "." and "." not in self.text[self.place : end])
        ):
            end += 1
        self.take("number", end)

    def take_word(self, kind: str) -> None:
        """Take a name, a .field, a $variable, or a lone dot or dollar."""
        end = self.place + 1
        while _in_word(self.text[end : end + 1]):
            end += 1
        if end < len(self.text) and not self.text.startswith((*SPACE, ".", ",", "|", ":", ")", "(", "}}"), end):
            raise _Malformed(f"bad character {_named(self.text[end])}")
        self.take("." if self.text[self.place : end] == "." else kind, end)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _named(char: str) -> str:
    return f"U+{ord(char):04X} '{char}'"


def number(digits: str) -> int | float:
    """Parse a number in Go's notation: 12, 0x1f, 0b11, 0o17, 017, 1_000, 1.5e3. Raises ValueError, OverflowError."""
    plain = digits.replace("_", "").lower()
    unsigned = plain.lstrip("+-")
    prefixed = unsigned[:2] in ("0x", "0b", "0o")
    if not prefixed and ("." in plain or "e" in plain):
        return float(plain)
    number = int(plain, 0 if prefixed else 8 if unsigned[:1] == "0" else 10)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError
    return number


def unquoted(body: str) -> str:
    """Replace the escapes in the text between a string's or a character's quotes. Raises ValueError."""
    out = bytearray()
    place = 0
    while place < len(body):
        char = body[place]
        place += 1
        if char != "\\":
            out += char.encode("utf-8", "surrogateescape")
            continue
        char = body[place : place + 1]
        place += 1
        digits = {"x": 2, "u": 4, "U": 8}.get(char, 0)
        if char in _ESCAPED:
            out += _ESCAPED[char]
        elif digits:
            code = body[place : place + digits]
            place += digits
            if len(code) < digits or not code.isalnum():
                raise ValueError(code)
            out += bytes([int(code, 16)]) if char == "x" else chr(int(code, 16)).encode()
        else:
            out.append(int(body[place - 1 : place + 2], 8))
            place += 2
    return out.decode("utf-8", "surrogateescape")


_ESCAPED = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
    "'": b"'",
}
