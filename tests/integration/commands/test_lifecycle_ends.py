"""How containers begin and end where something is in the way: a start that fails, a restart of one that removes itself,
a host whose PID 1 reaps nothing, a program that ignores Ctrl-C."""

from __future__ import annotations

import os
import signal
import time

import pytest
from machine import until

SLEEP = ("busybox", "sleep", "1000")


class TestFailedStart:
    @pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("/etc", 126)])
    def test_of_run_leaves_a_created_container_with_its_error(self, mydocker, name, command, code):
        assert command in mydocker.fails("run", "--net", "none", "--name", name, "busybox", command, rc=code)
        state = mydocker.state(name)
        assert (state["Status"], state["ExitCode"], state["StartedAt"]) == ("created", code, "0001-01-01T00:00:00Z")
        assert command in state["Error"]
        assert mydocker.ok("wait", name) == str(code)

    def test_of_another_kind_has_128(self, mydocker, name):
        said = mydocker.fails("run", "--net", "none", "--name", name, "-u", "nosuch", "busybox", "true")
        state = mydocker.state(name)
        assert (state["Status"], state["ExitCode"]) == ("created", 128)
        assert state["Error"] in said

    def test_before_there_is_a_monitor(self, machine, mydocker, name):
        """A port that is taken."""
        mydocker.ok("run", "-d", "--name", f"{name}-first", "-p", "47811:80", *SLEEP)
        result = mydocker("run", "-d", "--name", name, "-p", "47811:80", *SLEEP)
        assert (result.rc, len(result.stdout.strip())) == (125, 64)
        state = mydocker.state(name)
        assert (state["Status"], state["ExitCode"]) == ("created", 128)
        assert "47811" in state["Error"]
        mydocker.ok("rm", "-f", f"{name}-first")
        mydocker.ok("start", name)
        assert (mydocker.state(name)["Status"], mydocker.state(name)["Error"]) == ("running", "")

    @pytest.mark.parametrize("options", [["-u", "nosuch"], ["-p", "127.0.0.1:47812:80"]])
    def test_with_rm_leaves_nothing(self, machine, mydocker, name, options):
        mydocker.ok("run", "-d", "--name", f"{name}-first", "-p", "127.0.0.1:47812:80", *SLEEP)
        mydocker.fails("run", "--rm", "--name", name, "-v", "/data", *options, "busybox", "true")
        made = mydocker.ok("create", "--rm", "--name", name, *options, "busybox", "true")
        mydocker.fails("start", name)
        assert made not in mydocker.ok("ps", "-aq", "--no-trunc")

    def test_is_dockers(self, docker, mydocker, name):
        form = "{{.State.Status}} {{.State.ExitCode}} {{.State.StartedAt}}"
        for options, code in (["nosuch"], 127), (["/etc"], 126):
            for run in (docker, mydocker):
                assert run("run", "--net", "none", "--name", f"{name}-{code}", "busybox", *options).rc == code
            assert mydocker.ok("inspect", "-f", form, f"{name}-{code}") == docker.ok(
                "inspect", "-f", form, f"{name}-{code}"
            )
        assert docker("run", "--net", "none", "--name", name, "-u", "nosuch", "busybox", "true").rc == 125
        assert docker.ok("inspect", "-f", form, name).startswith("created 128 ")
        docker("create", "--rm", "--name", f"{name}-rm", "--net", "none", "busybox", "nosuch")
        assert docker("start", f"{name}-rm").rc == 1
        until(lambda: docker("inspect", f"{name}-rm").rc == 1, "docker's removal")
        docker.ok("rm", name, f"{name}-126", f"{name}-127")


