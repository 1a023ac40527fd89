"""The words of an instruction before anything is expanded: flags, blanks, quotes, JSON lists."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.build.failure import Malformed
from mydocker.build.lines import BLANKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_BLANK = "\t\v\f\r "
_TO_SPACE = dict.fromkeys(map(ord, _BLANK), " ")
_ALL_TO_SPACE = dict.fromkeys(map(ord, BLANKS), " ")


def split_first(text: str) -> tuple[str, str]:
    """Split the first word off: what is behind the blanks, or ""."""
    word = text.translate(_TO_SPACE).partition(" ")[0]
    return word, text[len(word) :].lstrip(_BLANK)


def by_blanks(text: str) -> list[str]:
    """Split at blanks; quotes mean nothing."""
    return _pieces(text, _TO_SPACE)


def _pieces(text: str, blanks: dict[int, str]) -> list[str]:
    return [piece for piece in text.translate(blanks).split(" ") if piece]


def _is_plain(text: str, escape: str) -> bool:
    """True for a text without quotes and escapes, as most are: `import re` takes as long as to parse a Dockerfile."""
    return not ("'" in text or '"' in text or escape in text)


def _word(escape: str) -> re.Pattern[str]:
    """Match a word with its quotes and escapes. An escape character at the very end belongs to no word."""
    import re

    e = re.escape(escape)
    return re.compile(rf"""(?:'[^']*'?|"[^"{e}]*(?:{e}.[^"{e}]*)*"?|{e}.|[^'"{e}{BLANKS}]+)+""", re.DOTALL)


def quoted_words(text: str, escape: str) -> list[str]:
    """Split at blanks that are neither quoted nor escaped. Quotes and escapes stay, for expansion.expand()."""
    return _pieces(text, _ALL_TO_SPACE) if _is_plain(text, escape) else _word(escape).findall(text)


def _flag(escape: str) -> re.Pattern[str]:
    """Match a word that begins with `--`. In quotes of both kinds the escape character escapes."""
    import re

    e = re.escape(escape)
    quotes = "|".join(f"{q}[^{q}{e}]*(?:{e}.[^{q}{e}]*)*(?:{q}|{e}?$)" for q in ("'", '"'))
    return re.compile(rf"""--(?:{quotes}|{e}.|{e}$|[^'"{e}{BLANKS}]+)*""", re.DOTALL)


def _escaped(escape: str) -> re.Pattern[str]:
    """Match a quote, or the escape character and what it escapes, in group 1."""
    import re

    return re.compile(rf"""['"]|{re.escape(escape)}(.?)""", re.DOTALL)


def take_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Take the words at the beginning that begin with `--`, without their quotes. Return them and the tail.

    A word `--` ends them, and belongs to neither.
    """
    flags = []
    text = text.lstrip(BLANKS)
    at = 0
    while text.startswith("--", at):
        word = text[at : _end_of_word(text, at)]
        if not _is_plain(word, escape):
            match = _flag(escape).match(text, at)
            assert match  # it begins with --
            word = match.group()
        at += len(word)
        while at < len(text) and text[at] in BLANKS:
            at += 1
        word = _unquoted(word, escape)
        if word == "--":
            break
        flags.append(word)
    return flags, text[at:].strip(BLANKS)


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and text[at] not in BLANKS:
        at += 1
    return at


def _unquoted(word: str, escape: str) -> str:
    """Remove quotes that are not within quotes of the other kind, and escapes."""
    if _is_plain(word, escape):
        return word
    parts, quote, at = [], "", 0
    for match in _escaped(escape).finditer(word):
        parts.append(word[at : match.start()])
        at = match.end()
        mark = match.group()
        if mark.startswith(escape):
            parts.append(match.group(1))
        elif quote and mark != quote:
            parts.append(mark)
        else:
            quote = "" if quote else mark
    return "".join([*parts, word[at:]])


def json_list(text: str) -> list[str] | None:
    """Parse a JSON list of strings. None: the text is anything else, so it is the shell form.

    Raises Malformed for a list with other values.
    """
    text = text.lstrip(BLANKS)
    if not text.startswith("["):
        return None
    try:
        values = jsontext.loads(text, numbers=False)
    except ValueError:
        return None
    if not all(isinstance(value, str) for value in values):
        raise Malformed("when using JSON array syntax, arrays must be comprised of strings only")
    return [value if value.isascii() else _without_surrogates(value) for value in values]


def _without_surrogates(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
