"""run and create."""

from __future__ import annotations

import os
from time import monotonic_ns

from mydocker import state
from mydocker.cli.streams import tell
from mydocker.engine import create as creation
from mydocker.engine import start as starting
from mydocker.errors import InvalidArgument, MydockerError, NotFound
from mydocker.model import host
from mydocker.model.options import request
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(params: dict[str, Any]) -> int:
    """The container's exit code, or 0 once it runs detached."""
    facts = host.look()
    asked = request.from_params(params, os.environ, facts)
    if asked.tty and asked.interactive and not asked.detach and not os.isatty(0):
        raise InvalidArgument("-it needs a terminal, and stdin is none", "leave out -t for a pipe, or -i")
    form = params["format"]
    if form and not (asked.explain or asked.dry_run):
        raise InvalidArgument("--format goes with --explain or --dry-run", "or see 'mydocker explain'")
    trace = Trace("host")
    began = monotonic_ns()
    made = creation.draft(asked, facts)
    _remark(made.notes)
    if asked.dry_run:
        from mydocker.cli import explain

        explain.print_plan(made.plan(), form)
        return 0
    found = creation.create(made)
    trace.span("parse, plan, write the bundle and the record", f"ls {found.directory}", began)
    try:
        stdin = asked.interactive and not asked.detach
        result = starting.start(found, not asked.detach, stdin, asked.explain, trace, made)
    except BaseException as error:
        if asked.detach:
            print(found.id)  # without --rm it is there, with the error in its record
        if found.auto_remove:
            _remove(found.id)
        if asked.explain and getattr(error, "trace", None):
            _explain(error.trace, form)  # type: ignore[attr-defined]
        raise
    if asked.explain and result.trace:
        _explain(result.trace, form)
    if asked.detach:
        print(found.id)
        return 0
    return result.exit_code or 0


def create(params: dict[str, Any]) -> int:
    facts = host.look()
    made = creation.draft(request.from_params(params, os.environ, facts), facts)
    _remark(made.notes)
    found = creation.create(made)
    state.fsync_new(found)
    print(found.id)
    return 0


def _remark(notes: list[str]) -> None:
    for note in notes:
        tell(MydockerError(note))


def _remove(container_id: str) -> None:
    """With --rm, a run that never ran leaves no container, even if its monitor was killed. One that ran is its
    monitor's."""
    from mydocker.engine import lifecycle

    try:
        found = state.load(container_id)
        if found.status == "created" or not state.has_monitor(found):
            lifecycle.remove(container_id, force=True, volumes=True)
    except NotFound:
        pass


def _explain(trace: dict[str, Any], form: str | None) -> None:
    from mydocker.cli import explain

    explain.print_trace(trace, form)
