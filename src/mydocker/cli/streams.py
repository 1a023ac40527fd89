"""Make the state inherited from the caller safe: standard streams, umask, signals."""

from __future__ import annotations

import _signal
import os
import sys

from mydocker.errors import OWN, HostError
from mydocker.kernel import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.errors import MydockerError


_RLIMIT_NOFILE, _MIN_FILES = 7, 64  # with fewer, a start may fail so late that it can't be undone


def prepare() -> None:
    """Reset inherited state, so that every command behaves the same for every caller."""
    os.umask(0o022)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # if it is ignored, children can't be waited for
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    _open_streams()
    if process.get_limit(_RLIMIT_NOFILE) < _MIN_FILES:
        raise HostError("the open files limit is too low", f"raise it, 'ulimit -n {_MIN_FILES}' or more", OWN)


class Terminated(SystemExit):
    """A signal ends this command. number: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number


def end_tidily() -> None:
    """Let SIGTERM and SIGHUP raise Terminated, as SIGINT raises KeyboardInterrupt, so that what was begun is removed. A
    SIGHUP that the caller ignores (nohup) stays ignored."""
    for number in (_signal.SIGTERM, _signal.SIGHUP):
        if _signal.getsignal(number) == _signal.SIG_DFL:
            _signal.signal(number, _terminate)


def _terminate(number: int, _: object) -> None:
    for each in (_signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(each, _signal.SIG_IGN)  # a second one does not stop the clean-up; SIGINT does
    raise Terminated(number)


def _open_streams() -> None:
    """Make every character writable, and open /dev/null for closed streams.

    Python's stream is None if the caller has closed the descriptor. A file opened later would get that number, and
    become the container's stdin, stdout or stderr.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(null, True)
            setattr(sys, name, open(null, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def flush(text: str = "") -> None:
    """Write text, and flush stdout. Raises OSError: a command whose output can't be written has failed."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "stdout"
        raise


def tell(error: MydockerError) -> int:
    """Print an error as one line on stderr. Returns its exit code, for commands that continue after an error."""
    note(str(error))
    return error.exit_code


def note(text: str) -> None:
    """Print a remark as one line on stderr."""
    try:
        sys.stdout.flush()
    except OSError:
        pass  # the entry point flushes again, and reports the error
    try:
        os.write(2, _for_terminal(f"mydocker: {text}").encode(errors="backslashreplace") + b"\n")
    except OSError:
        pass  # stderr is gone


def _for_terminal(line: str) -> str:
    """Wrap the line at spaces if stderr is a terminal, which would break it within words."""
    try:
        columns = os.get_terminal_size(2).columns
    except OSError:
        return line
    lines = [""]
    for word in line.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > columns > 0:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
