"""attach, and the keys that leave a container or an exec: on terminals, on pipes, several command lines at once."""

from __future__ import annotations

import signal

import pytest
from machine import Terminal, until
from oracle import BARE

PROMPT = "/ # "
LEAVE = "\x10\x11"  # Ctrl-P Ctrl-Q
ECHO = "while read -r word; do echo got $word; done; echo end; exit 4"


@pytest.fixture
def shell(mydocker, name):
    mydocker.detached("-it", "--name", name, "busybox", "sh")
    return name


def drawn(terminal):
    """Wait until a shell's prompt has been drawn, as often as it is."""
    terminal.expect(PROMPT)
    terminal.send("echo ma''rk\n")
    terminal.expect("mark\r\n")
    terminal.expect(PROMPT)


def left(terminal) -> tuple[int, str]:
    """Type the keys. Returns the exit code and mydocker's own words; the terminal's mode is as it was."""
    terminal.send(LEAVE)
    code = terminal.wait()
    assert terminal.modes() == terminal.modes_before
    return code, terminal.seen.partition("mydocker: ")[2]


class TestTerminal:
    def test_several_see_and_type_the_same(self, machine, mydocker, shell):
        with mydocker.terminal("attach", shell) as one, mydocker.terminal("attach", shell) as two:
            for terminal in (one, two):
                terminal.expect(PROMPT)  # drawn again for each
            one.send("echo $((6 * 7))\n")
            for terminal in (one, two):
                terminal.expect("42")
            two.send("exit 5\n")
            assert (one.wait(), two.wait()) == (5, 5)
            assert one.modes() == one.modes_before

    def test_the_keys_leave_it_running(self, machine, mydocker, shell):
        with mydocker.terminal("attach", shell) as terminal:
            terminal.expect(PROMPT)
            assert left(terminal) == (1, f"read escape sequence (container {shell} goes on)\r\n")
        assert mydocker.state(shell)["Running"]
        until(lambda: machine.is_bare(mydocker.monitor(shell)), "its monitor is small again")
        with mydocker.terminal("attach", "--detach-keys", "a,ctrl-x", shell, rows=31, columns=101) as terminal:
            drawn(terminal)
            assert terminal.type("stty size") == "31 101"
            terminal.send(LEAVE + "\x15echo b\x61\n")  # Ctrl-U; the keys' first one alone is like any other
            terminal.expect("ba")
            terminal.send("a\x18")
            assert terminal.wait() == 1

    def test_run_and_start_are_left_without_a_word(self, mydocker, name):
        with mydocker.terminal("run", "--net", "none", "-it", "--name", name, "busybox", "sh") as terminal:
            terminal.expect(PROMPT)
            assert left(terminal) == (0, "")
        with mydocker.terminal("start", "-ai", name) as terminal:  # it runs: this attaches
            terminal.expect(PROMPT)
            assert left(terminal) == (0, "")
            mydocker.ok("stop", "-t", "0", name)
        with mydocker.terminal("start", "-ai", "--detach-keys", "@", name) as terminal:
            terminal.expect(PROMPT)
            terminal.send("@")
            assert terminal.wait() == 0

    def test_the_third_ctrl_c_leaves_a_container_that_is_deaf_to_it(self, mydocker, name):
        with mydocker.terminal("run", "--net", "none", "-it", "--name", name, "busybox", "sleep", "1000") as terminal:
            until(lambda: terminal.modes() != terminal.modes_before, "it is raw")
            for _ in range(2):
                terminal.send("\x03")
                terminal.expect("^C")
            terminal.send("\x03")
            terminal.expect(f"container {name} ignores Ctrl-C and continues (")
            assert terminal.wait() == 130
        assert mydocker.state(name)["Running"]

    def test_a_program_that_handles_ctrl_c_gets_each(self, mydocker, shell):
        with mydocker.terminal("attach", shell) as terminal:
            drawn(terminal)
            for _ in range(4):
                terminal.send("\x03")
                terminal.expect(PROMPT)
            assert terminal.type("echo here") == "here"
            left(terminal)

    def test_stdin_that_is_no_terminal(self, mydocker, shell):
        assert "stdin is not one (--no-stdin" in mydocker.fails("attach", shell, rc=125)
        with mydocker.start("attach", "--no-stdin", shell) as attached:
            mydocker.ok("exec", shell, "sh", "-c", "echo hello >/dev/pts/0")
            assert b"hello" in attached.stdout.read(7)


class TestExec:
    def test_what_is_left_goes_on(self, machine, mydocker, shell):
        """Its terminal stays open, and a lot of output does not stop it."""
        script = "read go; seq 100000; tty >/tmp/done; exec sleep 1000"
        with mydocker.terminal("exec", "-it", shell, "sh", "-c", f"echo ready; {script}") as terminal:
            terminal.expect("ready\r\n")
            terminal.send("go\n")
            assert left(terminal) == (1, "read escape sequence (the command goes on)\r\n")
        until(lambda: "/dev/pts/1" in mydocker("exec", shell, "cat", "/tmp/done").stdout, "it is done")
        until(lambda: machine.is_bare(mydocker.monitor(shell)), "its monitor is small again")
        assert "sleep 1000" in mydocker.ok("exec", shell, "ps")

    def test_a_detached_one_keeps_its_terminal(self, mydocker, shell):
        mydocker.ok("exec", "-dt", shell, "sh", "-c", "sleep 0.2; tty >/tmp/done; seq 100000; exec sleep 1000")
        until(lambda: "sleep 1000" in mydocker.ok("exec", shell, "ps", "-o", "args").splitlines(), "it goes on")
        assert mydocker.ok("exec", shell, "cat", "/tmp/done") == "/dev/pts/1"

    def test_wrong_keys(self, mydocker, shell):
        assert "invalid detach key: 'foo'" in mydocker.fails("exec", "--detach-keys", "foo", shell, "true", rc=125)


