"""Parse argv to (verb, params) by the generated table, without Typer, whose import takes as long as a container's
start.

All that is not plainly a valid command (help, errors, top-level options) is left to the full command line in app.py.
The grammar is docker's (pflag's), and from Go's flag package: a long option may have one dash.

    --name VALUE  --name=VALUE  -name VALUE  -name=VALUE     a value, whatever it looks like
    --rm  --rm=true  -rm=false  --explain=all                a flag; only `=` can give it a value
    -n VALUE  -n=VALUE  -it  -it=false  -itn VALUE           short names, all but the last of them flags; the value
                                                             belongs to the last one
    -n5  -v/a:/b  -itv/a:/b  -uroot  -eKEY=VALUE             a value attached to its short name

One dash and lower-case letters that are close to a long option (`-memroy`) are a misspelt one, never `-m emroy`. A word
that is both a long option and a cluster (`ps -all`: `--all`, or `-a -l -l`) is ambiguous. Both are errors.
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.generated.fasttable import ALIASES, COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.generated.fasttable import Command

# The spellings that Go's strconv.ParseBool accepts.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}

# key of a flag that takes words as well -> the words
WORDS = {"explain": ("all",)}

# keys of flags that are on when absent
ON = ("human", "pause", "sig_proxy")

# key of a flag that only confirms the default -> why it can't be turned off
_NEVER_OFF = {
    "disable_content_trust": "mydocker verifies no signatures",
}


class UnknownFlag(InvalidArgument):
    """word: the word as typed. head: the word without its `=value`."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.head = word.partition("=")[0]
        super().__init__(f"unknown flag: {self.head}")


def parse(argv: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the verb ("volume ls") and its params, or None for all that the full command line has to answer."""
    for length in (1, 2):
        path = tuple(argv[:length])
        path = ALIASES.get(path, path)
        if path in COMMANDS:
            try:
                options, words = scan(COMMANDS[path], argv[length:], path)
            except InvalidArgument:
                return None
            positionals = _bind(COMMANDS[path], words)
            return None if positionals is None else (" ".join(path), {**options, **positionals})
    return None


def scan(command: Command, words: list[str], path: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    """Separate options from positionals: (the options' params, the positional words). path: the command's words, for
    docker's options of it. Raises InvalidArgument."""
    stop_at_positional, _, absent, names = command
    params: dict[str, Any] = {key: [] if value == [] else True if key in ON else value for key, value in absent.items()}
    positionals: list[str] = []
    queue = iter(words)
    for word in queue:
        if word == "--":
            positionals += queue
        elif word == "-" or not word.startswith("-"):
            positionals.append(word)
            if stop_at_positional:
                positionals += queue
        else:
            for name, value in _split(path, command, word):
                key = names[name]
                if absent[key] is False:
                    params[key] = value is None or _flag_value(name, value, WORDS.get(key, ()))
                    if key in _NEVER_OFF and not params[key]:
                        raise InvalidArgument(f"{name}=false is not supported", _NEVER_OFF[key])
                    continue
                if value is None:
                    value = next(queue, None)
                if value is None:
                    raise InvalidArgument(f"flag needs an argument: {name}")
                if absent[key] is None:
                    params[key] = value
                else:
                    params[key].append(value)
    return params, positionals


def _split(path: tuple[str, ...], command: Command, word: str) -> list[tuple[str, str | None]]:
    """Split a word that starts with a dash into pairs: a declared name, and its value if the word holds it."""
    _, _, absent, names = command
    head, equals, tail = word.partition("=")
    value = tail if equals else None
    if head == "-" or head.startswith("--"):
        if head not in names:
            raise UnknownFlag(word)
        return [(head, value)]

    flags = []
    for letter in head[1:]:
        if absent.get(names.get(f"-{letter}", "")) is not False:
            break
        flags.append(f"-{letter}")
    tail_letters = head[1 + len(flags) :]  # empty, or from the first letter that is not a flag
    last = f"-{tail_letters}" if tail_letters else flags.pop()
    is_cluster = last in names and len(last) == 2

    if f"-{head}" in names:  # takes precedence over an attached value: -mem is never `-m em`
        if is_cluster:
            raise InvalidArgument(f"ambiguous flag: {head}", f"'-{head}', or each letter by itself")
        return [(f"-{head}", value)]
    if is_cluster:
        return [*((flag, None) for flag in flags), (last, value)]
    if last[:2] in names and not _is_misspelt(path, command, head):
        return [*((flag, None) for flag in flags), (last[:2], word[len(flags) + 2 :])]
    raise UnknownFlag(word)


def _is_misspelt(path: tuple[str, ...], command: Command, head: str) -> bool:
    from mydocker.cli import spelling

    return spelling.is_misspelt_option(path, command, head)


def _flag_value(name: str, value: str, words: tuple[str, ...]) -> bool | str:
    if value in words:
        return value
    if value not in _BOOLEANS:
        raise InvalidArgument(f"invalid argument {value!r} for flag {name}", " or ".join(["true", "false", *words]))
    return _BOOLEANS[value]


def _bind(command: Command, words: list[str]) -> dict[str, Any] | None:
    """Assign the positional words to their names; None if there are too few or too many."""
    params: dict[str, Any] = {}
    for name, required, many in command[1]:
        taken = words if many else words[:1]
        if required and not taken:
            return None
        params[name] = taken if many else taken[0] if taken else None
        words = words[len(taken) :]
    return None if words else params