class TestRestartOfOneThatRemovesItself:
    def test_it_keeps_its_data_and_goes_at_its_own_end(self, mydocker, name):
        made = mydocker.detached("--rm", "--name", name, *SLEEP)
        mydocker.ok("exec", name, "sh", "-c", "echo data >/kept")
        before = mydocker.state(name)["StartedAt"]
        for _ in range(2):
            mydocker.ok("restart", "-t", "0", name)
        assert mydocker.ok("exec", name, "cat", "/kept") == "data"
        assert mydocker.state(name)["StartedAt"] > before
        mydocker.ok("kill", name)
        until(lambda: made not in mydocker.ok("ps", "-aq", "--no-trunc"), "its removal")

    def test_a_restart_that_is_given_up_leaves_it_as_it_was(self, mydocker, name):
        """The container is removed at its end all the same."""
        made = mydocker.detached("--rm", "--name", name, *SLEEP)
        restart = mydocker.start("restart", "-t", "1000", name)
        until(lambda: '"by restart"' in _record(mydocker, made), "the restart")
        restart.send_signal(signal.SIGINT)
        assert restart.wait(20) == 130
        mydocker.ok("kill", name)
        until(lambda: made not in mydocker.ok("ps", "-aq", "--no-trunc"), "its removal")

    def test_one_that_cannot_be_started_again_is_removed(self, machine, mydocker, directory, name):
        machine.shell(f"cp /bin/busybox {directory}/sleep")
        mydocker.detached("--rm", "--name", name, "-v", f"{directory}:/b", "busybox", "/b/sleep", "1000")
        machine.run("rm", f"{directory}/sleep")
        assert "/b/sleep" in mydocker.fails("restart", "-t", "0", name)
        mydocker.fails("inspect", name, stdout="[]\n")


def _record(mydocker, made):
    return mydocker.machine.read(f"{mydocker.machine.store}/lib/containers/{made}/record.json")


def test_wait_says_137_of_what_rm_f_has_killed(mydocker, name):
    """However many commands are at it."""
    for _ in range(5):
        mydocker.detached("--name", name, *SLEEP)
        waiting = [mydocker.start("wait", name) for _ in range(3)]
        time.sleep(0.1)
        removing = [mydocker.start("rm", "-f", name) for _ in range(2)]
        for each in removing:
            assert each.wait(30) == 0
        for each in waiting:
            out, err = each.communicate(timeout=30)
            # One that has come too late has found nothing, and says so.
            assert (out, err) == (b"137\n", b"") or (out == b"" and b"no such container" in err)


class TestTerminal:
    """-t where stdin is no terminal, as under cron."""

    def test_of_run_exec_and_start(self, mydocker, name):
        script = "tty && test -t 0 && test -t 1 && echo $TERM"
        expected = "/dev/pts/0\r\nxterm\r"
        assert mydocker.ok("run", "--rm", "--net", "none", "-t", "busybox", "sh", "-c", script) == expected
        mydocker.detached("--name", name, *SLEEP)
        assert mydocker.ok("exec", "-t", name, "sh", "-c", script) == expected
        mydocker.ok("create", "-t", "--net", "none", "--name", f"{name}-made", "busybox", "sh", "-c", script)
        assert mydocker.ok("start", "-a", f"{name}-made") == expected

    def test_with_stdin_it_is_refused(self, mydocker, name):
        mydocker.detached("--name", name, *SLEEP)
        assert "not a TTY" in mydocker.fails("run", "--rm", "--net", "none", "-it", "busybox", "true")
        assert "not a TTY" in mydocker.fails("exec", "-it", name, "true", rc=125)

    def test_is_dockers(self, docker):
        assert docker.ok("run", "--rm", "--net", "none", "-t", "busybox", "tty") == "/dev/pts/0\r"
        assert docker("run", "--rm", "--net", "none", "-it", "busybox", "tty").rc == 1


