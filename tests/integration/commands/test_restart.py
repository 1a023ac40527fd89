"""--restart, update, system restore and system shutdown: what is restarted, when, and what ends that."""

from __future__ import annotations

import json
import signal
import time

import pytest
from machine import until
from networks import address, device, network, rules

FAIL = ("busybox", "sh", "-c", "echo run; exit 3")
SERVE = ("busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")


def policy(mydocker, name):
    return mydocker.inspect(name, "HostConfig", "RestartPolicy")


def runs(mydocker, name, count):
    """Wait until it has been restarted so often."""
    return until(lambda: mydocker.inspect(name, "RestartCount") >= count, f"{count} restarts")


def status(mydocker, name):
    return mydocker.state(name)["Status"]


@pytest.fixture
def waiting(mydocker, name):
    """A container between two runs, for seconds to come."""
    mydocker.detached("--name", name, "--restart", "always", *FAIL)
    until(
        lambda: mydocker.inspect(name, "RestartCount") >= 5 and status(mydocker, name) == "restarting", "a long delay"
    )
    return name


class TestPolicies:
    @pytest.mark.parametrize(("given", "code"), [("always", 0), ("unless-stopped", 0), ("on-failure", 1)])
    def test_it_restarts_again_and_again(self, mydocker, name, given, code):
        mydocker.detached("--name", name, "--restart", given, "busybox", "sh", "-c", f"echo run; exit {code}")
        runs(mydocker, name, 3)
        assert policy(mydocker, name) == {"Name": given, "MaximumRetryCount": 0}
        until(lambda: mydocker.ok("logs", name).split().count("run") >= 3, "the output of all runs")

    def test_no_more_often_than_was_said(self, mydocker, name):
        mydocker.detached("--name", name, "--restart", "on-failure:2", *FAIL)
        until(lambda: status(mydocker, name) == "exited", "its end")
        assert (mydocker.inspect(name, "RestartCount"), mydocker.state(name)["ExitCode"]) == (2, 3)
        assert mydocker.ok("logs", name).split() == ["run"] * 3

    @pytest.mark.parametrize(("given", "code"), [("no", 1), ("on-failure", 0)])
    def test_what_is_no_reason(self, mydocker, name, given, code):
        mydocker.detached("--name", name, "--restart", given, "busybox", "sh", "-c", f"exit {code}")
        mydocker.ok("wait", name)
        assert (status(mydocker, name), mydocker.inspect(name, "RestartCount")) == ("exited", 0)

    def test_the_delay_doubles(self, mydocker, name):
        mydocker.detached("--name", name, "--restart", "always", "busybox", "date", "+%s.%N")
        runs(mydocker, name, 5)
        rows = mydocker.ok("logs", "-t", name).splitlines()
        seen = [float(row.split()[0][17:-1]) for row in rows]
        delays = [(after - before) % 60 for before, after in zip(seen, seen[1:])]
        for delay, expected in zip(delays, (0.1, 0.2, 0.4, 0.8)):
            assert expected <= delay < expected + 5, delays  # a start takes its time on a loaded machine

    def test_after_a_run_long_enough_for_a_small_monitor(self, mydocker, name):
        """By then the monitor is a bare interpreter, which has to become a full one, and that the next starter."""
        mydocker.detached("--name", name, "--restart", "always", "busybox", "sleep", "3.6")
        runs(mydocker, name, 1)
        until(lambda: status(mydocker, name) == "running", "its second run")

    def test_with_rm_it_is_refused(self, mydocker):
        assert "conflicting options: --restart and --rm" in mydocker.fails(
            "run", "--rm", "--restart", "always", "busybox", "true"
        )

    def test_networks_and_ports_come_back(self, machine, mydocker, name):
        with network(mydocker, f"n{name}") as net:
            mydocker.ok(
                "run", "-d", "--name", name, "--net", net, "-p", "127.0.0.1::80", "--restart", "always",
                "busybox", "sleep", "100",
            )  # fmt: skip
            before = address(mydocker, name, net), mydocker.pid(name)
            machine.run("kill", "-9", str(before[1]))
            runs(mydocker, name, 1)
            until(lambda: status(mydocker, name) == "running", "its second run")
            assert address(mydocker, name, net) == before[0]
            port = mydocker.ok("port", name, "80").rpartition(":")[2]
            assert [rule for rule in rules(machine, f"--dport {port}") if name in rule]

    def test_one_that_cannot_be_started_again_says_why(self, machine, mydocker, name, directory):
        machine.run("mkdir", f"{directory}/data")
        mydocker.detached(
            "--name", name, "--restart", "always", "--mount", f"type=bind,source={directory}/data,target=/data",
            "busybox", "sh", "-c", "sleep 0.3; exit 3",
        )  # fmt: skip
        machine.run("rmdir", f"{directory}/data")
        until(lambda: status(mydocker, name) == "exited", "no further try")
        assert "data" in mydocker.state(name)["Error"]


