"""The child's side of a start: from the clone to the container's program. Nothing here returns to the caller's code.
messages.py draws what the child and its monitor say to each other.

The root is untrusted. So imports are closed before it is built (an import would run the image's code with the host's
rights: `'x'.encode('idna')` is enough), no traceback is printed (it would open the source's path in the image), and the
process is not dumpable (nothing in the container can open its /proc/PID/exe, mem or fd).
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import os
import stat
import sys

from mydocker.errors import MydockerError
from mydocker.kernel import process, trampoline
from mydocker.kernel.title import set_title
from mydocker.model.oci.annotations import INIT
from mydocker.ops.base import EXECUTE, Op
from mydocker.ops.process import OpenTerminal
from mydocker.runtime import messages, users
from mydocker.trace import Trace, step_failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


def main(
    work: Callable[[Trace], tuple[list[str], dict[str, str], bool]],
    streams: list[int],
    report: int,
    number: int = 0,
    clones: bool = False,
    traced: bool = True,
) -> NoReturn:
    """Run `work`, which does the ops and returns (arguments, environment, True for --init), then exec.

    streams: descriptors for 0, 1, 2; none if the work opens a terminal. report: the socket to the monitor. number: the
    ops that the host's side has counted. clones: run the program in a child, and report its PID (exec). traced: send
    every step, not only the fact that they are done.
    """
    try:
        process.set_dumpable(False)
        close_imports()
        _arrange(streams, report, clones)
        report = trampoline.REPORT_FD
        trace = Trace("container", number)
        try:
            arguments, environment, with_init = work(trace)
            program = find_program(arguments[0], environment.get("PATH", ""))
        finally:
            _send_trace(report, trace, len(trace.notes) if traced else 0)
        trace.count(EXECUTE)
        if with_init:
            _become_init()
        os.execve(trampoline.TRAMPOLINE_FD, [program, *arguments], environment)
    except MydockerError as error:
        _fail(report, error)
    except BaseException as error:  # of any kind: nothing may be printed, and nothing may go on
        _fail(
            report, step_failed("start the container", error if isinstance(error, Exception) else OSError(str(error)))
        )
    os._exit(125)


def container(plan: Any) -> Callable[[Trace], tuple[list[str], dict[str, str], bool]]:
    """Return the work of a container's first process."""

    def work(trace: Trace) -> tuple[list[str], dict[str, str], bool]:
        spec = plan.spec
        with_init = spec.get("annotations", {}).get(INIT) == "true"
        if with_init:
            set_title("mydocker: init")  # visible in the container
        run_steps(trace, plan.container)
        identity = users.identify(spec)
        trace.run(plan.last((identity.uid, identity.gid, identity.groups)))
        environment = variables(spec["process"]["env"], identity.home)
        return spec["process"]["args"], environment, with_init

    return work


def run_steps(trace: Trace, steps: list[Op]) -> None:
    """Run the steps. The master of a terminal and the sockets of a resolver are sent to the monitor and closed here."""
    for op in steps:
        trace.run([op])
        if op.descriptors:
            _hand_over(messages.TERMINAL if isinstance(op, OpenTerminal) else messages.RESOLVER, op.descriptors)


def _hand_over(kind: bytes, descriptors: list[int]) -> None:
    """Send descriptors to the monitor, and close them here."""
    channel = messages.channel_of(os.dup(trampoline.REPORT_FD))
    channel.send(kind, fds=descriptors)
    channel.close()
    for descriptor in descriptors:
        os.close(descriptor)


def variables(rows: list[str], home: str) -> dict[str, str]:
    """Make the environment of the spec's KEY=VALUE rows. home: HOME, unless a row sets it."""
    environment = dict(row.split("=", 1) for row in rows if "=" in row[1:])
    if not environment.get("HOME"):
        environment["HOME"] = home
    return environment


def close_imports() -> None:
    """Close the import system: only loaded modules can be imported from here on. Also print no more exceptions."""
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.unraisablehook = lambda _: None
    sys.excepthook = lambda *_: None


def _arrange(streams: list[int], report: int, clones: bool) -> None:
    """Make `streams` descriptors 0, 1 and 2, the socket 3, the trampoline 4; through high numbers, as these may
    overlap.
    """
    program = trampoline.open_trampoline(clones)
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD, 20) for number in [*streams, report, program]]
    lowest = 0 if streams else trampoline.REPORT_FD
    for at, descriptor in enumerate(copies):
        os.dup2(descriptor, lowest + at, inheritable=lowest + at != trampoline.TRAMPOLINE_FD)


def find_program(name: str, path: str) -> str:
    """Return the path for execve: `name` itself if it has a slash, or the first executable of that name in PATH.

    Raises MydockerError with docker's exit codes: 127 not found, 126 not executable.
    """
    if not name:
        raise MydockerError("the command is empty", "give a command to run", 127)
    directories = path.split(":") if path else []
    candidates = [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in directories]
    denied = ""
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except OSError as error:
            if error.errno in (errno.EACCES, errno.ELOOP):
                denied = denied or os.strerror(error.errno).lower()
            continue
        if stat.S_ISDIR(mode):
            denied = denied or "is a directory"
        elif os.access(candidate, os.X_OK, effective_ids=True):
            return candidate
        else:
            denied = denied or "permission denied"
    if denied:
        raise MydockerError(f"can't execute '{name}': {denied}", "is it an executable file?", 126)
    if "/" in name:
        raise MydockerError(f"'{name}': no such file or directory in the container", "check the path", 127)
    raise MydockerError(f"'{name}': executable file not found in $PATH", f"PATH is {path or 'empty'}", 127)


def exec_failed(name: str, number: int) -> MydockerError:
    """Return the error for an errno that the trampoline has reported."""
    code = 127 if number == errno.ENOENT else 126
    hint = {
        errno.ENOENT: "the interpreter that it names is not in the image",
        errno.ENOEXEC: "a script needs a first line such as #!/bin/sh; a program must be of this machine's kind",
    }.get(number, "")
    return MydockerError(f"can't execute '{name}': {os.strerror(number).lower()}", hint, code)


def _become_init() -> None:
    """Fork, for --init: the child goes on to the program, this process reaps and forwards signals until it ends.

    This process is still the interpreter, but has the container's rights, is not dumpable, and has nothing open.
    """
    everything = [n for n in range(1, 65) if n not in (9, 19, 32, 33)]
    _signal.pthread_sigmask(_signal.SIG_SETMASK, everything)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if os.isatty(0):
            os.tcsetpgrp(0, os.getpid())
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        return
    os.close(trampoline.REPORT_FD)
    process.close_from(0)
    process.set_name("mydocker-init")
    while True:
        number = _signal.sigwait(everything)
        if number != _signal.SIGCHLD:
            try:
                os.kill(child, number)
            except OSError:
                pass  # it has just ended, or changed its user
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                os._exit(0)
            if pid == 0:
                break
            if pid == child:
                os._exit(exit_code(status))


def exit_code(status: int) -> int:
    """Convert a wait status as a shell does: to the code, or 128 + the signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _send_trace(report: int, trace: Trace, maximum: int) -> None:
    """Send as many notes as fit into one message, some 1,500. A container with more mounts is explained in part."""
    while True:
        try:
            os.write(report, messages.TRACE + trace.dump(maximum))
            return
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            maximum //= 2


def _fail(report: int, error: MydockerError) -> None:
    try:
        os.write(report, messages.FAILED + messages.encode(error.details()))
    except OSError:
        pass  # the monitor has gone
    os._exit(125)
