"""The command line as plain data, for make-man and make-completions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "src"))


class Option(NamedTuple):
    names: list[str]  # short ones first
    value: str  # the name of its value, such as FILE; empty for a flag
    about: str
    panel: str
    repeatable: bool


class Command(NamedTuple):
    words: tuple[str, ...]  # ("network", "create"), () for mydocker itself
    about: str  # one line
    more: str  # paragraphs; one that begins with \b keeps its lines
    panel: str
    options: list[Option]
    positionals: list[str]  # as in the usage
    inner: list[str]  # the commands of a group; empty for a command
    stops: bool  # True if all words after its first positional are the container's

    @property
    def name(self) -> str:
        return " ".join(("mydocker", *self.words))


def commands() -> list[Command]:
    """mydocker itself, then its groups and commands in their order of declaration, without other spellings."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # where it is installed, Typer would format for it
    from mydocker.cli.declare import root

    return list(_walk(root.build(), (), []))


def _walk(command: Any, words: tuple[str, ...], seen: list[Any]) -> Iterator[Command]:
    """seen: the commands that have a name already; those of a group come before those of the groups in it."""
    about, _, more = (command.help or "").partition("\n\n")
    inner = {name: each for name, each in _first_spellings(command, seen) if not each.hidden}
    yield Command(
        words,
        " ".join(about.split()),
        "\n\n".join(filter(None, (more, command.epilog))),
        getattr(command, "rich_help_panel", None) or "",
        [_option(param) for param in command.params if param.param_type_name == "option"],
        [param.metavar for param in command.params if param.param_type_name == "argument"],
        list(inner),
        not command.context_settings.get("allow_interspersed_args", True),
    )
    for name, each in inner.items():
        yield from _walk(each, (*words, name), seen)


def _first_spellings(command: Any, seen: list[Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if inner not in seen:
            seen.append(inner)
            yield name, inner


def _option(param: Any) -> Option:
    value = "" if param.is_flag else param.metavar
    names = sorted(param.opts, key=lambda name: name.startswith("--"))
    return Option(names, value.removesuffix("..."), param.help, param.rich_help_panel or "Options", param.multiple)
