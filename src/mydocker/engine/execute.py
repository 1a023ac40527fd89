"""exec: one more process in a running container: all its namespaces, its cgroup, its limits and filters.

messages.py draws who does what: the command line clones a joiner, whose trampoline clones the child.

A PID namespace holds for children only: the joiner, which is still the interpreter, is never seen in the container. As
the trampoline, a few kilobytes, it reaps the child, also when the command line has gone; so it counts as one more
process of the container's cgroup.
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import os

from mydocker.engine import filters
from mydocker.engine.attach import Console, OutputGone, terminal_size, write_out
from mydocker.engine.bundle import load_spec
from mydocker.engine.process import open_pidfd
from mydocker.errors import FAILED, Conflict, MydockerError, StepFailed
from mydocker.kernel import cgroups, process, trampoline
from mydocker.kernel.title import set_title
from mydocker.model.oci.annotations import TERM
from mydocker.model.options import keyvalue
from mydocker.ops.base import Op
from mydocker.ops.cgroup import JoinCgroups
from mydocker.ops.namespaces import JoinNamespaces
from mydocker.ops.process import CloseDescriptors, NewKeyring, OpenTerminal, OwnStreams, ResetSignals
from mydocker.record import record
from mydocker.runtime import cgroup, init, messages, security, users
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.model.container import Container

_PIECE = 65536
_PATIENCE = 60  # seconds
# What a container says that is about to end: its namespaces take nobody a moment before its first process has ended.
_ENDING, _LAST_MOMENT = (errno.ENOMEM, errno.ESRCH), 2  # seconds


@record
class ExecRequest:
    """command: its arguments. environment: KEY=VALUE rows on top of the container's. user, workdir: "" for its own."""

    command: list[str]
    environment: list[str]
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stdin: bool = False
    detach: bool = False


def execute(found: Container, request: ExecRequest) -> int:
    """Run the command to its end; its exit code, or 0 at once if detached. Raises Conflict if the container does not
    run.
    """
    container = open_pidfd(found)
    if found.is_restarting():
        raise Conflict(f"container {found.name} is restarting", "wait until it runs")
    if container < 0:
        raise Conflict(f"container {found.name} is not running", f"'mydocker start {found.name}'")
    # Out of the way of what the joiner has from 0 to 4.
    container = fcntl.fcntl(container, fcntl.F_DUPFD_CLOEXEC, trampoline.FIRST_FREE_FD)
    spec = load_spec(found)
    layout = cgroups.layout()
    size = terminal_size() if request.tty and not request.detach else (0, 0)
    path = spec["linux"]["cgroupsPath"]
    _, enter = cgroup.plan(path, {}, layout)
    kinds = [namespace["type"] for namespace in spec["linux"]["namespaces"]]
    join = [
        *(op for op in enter if isinstance(op, JoinCgroups)),
        *security.oom_score(spec["process"]),
        JoinNamespaces(container, kinds),
    ]
    with Console(request.tty and not request.detach, request.stdin, found.name) as console:
        ours, theirs = messages.pair()
        streams, outputs, stdin = ([], {}, -1) if request.tty else _pipes(request)
        # Born in the cgroup, not its child: from a cgroup outside, the container's cgroup namespace lets nobody in.
        try:
            joiner, pidfd = process.clone_into(_clone_cgroup(found, path, layout), 0)
        except OSError:
            if process.ends_within(container, 0):
                raise _ended(request) from None
            raise
        if joiner == 0:
            console.forget()
            # Before it enters: in there /proc may be forged.
            set_title("mydocker: exec")
            init.main(_work(join, spec, request, size), streams, theirs.fileno(), clones=True, tells=False)
        theirs.close()
        for descriptor in streams:
            os.close(descriptor)
        child = _Child(stdin, joiner, pidfd)
        console.abort = child.kill
        if not console.serve({ours.fileno(): lambda: child.hear(ours, request.command[0])}, seconds=_PATIENCE):
            child.kill()
            child.failure = StepFailed(f"container {found.name} did not let exec in for {_PATIENCE} s", "is it frozen?")
        ours.close()
        moment = _LAST_MOMENT if child.errno in _ENDING else 0
        if not child.pid and (not child.failure or process.ends_within(container, moment)):
            child.failure = _ended(request)
        if child.failure or console.early:
            child.reap()
            if child.failure:
                child.failure.exit_code = _code(child.failure, request)
            raise child.failure or MydockerError("interrupted before the command ran", exit_code=128 + console.early)
        if request.detach:
            return 0
        console.connect(child.pidfd, child.stdin)
        console.serve(_readers(child.master, outputs, console), until_ended=True)
        code = child.reap()
        console.check()
        return code


def _ended(request: ExecRequest) -> StepFailed:
    """Whatever the kernel says of a step into a container that has ended (ESRCH, ENOMEM, ENOENT), this is why."""
    failure = StepFailed("the container ended while exec was entering it", "see 'mydocker ps -a'", "exec")
    failure.exit_code = _code(failure, request)
    return failure


def _code(failure: MydockerError, request: ExecRequest) -> int:
    """docker's: 127 for a command that is not there, 126 for whatever else keeps it from running; 1 if detached."""
    if request.detach:
        return FAILED
    return failure.exit_code if failure.exit_code == 127 else 126


def _clone_cgroup(found: Container, path: str, layout: cgroups.Layout) -> str:
    """Where its first process is: an init like systemd moves to a cgroup below, and v2 then wants none above."""
    directory = cgroup.clone_cgroup(path, layout)
    for row in cgroups.read(f"/proc/{found.pid}/cgroup").splitlines() if directory else []:
        _, _, where = row.partition("::")
        if where.startswith(f"{path}/") and ".." not in where:
            return layout.mounts["unified"] + where
    return directory


