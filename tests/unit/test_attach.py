"""engine/attach.py: signals, the terminal's mode, and output that nobody reads, without a container."""

from __future__ import annotations

import errno
import os
import select
import signal
import termios

import pytest

from mydocker.engine import attach
from mydocker.errors import MydockerError
from mydocker.kernel import raw_terminal


class TestSignals:
    """pidfd 5 stands for the container."""

    @pytest.fixture
    def sent(self, monkeypatch):
        found = []
        monkeypatch.setattr(attach._signal, "pidfd_send_signal", lambda pidfd, number: found.append((pidfd, number)))
        return found

    def test_what_comes_before_the_container_runs_ends_its_start(self, sent):
        ended = []
        with attach.Console(tty=False, stdin=False) as console:
            console.abort = lambda: ended.append(7)
            console._handle(signal.SIGINT)
            assert sent == []
            assert ended == [7]
            assert console.early == signal.SIGINT
            console.connect(5)
            console._handle(signal.SIGINT)
        assert sent == [(5, signal.SIGINT)]

    @pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGPIPE, signal.SIGTSTP, signal.SIGWINCH])
    def test_what_is_about_the_command_line_itself_stays_here(self, sent, number):
        with attach.Console(tty=False, stdin=False) as console:
            console.connect(5)
            console._handle(number)
        assert sent == []

    def test_a_container_that_has_just_ended_is_no_error(self, monkeypatch):
        def gone(pidfd, number):
            raise ProcessLookupError

        monkeypatch.setattr(attach._signal, "pidfd_send_signal", gone)
        with attach.Console(tty=False, stdin=False) as console:
            console.connect(5)
            console._handle(signal.SIGTERM)

    def test_afterwards_all_is_as_before(self):
        def state():
            numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH)
            return [signal.getsignal(number) for number in numbers], sorted(os.listdir("/proc/self/fd"))

        def fail():
            with attach.Console(tty=True, stdin=True):
                assert state() != before
                raise KeyError

        before = state()
        with pytest.raises(KeyError):
            fail()
        assert state() == before
        assert signal.set_wakeup_fd(-1) == -1

    def test_without_sig_proxy_it_ends_the_command_line_only(self, sent):
        with attach.Console(tty=False, stdin=False, name="web", sig_proxy=False) as console:
            console.connect(5)
            with pytest.raises(MydockerError, match="left container web") as ended:
                console._handle(signal.SIGTERM)
        assert ended.value.exit_code == 143
        assert sent == []


class TestTerminal:
    @pytest.fixture
    def modes(self, monkeypatch):
        """The mode of each tcsetattr. At first everything is on."""
        found = []
        now = [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 13, 13, [b"\xff"] * 32]
        monkeypatch.setattr(termios, "tcgetattr", lambda _: [*now[:6], list(now[6])])
        monkeypatch.setattr(termios, "tcsetattr", lambda _descriptor, _when, mode: found.append(mode))
        return found

    def test_raw_is_what_cfmakeraw_makes(self, modes):
        raw_terminal.make_raw(0)
        ((read, write, control, local, *_, characters),) = modes
        for name in "IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON".split():
            assert not read & getattr(termios, name), name
        for name in "ECHO ECHONL ICANON ISIG IEXTEN".split():
            assert not local & getattr(termios, name), name
        assert not write & termios.OPOST
        assert control & (termios.CSIZE | termios.PARENB) == termios.CS8
        assert (characters[termios.VMIN], characters[termios.VTIME]) == (1, 0)

    def test_the_terminal_is_restored_whatever_happens(self, modes, monkeypatch):
        monkeypatch.setattr(attach.terminal, "size", lambda _: (24, 80))
        monkeypatch.setattr(attach.terminal, "set_size", lambda *_: None)

        def fail():
            with attach.Console(tty=True, stdin=True) as console:
                console.connect(5)
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert len(modes) == 2
        assert modes[1][:4] == [0xFFFF] * 4


