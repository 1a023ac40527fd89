"""From what was typed to the one spelling that Typer reads, by the same grammar as the fast parser's.

All errors of spelling are found here, so that they read like docker's and are the same for every version of Typer.
"""

from __future__ import annotations

import difflib

from mydocker.cli import dockerwords
from mydocker.cli.fastargs import UnknownFlag, scan
from mydocker.errors import InvalidArgument
from mydocker.generated.fasttable import ALIASES, COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mydocker.generated.fasttable import Command

_HELP = ("--help", "-help", "-h")
_VERSION = ("--version", "-version", "-v")
_PATHS = (*COMMANDS, *ALIASES)
_GROUPS = {path[:-1] for path in _PATHS}
# Commands that change nothing: the only ones that are a guess for another word. `top` is not `stop`.
_HARMLESS = {
    "check", "container", "explain", "export", "help", "image", "images", "info", "inspect", "list", "logs", "ls",
    "netmap", "network", "port", "ps", "system", "version", "volume", "wait",
}  # fmt: skip


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
        error.hint = _unknown_option(path, error, command)
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
            raise InvalidArgument(f"unknown command: {' '.join((*path, word))!r}", _unknown_command(path, word))
        path += (word,)
    return path, words


def _group_option(path: tuple[str, ...], words: list[str]) -> str:
    if not words or words[0] in _HELP:
        return "--help"
    if not path and words[0] in _VERSION:
        return "--version"
    error = UnknownFlag(words[0])
    error.hint = dockerwords.option(path, _bare(error)) or _see(path)
    raise error


def _spell(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if value is True:
            yield name
        elif value is not False and value is not None:
            yield from (f"{name}={item}" for item in ([value] if isinstance(value, str) else value))


def _unknown_command(path: tuple[str, ...], word: str) -> str:
    """The hint: docker's word, a group that has such a command, or what it may stand for. A command that changes
    anything is only a guess for the same letters in another order."""
    hint = dockerwords.command((*path, word))
    if hint:
        return hint
    groups = [f"'{' '.join(found)}'" for found in _PATHS if len(found) == 2 and found[1] == word and not path]
    if groups:
        return f"it stands behind a group: {', '.join(groups)}"
    known = {found[len(path)] for found in _PATHS if found[: len(path)] == path}
    dockers = {
        found[len(path)] for found in dockerwords.COMMANDS if len(found) > len(path) and found[: len(path)] == path
    }
    swapped = [found for found in sorted(known | dockers) if sorted(found) == sorted(word)]
    guess = swapped[0] if swapped else _closest(word, sorted(known & _HARMLESS | dockers))
    return _join(guess, dockerwords.command((*path, guess)) or _see(path))


def _bare(error: UnknownFlag) -> str:
    """The unknown flag as declared: -gpus is --gpus."""
    head = error.head
    if head.startswith("--") or len(head) == 2:
        return head
    return f"-{head}"


def _unknown_option(path: tuple[str, ...], error: UnknownFlag, command: Command) -> str:
    """The hint: docker's option, or what it may stand for: a long option, or `-uroot` for `-u root`."""
    path = ALIASES.get(path, path)
    hint = dockerwords.option(path, _bare(error))
    if hint:
        return hint
    names = command[3]
    known = [name[2:] for name in [*names, *dockerwords.OPTIONS.get(path, ())] if name.startswith("--")]
    long = _closest(error.head.lstrip("-"), known)
    if long:
        return _join(f"--{long}", dockerwords.option(path, f"--{long}") or _see(path))
    short, value = error.word[:2], error.word[2:]
    is_value = short in names and command[2][names[short]] is not False
    return _join(f"{short} {value}" if is_value else "", _see(path))


def _closest(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, 1)), "")


def _join(meant: str, see: str) -> str:
    return f"did you mean '{meant}'? {see}" if meant else see


def _see(path: tuple[str, ...]) -> str:
    return f"see '{' '.join(('mydocker', *path))} --help'"
