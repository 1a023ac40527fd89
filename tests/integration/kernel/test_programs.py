"""Running external programs."""

from __future__ import annotations

import signal

import pytest

from mydocker.errors import HostError
from mydocker.kernel import programs

pytestmark = pytest.mark.local


def test_bytes_go_in_and_text_comes_out():
    assert programs.run(["cat"], b"here\n") == "here\n"


def test_an_error_has_the_program_s_stderr():
    with pytest.raises(OSError, match="no luck"):
        programs.run(["sh", "-c", "echo no luck >&2; exit 3"])


def test_a_missing_program():
    with pytest.raises(HostError, match="nosuch is not installed"):
        programs.run(["nosuch"])


def test_an_interrupt_waits_for_the_program(tmp_path):
    """The program has ended before the caller begins to undo its effect."""
    done = tmp_path / "done"

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            programs.run(["sh", "-c", f"sleep 0.5; touch {done}"])
        assert done.exists()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
