"""Heredocs: the `<<NAME` in an instruction's line. The reader of lines takes the bodies behind it."""

from __future__ import annotations

from mydocker.build.expansion import raw_words
from mydocker.build.failure import Malformed
from mydocker.build.instructions import Heredoc

_MARK = r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)"


def in_line(line: str) -> list[Heredoc]:
    """Return the heredocs of a line, in order, without bodies. `<<` in quotes is none, and `<<<` neither."""
    if "<<" not in line:
        return []
    try:
        words = raw_words(line)
    except Malformed:
        return []
    return [heredoc for heredoc in map(mark, words) if heredoc]


def mark(word: str) -> Heredoc | None:
    """Return the heredoc that a word such as `<<EOF`, `3<<-"EOF"` announces, or None."""
    if "<<" not in word:
        return None
    import re

    match = re.fullmatch(_MARK, word, re.ASCII)
    if match is None or not match.group(3):
        return None
    digits, dash, name = match.groups()
    plain = raw_words(name, unquote=True)
    if len(plain) != 1:
        return None
    quoted = _quotes(raw_words(name)[0]) != _quotes(plain[0])
    return Heredoc(plain[0], "", not quoted, bool(dash), int(digits[-9:] or 0))


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
