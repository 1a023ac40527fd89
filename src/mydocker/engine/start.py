"""Start a created container; in the foreground, stay attached to it until its end. Attach to one that runs."""

from __future__ import annotations

import _signal
import os
import sys
from time import monotonic_ns

from mydocker import config, state
from mydocker.engine import bundle, filters
from mydocker.engine.attach import Console, Detached, OutputGone, terminal_size, write_out
from mydocker.engine.network import endpoints
from mydocker.errors import Conflict, InvalidArgument, MydockerError, StepFailed
from mydocker.image.drivers import choice
from mydocker.kernel import process
from mydocker.model.container import not_running
from mydocker.record import record
from mydocker.runtime import handoff, launch, messages
from mydocker.trace import Trace, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.engine.create import Draft
    from mydocker.model.container import Container
    from mydocker.model.options.request import CreateRequest

_PATIENCE = 30  # seconds for a monitor to end after its last message


@record
class Started:
    """exit_code: of a foreground container that has ended; None if it was started detached. trace: with --explain.
    detached: the user has left it."""

    exit_code: int | None = None
    trace: dict[str, Any] | None = None
    detached: bool = False


@record
class Attaching:
    """How a command line attaches to a container. stdin: forward our stdin. outputs: the container's streams that are
    shown. detach_keys, sig_proxy: see Console."""

    stdin: bool = False
    outputs: tuple[str, ...] = ("stdout", "stderr")
    detach_keys: bytes = b""
    sig_proxy: bool = True


def start(
    container: Container,
    attach: Attaching | None = None,
    explain: bool = False,
    trace: Trace | None = None,
    draft: Draft | None = None,
    restarting: bool = False,
) -> Started:
    """Start a container that is not running. attach: stay with it until its end. draft: the draft that it has just been
    created from, so that no file is read again. restarting: its restart policy asks for the start, and this process is
    its monitor.

    Raises MydockerError if it can't be started. The container is then as it was before, and its record says why; with
    --rm it is gone.
    """
    trace = trace or Trace("host")
    if attach:
        _check_terminal(container, attach, "leave out -i")
    tty = container.tty and bool(attach)
    lock, locked, launched = state.lock(container), False, False
    try:
        container = state.load(container.id)
        _check_status(container, restarting)
        locked = True
        began = monotonic_ns()
        spec, request, program = _plan(container, draft)
        size = terminal_size() if tty else (0, 0)
        settings = config.load()
        prepared = endpoints.prepare(container, spec, request, bool(draft))
        with prepared as network, _console(container, attach) as console:
            for note in network.notes:
                sys.stderr.write(f"mydocker: {note}\n")
            trace.span("take addresses and ports", f"ls {container.directory}", began)
            orders = messages.Orders(
                record=container.__dict__,
                spec=spec,
                program=program,
                networks=network.networks,
                size=size,
                fresh=bool(draft),
                attach=bool(attach),
                stdin=bool(attach and attach.stdin),
                explain=explain,
                log_size=container.log_size or settings["log_size"],
                log_files=container.log_files or settings["log_files"],
                dns=request.dns,
                notes=trace.notes,
                lock=lock.descriptor,
                shared=network.shared,
                joined=network.joined,
                bound_sockets=network.sockets,
            )
            pid, channel = launch.launch(orders)
            launched = True
            lock.release()
            network.release()
            if draft and not (container.auto_remove or container.build):
                state.fsync_new(container)  # while it starts
            return _follow(container, pid, channel, console, attach)
    except BaseException as error:
        if locked and not launched:  # otherwise its monitor records the failure
            why = reason(error) if isinstance(error, OSError) else str(error) or "interrupted"
            state.save_failure(container, why, getattr(error, "exit_code", 0))
        raise
    finally:
        lock.release()


def _check_status(container: Container, restarting: bool) -> None:
    """Raise Conflict if the container can't be started now. A start by a user resets the count of restarts and
    the back-off."""
    if restarting:
        if not container.is_restarting():
            raise Conflict(f"container {container.name} is no longer restarting", "it was stopped")
        return
    if container.is_paused():
        raise not_running(container)
    if container.is_active():
        raise Conflict(f"container {container.name} is already running", f"'mydocker stop {container.name}' first")
    container.restart_count, container.restart_delay, container.ended_by = 0, 0, ""


def _plan(container: Container, draft: Draft | None) -> tuple[dict[str, Any], CreateRequest, bytes]:
    """Return the spec, the request and the compiled seccomp filter: of the draft, or else read from the disk."""
    if draft:
        return draft.spec, draft.request, draft.program
    spec, request = bundle.load_spec(container), bundle.load_request(container)
    program = filters.program(spec)
    choice.named(container.driver).prepare(container.directory, container.layers)
    return spec, request, program


