"""The command line's side of a running container: its terminal, its stdin, its signals, its output.

Used by `run` and `start -a` (output comes from the monitor in messages) and by `exec` (output comes from the pipes).
"""

from __future__ import annotations

import _signal
import errno
import os
import select
from time import monotonic

from mydocker.errors import MydockerError
from mydocker.kernel import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 65536
_IMPATIENCE = 10.0  # seconds
_LINGER = 100  # ms without output after the end
# What is meant for the container; SIGTSTP, SIGCHLD, SIGPIPE and the like are about the command line itself.
_PROXIED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM")


class OutputGone(Exception):
    """Our output can't be delivered: nobody reads it any more (`… | head -1`), or its disk is full. cause: the kernel's
    word, its file name that of the stream."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


class Console:
    """Signals are caught from __enter__ on, so that none is lost while the container starts. A terminal that stdin
    comes from becomes raw in connect(), once the container runs, and is given back in __exit__ whatever happens.
    Without -i it stays as it is, so that Ctrl-C is a signal: no key would reach the container."""

    def __init__(self, tty: bool, stdin: bool, name: str = "") -> None:
        """name: the container's."""
        self.tty, self.wants_stdin, self.name = tty, stdin, name
        self._interrupts: list[float] = []  # when the last ones came
        self.pidfd = self.stdin = -1
        self._unwritten = b""
        self.abort: Callable[[], None] | None = None  # ends a start, while nothing runs that could be signalled
        self.note_user_signal: Callable[[int], object] | None = None  # hears of a signal before the container does
        self._lost: OSError | None = None
        self.early = 0  # the signal that did so
        self._saved_terminal: list[object] | None = None
        self._saved_handlers: dict[int, object] = {}

    def __enter__(self) -> Console:
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake_end = wake
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        numbers = [int(getattr(_signal, name)) for name in _PROXIED]
        for number in [*numbers, *([int(_signal.SIGWINCH)] if self.tty else [])]:
            self._saved_handlers[number] = _signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved_terminal:
            from mydocker.kernel import raw_terminal

            raw_terminal.restore(0, self._saved_terminal)
            self._saved_terminal = None
        _signal.set_wakeup_fd(-1)
        for number, handler in self._saved_handlers.items():
            _signal.signal(number, handler)
        for descriptor in (self._wake, self._wake_end, self.stdin):
            if descriptor >= 0:
                os.close(descriptor)

    def forget(self) -> None:
        """In a forked child: the handlers are not its own."""
        _signal.set_wakeup_fd(-1)
        for number in self._saved_handlers:
            _signal.signal(number, _signal.SIG_DFL)

    def connect(self, pidfd: int, stdin: int = -1) -> None:
        """The container runs. stdin: a pipe or the terminal's master, or -1."""
        self.pidfd, self.stdin = pidfd, stdin
        if stdin >= 0:
            os.set_blocking(stdin, False)
        if self.tty:
            if self.wants_stdin:
                from mydocker.kernel import raw_terminal

                self._saved_terminal = raw_terminal.make_raw(0)
            self._resize()

    def end(self, why: OutputGone) -> None:
        """As in a shell's pipeline: who writes to a reader that has gone is ended."""
        self._lost = why.cause
        self._proxy(_signal.SIGKILL)

    def check(self) -> None:
        """Raises OSError if output was lost, but for a reader who had seen enough."""
        if self._lost and self._lost.errno != errno.EPIPE:
            raise self._lost

    def serve(
        self, sources: dict[int, Callable[[], bool]], until_ended: bool = False, seconds: float | None = None
    ) -> bool:
        """Poll until every source is done. sources: descriptor -> what to do when it is readable; False: it is done.

        until_ended: until the process of connect() has ended, too; what it left in the pipes is still read, but who
        else may hold them (a background job) is not waited for. seconds: how long at most; False if that has passed.
        """
        reading, ended = self.wants_stdin, False
        deadline = None if seconds is None else monotonic() + seconds
        while sources or (until_ended and not ended):
            poller = select.poll()
            if until_ended and not ended:
                poller.register(self.pidfd, select.POLLIN)
            poller.register(self._wake, select.POLLIN)
            for descriptor in sources:
                poller.register(descriptor, select.POLLIN)
            if reading and self.stdin >= 0:
                poller.register(self.stdin, select.POLLOUT if self._unwritten else 0)
                if not self._unwritten:
                    poller.register(0, select.POLLIN)
            left = None if deadline is None else max(0.0, deadline - monotonic()) * 1000
            ready = poller.poll(_LINGER if ended else left)
            if ended and not ready:
                return True
            if left == 0 and not ready:
                return False
            for descriptor, events in ready:
                if descriptor == self.pidfd:
                    ended = True
                elif descriptor == self._wake:
                    for number in os.read(self._wake, 512):
                        self._handle(number)
                elif descriptor in sources:
                    if not sources[descriptor]():
                        del sources[descriptor]
                elif descriptor == 0:
                    reading = self._read_stdin()
                elif events & select.POLLERR or not self._write_stdin():
                    reading = False  # the container has closed its end
                    self._close_stdin()
        return True

    def _handle(self, number: int) -> None:
        if number == _signal.SIGWINCH and self.tty:
            self._resize()
        elif number in self._saved_handlers:
            if number == _signal.SIGINT:
                self._count_interrupt()
            if self.pidfd >= 0:
                self._proxy(number)
            elif self.abort:
                self.early = number
                self.abort()

    def _count_interrupt(self) -> None:
        """The third Ctrl-C within ten seconds is for us: the container ignores it. A first process without a handler
        for SIGINT never gets it, as the kernel protects the PID 1 of a namespace."""
        now = monotonic()
        self._interrupts = [*(then for then in self._interrupts if now - then < _IMPATIENCE), now]
        if len(self._interrupts) == 3:
            hint = f"'mydocker stop {self.name}' or 'mydocker kill {self.name}' ends it"
            raise MydockerError(f"container {self.name} ignores Ctrl-C and goes on", hint, 128 + _signal.SIGINT)

    def _proxy(self, number: int) -> None:
        if self.note_user_signal:
            self.note_user_signal(number)
        try:
            _signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def _resize(self) -> None:
        try:
            terminal.set_size(self.stdin, *terminal_size())
        except OSError:
            pass  # the container's end is closed

    def _read_stdin(self) -> bool:
        try:
            data = os.read(0, _PIECE)
        except OSError:
            data = b""
        if not data:
            if not self.tty:
                self._close_stdin()
            return False
        self._unwritten = data
        return self._write_stdin()

    def _write_stdin(self) -> bool:
        try:
            if self._unwritten:
                self._unwritten = self._unwritten[os.write(self.stdin, self._unwritten) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def _close_stdin(self) -> None:
        """Its EOF is the container's. A terminal's master stays open: closing it would hang up."""
        self._unwritten = b""
        if not self.tty and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1


def terminal_size() -> tuple[int, int]:
    """(rows, columns) of the caller's terminal, by stdin or, where that is none (cron, `</dev/null`), by stdout."""
    size = terminal.size(0)
    return size if size[0] else terminal.size(1)


def write_out(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OutputGone."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()
        except OSError as error:
            error.filename = {1: "stdout", 2: "stderr"}.get(descriptor)
            raise OutputGone(error) from None
