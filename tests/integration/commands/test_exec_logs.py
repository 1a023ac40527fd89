"""exec and logs: a second process in a container, and what the first one said."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
from machine import until


@pytest.fixture
def runs(mydocker, name):
    """A container that runs, with an environment, a directory and a user of its own."""
    mydocker.detached("--name", name, "-e", "A=1", "-w", "/tmp", "busybox", "sleep", "1000")
    return name


class TestExec:
    def test_streams_and_exit_code(self, mydocker, runs):
        result = mydocker("exec", "-i", runs, "sh", "-c", "cat; echo err >&2; exit 7", input=b"in\n")
        assert (result.rc, result.stdout, result.stderr) == (7, "in\n", "err\n")

    def test_bytes_are_not_changed(self, mydocker, runs):
        raw = os.urandom(1_000_000)
        assert mydocker("exec", "-i", runs, "cat", input=raw).stdout.encode(errors="surrogateescape") == raw

    def test_privileged_gives_all_capabilities_and_keeps_the_filter(self, mydocker, runs):
        def sets(*options):
            rows = mydocker.ok("exec", *options, runs, "grep", "-E", "Cap(Eff|Bnd)|Seccomp:", "/proc/self/status")
            return rows.split()[1::2]

        effective, bounding, filtered = sets("--privileged")
        own, mask = int(sets()[0], 16), int(effective, 16)
        assert own & mask == own != mask
        assert (effective, filtered) == (bounding, "2")
        assert sets("--privileged", "-u", "nobody") == ["0" * 16, bounding, "2"]

    def test_stdin_is_empty_without_i(self, mydocker, runs):
        assert mydocker.ok("exec", runs, "cat", input=b"x") == ""

    @pytest.mark.parametrize(
        ("options", "script", "expected"),
        [
            ([], 'echo "$A $PWD"; id -u', "1 /tmp\n0"),
            (["-e", "A=2", "-e", "B=3"], 'echo "$A $B"', "2 3"),
            (["-w", "/etc"], "pwd", "/etc"),
            (["-u", "1000:1001"], "id -u; id -g", "1000\n1001"),
            (["-u", "nobody"], "id -un", "nobody"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_option(self, mydocker, runs, options, script, expected):
        assert mydocker.ok("exec", *options, runs, "sh", "-c", script) == expected

    def test_has_the_containers_limits_and_no_more_rights(self, mydocker, name):
        mydocker.detached("--name", name, "--cap-drop", "ALL", "--ulimit", "nofile=99", "busybox", "sleep", "1000")
        status = "grep -hE '^(Cap|NoNew|Seccomp:)' /proc/{}/status".format
        assert mydocker.ok("exec", name, "sh", "-c", status("self")) == mydocker.ok(
            "exec", name, "sh", "-c", status("1")
        )
        assert mydocker.ok("exec", name, "sh", "-c", "ulimit -n") == "99"

    @pytest.mark.parametrize(
        ("command", "rc"), [("no-such", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/etc", 126)]
    )
    def test_of_a_command_that_cannot_start(self, mydocker, runs, command, rc):
        assert command in mydocker.fails("exec", runs, command, rc=rc)

    def test_of_a_signal_is_128_and_its_number(self, mydocker, runs):
        assert mydocker("exec", runs, "sh", "-c", "kill -USR1 $$").rc == 138

    def test_one_word_with_white_space_that_is_a_file_is_that_file(self, mydocker, runs):
        mydocker.ok("exec", runs, "sh", "-c", "printf '#!/bin/sh\\necho mine' >'/bin/ls -l'; chmod +x '/bin/ls -l'")
        assert mydocker.ok("exec", runs, "/bin/ls -l") == "mine"

    def test_detached_returns_at_once_and_runs_on(self, mydocker, runs):
        script = "until [ -e /tmp/go ]; do sleep 0.05; done; touch /tmp/done"
        mydocker.ok("exec", "-d", runs, "sh", "-c", script)
        mydocker.ok("exec", runs, "touch", "/tmp/go")
        until(lambda: mydocker("exec", runs, "test", "-e", "/tmp/done").rc == 0, "/tmp/done")

    def test_its_output_is_not_in_the_log(self, mydocker, runs):
        mydocker.ok("exec", runs, "echo", "hello")
        assert mydocker.ok("logs", runs) == ""

    def test_of_a_stopped_container(self, mydocker, name):
        mydocker.ok("run", "--name", name, "busybox", "true")
        line = mydocker.fails("exec", name, "true")
        assert name in line
        assert "start" in line

    def test_ends_with_its_container(self, mydocker, runs):
        with mydocker.start("exec", runs, "sleep", "999") as process:
            until(lambda: "sleep 999" in mydocker.ok("exec", runs, "ps"), "the second sleep")
            mydocker.ok("kill", runs)
            assert process.wait(10) == 137

    def test_orphans_of_an_exec_do_not_hold_it(self, mydocker, runs):
        start = time.monotonic()
        assert mydocker.ok("exec", runs, "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo done") == "done"
        assert time.monotonic() - start < 30


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)")


class TestLogs:
    def said(self, mydocker, name, script):
        mydocker("run", "--name", name, "busybox", "sh", "-c", script)
        return mydocker("logs", name)

    def test_streams_stay_apart(self, mydocker, name):
        result = self.said(mydocker, name, "echo one; echo two >&2; echo three")
        assert (result.stdout, result.stderr) == ("one\nthree\n", "two\n")

    @pytest.mark.parametrize(
        "text", ["no end", "\\n\\n", "a\\nb", "\\t\\r\\n", "\\0\\1\\377\\n", "名前\\n", "", "x F y\\n"], ids=repr
    )
    def test_are_byte_exact(self, mydocker, name, text):
        mydocker("run", "--name", name, "busybox", "printf", text)
        expected = mydocker.machine.run("printf", text).stdout
        assert mydocker("logs", name).stdout == expected

    def test_a_long_line_is_whole(self, mydocker, name):
        result = self.said(mydocker, name, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
        assert result.stdout == "x" * 100000 + "\nend\n"

    def test_file_is_in_the_cri_format(self, machine, mydocker, name):
        self.said(mydocker, name, "echo out; echo err >&2; printf part")
        rows = [LINE.fullmatch(row) for row in machine.read(mydocker.inspect(name, "LogPath")).splitlines()]
        assert all(rows)
        assert sorted(row.groups() for row in rows) == [
            ("stderr", "F", "err"),
            ("stdout", "F", "out"),
            ("stdout", "P", "part"),
        ]

    def test_tail(self, mydocker, name):
        self.said(mydocker, name, "for i in 1 2 3 4 5; do echo $i; done")
        assert mydocker.ok("logs", "--tail", "2", name) == "4\n5"
        assert mydocker.ok("logs", "-n", "1", name) == "5"
        assert mydocker.ok("logs", "--tail", "0", name) == ""
        assert mydocker.ok("logs", "--tail", "all", name) == "1\n2\n3\n4\n5"

    def test_timestamps_since_and_until(self, mydocker, name):
        self.said(mydocker, name, "echo 1; sleep 0.2; echo 2; sleep 0.2; echo 3")
        stamped = [row.split(" ", 1) for row in mydocker.ok("logs", "-t", name).splitlines()]
        assert [text for _, text in stamped] == ["1", "2", "3"]
        second = stamped[1][0]
        assert mydocker.ok("logs", "--since", second, name) == "2\n3"
        assert mydocker.ok("logs", "--until", second, name) in ("1", "1\n2")
        assert mydocker.ok("logs", "--since", "1h", name) == "1\n2\n3"
        assert mydocker.ok("logs", "--until", "1h", name) == ""

    def test_follow_shows_what_comes_and_ends_with_the_container(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sh", "-c", "echo 1; sleep 0.5; echo 2; sleep 0.5; echo 3")
        mydocker.wait_log(name, "1")
        assert mydocker.ok("logs", "-f", name, timeout=10) == "1\n2\n3"
        assert mydocker.ok("logs", "-f", "--tail", "1", name, timeout=10) == "3"

    def test_follow_ends_with_its_reader(self, mydocker, machine, name):
        mydocker.detached("--name", name, "busybox", "yes")
        assert machine.shell(f"{machine.program} logs -f {name} | head -n 1", timeout=10).stdout == "y\n"

    def test_of_a_created_container_are_empty(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox")
        assert mydocker.ok("logs", name) == ""

    def test_of_two_runs_are_one_log(self, mydocker, name):
        self.said(mydocker, name, "echo once")
        mydocker.ok("start", "-a", name)
        assert mydocker.ok("logs", name) == "once\nonce"

    def test_with_a_terminal_is_one_stream(self, mydocker, name):
        mydocker.detached("-t", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2")
        mydocker.ok("wait", name)
        assert sorted(mydocker("logs", name).stdout.split("\r\n")) == ["", "err", "out"]

    @pytest.mark.parametrize("options", [["--tail", "x"], ["--since", "yesterday-ish"], ["--until", "soon"]])
    def test_a_bad_option_is_one_line(self, mydocker, name, options):
        mydocker.ok("create", "--name", name, "busybox")
        assert options[1] in mydocker.fails("logs", *options, name, rc=125)

    def test_are_rotated_at_10_mb_and_three_files_are_kept(self, machine, mydocker, name):
        script = "dd if=/dev/zero bs=1M count=45 2>/dev/null | tr '\\0' x | fold -w 8000; echo; echo the end"
        mydocker.detached("--name", name, "busybox", "sh", "-c", script)
        mydocker.ok("wait", name)
        path = mydocker.inspect(name, "LogPath")
        sizes = [int(size) for size in machine.shell(f"stat -c %s {path}*").stdout.split()]
        assert len(sizes) == 3
        assert max(sizes) <= 10 * 2**20
        assert mydocker.ok("logs", "--tail", "1", name) == "the end"
        assert 2 * 10**7 < len(mydocker("logs", name).stdout) <= 3 * 10 * 2**20

    def test_rotation_can_be_set(self, machine, mydocker, name):
        options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=2"]
        mydocker.detached("--name", name, *options, "busybox", "seq", "10000")
        mydocker.ok("wait", name)
        path = mydocker.inspect(name, "LogPath")
        sizes = [int(size) for size in machine.shell(f"stat -c %s {path}*").stdout.split()]
        assert len(sizes) == 2
        assert max(sizes) <= 21_000
        rows = mydocker.ok("logs", name).splitlines()
        assert rows[-1] == "10000"
        assert [int(row) for row in rows] == list(range(int(rows[0]), 10001))  # none is lost in between


def test_details_are_the_labels_and_variables_that_log_options_name(mydocker, name):
    """In docker's order and escapes, which were seen."""
    options = ["--label", "x=1", "--label", "y=a b,c=d", "--label", "z=", "-e", "E=1"]
    options += ["--log-opt", "labels=x,y", "--log-opt", "env=E,F"]
    mydocker.ok("run", "--net", "none", "--name", name, *options, "busybox", "sh", "-c", "echo one; echo two")
    assert mydocker.ok("logs", "--details", name) == "E=1,x=1,y=a+b%2Cc%3Dd one\nE=1,x=1,y=a+b%2Cc%3Dd two"
    assert re.fullmatch(r"[^ ]+Z E=1,x=1,y=a\+b%2Cc%3Dd two", mydocker.ok("logs", "-t", "-n", "1", "--details", name))
    mydocker.ok("run", "--net", "none", "--name", f"{name}-1", "busybox", "echo", "one")
    assert mydocker.ok("logs", "--details", f"{name}-1") == " one"


def test_json_of_tables(mydocker, runs):
    for command in (["ps"], ["images"], ["volume", "ls"]):
        rows = [json.loads(row) for row in mydocker.ok(*command, "--format", "json").splitlines()]
        assert all(isinstance(row, dict) and row for row in rows)


def test_an_exec_says_that_its_container_has_ended(mydocker, name):
    """The kernel's error may be any of these: no such process, no memory, no such file."""
    said = set()
    for _ in range(4):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        running = [mydocker.start("exec", name, "sleep", "100") for _ in range(4)]
        mydocker.ok("rm", "-f", name)
        said |= {each.communicate(timeout=30)[1].decode().strip() for each in running}
    assert said <= {
        "",  # it had entered
        f"mydocker: no such container: {name} (see 'mydocker ps -a')",
        f"mydocker: container {name} is not running ('mydocker start {name}' first)",
        "mydocker: the container ended while exec was entering it (see 'mydocker ps -a')",
    }