def attach_to(container: Container, attach: Attaching) -> Started:
    """Attach to a running container until its end. Raises Conflict if it does not run."""
    from mydocker.runtime import control

    if container.is_paused() or not state.is_running(container):
        raise not_running(container)
    _check_terminal(container, attach, "--no-stdin attaches without it")
    with _console(container, attach) as console:
        console.is_owner, console.redraws = False, True
        channel, descriptors = control.attach(container, attach.stdin)
        console.connect(*descriptors)
        follower = _serve(container, channel, console, attach)
        if follower.result.exit_code is None and not follower.result.detached:
            raise _lost_monitor(container)
        return follower.result


def _check_terminal(container: Container, attach: Attaching, hint: str) -> None:
    if container.tty and attach.stdin and not os.isatty(0):
        raise InvalidArgument(f"container {container.name} has a terminal, but stdin is not one", hint)


def _console(container: Container, attach: Attaching | None) -> Console:
    if not attach:
        return Console(False, False, container.name)
    console = Console(container.tty, attach.stdin, container.name, attach.detach_keys, attach.sig_proxy)
    console.ends_with_stdin = not attach.outputs
    return console


def _lost_monitor(container: Container) -> StepFailed:
    return StepFailed(f"the monitor of {container.name} ended unexpectedly", "was it killed? see dmesg", "monitor")


def _serve(container: Container, channel: messages.Channel, console: Console, attach: Attaching | None) -> _Follower:
    """Follow the monitor until it hangs up, or until the user leaves."""
    console.note_user_signal = lambda number: _note_user_signal(container, number)
    console.note_stdin_ended = lambda: _note_stdin_ended(channel)
    follower = _Follower(channel, console, attach.outputs if attach else ())
    try:
        console.serve({channel.fileno(): follower.receive})
    except Detached:
        follower.result.detached = True
    channel.close()
    return follower


def _follow(
    container: Container, pid: int, channel: messages.Channel, console: Console, attach: Attaching | None
) -> Started:
    """Follow the monitor until it hangs up: when the container runs or, attached, when it has ended."""
    console.abort = lambda: os.kill(pid, _signal.SIGTERM)
    follower = _serve(container, channel, console, attach)
    failure, result = follower.failure, follower.result
    if result.detached:
        return result
    lost = bool(attach) and result.exit_code is None
    if failure or lost:
        process.reap(pid, _PATIENCE)
    if failure and console.early:
        raise MydockerError(f"interrupted before {container.name} ran", exit_code=128 + console.early)
    if failure:
        failure.trace = result.trace  # type: ignore[attr-defined]
        raise failure
    console.check()
    if console.pidfd < 0 or lost:
        raise _lost_monitor(container)
    return result


class _Follower:
    """Receives a monitor's messages. failure: why the container could not be started."""

    def __init__(self, channel: messages.Channel, console: Console, outputs: tuple[str, ...]) -> None:
        self.channel, self.console = channel, console
        self.result = Started()
        self.failure: MydockerError | None = None
        shown = {"stdout": (messages.STDOUT, 1), "stderr": (messages.STDERR, 2)}
        self._targets = dict(shown[name] for name in outputs)

    def receive(self) -> bool:
        """Receive one message. Returns False when the monitor has hung up."""
        try:
            message = self.channel.receive()
        except ConnectionResetError:  # it was killed before it had read its orders
            return False
        if message.kind in self._targets:
            self._write_out(message)
        elif message.kind == messages.STARTED:
            self.console.connect(*message.fds)
        elif message.kind == messages.TRACE:
            self.result.trace = handoff.receive(*message.fds)
        elif message.kind == messages.FAILED:
            self.failure = message.error()
        elif message.kind == messages.EXITED:
            self.result.exit_code = int(message.body)
        return bool(message.kind)

    def _write_out(self, message: messages.Message) -> None:
        try:
            write_out(self._targets[message.kind], message.body)
        except OutputGone as why:
            self._targets.clear()  # no more output from here on
            self.console.end(why)


def _note_stdin_ended(channel: messages.Channel) -> None:
    try:
        channel.send(messages.STDIN_ENDED)
    except OSError:
        pass  # the monitor has hung up; its last messages are still to be read


def _note_user_signal(container: Container, number: int) -> None:
    from mydocker.engine import lifecycle, pausing

    lifecycle.note_user_signal(container, number)
    pausing.wake(container, number)
