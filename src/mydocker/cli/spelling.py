"""Misspelt words: the known one that is meant. Loaded only for a word that may be one."""

from __future__ import annotations

from mydocker.cli import dockerwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.generated.fasttable import Command

_MAX_EDITS = 2  # as cobra's, docker's command line
_LETTERS_AN_EDIT = 3  # of a value: `-usrv` is a user, though not far from --user


def is_misspelt_option(path: tuple[str, ...], command: Command, head: str) -> bool:
    """True if a word that could be a short option with its value is close to a long option instead: `-memroy`."""
    letters = head.replace("-", "")
    if not (letters.isascii() and letters.isalpha() and letters.islower()):
        return False
    return closest(head.lstrip("-"), long_options(path, command), _LETTERS_AN_EDIT) != ""


def long_options(path: tuple[str, ...], command: Command) -> set[str]:
    """The long options of a command, those that only docker has included. path: its words, no other spelling's."""
    return {name[2:] for name in ("--help", *command[3], *dockerwords.OPTIONS.get(path, ())) if name.startswith("--")}


def closest(word: str, known: set[str], letters_an_edit: int = 2) -> str:
    """The known word with the fewest edits, or that begins with this one; "" if none is close. letters_an_edit: so many
    letters of the word allow an edit."""
    limit = min(_MAX_EDITS, len(word) // letters_an_edit)
    near = [(_distance(word, each), each) for each in known if abs(len(each) - len(word)) <= limit]
    edits, closest = min(near, default=(limit + 1, ""))
    if edits <= limit:
        return closest
    return min((each for each in known if len(word) > 2 and each.startswith(word)), default="")


def _distance(word: str, other: str) -> int:
    """The number of edits between two words: insert, delete or replace a letter, or swap two neighbours."""
    above: list[int] = []
    row = list(range(len(other) + 1))
    for line, letter in enumerate(word, 1):
        before, above, row = above, row, [line]
        for place, each in enumerate(other, 1):
            edits = min(above[place - 1] + (letter != each), above[place] + 1, row[place - 1] + 1)
            if place > 1 and line > 1 and (letter, word[line - 2]) == (other[place - 2], each):
                edits = min(edits, before[place - 2] + 1)
            row.append(edits)
    return row[-1]