class TestCtrlC:
    @pytest.mark.parametrize("command", ["sleep 1000", "trap '' INT; while :; do sleep 1; done"])
    def test_the_third_ctrl_c_ends_the_client_of_a_container_that_ignores_it(self, mydocker, name, command):
        run = mydocker.start("run", "--net", "none", "--name", name, "busybox", "sh", "-c", f"{command}; :")
        until(lambda: mydocker("inspect", name).rc == 0 and mydocker.state(name)["Running"], "a container")
        time.sleep(0.3)  # until its client is attached
        for _ in range(3):
            assert run.poll() is None
            run.send_signal(signal.SIGINT)
            time.sleep(0.3)
        _, err = run.communicate(timeout=20)
        assert run.returncode == 130
        assert f"container {name} ignores Ctrl-C" in err.decode()
        assert mydocker.state(name)["Running"]

    def test_the_first_ctrl_c_reaches_the_program(self, mydocker, name):
        script = "trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done"
        run = mydocker.start("run", "--rm", "--net", "none", "--name", name, "busybox", "sh", "-c", script)
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 7


class TestHostWhosePid1ReapsNothing:
    @pytest.fixture
    def within(self, machine, mydocker):
        """Types a command on such a host: a PID namespace whose first process is sleep."""
        host = machine.start("unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child", "sleep", "1000")
        first = until(lambda: machine.run("cat", f"/proc/{host.pid}/task/{host.pid}/children").stdout.strip(), "PID 1")
        until(lambda: "sleep" in machine.run("cat", f"/proc/{first}/comm").stdout, "sleep")
        prefix = ["nsenter", "-t", first, "-p", "-m", "--wd=/"]

        def typed(*words, rc=0, timeout=60):
            result = machine.run(*prefix, *words, timeout=timeout)
            assert result.rc == rc, result
            return result.stdout

        typed.prefix = prefix
        with host:
            yield typed
        mydocker.remove_all()

    def test_what_exec_leaves_is_reaped(self, machine, within, name):
        """A zombie in the container's PID namespace would keep its first process from ending, and all commands that
        wait for it."""
        program = machine.program
        within(program, "run", "-d", "--net", "none", "--name", name, *SLEEP)
        within(program, "exec", "-d", name, "sleep", "500")
        within(program, "exec", "-d", name, "true")
        client = machine.start(*within.prefix, program, "exec", name, "sleep", "600")
        until(lambda: "sleep 600" in within(program, "exec", name, "ps"), "the command")
        machine.run("pkill", "-9", "-P", str(client.pid))
        client.wait(20)
        assert "sleep 600" in within(program, "exec", name, "ps")  # as with docker, it goes on
        assert within(program, "exec", name, "sh", "-c", "exit 7", rc=7) == ""
        within(program, "exec", name, "sh", "-c", "kill -9 $$", rc=137)
        within(program, "stop", "-t", "1", name, timeout=40)
        within(program, "rm", name, timeout=40)

    def test_what_holds_a_container_up_is_named(self, machine, within, name):
        """Processes that others bring into its namespaces can still do that."""
        program = machine.program
        within(program, "run", "-d", "--net", "none", "--name", name, *SLEEP)
        pid = within(program, "inspect", "-f", "{{.State.Pid}}", name).strip()
        script = f"nsenter -t {pid} -p sh -c 'sleep 0.2; exit 3' & sleep 0.1; kill -9 $!; exit 0"
        within("sh", "-c", script)
        result = machine.run(*within.prefix, program, "stop", "-t", "0", name, timeout=60)
        assert result.rc == 1
        assert f"container {name} was killed, and has not ended" in result.stderr
        assert "is a zombie that process 1 (sleep) does not reap" in result.stderr