def _pipes(request: ExecRequest) -> tuple[list[int], dict[int, int], int]:
    """(the child's 0, 1, 2; our ends of its output -> our own 1 or 2; our end of its stdin, -1 if it has none)."""
    stdin = -1
    if request.stdin and not request.detach:
        child_stdin, stdin = os.pipe()
    else:
        child_stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if request.detach:
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        return [child_stdin, null, os.dup(null)], {}, stdin
    out, child_out = os.pipe()
    err, child_err = os.pipe()
    return [child_stdin, child_out, child_err], {out: 1, err: 2}, stdin


def _work(
    join: list[Op], spec: dict[str, Any], request: ExecRequest, size: tuple[int, int]
) -> Callable[[Trace], tuple[list[str], dict[str, str], bool]]:
    """The joiner's steps: into the container, then those of its first process, with what exec's options change."""
    template, program = spec["process"], filters.program(spec)
    rows = template["env"]
    if TERM in spec["annotations"]:  # that is of its own terminal
        rows = [row for row in rows if not row.startswith("TERM=")]
    changed = dict(template, cwd=request.workdir or template["cwd"], env=_environment(rows, request))

    def work(trace: Trace) -> tuple[list[str], dict[str, str], bool]:
        steps: list[Op] = [
            *join,
            CloseDescriptors(trampoline.FIRST_FREE_FD),
            ResetSignals(),
            NewKeyring(),
        ]
        if request.tty:
            steps.append(OpenTerminal("/", *size, console=False))
        init.run_steps(trace, [*steps, *security.limits(changed)])
        identity = users.look_up(request.user) if request.user else users.identify(spec)
        trace.run([OwnStreams(identity.uid)])
        trace.run(security.plan(spec, changed, (identity.uid, identity.gid, identity.groups), program))
        rows = changed["env"] if not request.user else [row for row in changed["env"] if not row.startswith("HOME=")]
        environment = init.variables(rows, identity.home)
        return _words(request.command, environment), environment, False

    return work


def _environment(rows: list[str], request: ExecRequest) -> list[str]:
    """rows: the container's own."""
    return keyvalue.overlay([*(["TERM=xterm"] if request.tty else []), *rows], request.environment)


def _words(command: list[str], environment: dict[str, str]) -> list[str]:
    """Article 5.4's `exec bird "ls -l"`: a sole argument with white space that is no file is a line for the shell."""
    if len(command) == 1 and len(command[0].split()) > 1:
        try:
            init.find_program(command[0], environment.get("PATH", ""))
        except MydockerError:
            return ["/bin/sh", "-c", command[0]]
    return command


class _Child:
    """What joiner and child report, until the child is the program."""

    def __init__(self, stdin: int, joiner: int, joiner_fd: int) -> None:
        self.pid, self.pidfd, self.stdin, self.master = 0, -1, stdin, -1
        self.joiner, self.joiner_fd = joiner, joiner_fd
        self.failure: MydockerError | None = None
        self.errno = 0  # of the failure, as far as it has one

    def hear(self, channel: messages.Channel, command: str) -> bool:
        """One message; False at the end of them."""
        message = channel.receive()
        number = messages.exec_status(message)
        if number > 0:
            self.pid, self.pidfd = number, self._hold(number)
        elif number < 0:
            self.failure = init.exec_failed(command, -number)
            self.errno = -number
        elif message.kind == messages.TERMINAL:
            (self.master,) = message.fds
            self.stdin = os.dup(self.master)
        elif message.kind == messages.FAILED:
            self.failure = message.error()
            self.errno = getattr(self.failure, "errno", 0)
        return bool(message.kind)

    def _hold(self, pid: int) -> int:
        """A pidfd of the child; of the joiner, which ends with it, if it has ended and its PID may be another's."""
        try:
            pidfd = process.pidfd_open(pid)
        except ProcessLookupError:
            return self.joiner_fd
        if process.parent(pid) == self.joiner:
            return pidfd
        os.close(pidfd)
        return self.joiner_fd

    def kill(self) -> None:
        """End it before it is the program. Somebody in the container may have stopped it: only SIGKILL serves."""
        try:
            _signal.pidfd_send_signal(self.pidfd if self.pidfd >= 0 else self.joiner_fd, _signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self) -> int:
        """The exit code that the joiner brings from the child, which has ended or was killed."""
        if not process.ends_within(self.joiner_fd, _PATIENCE):
            said = f"process {self.joiner} does not end, though it was killed {_PATIENCE} s ago"
            raise StepFailed(said, "is the container frozen?", "exec")
        _, status = os.waitpid(self.joiner, 0)
        return init.exit_code(status)


def _readers(master: int, outputs: dict[int, int], console: Console) -> dict[int, Callable[[], bool]]:
    muted: list[int] = []

    def reader(source: int, target: int) -> Callable[[], bool]:
        def read() -> bool:
            try:
                data = os.read(source, _PIECE)
            except BlockingIOError:
                return True
            except OSError:  # EIO: a terminal that nobody has open any more
                data = b""
            if data and not muted:
                try:
                    write_out(target, data)
                except OutputGone as why:
                    muted.append(1)
                    console.end(why)
            if not data:
                os.close(source)
            return bool(data)

        return read

    pairs = {master: 1} if master >= 0 else outputs
    return {source: reader(source, target) for source, target in pairs.items()}
