"""Convert argv to the one spelling that Typer reads, by the grammar of the fast parser.

All spelling errors are reported here, so that they read like docker's and do not depend on the version of Typer.
"""

from __future__ import annotations

from mydocker.cli import dockerwords
from mydocker.cli.fastargs import ON, WORDS, UnknownFlag, scan
from mydocker.cli.spelling import closest, long_options
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
# Commands that change nothing: only these are suggested for another word. `top` is not `stop`.
_HARMLESS = {
    "check", "container", "explain", "export", "help", "image", "images", "info", "inspect", "list", "logs", "ls",
    "netmap", "network", "port", "ps", "system", "version", "volume", "wait",
}  # fmt: skip


def normalize(argv: list[str]) -> list[str]:
    """Convert `run -ti -mem 100m sh -c x` to `run --interactive --tty --memory=100m -- sh -c x`.

    A flag that is set to false is left out. Every way to ask for help becomes `COMMAND --help`.
    """
    if argv[:1] == ["help"]:
        return [*_find(argv[1:])[0], "--help"]
    path, words = _find(argv)
    if path in _GROUPS:
        return [*path, _group_option(path, words)]
    command = COMMANDS[ALIASES.get(path, path)]
    try:
        options, positionals = scan(command, words, ALIASES.get(path, path))
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
    """Split argv: the words of a command, or of a group without a command; and the words after them."""
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
        if key in ON and value is False:
            yield f"--no-{name[2:]}"
        elif value is True or (key in WORDS and value):
            yield name  # this way only leads to help and errors
        elif value is not False and value is not None:
            yield from (f"{name}={item}" for item in ([value] if isinstance(value, str) else value))


def _unknown_command(path: tuple[str, ...], word: str) -> str:
    """The hint: what to type instead of docker's word, a group with such a command, or a suggestion. A command that
    changes something is only suggested for its own letters in another order."""
    hint = dockerwords.command((*path, word))
    if hint:
        return hint
    in_groups = [f"'{' '.join(each)}'" for each in _PATHS if len(each) == 2 and each[1] == word and not path]
    if in_groups:
        return f"it stands behind a group: {', '.join(in_groups)}"
    known, dockers = _words_after(path, _PATHS), _words_after(path, dockerwords.COMMANDS)
    swapped = [each for each in sorted(known | dockers) if sorted(each) == sorted(word)]
    suggestion = swapped[0] if swapped else closest(word, known | dockers)
    if suggestion in known - _HARMLESS and not swapped:
        return _see(path)
    return _join(suggestion, dockerwords.command((*path, suggestion)) or _see(path))


def _words_after(path: tuple[str, ...], commands: Iterable[tuple[str, ...]]) -> set[str]:
    return {each[len(path)] for each in commands if len(each) > len(path) and each[: len(path)] == path}


def _bare(error: UnknownFlag) -> str:
    """The unknown flag in the spelling of declarations: -gpus is --gpus."""
    head = error.head
    if head.startswith("--") or len(head) == 2:
        return head
    return f"-{head}"


def _unknown_option(path: tuple[str, ...], error: UnknownFlag, command: Command) -> str:
    """The hint: what to type instead of docker's option, or a suggestion: a long option."""
    path = ALIASES.get(path, path)
    hint = dockerwords.option(path, _bare(error))
    if hint:
        return hint
    long = closest(error.head.lstrip("-"), long_options(path, command))
    return _join(f"--{long}", dockerwords.option(path, f"--{long}") or _see(path)) if long else _see(path)


def _join(suggestion: str, see: str) -> str:
    return f"did you mean '{suggestion}'? {see}" if suggestion else see


def _see(path: tuple[str, ...]) -> str:
    return f"see '{' '.join(('mydocker', *path))} --help'"
