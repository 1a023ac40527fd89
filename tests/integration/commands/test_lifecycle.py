"""create, start, stop, kill, restart, rm, wait, ps, inspect: a container's life."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from machine import until

TRAP = """
trap 'echo got TERM; exit 7' TERM
trap 'echo got USR1' USR1
trap 'exit 8' INT
echo up
while :; do sleep 0.05; done
"""


@pytest.fixture
def trapper(mydocker, name):
    """A running container that reports the signals it gets."""
    mydocker.detached("--name", name, "busybox", "sh", "-c", TRAP)
    mydocker.wait_log(name, "up")
    return name


class TestCreateAndStart:
    def test_created_is_there_but_does_not_run(self, mydocker, name):
        made = mydocker.ok("create", "--name", name, "busybox", "true")
        assert re.fullmatch("[0-9a-f]{64}", made)
        assert name not in mydocker.ok("ps")
        assert "Created" in mydocker.ok("ps", "-a")
        assert mydocker.state(name)["Status"] == "created"

    def test_start_prints_what_it_was_given_and_detaches(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "top", "-b")
        assert mydocker.ok("start", name) == name
        assert mydocker.state(name)["Running"]
        assert mydocker.ok("start", name) == name  # again: no error, as docker's

    def test_start_attached_gives_output_and_exit_code(self, mydocker, name):
        mydocker.ok("create", "-i", "--name", name, "busybox", "sh", "-c", "cat; echo err >&2; exit 5")
        result = mydocker("start", "-a", "-i", name, input=b"in\n")
        assert (result.rc, result.stdout, result.stderr) == (5, "in\n", "err\n")

    def test_a_second_start_finds_what_the_first_wrote(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "sh", "-c", "ls /mark || touch /mark")
        assert mydocker("start", "-a", name).stdout == ""
        assert mydocker("start", "-a", name).stdout == "/mark\n"

    def test_several_and_one_unknown(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "top", "-b")
        result = mydocker("start", "no-such", name)
        assert (result.rc, result.stdout) == (1, f"{name}\n")
        assert "no-such" in result.stderr

    def test_of_a_command_that_is_not_there(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "no-such")
        assert "no-such" in mydocker.fails("start", name)
        assert mydocker.state(name)["ExitCode"] == 127


class TestStopKillRestart:
    def test_stop_sends_term_and_waits(self, mydocker, trapper):
        assert mydocker.ok("stop", trapper) == trapper
        assert mydocker.state(trapper)["ExitCode"] == 7
        assert mydocker.ok("stop", trapper) == trapper  # again: no error

    def test_stop_kills_after_t_seconds(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        start = time.monotonic()
        mydocker.ok("stop", "-t", "1", name)
        assert 1 <= time.monotonic() - start < 9
        assert mydocker.state(name)["ExitCode"] == 137

    def test_stop_waits_10_seconds_unless_told(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        start = time.monotonic()
        mydocker.ok("stop", name)
        assert 10 <= time.monotonic() - start < 20

    def test_stop_timeout_and_signal_of_the_container(self, mydocker, name):
        options = ["--stop-signal", "USR1", "--stop-timeout", "1"]
        mydocker.detached("--name", name, *options, "busybox", "sh", "-c", TRAP)
        mydocker.wait_log(name, "up")
        mydocker.ok("stop", name)
        assert "got USR1" in mydocker.ok("logs", name)
        assert mydocker.state(name)["ExitCode"] == 137

    def test_stop_with_another_signal(self, mydocker, trapper):
        mydocker.ok("stop", "-s", "SIGINT", trapper)
        assert mydocker.state(trapper)["ExitCode"] == 8

    @pytest.mark.parametrize("spelling", ["USR1", "SIGUSR1", "10"])
    def test_kill_with_a_signal(self, mydocker, trapper, spelling):
        assert mydocker.ok("kill", "-s", spelling, trapper) == trapper
        mydocker.wait_log(trapper, "got USR1")
        assert mydocker.state(trapper)["Running"]

    def test_kill_kills(self, mydocker, trapper):
        mydocker.ok("kill", trapper)
        assert mydocker.ok("wait", trapper) == "137"

    @pytest.mark.parametrize("wrong", ["BOGUS", "0", "99"])
    def test_kill_with_no_signal(self, mydocker, trapper, wrong):
        assert wrong in mydocker.fails("kill", "-s", wrong, trapper, rc=125)

    def test_kill_of_what_does_not_run(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox")
        assert name in mydocker.fails("kill", name)

    def test_restart_is_a_new_process_in_the_same_container(self, mydocker, trapper):
        before = mydocker.inspect(trapper)
        assert mydocker.ok("restart", "-t", "1", trapper) == trapper
        after = mydocker.inspect(trapper)
        assert after["Id"] == before["Id"]
        assert after["State"]["Running"]
        assert after["State"]["Pid"] != before["State"]["Pid"]


class TestSignalsAreProxied:
    @pytest.mark.parametrize(("number", "rc"), [(signal.SIGTERM, 7), (signal.SIGINT, 8)])
    def test_to_a_container_in_the_foreground(self, machine, mydocker, number, rc):
        with mydocker.start("run", "--rm", "busybox", "sh", "-c", TRAP) as process:
            assert process.stdout.readline() == b"up\n"
            if machine.local:
                process.send_signal(number)
            else:
                machine.run("pkill", f"-{int(number)}", "-f", f"^.*{machine.program} run")
            assert process.wait(20) == rc

    def test_the_caller_killed_leaves_a_container_that_can_be_stopped(self, machine, mydocker, name):
        if not machine.local:
            pytest.skip("needs to kill the command line: this machine only")
        with mydocker.start("run", "--name", name, "busybox", "sh", "-c", TRAP) as process:
            assert process.stdout.readline() == b"up\n"
            process.kill()
        assert mydocker.state(name)["Running"]
        mydocker.ok("stop", name)
        assert mydocker.state(name)["ExitCode"] == 7


class TestRemove:
    def test_several_prints_each(self, mydocker):
        made = [mydocker.ok("create", "busybox") for _ in range(3)]
        assert mydocker.ok("rm", *made).split() == made

    def test_an_unknown_one_does_not_keep_the_others(self, mydocker):
        made = mydocker.ok("create", "busybox")
        result = mydocker("rm", "no-such", made)
        assert (result.rc, result.stdout.strip()) == (1, made)
        assert result.stderr.count("no-such") == 1
        assert mydocker.ok("ps", "-aq") == ""

    def test_force_of_what_runs(self, machine, mydocker, trapper):
        pid = mydocker.pid(trapper)
        mydocker.ok("rm", "-f", trapper)
        assert not machine.alive(pid)

    def test_the_name_is_free_again(self, mydocker, name):
        for _ in range(2):
            mydocker.ok("run", "--name", name, "busybox", "true")
            mydocker.ok("rm", name)


class TestWait:
    def test_blocks_and_prints_the_exit_code(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sh", "-c", "sleep 0.5; exit 3")
        assert mydocker.ok("wait", name, timeout=30) == "3"
        assert mydocker.ok("wait", name, name) == "3\n3"

    def test_of_a_container_that_removes_itself(self, mydocker, name):
        mydocker.ok("run", "-d", "--rm", "--name", name, "busybox", "sh", "-c", "sleep 0.5; exit 3")
        assert mydocker.ok("wait", name) == "3"


class TestPs:
    def test_columns_of_docker(self, mydocker, name):
        made = mydocker.detached("--name", name, "busybox", "top", "-b")
        head, row = mydocker.ok("ps").splitlines()
        assert head.split() == "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES".split()
        for value in (made[:12], "busybox", '"top -b"', "ago", "Up ", name):
            assert value in row
        assert mydocker.ok("ps", "--format", "{{.Pid}}") == str(mydocker.pid(name))
        assert made not in row

    def test_options(self, mydocker):
        first = mydocker.ok("create", "busybox")
        second = mydocker.detached("busybox", "top", "-b", "-d", "1000")
        assert mydocker.ok("ps", "-q") == second[:12]
        assert mydocker.ok("ps", "-aq") == f"{second[:12]}\n{first[:12]}"  # newest first
        assert mydocker.ok("ps", "-aq", "--no-trunc") == f"{second}\n{first}"
        assert mydocker.ok("ps", "-lq") == second[:12]
        assert mydocker.ok("ps", "-q", "-n", "1") == second[:12]
        assert len(mydocker.ok("ps", "-n", "5").splitlines()) == 3

    @pytest.mark.parametrize(
        ("conditions", "found"),
        [
            (["name=one"], ["one"]),
            (["status=running"], ["two"]),
            (["status=created", "status=running"], ["one", "two"]),
            (["label=kind"], ["one", "two"]),
            (["label=kind=a"], ["one"]),
            (["label=kind=a", "name=two"], []),
            (["exited=3"], ["three"]),
            (["ancestor=busybox"], ["one", "two", "three"]),
        ],
        ids=lambda value: " ".join(value),
    )
    def test_filters(self, mydocker, name, conditions, found):
        mydocker.ok("create", "--name", f"{name}-one", "-l", "kind=a", "busybox")
        mydocker.detached("--name", f"{name}-two", "-l", "kind=b", "busybox", "top", "-b")
        mydocker("run", "--name", f"{name}-three", "busybox", "sh", "-c", "exit 3")
        options = [word for condition in conditions for word in ("--filter", condition)]
        names = mydocker.ok("ps", "-a", "--format", "{{.Names}}", *options).split()
        assert sorted(names) == sorted(f"{name}-{which}" for which in found)

    def test_format(self, mydocker, name):
        made = mydocker.ok("create", "--name", name, "busybox", "true")
        assert mydocker.ok("ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Image}}") == f"{made[:12]} {name} busybox"
        table = mydocker.ok("ps", "-a", "--format", "table {{.ID}}\t{{.Names}}").splitlines()
        assert [row.split() for row in table] == [["CONTAINER", "ID", "NAMES"], [made[:12], name]]
        row = json.loads(mydocker.ok("ps", "-a", "--format", "json"))
        assert (row["ID"], row["Names"], row["State"]) == (made[:12], name, "created")

    @pytest.mark.parametrize(
        ("options", "rc"),
        [(["--filter", "bogus=1"], 1), (["--filter", "x"], 125), (["--format", "{{.Bogus}}"], 1), (["-n", "x"], 125)],
    )
    def test_a_bad_option_is_one_line(self, mydocker, name, options, rc):
        mydocker.ok("create", "--name", name, "busybox")
        mydocker.fails("ps", "-a", *options, rc=rc)

    def test_a_long_line_is_cut_only_on_a_terminal(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "echo", "x" * 100)
        piped = mydocker.ok("ps", "-a", "--no-trunc")
        assert "x" * 100 in piped
        with mydocker.terminal("ps", "-a", columns=80) as terminal:
            assert terminal.wait() == 0
            assert max(len(row) for row in terminal.seen.splitlines()) <= 80


class TestInspect:
    def test_docker_s_paths(self, mydocker, name, directory):
        options = [
            "-m",
            "50m",
            "--cpus",
            "0.5",
            "-e",
            "A=1",
            "-w",
            "/tmp",
            "-h",
            "box",
            "-l",
            "k=v",
            "--read-only",
            "-u",
            "5",
        ]
        made = mydocker.detached("--name", name, *options, "-v", f"{directory}:/data:ro", "busybox", "sleep", "100")
        found = mydocker.inspect(name)
        assert (found["Id"], found["Name"], found["Path"], found["Args"]) == (made, f"/{name}", "sleep", ["100"])
        assert found["Image"].startswith("sha256:")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", found["Created"])
        state, config, host = found["State"], found["Config"], found["HostConfig"]
        assert (state["Status"], state["Running"], state["Paused"], state["OOMKilled"]) == (
            "running",
            True,
            False,
            False,
        )
        assert (state["ExitCode"], state["Error"], state["Dead"], state["Restarting"]) == (0, "", False, False)
        assert state["StartedAt"] >= found["Created"]
        assert state["FinishedAt"] == "0001-01-01T00:00:00Z"
        assert (config["Hostname"], config["User"], config["WorkingDir"], config["Image"]) == (
            "box",
            "5",
            "/tmp",
            "busybox",
        )
        assert (config["Cmd"], config["Entrypoint"], config["Labels"]) == (["sleep", "100"], None, {"k": "v"})
        assert (config["Tty"], config["OpenStdin"]) == (False, False)
        assert "A=1" in config["Env"]
        assert (host["Memory"], host["NanoCpus"], host["NetworkMode"]) == (50 * 2**20, 500_000_000, "none")
        assert (host["ReadonlyRootfs"], host["Privileged"], host["AutoRemove"]) == (True, False, False)
        assert host["Binds"] == [f"{directory}:/data:ro"]
        (mount,) = found["Mounts"]
        assert (mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) == (
            "bind",
            directory,
            "/data",
            False,
        )
        assert found["Driver"] == found["GraphDriver"]["Name"]
        assert found["LogPath"].endswith(".log")

    def test_format(self, mydocker, name, directory):
        mydocker.ok(
            "create", "--name", name, "-v", f"{directory}:/a", "-v", f"{directory}:/b", "-e", "A=1", "busybox", "true"
        )
        assert (
            mydocker.ok("inspect", "--format", "{{.Name}} {{.State.Running}} {{.State.Pid}}", name)
            == f"/{name} false 0"
        )
        assert mydocker.ok("inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}", name).split() == ["/a", "/b"]
        assert json.loads(mydocker.ok("inspect", "-f", "{{json .Config.Cmd}}", name)) == ["true"]
        assert mydocker.ok("inspect", "-f", "{{if .State.Running}}yes{{else}}no{{end}}", name) == "no"

    def test_several_an_image_and_one_unknown(self, mydocker, name):
        made = mydocker.ok("create", "--name", name, "busybox")
        both = json.loads(mydocker.ok("inspect", name, "busybox"))
        assert both[0]["Id"] == made
        assert both[1]["RepoTags"] == ["busybox:latest"]
        result = mydocker("inspect", name, "no-such")
        assert result.rc == 1
        assert [found["Id"] for found in json.loads(result.stdout)] == [made]
        assert "no-such" in result.stderr

    @pytest.mark.parametrize("form", ["{{.Bogus}}", "{{", "{{nofunc .Id}}", "{{range}}"])
    def test_a_bad_format_is_one_line(self, mydocker, name, form):
        mydocker.ok("create", "--name", name, "busybox")
        mydocker.fails("inspect", "--format", form, name, rc=1 if form == "{{.Bogus}}" else 64)  # as docker's


@pytest.mark.parametrize(
    "command",
    [
        "start",
        "stop",
        "kill",
        "restart",
        "rm",
        "logs",
        "wait",
        "inspect",
        "export",
        "commit",
        "explain",
        "exec",
    ],
)
def test_an_unknown_container_is_one_line_with_a_hint(mydocker, command):
    more, stdout = ["true"] if command == "exec" else [], "[]\n" if command == "inspect" else ""
    line = mydocker.fails(*command.split(), "no-such", *more, stdout=stdout)
    assert "no-such" in line
    assert "(" in line


@pytest.mark.parametrize(
    "command", ["start", "stop", "kill", "restart", "rm", "logs", "wait", "inspect", "exec", "tag"]
)
def test_a_missing_argument_is_one_line(mydocker, command):
    result = mydocker(command)
    assert result.rc == 125
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert command in result.stderr


def test_the_status_follows_the_process(mydocker, name):
    mydocker.detached("--name", name, "busybox", "sleep", "0.5")
    assert mydocker.state(name)["Status"] == "running"
    until(lambda: mydocker.state(name)["Status"] == "exited", "exited")
    state = mydocker.state(name)
    assert (state["Running"], state["Pid"], state["ExitCode"]) == (False, 0, 0)
    assert state["FinishedAt"] > state["StartedAt"]