@pytest.mark.parametrize(("words", "code"), [(["attach"], 1), (["start", "-ai"], 0), (["exec", "-it"], 1)])
def test_docker_exits_with_the_same_codes(mydocker, docker, shell, words, code):
    docker.ok("run", "-dit", "--net", "none", "--name", shell, "busybox", "sh")
    full = [*words, shell, *(["sh"] if words[0] == "exec" else [])]
    dockers = Terminal(
        [*docker.host.enter, "env", "-i", *(f"{key}={BARE[key]}" for key in BARE), "docker", *full], 24, 80
    )
    with mydocker.terminal(*full) as ours, dockers as theirs:
        for terminal in (ours, theirs):
            terminal.send("echo ma''rk\n")
            terminal.expect("mark\r\n")
        assert left(ours)[0] == left(theirs)[0] == code
        assert ("read escape sequence" in ours.seen) == ("read escape sequence" in theirs.seen) == (code == 1)
    assert docker.ok("inspect", "-f", "{{.State.Running}}", shell) == "true"


class TestPipes:
    def test_stdin_stays_open_after_a_client(self, mydocker, name):
        mydocker.detached("-i", "--name", name, "busybox", "sh", "-c", ECHO)
        with mydocker.start("attach", name) as stays:
            stays.stdin.write(b"zero\n")
            stays.stdin.flush()
            assert stays.stdout.readline() == b"got zero\n"  # so it is attached
            with mydocker.start("attach", name) as ends:
                ends.stdin.write(b"one\n")
                ends.stdin.close()
                assert ends.stdout.readline() == stays.stdout.readline() == b"got one\n"
                stays.stdin.write(b"two\n")
                stays.stdin.flush()
                assert ends.stdout.readline() == stays.stdout.readline() == b"got two\n"
                mydocker.ok("kill", name)
                assert (ends.wait(20), stays.wait(20)) == (137, 137)

    def test_stdin_of_create_ends_with_its_clients(self, mydocker, name):
        mydocker.ok("create", "-i", "--net", "none", "--name", name, "busybox", "sh", "-c", ECHO)
        mydocker.ok("start", name)
        result = mydocker("attach", name, input=b"one\n")
        assert (result.rc, result.stdout) == (4, "got one\nend\n")

    def test_signals(self, mydocker, name):
        script = "trap 'echo int; exit 6' INT; echo up; while :; do sleep 0.05; done"
        mydocker.detached("--name", name, "busybox", "sh", "-c", script)
        mydocker.wait_log(name, "up")
        with mydocker.start("attach", "--sig-proxy=false", name) as looks, mydocker.start("attach", name) as attached:
            monitor = mydocker.monitor(name)
            until(lambda: sockets(mydocker.machine, monitor) >= 3, "both are attached")
            looks.send_signal(signal.SIGINT)
            assert looks.wait(20) == 130
            assert looks.stderr.read().decode() == f"mydocker: left container {name}, which goes on\n"
            attached.send_signal(signal.SIGINT)
            assert attached.wait(20) == 6
            assert attached.stdout.read() == b"int\n"

    def test_a_reader_that_has_seen_enough_does_not_end_it(self, machine, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sh", "-c", "while echo line; do sleep 0.02; done")
        result = machine.shell(f"{machine.program} attach {name} | head -n 2")
        assert (result.stdout, result.stderr) == ("line\nline\n", "")
        assert mydocker.state(name)["Running"]

    def test_what_does_not_run(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "true")
        assert f"container {name} is not running ('mydocker start {name}' first)" in mydocker.fails("attach", name)
        assert "no such container" in mydocker.fails("attach", "nobody")
        mydocker.detached("--name", f"{name}-1", "busybox", "sleep", "1000")
        mydocker.ok("pause", f"{name}-1")
        assert f"container {name}-1 is paused (" in mydocker.fails("attach", f"{name}-1")


class TestStreams:
    """run -a: what docker does with these was seen."""

    @pytest.mark.parametrize(
        ("words", "code", "shown"),
        [
            (["-a", "stdout"], 3, ("out\nend\n", "")),
            (["-a", "STDERR"], 3, ("", "err\n")),
            (["-i", "-a", "stdin", "-a", "stdout"], 3, ("out\nin\nend\n", "")),
            (["-i", "-a", "stdin", "-a", "stderr"], 3, ("", "err\n")),
        ],
    )
    def test_only_these(self, mydocker, words, code, shown):
        result = mydocker("run", "--rm", "--net", "none", *words, "busybox", "sh", "-c",
                          "echo out; echo err >&2; cat; echo end; exit 3", input=b"in\n")  # fmt: skip
        assert (result.rc, result.stdout, result.stderr) == (code, *shown)

    def test_stdin_alone_gives_the_container_its_input_and_prints_its_id(self, mydocker):
        container = mydocker.ok("run", "-i", "-a", "stdin", "--net", "none", "busybox", "cat", input=b"in\n")
        assert mydocker.ok("wait", container) == "0"
        assert mydocker.ok("logs", container) == "in"

    def test_errors(self, mydocker):
        assert "invalid stream 'foo' (--attach stdin," in mydocker.fails("run", "-a", "foo", "busybox", "true")
        assert "conflicting options: --attach" in mydocker.fails("run", "-d", "-a", "stdout", "busybox", "true")


def sockets(machine, pid: int) -> int:
    return machine.shell(f"ls -l /proc/{pid}/fd").stdout.count("socket:")
