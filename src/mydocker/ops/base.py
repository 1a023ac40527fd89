"""Every step by which mydocker changes the kernel's mind about something, one small class each.

An op is plain data (its fields are JSON) with do(), undo(), shell(), the equivalent shell command, and describe(), what
it is for. Planners make lists of them; only trace.py calls do() and undo(). undo() is for steps on the host, and must
be harmless after a do() that stopped half-way; a step in the container ends with its namespaces. section: the heading
under which explain shows it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Op:
    section = ""
    _fields: tuple[str, ...] = ()

    def do(self) -> None:
        raise NotImplementedError

    def undo(self) -> None:
        """Nothing to take back, unless a subclass says otherwise."""

    def describe(self) -> str:
        raise NotImplementedError

    def shell(self) -> str:
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """Its fields, for a record that `revive` reads back."""
        return {name: getattr(self, name) for name in self._fields}


def revive(name: str, fields: dict[str, Any]) -> Op:
    """The op that a trace recorded. Raises KeyError for a name that is no op."""
    made: Op = classes()[name](**fields)
    return made


def classes() -> dict[str, Any]:
    """Every op that is loaded, by its name."""
    return {cls.__name__: cls for cls in Op.__subclasses__()}


def quote(word: str) -> str:
    """A word as a shell takes it."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
    if word and all(char in safe for char in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
