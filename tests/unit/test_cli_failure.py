"""Errors as users see them: one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import signal

import pytest

import mydocker.__main__ as entry
from mydocker.cli import dispatch, failure, streams
from mydocker.errors import NotFound, StepFailed

MISSING = ModuleNotFoundError("No module", name="typing_extensions.x")
OURS = ModuleNotFoundError("gone", name="mydocker.cli.gone")
FULL = OSError(errno.ENOSPC, "No space left on device", "/var/lib/mydocker/x")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_long_command_tidily_and_a_second_one_waits(number, said):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        streams.end_tidily()
        with pytest.raises(streams.Terminated) as caught:
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert (failure.report(caught.value), said) == (128 + number, [])
        streams.end_tidily()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as under nohup
    finally:
        for each, handler in zip((signal.SIGTERM, signal.SIGHUP), before):
            signal.signal(each, handler)


@pytest.fixture
def said(monkeypatch):
    """The output on descriptor 2."""
    written = []
    monkeypatch.setattr(failure.os, "write", lambda fd, data: written.append((fd, data.decode())))
    return written


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (NotFound("no container 'x'", "see 'ps -a'"), "no container 'x' (see 'ps -a')", 1),
        (NotFound("a\nb\x1b[0m"), "a\\nb\\x1b[0m", 1),
        (NotFound("\udcff \ud800"), "\\udcff \\ud800", 1),
        (StepFailed("exec: not found", exit_code=127), "exec: not found", 127),
        (FULL, "/var/lib/mydocker/x: no space left on device (free some space there)", 1),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "a: b: invalid cross-device link", 1),
        (OSError(errno.ENOENT, "No such file or directory", b"/\xff"), "/\\udcff: no such file or directory", 1),
        (OSError("odd"), "internal error: OSError: odd; set MYDOCKER_DEBUG=1 for the traceback", 1),
        (MISSING, "the Python module 'typing_extensions.x' is missing (apt install python3-typing-extensions)", 125),
        (OURS, "internal error: ModuleNotFoundError: gone; set MYDOCKER_DEBUG=1 for the traceback", 1),
        (KeyError("x"), "internal error: KeyError: 'x'; set MYDOCKER_DEBUG=1 for the traceback", 1),
        (AssertionError(), "internal error: AssertionError; set MYDOCKER_DEBUG=1 for the traceback", 1),
        (SystemExit(3), "internal error: SystemExit: 3; set MYDOCKER_DEBUG=1 for the traceback", 1),
    ],
)
def test_is_one_line(said, capfd, monkeypatch, error, line, code):
    monkeypatch.delenv("MYDOCKER_DEBUG", raising=False)
    assert failure.report(error) == code
    assert said == [(2, f"mydocker: {line}\n")]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("verb", "code"), [("run", 125), ("create", 125), ("start", 1), ("ps", 1)])
@pytest.mark.parametrize("error", [NotFound("x"), FULL, KeyError("x"), StepFailed("x")])
def test_run_and_create_have_an_exit_code_of_their_own(said, monkeypatch, verb, code, error):
    def fails(params):
        raise error.__class__(*error.args)

    monkeypatch.setattr(dispatch.os, "geteuid", lambda: 0)
    monkeypatch.setattr(dispatch, "_do", lambda verb, params: fails(params))
    with pytest.raises(type(error)) as caught:
        dispatch.dispatch(verb, {})
    assert failure.report(caught.value) == code


def test_the_traceback_comes_on_demand(said, capsys, monkeypatch):
    monkeypatch.setenv("MYDOCKER_DEBUG", "1")
    try:
        raise KeyError("x")
    except KeyError as error:
        failure.report(error)
    assert 'raise KeyError("x")' in capsys.readouterr().err
    assert len(said) == 1


def test_an_interrupt_is_silent(said):
    assert failure.report(KeyboardInterrupt()) == 130
    assert said == []


def test_a_pipe_that_nobody_reads_is_silent(said, monkeypatch):
    reader, writer = os.pipe()
    saved = os.dup(1)
    try:
        os.dup2(writer, 1)
        os.close(reader)
        assert failure.report(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 141
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writer)
    assert said == []


def test_another_broken_pipe_is_an_error(said, monkeypatch):
    monkeypatch.setattr(failure, "_reader_is_gone", lambda: False)
    assert failure.report(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 1
    assert said == [(2, "mydocker: broken pipe\n")]


def test_nobody_to_tell_is_no_error(monkeypatch):
    def closed(fd, data):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(failure.os, "write", closed)
    assert failure.report(NotFound("x")) == 1


class TestEntryPoint:
    @pytest.fixture
    def exits(self, monkeypatch):
        """main() with argv; the exit code that it leaves with."""

        def leave(code):
            raise SystemExit(code)

        def main(*argv):
            monkeypatch.setattr("sys.argv", ["mydocker", *argv])
            with pytest.raises(SystemExit) as left:
                entry.main()
            return left.value.code

        monkeypatch.setattr("os._exit", leave)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr("mydocker.kernel.process.get_limit", lambda resource: 1024)
        return main

    @pytest.fixture
    def verb(self, monkeypatch):
        """Let verbs do `act(verb, params)`."""

        def set_to(act):
            monkeypatch.setattr(dispatch, "dispatch", act)

        return set_to

    def test_the_verbs_result_is_the_exit_code(self, exits, verb):
        verb(lambda verb, params: 42)
        assert exits("ps", "-a") == 42

    def test_what_was_printed_comes_before_the_error(self, exits, verb, capfd):
        def half_done(verb, params):
            print("first")
            raise NotFound("no container 'second'")

        verb(half_done)
        assert exits("rm", "first", "second") == 1
        assert capfd.readouterr() == ("first\n", "mydocker: no container 'second'\n")

    def test_any_text_can_be_printed(self, exits, verb, capfd):
        def prints(verb, params):
            print("é \udcff \ud800")
            return 0

        verb(prints)
        assert exits("ps") == 0
        assert capfd.readouterr().out == "é \\udcff \\ud800\n"

    def test_usage_errors_are_the_full_command_lines(self, exits, capfd):
        assert exits("ps", "--foo") == 125
        assert capfd.readouterr() == ("", "mydocker: unknown flag: --foo (see 'mydocker ps --help')\n")

    def test_help_needs_no_root(self, exits, monkeypatch, capfd):
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        assert exits("run", "--help") == 0
        assert exits("ps") == 1
        out, err = capfd.readouterr()
        assert out.startswith("Usage: mydocker run")
        assert err == "mydocker: must run as root (try 'sudo mydocker ps ...')\n"

    def test_a_mistake_of_ours_is_one_line(self, exits, verb, capfd, monkeypatch):
        monkeypatch.delenv("MYDOCKER_DEBUG", raising=False)
        verb(lambda verb, params: params["nothing"])
        assert exits("ps") == 1
        assert capfd.readouterr().err.count("\n") == 1
