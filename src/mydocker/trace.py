"""Run a plan: the only caller of an op's do() and undo().

A trace times each op, undoes the ops after an error, injects faults for the tests and keeps the record that `explain`
reads. That record is a list of spans:

    span   {"side": "host" | "container", "name": description, "op": class name or None, "args": fields or None,
            "shell": only where op is None, "start": ns, "end": ns (CLOCK_MONOTONIC), "error": text or None}

A step of a start is an op, the clone or the exec. Steps are counted from 1: those of the host in their order, then
those of the container. Every other span, such as planning and waiting, only shows where the time goes.
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

# MYDOCKER_FAULT=N makes the N-th step of a start fail.
_FAULT = os.environ.get("MYDOCKER_FAULT", "")


def check_fault() -> None:
    """Raise InvalidArgument unless MYDOCKER_FAULT is the number of a step."""
    if _FAULT and not (_FAULT.isascii() and _FAULT.isdigit() and _FAULT[0] != "0"):
        raise InvalidArgument(f"invalid MYDOCKER_FAULT '{_FAULT}'", "the number of the step that must fail, from 1")


class Trace:
    """The spans of one side. number: of the last step. notes: spans of another process, to begin with. pid: of the
    container's first process, 0 before the clone."""

    def __init__(self, side: str, number: int = 0, notes: Iterable[Note] = ()) -> None:
        self.side = side
        self.pid = 0
        self.number = number
        self.notes: list[Note] = [*notes]
        self._done: list[Op] = []

    def run(self, plan: Iterable[Op]) -> None:
        """Do each op in turn. Raises StepFailed at the first that fails; undo_all() then undoes it and those before."""
        from mydocker.ops.base import Context  # the plan's author has loaded it

        context = Context(self.pid)
        for op in plan:
            self._done.append(op)
            start = monotonic_ns()
            try:
                self._count()
                op.do(context)
            except (OSError, ValueError, OverflowError) as error:
                self.notes.append(("", "", op, start, monotonic_ns(), reason(error)))
                raise step_failed(op.describe(), error) from None
            self.notes.append(("", "", op, start, monotonic_ns(), ""))

    def count(self, step: str) -> None:
        """Count CLONE or EXECUTE. Raises StepFailed if this step is to fail."""
        try:
            self._count()
        except OSError as error:
            raise step_failed(step, error) from None

    def _count(self) -> None:
        self.number += 1
        if _FAULT and str(self.number) == _FAULT:
            raise OSError(errno.EIO, "a fault injected by MYDOCKER_FAULT", f"step {_FAULT}")

    def adopt(self, done: Iterable[Op]) -> None:
        """Take over ops that another process has done, so that undo_all() undoes them too."""
        self._done.extend(done)

    def span(self, name: str, shell: str, start: int, end: int = 0) -> None:
        """Note a span that is not an op. start, end: by monotonic_ns(); end is now if left out."""
        self.notes.append((name, shell, None, start, end or monotonic_ns(), ""))

    def undo_all(self) -> list[str]:
        """Undo the ops, the last first, including one that failed half-way. Return what could not be undone."""
        failures = []
        while self._done:
            op = self._done.pop()
            try:
                op.undo()
            except (OSError, MydockerError) as error:
                failures.append(f"could not undo '{op.describe()}': {reason(error)}")
        return failures

    def spans(self) -> list[dict[str, Any]]:
        """The spans as the module docstring describes them."""
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
        """The first `maximum` notes, for dumped() in another process."""
        rows = [
            (name, shell, op and (type(op).__name__, op.arguments()), start, end, error)
            for name, shell, op, start, end, error in self.notes[:maximum]
        ]
        return marshal.dumps(rows)


def dumped(data: bytes) -> list[Note]:
    """The notes from dump(). The same ops have to be loaded."""
    from mydocker.ops.base import revive

    return [
        (name, shell, op and revive(*op), start, end, error)
        for name, shell, op, start, end, error in marshal.loads(data)
    ]


def undo_all(plan: list[Op]) -> None:
    """Undo a plan that may have been done in part, or not at all: its monitor was killed. Raises OSError."""
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


def attempt(plan: list[Op]) -> list[str]:
    """Do each op of a clean-up, also after one that failed. Return what could not be done. No fault is injected: faults
    are for starts and changes, not for the way back."""
    from mydocker.ops.base import Context

    failures = []
    for op in plan:
        try:
            op.do(Context())
        except (OSError, MydockerError) as error:
            failures.append(f"could not {op.describe()}: {reason(error)}")
    return failures


def step_failed(step: str, error: Exception) -> StepFailed:
    """The error for users: the step, the kernel's message and the file that it is about."""
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    hints = {
        errno.EPERM: "" if os.geteuid() == 0 else "run as root",
        errno.EMFILE: "raise the limit of open files, 'ulimit -n'",
        errno.ENOSPC: "free some space, or raise the limit that is full",
        errno.ENOSYS: "this kernel is too old",
    }
    return StepFailed(f"{step}: {reason(error)}", hints.get(number, ""), step=step, errno=number)


def reason(error: Exception) -> str:
    """The error as `strerror: path`, without Python's brackets and numbers."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