class TestForeground:
    def test_the_first_run_s_exit_code_is_the_command_s(self, mydocker, name):
        result = mydocker("run", "--net", "none", "--name", name, "--restart", "always", *FAIL)
        assert (result.rc, result.stdout) == (3, "run\n")
        runs(mydocker, name, 2)

    def test_a_signal_for_it_ends_it_for_good(self, machine, mydocker, name):
        if not machine.local:
            pytest.skip("needs to signal the command line: this machine only")
        script = "trap 'exit 5' INT; echo up; while :; do sleep 0.1; done"
        words = ("--net", "none", "--name", name, "--restart", "always", "busybox", "sh", "-c", script)
        with mydocker.start("run", *words) as process:
            assert process.stdout.readline() == b"up\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 5
        assert (status(mydocker, name), mydocker.inspect(name, "RestartCount")) == ("exited", 0)


class TestBetweenTwoRuns:
    def test_it_is_shown(self, mydocker, waiting):
        state = mydocker.state(waiting)
        assert (state["Status"], state["Running"], state["Restarting"], state["Pid"], state["ExitCode"]) == (
            "restarting",
            True,
            True,
            0,
            3,
        )
        row = mydocker.ok("ps", "--filter", "status=restarting", "--format", "{{.Names}}: {{.Status}}")
        assert row.startswith(f"{waiting}: Restarting (3) ")
        assert row.endswith(" ago")
        assert waiting in mydocker.ok("ps", "--format", "{{.Names}}")

    @pytest.mark.parametrize("command", ["stop", "kill"])
    def test_it_is_ended(self, mydocker, waiting, command):
        began = time.monotonic()
        assert mydocker.ok(command, waiting) == waiting
        assert time.monotonic() - began < 8  # and not the 10 s that stop gives a program
        assert (status(mydocker, waiting), mydocker.state(waiting)["ExitCode"]) == ("exited", 3)
        count = mydocker.inspect(waiting, "RestartCount")
        time.sleep(4)  # the longest delay so far is 3.2 s
        assert (status(mydocker, waiting), mydocker.inspect(waiting, "RestartCount")) == ("exited", count)

    def test_it_is_removed_by_force_only(self, mydocker, waiting):
        assert "is restarting" in mydocker.fails("rm", waiting)
        mydocker.ok("rm", "-f", waiting)
        assert "no such container" in mydocker("logs", waiting).stderr

    def test_exec_says_so(self, mydocker, waiting):
        assert "is restarting" in mydocker.fails("exec", waiting, "true")

    def test_start_has_nothing_to_do(self, mydocker, waiting):
        assert mydocker.ok("start", waiting) == waiting

    def test_restart_starts_it_afresh(self, mydocker, waiting):
        mydocker.ok("restart", waiting)
        assert mydocker.inspect(waiting, "RestartCount") < 3

    def test_wait_waits_for_the_next_end(self, mydocker, waiting):
        count = mydocker.inspect(waiting, "RestartCount")
        assert mydocker.ok("wait", waiting) == "3"
        assert mydocker.inspect(waiting, "RestartCount") > count

    def test_logs_are_there(self, mydocker, waiting):
        assert mydocker.ok("logs", "--tail", "1", waiting) == "run"

    @pytest.mark.parametrize("number", ["TERM", "KILL"])
    def test_of_a_monitor_that_is_killed(self, machine, mydocker, waiting, number):
        record = json.loads(machine.read(f"{machine.store}/run/{waiting}/record.json"))
        machine.run("kill", f"-{number}", str(record["monitor_pid"]))
        until(lambda: status(mydocker, waiting) == "exited", "its end")
        assert "before it was started again" in mydocker.state(waiting)["Error"]
        mydocker.ok("start", waiting)


