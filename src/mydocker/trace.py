"""Runs a plan: the only caller of an op's do() and undo().

It times each step, keeps the record that `explain` reads, undoes them after an error and injects faults for the tests.
A step that is no op (clone, wait, exec) is a span in the same record.

    span   {"side": "host" | "container", "name": description, "op": class name or None, "args": fields or None,
            "shell": only where op is None, "start": ns, "end": ns (CLOCK_MONOTONIC), "error": text or None}
"""

from __future__ import annotations

import errno
import marshal
import os
from time import monotonic_ns

from mydocker.errors import InvalidArgument, MydockerError, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Optional

    from mydocker.ops.base import Op

    Note = tuple[str, str, Optional[Op], int, int, str]  # name, shell, op, start, end, error: what spans() is of

# MYDOCKER_FAULT=N makes the N-th op of a start fail, host and container side counted through.
_FAULT = os.environ.get("MYDOCKER_FAULT", "")


def check_fault() -> None:
    """Raises InvalidArgument for a MYDOCKER_FAULT that no step has the number of."""
    if _FAULT and not (_FAULT.isascii() and _FAULT.isdigit() and _FAULT[0] != "0"):
        raise InvalidArgument(f"invalid MYDOCKER_FAULT '{_FAULT}'", "the number of the step that is to fail, from 1")


class Trace:
    """The steps of one side. number: it counts ops, and goes on in the container's side after the clone. notes: what
    another one has noted of steps that are no ops."""

    def __init__(self, side: str, number: int = 0, notes: Iterable[Note] = ()) -> None:
        self.side = side
        self.pid = 0
        self.number = number
        self.notes: list[Note] = [*notes]
        self._done: list[Op] = []

    def run(self, plan: Iterable[Op]) -> None:
        """Do each op in turn. Raises StepFailed at the first that fails; undo_all() then undoes it and those before."""
        from mydocker.ops.base import Context  # who has a plan has loaded it

        context = Context(self.pid)
        for op in plan:
            self.number += 1
            self._done.append(op)
            start = monotonic_ns()
            try:
                if _FAULT and str(self.number) == _FAULT:
                    raise OSError(errno.EIO, "a fault injected by MYDOCKER_FAULT", f"step {_FAULT}")
                op.do(context)
            except (OSError, ValueError, OverflowError) as error:
                self.notes.append(("", "", op, start, monotonic_ns(), reason(error)))
                raise step_failed(op.describe(), error) from None
            self.notes.append(("", "", op, start, monotonic_ns(), ""))

    def adopt(self, done: Iterable[Op]) -> None:
        """Ops that somebody else has done, to be undone with ours."""
        self._done.extend(done)

    def span(self, name: str, shell: str, start: int, end: int = 0) -> None:
        """Note a step that is no op; start and end by `monotonic_ns`, end now if left out."""
        self.notes.append((name, shell, None, start, end or monotonic_ns(), ""))

    def undo_all(self) -> list[str]:
        """Undo all that was done, last first, an op that failed half-way included. What can't be undone is returned."""
        failures = []
        while self._done:
            op = self._done.pop()
            try:
                op.undo()
            except (OSError, MydockerError) as error:
                failures.append(f"could not undo '{op.describe()}': {reason(error)}")
        return failures

    def spans(self) -> list[dict[str, Any]]:
        """The record, as the module's head says."""
        rows: list[dict[str, Any]] = []
        for name, shell, op, start, end, error in self.notes:
            row: dict[str, Any] = {"side": self.side, "start": start, "end": end, "error": error or None}
            if op:
                row.update(name=op.describe(), op=type(op).__name__, args=op.arguments())
            else:
                row.update(name=name, op=None, args=None, shell=shell)
            rows.append(row)
        return rows

    def dump(self, maximum: int) -> bytes:
        """The notes, the first `most` of them, for another process: dumped() there."""
        rows = [
            (name, shell, op and (type(op).__name__, op.arguments()), start, end, error)
            for name, shell, op, start, end, error in self.notes[:maximum]
        ]
        return marshal.dumps(rows)


def dumped(data: bytes) -> list[Note]:
    """What dump() gave, where the same ops are loaded."""
    from mydocker.ops.base import revive

    return [
        (name, shell, op and revive(*op), start, end, error)
        for name, shell, op, start, end, error in marshal.loads(data)
    ]


def undo_all(plan: list[Op]) -> None:
    """Undo a plan of which nobody knows how far it came: what a monitor that was killed has left. Raises OSError."""
    for op in reversed(plan):
        op.undo()


def run_or_undo(plan: Iterable[Op]) -> None:
    """Run a plan on the host. On failure, undo what was done of it and raise StepFailed."""
    trace = Trace("host")
    try:
        trace.run(plan)
    except BaseException:
        trace.undo_all()
        raise


def step_failed(step: str, error: Exception) -> StepFailed:
    """The error that a person reads: which step, what the kernel said, about what."""
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    hints = {
        errno.EPERM: "" if os.geteuid() == 0 else "run as root",
        errno.EMFILE: "raise the limit of open files, 'ulimit -n'",
        errno.ENOSPC: "free some space, or raise the limit that is full",
        errno.ENOSYS: "this kernel is too old",
    }
    return StepFailed(f"{step}: {reason(error)}", hints.get(number, ""), step=step, errno=number)


def reason(error: Exception) -> str:
    """`strerror: path`, without Python's brackets and numbers."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
