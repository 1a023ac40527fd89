"""One small class for every operation that changes kernel state.

An op is plain data: its fields are JSON. Planners make lists of ops; only trace.py calls do() and undo(). The modules
beside this one and in network/ops/ define the classes, each with the decorator `operation`.
"""

from __future__ import annotations

from mydocker.record import record

__all__ = ["CLONE", "EXECUTE", "Context", "Op", "operation", "quote", "revive"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as operation
    from typing import Any
else:

    def operation(cls):
        """Make a record of the class, and enter it in the register that revive() reads."""
        _REGISTER[cls.__name__] = record(cls)
        return cls


_REGISTER: dict[str, type[Op]] = {}
# The two steps of a start that are not ops: their descriptions.
CLONE = "clone the first process into new namespaces"
EXECUTE = "become the program"


@record
class Context:
    """Facts that are known only while a plan runs. pid: the container's first process, 0 before the clone."""

    pid: int = 0


class Op:
    """section: the heading under which `explain` shows the op. descriptors: opened by do() for the monitor; the caller
    of Trace.run() passes them on."""

    section = ""
    descriptors: list[int] = []
    _fields: tuple[str, ...] = ()

    def do(self, context: Context) -> None:
        raise NotImplementedError

    def undo(self) -> None:
        """Undo do() on the host, also a do() that failed half-way. Inside the container the end of its namespaces
        undoes everything, so most ops have nothing to do here."""

    def describe(self) -> str:
        """The purpose of the op, in a few words."""
        raise NotImplementedError

    def shell(self) -> str:
        """The equivalent shell command, or several on lines of their own."""
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """The fields, for a record that `revive` reads back."""
        return {name: getattr(self, name) for name in self._fields}


def revive(name: str, fields: dict[str, Any]) -> Op:
    """The op that a trace recorded. Raises KeyError unless a loaded module defines an op of that name."""
    return _REGISTER[name](**fields)


def quote(word: str) -> str:
    """The word, quoted for a shell."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
    if word and all(char in safe for char in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
