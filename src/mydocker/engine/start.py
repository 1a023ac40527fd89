"""From a created container to a running one; in the foreground, the command line attached to it until its end."""

from __future__ import annotations

import _signal
import os
import sys
from time import monotonic_ns

from mydocker import config, state
from mydocker.engine import bundle, filters
from mydocker.engine.attach import Console, OutputGone, terminal_size, write_out
from mydocker.engine.network import endpoints
from mydocker.errors import Conflict, InvalidArgument, MydockerError, StepFailed
from mydocker.image.drivers import choice
from mydocker.kernel import process
from mydocker.record import record
from mydocker.runtime import handoff, launch, messages
from mydocker.trace import Trace, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.engine.create import Draft
    from mydocker.model.container import Container

_PATIENCE = 30  # seconds for a monitor to end that has said its last word


@record
class Started:
    """exit_code: of a foreground container that has ended; None if it was started detached. trace: if asked for."""

    exit_code: int | None = None
    trace: dict[str, Any] | None = None


def start(
    found: Container,
    attach: bool = False,
    stdin: bool = False,
    explain: bool = False,
    trace: Trace | None = None,
    made: Draft | None = None,
    again: bool = False,
) -> Started:
    """Start a container that does not run. attach: stay with it until its end. stdin: our stdin is its. made: what it
    was just made of, which is then not read again. again: its restart policy wants it, and this process is its monitor.

    Raises MydockerError if it can't be started; the container is then as it was before, its record says why. With --rm
    it is gone.
    """
    trace = trace or Trace("host")
    if found.tty and stdin and not os.isatty(0):
        raise InvalidArgument(f"container {found.name} has a terminal, and stdin is none", "leave out -i")
    tty = found.tty and attach
    lock, locked, launched = state.lock(found), False, False
    try:
        found = state.load(found.id)
        if again and not found.is_restarting():
            raise Conflict(f"container {found.name} is not to be started again", "it was stopped")
        if not again:
            if found.is_active():
                raise Conflict(f"container {found.name} is already running", f"'mydocker stop {found.name}' first")
            found.restart_count, found.restart_delay, found.ended_by = 0, 0, ""
        locked = True
        began = monotonic_ns()
        if made:
            spec, wanted, program = made.spec, made.request, made.program
        else:
            spec, wanted = bundle.load_spec(found), bundle.load_request(found)
            program = filters.program(spec)
            choice.named(found.driver).prepare(found.directory, found.layers)
        size = terminal_size() if tty else (0, 0)
        settings = config.load()
        log_size, log_files = found.log_size or settings["log_size"], found.log_files or settings["log_files"]
        with endpoints.prepare(found, spec, wanted, bool(made)) as network, Console(tty, stdin, found.name) as console:
            for note in network.notes:
                sys.stderr.write(f"mydocker: {note}\n")
            trace.span("take addresses and ports", f"ls {found.directory}", began)
            orders = messages.Orders(
                record=found.__dict__,
                spec=spec,
                program=program,
                networks=network.networks,
                size=size,
                fresh=bool(made),
                attach=attach,
                stdin=stdin,
                explain=explain,
                log_size=log_size,
                log_files=log_files,
                dns=wanted.dns,
                notes=trace.notes,
                lock=lock.descriptor,
                shared=network.shared,
                bound_sockets=network.bound_sockets,
            )
            pid, channel = launch.launch(orders)
            launched = True
            lock.release()
            network.hand_over()
            if made and not found.auto_remove:
                state.fsync_new(found)  # while it starts
            return _follow(found, pid, channel, console, attach)
    except BaseException as error:
        if locked and not launched:  # else it is for its monitor to do
            why = reason(error) if isinstance(error, OSError) else str(error) or "interrupted"
            state.save_failure(found, why, getattr(error, "exit_code", 0))
        raise
    finally:
        lock.release()


def _follow(found: Container, pid: int, channel: messages.Channel, console: Console, attach: bool) -> Started:
    """Hear what the monitor says until it hangs up: once the container runs or, attached, once it has ended."""
    result = Started()
    console.abort = lambda: os.kill(pid, _signal.SIGTERM)
    console.note_user_signal = lambda number: _note_user_signal(found, number)
    failure: list[MydockerError] = []
    targets = {messages.STDOUT: 1, messages.STDERR: 2}

    def hear() -> bool:
        try:
            message = channel.receive()
        except ConnectionResetError:  # it was killed before it had read its orders
            return False
        if message.kind in targets:
            try:
                write_out(targets[message.kind], message.body)
            except OutputGone as why:
                targets.clear()
                console.end(why)
        elif message.kind == messages.STARTED:
            console.connect(*message.fds)
        elif message.kind == messages.TRACE:
            result.trace = handoff.receive(*message.fds)
        elif message.kind == messages.FAILED:
            failure.append(message.error())
        elif message.kind == messages.EXITED:
            result.exit_code = int(message.body)
        return bool(message.kind)

    console.serve({channel.fileno(): hear})
    channel.close()
    if failure or (attach and result.exit_code is None):
        process.reap(pid, _PATIENCE)
    if failure and console.early:
        raise MydockerError(f"interrupted before {found.name} ran", exit_code=128 + console.early)
    if failure:
        failure[0].trace = result.trace  # type: ignore[attr-defined]
        raise failure[0]
    console.check()
    if console.pidfd < 0 or (attach and result.exit_code is None):
        raise StepFailed(f"the monitor of {found.name} ended without a word", "was it killed? see dmesg", "monitor")
    return result


def _note_user_signal(found: Container, number: int) -> None:
    from mydocker.engine import lifecycle

    lifecycle.note_user_signal(found, number)
