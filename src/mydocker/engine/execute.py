"""exec: one more process in a running container, in its namespaces and cgroup, with its limits and filters.

messages.py draws who does what: the command line clones a joiner, whose trampoline clones the child.

A process that joins a PID namespace stays outside, only its children are inside: so the container never sees the
joiner while that is the interpreter. As the trampoline, a few kilobytes, the joiner reaps the child even when the
command line has gone; so it counts as one more process in the container's cgroup.
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import os

from mydocker.engine import filters
from mydocker.engine.attach import Console, Detached, OutputGone, terminal_size, write_out
from mydocker.engine.bundle import load_spec
from mydocker.engine.process import open_pidfd
from mydocker.errors import FAILED, MydockerError, StepFailed
from mydocker.kernel import cgroups, process, trampoline
from mydocker.kernel.title import set_title
from mydocker.model.container import not_running
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
# Errors of a container that is about to end: its namespaces refuse to be joined just before its first process ends.
_ENDING, _LAST_MOMENT = (errno.ENOMEM, errno.ESRCH), 2  # seconds


@record
class ExecRequest:
    """command: with its arguments. environment: KEY=VALUE rows on top of the container's. user, workdir: "" for the
    container's own. detach_keys: see Console. privileged: with all capabilities; the container's devices and its
    seccomp filter stay, as with docker."""

    command: list[str]
    environment: list[str]
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stdin: bool = False
    detach: bool = False
    detach_keys: bytes = b""
    privileged: bool = False


def execute(container: Container, request: ExecRequest) -> int:
    """Run the command to its end. Returns its exit code, or 0 at once if detached. Raises Conflict if the container is
    not running.
    """
    target = _open_running(container)
    spec, layout = load_spec(container), cgroups.layout()
    size = terminal_size() if request.tty and not request.detach else (0, 0)
    join = _join(spec, layout, target)
    with Console(request.tty and not request.detach, request.stdin, container.name, request.detach_keys) as console:
        ours, theirs = messages.pair()
        streams, outputs, stdin = ([], {}, -1) if request.tty else _pipes(request)
        # Clone straight into the container's cgroup: a process from outside cannot join its cgroup namespace.
        try:
            joiner, joiner_fd = process.clone_into(_clone_cgroup(container, spec, layout), 0)
        except OSError:
            if process.ends_within(target, 0):
                raise _ended(request) from None
            raise
        if joiner == 0:
            console.reset_handlers()
            set_title("mydocker: exec")  # before it enters: in the container, /proc may be forged
            init.main(_work(join, spec, request, size), streams, theirs.fileno(), clones=True, traced=False)
        theirs.close()
        for descriptor in streams:
            os.close(descriptor)
        child = _Child(stdin, joiner, joiner_fd)
        _await_start(child, ours, target, container, request, console)
        if request.detach:
            _leave(container, child)
            return 0
        console.connect(child.pidfd, child.stdin)
        try:
            console.serve(_readers(child.master, outputs, console), until_ended=True)
        except Detached:
            _leave(container, child)
            raise MydockerError("read escape sequence", "the command goes on") from None
        code = child.reap()
        console.check()
        return code


def _leave(container: Container, child: _Child) -> None:
    """Leave the child. Its terminal would hang up without the other end, which the container's monitor takes."""
    if child.master >= 0:
        from mydocker.runtime import control

        control.leave_terminal(container, child.master)


def _open_running(container: Container) -> int:
    """Open a pidfd of the container's first process. Raises Conflict if the container is paused or not running."""
    pidfd = open_pidfd(container)
    if pidfd < 0 or container.is_paused():
        raise not_running(container)
    # Keep it apart from the joiner's descriptors, 0 to 4.
    return fcntl.fcntl(pidfd, fcntl.F_DUPFD_CLOEXEC, trampoline.FIRST_FREE_FD)


def _join(spec: dict[str, Any], layout: cgroups.Layout, target: int) -> list[Op]:
    """Plan the joiner's way into the container. target: a pidfd of the container's first process."""
    _, enter = cgroup.plan(spec["linux"]["cgroupsPath"], {}, layout)
    kinds = [namespace["type"] for namespace in spec["linux"]["namespaces"]]
    return [
        *(op for op in enter if isinstance(op, JoinCgroups)),
        *security.oom_score(spec["process"]),
        JoinNamespaces(target, kinds),
    ]


def _await_start(
    child: _Child,
    channel: messages.Channel,
    target: int,
    container: Container,
    request: ExecRequest,
    console: Console,
) -> None:
    """Wait until the child has become the program, or raise the reason why it has not. Closes the channel."""
    console.abort = child.kill
    if not console.serve({channel.fileno(): lambda: child.receive(channel, request.command[0])}, seconds=_PATIENCE):
        child.kill()
        child.failure = StepFailed(f"container {container.name} did not let exec in for {_PATIENCE} s", "is it frozen?")
    channel.close()
    moment = _LAST_MOMENT if child.errno in _ENDING else 0
    if not child.pid and (not child.failure or process.ends_within(target, moment)):
        child.failure = _ended(request)
    if child.failure or console.early:
        child.reap()
        if child.failure:
            child.failure.exit_code = _code(child.failure, request)
        raise child.failure or MydockerError("interrupted before the command ran", exit_code=128 + console.early)


