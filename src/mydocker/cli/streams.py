"""What a caller hands down, made safe to use: the standard streams, the umask, the signals."""

from __future__ import annotations

import _signal
import os
import sys

from mydocker.errors import OWN, HostError
from mydocker.kernel import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.errors import MydockerError


_RLIMIT_NOFILE, _MIN_FILES = 7, 64  # with fewer, a start may fail where nothing can be cleared up any more


def prepare() -> None:
    """Let nothing that the caller has set up change what a command does."""
    os.umask(0o022)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would let no child be waited for
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    _open_streams()
    if process.get_limit(_RLIMIT_NOFILE) < _MIN_FILES:
        raise HostError("the limit of open files is too low", f"'ulimit -n {_MIN_FILES}' or more", OWN)


def _open_streams() -> None:
    """Let no character fail to be written, and no other file take the place of a closed stream.

    Python's stream is None where the caller has closed the descriptor. Left so, a file that is opened later would get
    that number and become the container's stdin, stdout or stderr.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(null, True)
            setattr(sys, name, open(null, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def flush() -> None:
    """Write what is left to stdout. Raises OSError: a result that can't be delivered is a failure."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "stdout"
        raise


def tell(error: MydockerError) -> int:
    """One line on stderr, where a command goes on after an error; the exit code that it stands for."""
    try:
        sys.stdout.flush()
    except OSError:
        pass  # the entry point's own flush fails as well, and that is reported
    try:
        os.write(2, _for_terminal(f"mydocker: {error}").encode(errors="backslashreplace") + b"\n")
    except OSError:
        pass  # nobody to tell
    return error.exit_code


def _for_terminal(line: str) -> str:
    """One line, or on a terminal as many as it takes: it would end them in the middle of words."""
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