class TestDetachKeys:
    @pytest.fixture
    def typed(self, monkeypatch):
        """A function that types on a container's terminal, and returns what arrives there within a moment."""
        monkeypatch.setattr(raw_terminal, "make_raw", lambda _: None)
        monkeypatch.setattr(raw_terminal, "restore", lambda *_: None)
        monkeypatch.setattr(attach, "_PAUSE", 0.1)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        keys: list[bytes] = []
        silent = os.pipe()
        real = os.read
        monkeypatch.setattr(attach.os, "read", lambda fd, size: keys.pop(0) if fd == 0 else real(fd, size))
        with attach.Console(tty=True, stdin=True, name="web") as console:
            console.connect(5, writer)

            def typing(data: bytes, pause: float = 0) -> bytes:
                keys.append(data)
                console._read_stdin()
                console.wants_stdin = False  # the next poll waits for nothing but time
                if pause:
                    console.serve({silent[0]: bool}, seconds=pause)
                return real(reader, 100) if select.select([reader], [], [], 0)[0] else b""

            yield typing
        for descriptor in (reader, *silent):
            os.close(descriptor)

    def test_they_leave_the_container(self, typed):
        assert typed(b"ls\n") == b"ls\n"
        with pytest.raises(attach.Detached):
            typed(b"exit\x10\x11dropped")
        assert typed(b"") == b"exit"

    def test_a_lone_ctrl_p_arrives_after_a_pause(self, typed):
        assert typed(b"\x10") == b""
        assert typed(b"x") == b"\x10x"
        assert typed(b"\x10", pause=0.2) == b"\x10"
        with pytest.raises(attach.Detached):
            typed(b"\x11")


class TestOutput:
    @pytest.fixture
    def pipe(self):
        ends = list(os.pipe())
        yield ends
        for descriptor in ends:
            os.close(descriptor)

    def test_all_of_it_in_pieces(self, pipe, monkeypatch):
        real = os.write
        monkeypatch.setattr(attach.os, "write", lambda descriptor, data: real(descriptor, data[:3]))
        attach.write_out(pipe[1], b"0123456789")
        assert os.read(pipe[0], 100) == b"0123456789"

    def test_a_full_pipe_is_waited_for(self, pipe, monkeypatch):
        os.set_blocking(pipe[1], False)
        answers = [BlockingIOError(), 2]

        def write(descriptor, data):
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer

        monkeypatch.setattr(attach.os, "write", write)
        attach.write_out(pipe[1], b"ab")
        assert answers == []

    @pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.EBADF])
    def test_nobody_there(self, monkeypatch, number):
        def write(descriptor, data):
            raise OSError(number, "")

        monkeypatch.setattr(attach.os, "write", write)
        with pytest.raises(attach.OutputGone):
            attach.write_out(1, b"x")

    @pytest.mark.parametrize(("number", "told"), [(errno.EPIPE, False), (errno.ENOSPC, True)])
    def test_a_full_disk_is_told_a_reader_that_has_gone_is_not(self, monkeypatch, number, told):
        def write(descriptor, data):
            raise OSError(number, "why")

        monkeypatch.setattr(attach.os, "write", write)
        monkeypatch.setattr(attach._signal, "pidfd_send_signal", lambda pidfd, signal: None)
        console = attach.Console(tty=False, stdin=False)
        with pytest.raises(attach.OutputGone) as gone:
            attach.write_out(1, b"x")
        console.end(gone.value)
        if told:
            with pytest.raises(OSError, match="why: 'stdout'"):
                console.check()
        else:
            console.check()


class TestStdin:
    @pytest.fixture
    def console(self, monkeypatch):
        """Its stdin is the write end of a pipe; what the caller types is in `typed`."""
        with attach.Console(tty=False, stdin=True) as console:
            self.reader, writer = os.pipe()
            os.set_blocking(self.reader, False)
            console.connect(5, writer)
            self.typed = []
            real = os.read
            monkeypatch.setattr(attach.os, "read", lambda fd, size: self.typed.pop(0) if fd == 0 else real(fd, size))
            yield console
        os.close(self.reader)

    def test_what_is_typed_reaches_the_container_and_so_does_its_end(self, console):
        self.typed += [b"abc", b""]
        assert console._read_stdin()
        assert not console._read_stdin()
        assert os.read(self.reader, 100) == b"abc"
        assert os.read(self.reader, 100) == b""

    def test_what_does_not_fit_is_kept(self, console):
        data = b"x" * (1 << 17)  # twice what a pipe holds
        self.typed.append(data)
        assert console._read_stdin()
        assert 0 < len(console._unwritten) < len(data)
        got = os.read(self.reader, 1 << 20)
        assert console._write_stdin()
        assert got + os.read(self.reader, 1 << 20) + console._unwritten == data

    def test_an_end_that_the_container_has_closed_is_the_end(self, console):
        other, self.reader = self.reader, os.dup(0)
        os.close(other)
        self.typed.append(b"abc")
        assert not console._read_stdin()