def test_environment_is_dockers(docker, mydocker, make):
    """Of each command: the variables A, B, HOME, HOSTNAME, PATH and TERM that a program sees."""
    changes = ("ENV A=image", "ENV HOME=/img", "ENV B=")
    image = make([], changes)
    made = mydocker.ok("create", image, "sh")
    tar = mydocker("export", made).stdout.encode("utf-8", "surrogateescape")
    mydocker.ok("rm", made)
    words = [word for change in changes for word in ("--change", change)]
    docker.ok("import", *words, "-", image, input=tar)
    script = "for each in A B HOME HOSTNAME PATH TERM; do env | grep ^$each=; done; true"
    for options in (
        [], ["-e", "A"], ["-e", "A="], ["-e", "HOME="], ["-e", "HOME=", "-u", "1"], ["-e", "B"], ["-e", "NOPE"],
        ["-e", "HOSTNAME"], ["-e", "HOSTNAME="], ["-t"], ["-t", "-e", "TERM="], ["-t", "-e", "TERM=vt100"],
    ):  # fmt: skip
        run = ("run", "--rm", "--net", "none", "-h", "same", *options, image, "/bin/sh", "-c", script)
        assert mydocker.ok(*run, env={"HOME": ""}) == docker.ok(*run, env={"HOME": ""}), options


def test_environment_of_exec(mydocker, name):
    """TERM of `run -t` is that of its own terminal; -e alone unsets; docker 20.10 was asked."""
    mydocker.detached("-t", "-e", "A=1", "--name", name, *SLEEP)
    mydocker.detached("-t", "-e", "TERM=vt100", "--name", f"{name}-own", *SLEEP)
    shown = lambda *words: mydocker.ok("exec", *words, "env").replace("\r", "").splitlines()  # noqa: E731
    assert not [row for row in shown(name) if row.startswith("TERM=")]
    assert "TERM=xterm" in shown("-t", name)
    assert "TERM=vt100" in shown(f"{name}-own")
    assert "TERM=vt100" in shown("-t", f"{name}-own")
    assert not [row for row in shown("-e", "A", name) if row.startswith("A=")]
    assert "A=" in shown("-e", "A=", name)
    assert "HOME=/root" in shown("-e", "HOME=", name)


def test_on_the_hosts_network_it_has_the_hosts_name(mydocker, name):
    script = "hostname; cat /etc/hostname; echo $HOSTNAME"
    host = os.uname().nodename
    assert mydocker.ok("run", "--rm", "--net", "host", "busybox", "sh", "-c", script).split() == [host] * 3
    own = mydocker.ok("run", "--rm", "--net", "host", "-h", "own", "busybox", "sh", "-c", script)
    assert own.split() == ["own"] * 3
    mydocker.ok("create", "--net", "host", "--name", name, "busybox")
    assert mydocker.inspect(name, "Config", "Hostname") == host


def test_it_has_what_programs_look_for(mydocker, name):
    """/.dockerenv and /etc/mtab, as docker's; neither is part of a commit, as each container gets its own."""
    script = "stat -c '%F %a %s' /.dockerenv && readlink /etc/mtab && grep -q ' / ' /etc/mtab"
    expected = "regular empty file 755 0\n/proc/mounts"
    for options in ([], ["--read-only"]):
        words = ("run", "--rm", "--net", "none", *options, "busybox", "sh", "-c", script)
        assert mydocker.ok(*words) == expected
    mydocker.ok("run", "--net", "none", "--name", name, "busybox", "touch", "/own")
    mydocker.ok("start", name)  # again: they are there by now
    mydocker.ok("commit", name, f"img{name}")
    mydocker.ok("run", "--rm", "--net", "none", f"img{name}", "true")  # its layers are unpacked by now
    find = f"find {mydocker.machine.store}/lib/layers -mindepth 2 -name own -printf '%h\\n'"
    (layer,) = mydocker.machine.shell(find).lines
    there = mydocker.machine.run("find", layer, "-printf", "%P\n").lines
    assert {"own", "etc/hosts"} <= set(there)
    assert not {".dockerenv", "etc/mtab"} & set(there)
    mydocker.ok("rm", name)
    mydocker.ok("rmi", f"img{name}")


def test_what_programs_look_for_is_dockers(docker):
    script = "stat -c '%F %a %s' /.dockerenv && readlink /etc/mtab"
    assert docker.ok("run", "--rm", "--net", "none", "busybox", "sh", "-c", script) == (
        "regular empty file 755 0\n/proc/mounts"
    )
