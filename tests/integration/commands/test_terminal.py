"""-t: a real terminal, there and back."""

from __future__ import annotations

import pytest
from machine import until

PROMPT = "/ # "


@pytest.fixture
def shell(mydocker):
    """`run --rm -it busybox sh` at its prompt."""
    with mydocker.terminal("run", "--rm", "-it", "--net", "none", "busybox", "sh", rows=30, columns=120) as terminal:
        terminal.expect(PROMPT)
        yield terminal
        if terminal.process.poll() is None:
            terminal.send("exit\n")
            terminal.wait()


def test_has_a_controlling_terminal_of_its_own(shell):
    assert shell.type("tty") == "/dev/pts/0"
    assert shell.type("test -c /dev/tty && : </dev/tty && echo yes") == "yes"
    assert shell.type("ls -l /dev/console | cut -c1") == "c"
    assert shell.type("echo $TERM") == "xterm"


def test_the_exit_code_comes_through(shell):
    shell.send("exit 42\n")
    assert shell.wait() == 42


def test_size(shell):
    assert shell.type("stty size") == "30 120"


def test_resize(mydocker):
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with mydocker.terminal("run", "--rm", "-it", "busybox", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.resize(40, 100)
        terminal.expect("40 100")
        terminal.send("\x03")
        assert terminal.wait() == 130


def test_output_is_not_changed_on_the_way(mydocker):
    """The caller's terminal shows exactly the container's output: no second carriage return."""
    with mydocker.terminal("run", "--rm", "-it", "busybox", "printf", "a\\nb\\tc") as terminal:
        terminal.wait()
        assert terminal.seen == "a\r\nb\tc"


def test_control_c_reaches_the_foreground_job_only(shell):
    shell.send("sh -c 'echo ready; exec sleep 100'\n")
    shell.expect("ready\r\n")
    shell.send("\x03")
    shell.expect(PROMPT)
    assert shell.type("echo $?") == "130"


def test_control_c_of_a_run_that_is_a_plain_command_is_130(mydocker):
    script = "trap 'exit 130' INT; echo ready; while :; do sleep 0.05; done"
    with mydocker.terminal("run", "--rm", "-it", "busybox", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.send("\x03")
        assert terminal.wait() == 130


def test_job_control(shell):
    shell.send("sh -c 'echo ready; exec cat'\n")
    shell.expect("ready\r\n")
    shell.send("hello\n")
    shell.expect("hello\r\nhello")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    assert "cat" in shell.type("jobs")
    shell.send("fg\n")
    shell.expect("exec cat")
    shell.send("again\n")
    shell.expect("again\r\nagain")
    shell.send("\x04")
    shell.expect(PROMPT)


def test_control_d_ends_the_shell(shell):
    shell.send("\x04")
    assert shell.wait() == 0


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--rm", "-it", "busybox", "true"],
        ["run", "--rm", "-it", "busybox", "no-such"],
        ["run", "--rm", "-it", "no-such"],
        ["run", "--rm", "-it", "busybox", "sh", "-c", "stty raw -echo; exit 3"],
    ],
    ids=lambda command: " ".join(command[3:]),
)
def test_the_callers_terminal_is_as_it_was(mydocker, command):
    with mydocker.terminal(*command) as terminal:
        terminal.wait()
        assert terminal.modes() == terminal.modes_before


def test_the_callers_terminal_is_as_it_was_after_a_signal(machine, mydocker, name):
    if not machine.local:
        pytest.skip("needs to kill the command line: this machine only")
    with mydocker.terminal("run", "--name", name, "-it", "busybox", "sh") as terminal:
        terminal.expect(PROMPT)
        assert terminal.modes() != terminal.modes_before
        mydocker.ok("kill", name)
        assert terminal.wait() == 137
        assert terminal.modes() == terminal.modes_before


def test_a_terminal_that_goes_away_leaves_the_container(machine, mydocker, name):
    with mydocker.terminal("run", "--name", name, "-it", "busybox", "sh") as terminal:
        terminal.expect(PROMPT)
        terminal.process.kill()
        terminal.wait()
    assert mydocker.state(name)["Running"]


def test_without_a_terminal_it_is_an_error(mydocker):
    assert "the input device is not a TTY" in mydocker.fails("run", "--rm", "-it", "busybox", "true")
    assert mydocker.ok("ps", "-aq") == ""


def test_detached_works_without_a_terminal(mydocker, name):
    mydocker.detached("-t", "--name", name, "busybox", "sh", "-c", "tty; sleep 1000")
    assert "/dev/pts/0" in mydocker.wait_log(name, "/dev/pts/0")


class TestExec:
    @pytest.fixture
    def runs(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        return name

    def test_has_a_terminal_with_the_callers_size(self, mydocker, runs):
        with mydocker.terminal("exec", "-it", runs, "sh", rows=33, columns=99) as terminal:
            terminal.expect(PROMPT)
            assert terminal.type("stty size") == "33 99"
            assert terminal.type("tty").startswith("/dev/pts/")
            terminal.send("exit 4\n")
            assert terminal.wait() == 4
            assert terminal.modes() == terminal.modes_before

    def test_control_c(self, mydocker, runs):
        with mydocker.terminal("exec", "-it", runs, "sleep", "999") as terminal:
            until(lambda: "sleep 999" in mydocker.ok("exec", runs, "ps"), "the sleep")
            terminal.send("\x03")
            assert terminal.wait() == 130

    def test_without_a_terminal_it_is_an_error(self, mydocker, runs):
        mydocker.fails("exec", "-it", runs, "true", rc=125)


def test_start_attached_and_interactive(mydocker, name):
    mydocker.ok("create", "-it", "--name", name, "busybox", "sh")
    with mydocker.terminal("start", "-ai", name) as terminal:
        terminal.expect(PROMPT)
        assert terminal.type("echo $((6 * 7))") == "42"
        terminal.send("exit 5\n")
        assert terminal.wait() == 5