class TestEnding:
    def test_a_stop_holds_until_it_is_started(self, mydocker, name):
        mydocker.detached("--name", name, "--restart", "always", *SERVE)
        mydocker.ok("stop", name)
        time.sleep(0.5)
        assert (status(mydocker, name), mydocker.inspect(name, "RestartCount")) == ("exited", 0)
        mydocker.ok("start", name)
        mydocker.ok("exec", name, "kill", "1")  # by itself, as far as mydocker knows
        runs(mydocker, name, 1)

    @pytest.mark.parametrize(("number", "again"), [("KILL", False), ("TERM", False), ("HUP", True)])
    def test_a_signal_that_is_to_end_it_does(self, mydocker, name, number, again):
        mydocker.detached(
            "--name",
            name,
            "--restart",
            "always",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 4' HUP TERM; while :; do sleep 0.1; done",
        )
        mydocker.ok("exec", name, "true")
        time.sleep(0.3)
        mydocker.ok("kill", "-s", number, name)
        if again:
            runs(mydocker, name, 1)
        else:
            until(lambda: status(mydocker, name) == "exited", "its end")
            assert mydocker.inspect(name, "RestartCount") == 0

    def test_a_monitor_that_is_told_to_end_ends_it_until_the_next_restore(self, machine, mydocker, name):
        """A host that goes down tells every process."""
        mydocker.detached("--name", name, "--restart", "always", *SERVE)
        machine.run("kill", "-TERM", str(mydocker.monitor(name)))
        until(lambda: status(mydocker, name) == "exited", "its end")
        time.sleep(0.3)
        assert status(mydocker, name) == "exited"
        assert f"container {name}: started" in mydocker.ok("system", "restore")


