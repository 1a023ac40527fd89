"""Help texts: they end their lines at blanks, and fit a terminal of 80 columns."""

from __future__ import annotations

import pytest
import typer.testing  # noqa: F401  (Typer before click)

from mydocker.cli.declare import root


def commands(group, name="mydocker"):
    """(its name, the command) of all, groups too."""
    yield name, group
    for inner, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {inner}")


ALL = dict(commands(root.build()))


def help_of(name: str, columns: int) -> str:
    command = ALL[name]
    context = command.context_class(command, info_name=name, terminal_width=columns, max_content_width=columns)
    return command.get_help(context)


@pytest.mark.parametrize("name", ALL)
def test_no_word_is_taken_apart(name):
    wide = help_of(name, 1000)
    for columns in (80, 60):
        assert help_of(name, columns).split() == wide.split()
    assert [line for line in help_of(name, 80).splitlines() if len(line) > 80] == []
