"""The words of an instruction before anything is expanded: flags, blanks, quotes, JSON lists."""

from __future__ import annotations

import json
import re
from functools import cache

from mydocker.build.failure import Malformed
from mydocker.build.lines import BLANKS

_BLANK = re.compile(r"[\t\v\f\r ]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def split_first(text: str) -> tuple[str, str]:
    """Split the first word off: what is behind the blanks, or ""."""
    word, *tail = _BLANK.split(text, maxsplit=1)
    return word, tail[0] if tail else ""


def by_blanks(text: str) -> list[str]:
    """Split at blanks; quotes mean nothing."""
    return _BLANK.split(text) if text else []


@cache
def _word(escape: str) -> re.Pattern[str]:
    """Match a word with its quotes and escapes. An escape character at the very end belongs to no word."""
    e = re.escape(escape)
    return re.compile(rf"""(?:'[^']*'?|"[^"{e}]*(?:{e}.[^"{e}]*)*"?|{e}.|[^'"{e}{BLANKS}]+)+""", re.DOTALL)


def quoted_words(text: str, escape: str) -> list[str]:
    """Split at blanks that are neither quoted nor escaped. Quotes and escapes stay, for expansion.expand()."""
    return _word(escape).findall(text)


@cache
def _flag(escape: str) -> re.Pattern[str]:
    """Match a word that begins with `--`. In quotes of both kinds the escape character escapes."""
    e = re.escape(escape)
    quotes = "|".join(f"{q}[^{q}{e}]*(?:{e}.[^{q}{e}]*)*(?:{q}|{e}?$)" for q in ("'", '"'))
    return re.compile(rf"""--(?:{quotes}|{e}.|{e}$|[^'"{e}{BLANKS}]+)*""", re.DOTALL)


@cache
def _escaped(escape: str) -> re.Pattern[str]:
    """Match a quote, or the escape character and what it escapes, in group 1."""
    return re.compile(rf"""['"]|{re.escape(escape)}(.?)""", re.DOTALL)


def take_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Take the words at the beginning that begin with `--`, without their quotes. Return them and the tail.

    A word `--` ends them, and belongs to neither.
    """
    flags = []
    text = text.lstrip(BLANKS)
    at = 0
    while match := _flag(escape).match(text, at):
        at = match.end()
        while at < len(text) and text[at] in BLANKS:
            at += 1
        word = _unquoted(match.group(), escape)
        if word == "--":
            break
        flags.append(word)
    return flags, text[at:].strip(BLANKS)


def _unquoted(word: str, escape: str) -> str:
    """Remove quotes that are not within quotes of the other kind, and escapes."""
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
        # Numbers need no values, as they are an error; int() refuses long ones.
        values = json.loads(text, parse_constant=_refuse, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise Malformed("when using JSON array syntax, arrays must be comprised of strings only")
    return [_SURROGATE.sub("\ufffd", value) for value in values]


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are JSON for Python only