def _ended(request: ExecRequest) -> StepFailed:
    """Return the error for a container that has ended, where the kernel says ESRCH, ENOMEM or ENOENT."""
    failure = StepFailed("the container ended while exec was entering it", "see 'mydocker ps -a'", "exec")
    failure.exit_code = _code(failure, request)
    return failure


def _code(failure: MydockerError, request: ExecRequest) -> int:
    """Return docker's exit code: 127 for a command that does not exist, 126 for other failures; 1 if detached."""
    if request.detach:
        return FAILED
    return failure.exit_code if failure.exit_code == 127 else 126


def _clone_cgroup(container: Container, spec: dict[str, Any], layout: cgroups.Layout) -> str:
    """Return the v2 cgroup of the container's first process, or "". An init like systemd moves itself to a cgroup
    below the container's, and v2 then allows no process in the one above."""
    path = spec["linux"]["cgroupsPath"]
    directory = cgroup.clone_cgroup(path, layout)
    for row in cgroups.read(f"/proc/{container.pid}/cgroup").splitlines() if directory else []:
        _, _, where = row.partition("::")
        if where.startswith(f"{path}/") and ".." not in where:
            return layout.mounts["unified"] + where
    return directory


def _pipes(request: ExecRequest) -> tuple[list[int], dict[int, int], int]:
    """Return (the child's 0, 1 and 2; our ends of its output -> our own 1 or 2; our end of its stdin, or -1)."""
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
    """Return the joiner's work: enter the container, then the first process's steps as changed by exec's options."""
    template, program = spec["process"], filters.program(spec)
    rows = template["env"]
    if TERM in spec["annotations"]:  # set for the container's own terminal
        rows = [row for row in rows if not row.startswith("TERM=")]
    changed = dict(template, cwd=request.workdir or template["cwd"], env=_environment(rows, request))
    if request.privileged:
        changed["capabilities"] = _all_capabilities()

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
        identity = users.identify(spec, request.user)
        trace.run([OwnStreams(identity.uid)])
        trace.run(security.plan(spec, changed, (identity.uid, identity.gid, identity.groups), program))
        rows = changed["env"] if not request.user else [row for row in changed["env"] if not row.startswith("HOME=")]
        environment = init.variables(rows, identity.home)
        return _words(request.command, environment), environment, False

    return work


def _all_capabilities() -> dict[str, list[str]]:
    from mydocker.engine import host
    from mydocker.model.oci import capabilities

    every = capabilities.bounding([], [], True, host.look().capabilities)
    return dict.fromkeys(("bounding", "effective", "permitted"), every)


def _environment(rows: list[str], request: ExecRequest) -> list[str]:
    """Return the environment of the command. rows: the container's own."""
    return keyvalue.overlay([*(["TERM=xterm"] if request.tty else []), *rows], request.environment)


def _words(command: list[str], environment: dict[str, str]) -> list[str]:
    """Pass a sole argument with white space that is not a file to the shell: `exec bird "ls -l"`, as in the book."""
    if len(command) == 1 and len(command[0].split()) > 1:
        try:
            init.find_program(command[0], environment.get("PATH", ""))
        except MydockerError:
            return ["/bin/sh", "-c", command[0]]
    return command


class _Child:
    """The joiner and its child, which becomes the program."""

    def __init__(self, stdin: int, joiner: int, joiner_fd: int) -> None:
        self.pid, self.pidfd, self.stdin, self.master = 0, -1, stdin, -1
        self.joiner, self.joiner_fd = joiner, joiner_fd
        self.failure: MydockerError | None = None
        self.errno = 0  # of the failure, 0 if it has none

    def receive(self, channel: messages.Channel, command: str) -> bool:
        """Read a message. Returns False at the end of the messages."""
        message = channel.receive()
        number = messages.exec_status(message)
        if number > 0:
            self.pid, self.pidfd = number, self._open_pidfd(number)
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

    def _open_pidfd(self, pid: int) -> int:
        """Return a pidfd of the child. If the child has ended, its PID may have been reused: then return that of the
        joiner, which ends with it."""
        try:
            pidfd = process.pidfd_open(pid)
        except ProcessLookupError:
            return self.joiner_fd
        if process.parent(pid) == self.joiner:
            return pidfd
        os.close(pidfd)
        return self.joiner_fd

    def kill(self) -> None:
        """Kill the child before it is the program. If a process in the container has stopped it, only SIGKILL works."""
        try:
            _signal.pidfd_send_signal(self.pidfd if self.pidfd >= 0 else self.joiner_fd, _signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self) -> int:
        """Return the exit code of the child, which has ended or was killed: the joiner ends with the same."""
        if not process.ends_within(self.joiner_fd, _PATIENCE):
            said = f"process {self.joiner} does not end, though it was killed {_PATIENCE} s ago"
            raise StepFailed(said, "is the container frozen?", "exec")
        _, status = os.waitpid(self.joiner, 0)
        return init.exit_code(status)


def _readers(master: int, outputs: dict[int, int], console: Console) -> dict[int, Callable[[], bool]]:
    """Return Console.serve's sources: they copy the output to ours, until that is gone."""
    muted: list[int] = []

    def reader(source: int, target: int) -> Callable[[], bool]:
        def read() -> bool:
            try:
                data = os.read(source, _PIECE)
            except BlockingIOError:
                return True
            except OSError:  # EIO: no process has the terminal open any more
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
