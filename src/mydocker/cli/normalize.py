"""From what was typed to the one spelling that Typer reads, by the same grammar as the fast parser's.

All errors of spelling are found here, so that they read like docker's and are the same for every version of Typer.
"""

from __future__ import annotations

import difflib

from mydocker.cli.fastargs import UnknownFlag, scan
from mydocker.cli.fasttable import ALIASES, COMMANDS
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mydocker.cli.fasttable import Command

_HELP = ("--help", "-help", "-h")
_VERSION = ("--version", "-version", "-v")
_PATHS = (*COMMANDS, *ALIASES)
_GROUPS = {path[:-1] for path in _PATHS}


def normalize(argv: list[str]) -> list[str]:
    """`run -ti -mem 100m sh -c x` becomes `run --interactive --tty --memory=100m -- sh -c x`.

    A flag that was set to false is left out. Whatever asks for help becomes `COMMAND --help`.
    """
    if argv[:1] == ["help"]:
        return [*_find(argv[1:])[0], "--help"]
    path, words = _find(argv)
    if path in _GROUPS:
        return [*path, _group_option(path, words)]
    command = COMMANDS[ALIASES.get(path, path)]
    try:
        options, positionals = scan(command, words)
    except UnknownFlag as error:
        if error.head in _HELP:
            return [*path, "--help"]
        error.hint = _join(_meant(error, command), _see(path))
        raise
    except InvalidArgument as error:
        error.hint = error.hint or _see(path)
        raise
    return [*path, *_spell(options), "--", *positionals]


def _find(argv: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The words that name a command, or a group that no command follows; and the words after them."""
    path: tuple[str, ...] = ()
    words = list(argv)
    while path in _GROUPS and words and not words[0].startswith("-"):
        word = words.pop(0)
        if (*path, word) not in _GROUPS and (*path, word) not in _PATHS:
            guess = _closest(word, [known[-1] for known in _PATHS if known[:-1] == path])
            raise InvalidArgument(f"unknown command: {word!r}", _join(guess, _see(path)))
        path += (word,)
    return path, words


def _group_option(path: tuple[str, ...], words: list[str]) -> str:
    if not words or words[0] in _HELP:
        return "--help"
    if not path and words[0] in _VERSION:
        return "--version"
    error = UnknownFlag(words[0])
    error.hint = _see(path)
    raise error


def _spell(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if value is True:
            yield name
        elif value is not False and value is not None:
            yield from (f"{name}={item}" for item in ([value] if isinstance(value, str) else value))


def _meant(error: UnknownFlag, command: Command) -> str:
    """What an unknown flag may stand for: a long option, or `-uroot` for `-u root`."""
    names = command[3]
    long = _closest(error.head.lstrip("-"), [name[2:] for name in names if name.startswith("--")])
    if long:
        return f"--{long}"
    short, value = error.word[:2], error.word[2:]
    return f"{short} {value}" if short in names and command[2][names[short]] is not False else ""


def _closest(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, 1)), "")


def _join(meant: str, see: str) -> str:
    return f"did you mean '{meant}'? {see}" if meant else see


def _see(path: tuple[str, ...]) -> str:
    return f"see '{' '.join(('mydocker', *path))} --help'"
