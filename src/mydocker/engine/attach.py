"""The command line's side of a running container: terminal, stdin, signals and output.

Used by `run`, `start -a` and `attach` (output comes from the monitor in messages) and by `exec` (output comes from the
pipes).
"""

from __future__ import annotations

import _signal
import errno
import os
import select
from time import monotonic, sleep

from mydocker.errors import MydockerError
from mydocker.kernel import process, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.model.options.detach import Search

_PIECE = 65536
_IMPATIENCE = 10.0  # seconds
_LINGER = 100  # ms without output after the process has ended
_PAUSE = 0.3  # seconds between two keys, after which the first of them is not held back any more
_REDRAW = 0.05  # seconds for the container to notice another size of its terminal
_CTRL_C = 3
# Signals that are meant for the container; SIGTSTP, SIGCHLD, SIGPIPE and the like concern the command line itself.
_PROXIED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM")


class OutputGone(Exception):
    """Our output can't be delivered: its reader has gone (`… | head -1`), or its disk is full. cause: the OSError;
    its filename is the stream's name."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


class Detached(Exception):
    """The user has left the container or the exec, which goes on."""


class Console:
    """The caller's terminal, streams and signals, while a container runs in the foreground.

    Signals are caught from __enter__ on, so that none is lost while the container starts. connect() makes the terminal
    raw once the container runs, and __exit__ restores it in any case. Without -i the terminal is left alone, so that
    Ctrl-C is still a signal: no key would reach the container.
    """

    def __init__(
        self, tty: bool, stdin: bool, name: str = "", detach_keys: bytes = b"", sig_proxy: bool = True
    ) -> None:
        """tty: the container has a terminal. stdin: forward our stdin. name: the container's. detach_keys: leave it
        when these are typed on its terminal; b"" for the usual ones. sig_proxy: forward signals; else they end us."""
        self.tty, self.wants_stdin, self.name = tty, stdin, name
        self.detach_keys, self.sig_proxy = detach_keys, sig_proxy
        self._search: Search | None = None  # for the detach keys
        self._typed_at = 0.0
        self.is_owner = True  # without a reader of its output, the container ends
        self.ends_with_stdin = False  # nothing else of the container is ours
        self.redraws = False  # the container has run before, so its terminal has to be drawn again
        self._interrupts: list[float] = []  # the times of the last ones
        self.pidfd = self.stdin = -1
        self._unwritten = b""
        self.abort: Callable[[], None] | None = None  # ends a start, while there is no process to signal
        self.note_user_signal: Callable[[int], object] | None = None  # called before the container gets a signal
        self.note_stdin_ended: Callable[[], object] | None = None  # called when its stdin has been closed
        self._lost: OSError | None = None
        self.early = 0  # the signal that aborted the start, 0 if none did
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

    def reset_handlers(self) -> None:
        """Reset the signal handlers in a forked child: they are for the command line only."""
        _signal.set_wakeup_fd(-1)
        for number in self._saved_handlers:
            _signal.signal(number, _signal.SIG_DFL)

    def connect(self, pidfd: int, stdin: int = -1) -> None:
        """Start forwarding to a container that runs now. stdin: a pipe or the terminal's master, or -1."""
        self.pidfd, self.stdin = pidfd, stdin
        if stdin >= 0:
            os.set_blocking(stdin, False)
        if self.tty:
            if self.wants_stdin:
                from mydocker.kernel import raw_terminal

                self._saved_terminal = raw_terminal.make_raw(0)
                from mydocker.model.options.detach import DEFAULT, Search

                self._search = Search(self.detach_keys or DEFAULT)
            if self.redraws:
                # A program that knows the size already draws nothing.
                self._resize(1)
                sleep(_REDRAW)
            self._resize()

    def end(self, why: OutputGone) -> None:
        """Kill the container, as a shell's pipeline ends a writer whose reader has gone. Raises the OSError instead if
        the container is not ours to kill."""
        if not self.is_owner:
            raise why.cause
        self._lost = why.cause
        self._proxy(_signal.SIGKILL)

    def check(self) -> None:
        """Raise OSError if output was lost for another reason than a reader who had seen enough."""
        if self._lost and self._lost.errno != errno.EPIPE:
            raise self._lost

    def serve(
        self, sources: dict[int, Callable[[], bool]], until_ended: bool = False, seconds: float | None = None
    ) -> bool:
        """Poll until every source is done. sources: descriptor -> function to call when it is readable; the source is
        done when that returns False.

        until_ended: wait for the end of the process of connect(), too. Then only the output that is left in the pipes
        is read: others may hold them open for longer (a background job). seconds: how long at most.

        Returns False if the time is up. Raises Detached when the user leaves.
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
            held = bool(self._search and self._search.held)
            ready = poller.poll(_LINGER if ended else _PAUSE * 1000 if held else left)
            if held and monotonic() - self._typed_at >= _PAUSE:
                self._release_keys()
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
            if self.pidfd >= 0 and not self.sig_proxy:
                raise MydockerError(f"left container {self.name}, which goes on", exit_code=128 + number)
            if number == _signal.SIGINT:
                self._count_interrupt()
            if self.pidfd >= 0:
                self._proxy(number)
            elif self.abort:
                self.early = number
                self.abort()

    def _count_interrupt(self) -> None:
        """Raise an error at the third Ctrl-C within ten seconds: the container ignores it. The kernel protects PID 1 of
        a namespace: without a handler for SIGINT it never gets the signal."""
        now = monotonic()
        self._interrupts = [*(then for then in self._interrupts if now - then < _IMPATIENCE), now]
        if len(self._interrupts) == 3:
            hint = f"'mydocker stop {self.name}' or 'mydocker kill {self.name}' ends it"
            raise MydockerError(f"container {self.name} ignores Ctrl-C and continues", hint, 128 + _signal.SIGINT)

    def _proxy(self, number: int) -> None:
        if self.note_user_signal:
            self.note_user_signal(number)
        try:
            _signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def _resize(self, more: int = 0) -> None:
        """Give the container's terminal the size of ours. more: rows and columns more than that."""
        rows, columns = terminal_size()
        try:
            terminal.set_size(self.stdin, rows and rows + more, columns and columns + more)
        except OSError:
            pass  # the container has closed its end

    def _read_stdin(self) -> bool:
        try:
            data = os.read(0, _PIECE)
        except OSError:
            data = b""
        if not data:
            if not self.tty:
                self._close_stdin()
            if self.ends_with_stdin:
                raise Detached
            return False
        if not self._search:
            self._unwritten = data
            return self._write_stdin()
        if _CTRL_C in data and self._is_deaf():
            for _ in range(data.count(_CTRL_C)):
                self._count_interrupt()
        self._typed_at = monotonic()
        self._unwritten, is_left = self._search.feed(data)
        goes_on = self._write_stdin()
        if is_left:
            raise Detached
        return goes_on

    def _release_keys(self) -> None:
        """Pass keys on that are not followed by the others of the detach keys."""
        assert self._search
        self._unwritten += self._search.release()
        self._write_stdin()

    def _is_deaf(self) -> bool:
        """True if a Ctrl-C that is typed on the container's terminal has no effect: it is a signal for the first
        process only, which the kernel protects."""
        from mydocker.kernel import raw_terminal

        pid = process.pid_of(self.pidfd)
        return raw_terminal.interrupts(self.stdin) == pid and process.is_protected(pid, _signal.SIGINT)

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
        """Close the container's stdin. A terminal's master stays open: closing it would hang up."""
        self._unwritten = b""
        if not self.tty and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
            if self.note_stdin_ended:
                self.note_stdin_ended()


def terminal_size() -> tuple[int, int]:
    """Return (rows, columns) of the terminal at stdin or, where that is not one (cron, `</dev/null`), at stdout."""
    size = terminal.size(0)
    return size if size[0] else terminal.size(1)


def write_out(descriptor: int, data: bytes) -> None:
    """Write all of the data. Raises OutputGone."""
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