class TestUpdate:
    def test_of_several(self, mydocker, name):
        for which in "ab":
            mydocker.ok("create", "--name", f"{name}{which}", "busybox")
        assert mydocker.ok("update", "--restart", "on-failure:5", f"{name}a", f"{name}b").split() == [
            f"{name}a",
            f"{name}b",
        ]
        assert policy(mydocker, f"{name}b") == {"Name": "on-failure", "MaximumRetryCount": 5}

    def test_of_a_running_one(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sh", "-c", "sleep 1; exit 3")
        mydocker.ok("update", "--restart=on-failure:1", name)
        until(lambda: mydocker.inspect(name, "RestartCount") == 1, "a restart")

    def test_it_ends_a_row_of_restarts(self, mydocker, waiting):
        mydocker.ok("update", "--restart", "no", waiting)
        until(lambda: status(mydocker, waiting) == "exited", "its last end")

    def test_what_cannot_be(self, mydocker, name):
        mydocker.ok("create", "--rm", "--name", name, "busybox")
        assert "--rm" in mydocker.fails("update", "--restart", "always", name)
        assert "nothing to update" in mydocker.fails("update", name, rc=125)
        assert "unknown restart policy" in mydocker.fails("update", "--restart", "never", name, rc=125)
        mydocker.ok("rm", name)


@pytest.fixture
def boot(machine, mydocker):
    """The store's containers after a power cut and a boot: no process is left, and the record names another boot."""

    def done() -> None:
        for each in mydocker.ok("ps", "-aq", "--no-trunc").split():
            path = f"{machine.store}/lib/containers/{each}/record.json"
            record = json.loads(machine.read(path))
            if record["status"] in ("running", "restarting"):
                machine.run("kill", "-9", *(str(record[key]) for key in ("monitor_pid", "pid") if record[key]))
            machine.run("sed", "-i", 's/"boot_id": "[^"]*"/"boot_id": "another"/', path)
        until(lambda: not mydocker.ok("ps", "-q"), "the end of all")

    return done


class TestRestore:
    def test_which_policies_start_a_container_after_a_boot(self, mydocker, name, boot):
        for given in ("no", "on-failure", "unless-stopped", "always"):
            for end in ("runs", "stopped"):
                made = f"{name}-{given}-{end}"
                mydocker.detached("--name", made, "--restart", given, *SERVE)
                if end == "stopped":
                    mydocker.ok("stop", made)
        mydocker.ok("create", "--name", f"{name}-never-started", "--restart", "always", "busybox")
        boot()
        said = mydocker.ok("system", "restore").splitlines()
        back = [f"{name}-{which}" for which in ("unless-stopped-runs", "always-runs", "always-stopped")]
        assert sorted(mydocker.ok("ps", "--format", "{{.Names}}").split()) == sorted(back)
        assert [line for line in said if line.endswith(": started")] == [f"container {each}: started" for each in back]
        marked = [line.split()[1].strip(":") for line in said if "exited (255)" in line]
        assert sorted(marked) == sorted(
            f"{name}-{given}-runs" for given in ("no", "on-failure", "unless-stopped", "always")
        )
        assert mydocker.state(f"{name}-no-runs")["FinishedAt"] > mydocker.state(f"{name}-no-runs")["StartedAt"]

        before = [mydocker.pid(each) for each in back]
        mydocker.ok("stop", back[2])
        assert mydocker.ok("system", "restore") == ""  # what was done is done; and a stop holds until the next boot
        assert [mydocker.pid(each) for each in back] == [*before[:2], 0]

    def test_what_was_to_be_removed_at_its_end_is(self, machine, mydocker, name, boot):
        mydocker.detached("--rm", "--name", name, "-v", "/data", *SERVE)
        boot()
        assert mydocker.ok("system", "restore") == f"container {name}: removed, as its --rm asks for"
        assert mydocker.ok("ps", "-aq") == mydocker.ok("volume", "ls", "-q") == ""

    def test_between_two_runs(self, mydocker, waiting, boot):
        boot()
        assert f"container {waiting}: started" in mydocker.ok("system", "restore")
        assert mydocker.inspect(waiting, "RestartCount") < 3

    def test_a_container_that_shares_a_network_starts_after_its_owner(self, mydocker, name, boot):
        with network(mydocker, f"n{name}") as net:
            mydocker.ok("create", "--name", f"{name}-owner", "--net", net, *SERVE)
            mydocker.ok("start", f"{name}-owner")
            for which in ("b", "a"):
                share = ("--net", f"container:{name}-owner", "--restart", "always")
                mydocker.ok("run", "-d", "--name", f"{name}-{which}", *share, *SERVE)
            mydocker.ok("update", "--restart", "always", f"{name}-owner")
            boot()
            started = [line for line in mydocker.ok("system", "restore").splitlines() if line.endswith("started")]
            assert started == [f"container {name}-{which}: started" for which in ("owner", "b", "a")]

    def test_networks_come_back(self, machine, mydocker, name, boot):
        with network(mydocker, f"n{name}") as net:
            mydocker.ok("run", "-d", "--restart", "always", "--name", name, "--net", net, "-p", "127.0.0.1::80", *SERVE)
            bridge, before = device(mydocker, net), address(mydocker, name, net)
            boot()
            machine.run("ip", "link", "del", bridge)
            machine.run("rm", "-r", f"{machine.store}/run/_networks/{net}")
            said = mydocker.ok("system", "restore").splitlines()
            assert f"network {net}: up" in said
            assert machine.exists(f"/sys/class/net/{bridge}")
            assert address(mydocker, name, net) == before
            assert mydocker("network", "check").rc == 0
            assert mydocker.ok("system", "restore") == ""

    def test_one_that_fails_does_not_keep_the_others(self, machine, mydocker, name, directory, boot):
        machine.run("mkdir", f"{directory}/data")
        bind = ("--mount", f"type=bind,source={directory}/data,target=/data")
        mydocker.detached("--name", f"{name}-bad", "--restart", "always", *bind, *SERVE)
        mydocker.detached("--name", f"{name}-good", "--restart", "always", *SERVE)
        boot()
        machine.run("rmdir", f"{directory}/data")
        result = mydocker("system", "restore")
        assert result.rc == 1
        assert len(result.stderr.splitlines()) == 1
        assert f"container {name}-bad: " in result.stderr
        assert mydocker.ok("ps", "--format", "{{.Names}}") == f"{name}-good"

    def test_a_record_that_cannot_be_read_does_not_keep_the_others(self, machine, mydocker, name, boot):
        mydocker.detached("--name", name, "--restart", "always", *SERVE)
        bad = mydocker.ok("create", "--name", f"{name}-bad", "busybox")
        boot()
        machine.shell(f"echo broken >{machine.store}/lib/containers/{bad}/record.json")
        result = mydocker("system", "restore")
        assert (result.rc, len(result.stderr.splitlines())) == (1, 1)
        assert mydocker("ps", "--format", "{{.Names}}").stdout == f"{name}\n"

    def test_of_a_monitor_that_was_killed_while_the_host_was_up(self, machine, mydocker, name):
        mydocker.detached("--name", name, "--restart", "unless-stopped", *SERVE)
        machine.run("kill", "-9", str(mydocker.monitor(name)), str(mydocker.pid(name)))
        until(lambda: status(mydocker, name) == "exited", "its end")
        assert f"container {name}: started" in mydocker.ok("system", "restore")


class TestShutdown:
    def test_all_at_the_same_time_and_back_again(self, mydocker, name):
        deaf = ("--stop-timeout", "2", "busybox", "sleep", "100")  # PID 1 without a handler hears no SIGTERM
        for given in ("no", "on-failure", "unless-stopped", "always"):
            mydocker.detached("--name", f"{name}-{given}", "--restart", given, *deaf)
        began = time.monotonic()
        said = mydocker.ok("system", "shutdown").splitlines()
        assert 2 <= time.monotonic() - began < 8  # one after another they would take 8
        assert sorted(said) == sorted(
            f"container {each}: stopped" for each in mydocker.ok("ps", "-a", "--format", "{{.Names}}").split()
        )
        assert mydocker.ok("ps", "-q") == ""
        assert mydocker.ok("system", "shutdown") == ""
        mydocker.ok("system", "restore")
        back = mydocker.ok("ps", "--format", "{{.Names}}").split()
        assert sorted(back) == sorted([f"{name}-unless-stopped", f"{name}-always"])
        mydocker.ok("rm", "-f", *back)

    def test_it_ends_a_delay(self, mydocker, waiting):
        assert mydocker.ok("system", "shutdown") == f"container {waiting}: stopped"
        assert status(mydocker, waiting) == "exited"
        assert f"container {waiting}: started" in mydocker.ok("system", "restore")

    def test_networks_too(self, machine, mydocker, name):
        with network(mydocker, f"n{name}") as net:
            mydocker.ok("run", "-d", "--name", name, "--net", net, *SERVE)
            bridge = device(mydocker, net)
            said = mydocker.ok("system", "shutdown", "--networks")
            assert f"network {net}: down" in said
            assert not machine.exists(f"/sys/class/net/{bridge}")
            assert rules(machine, net) == []
            assert mydocker.ok("system", "shutdown", "--networks") == ""
            mydocker.ok("system", "restore")
            assert machine.exists(f"/sys/class/net/{bridge}")
