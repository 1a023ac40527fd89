"""rename, top, diff, and sizes: what a user asks of a container every day."""

from __future__ import annotations

import json
import re

import pytest
from machine import until
from networks import address, network, rules

SLEEPS = ("busybox", "sleep", "100")


@pytest.fixture
def net(mydocker, name):
    with network(mydocker, f"n{name}") as made:
        yield made


class TestRename:
    def test_everything_of_a_running_container_has_the_new_name(self, mydocker, machine, name, net):
        new = f"{name}-new"
        mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", "127.0.0.1::80", *SLEEPS)
        mydocker.ok("run", "-d", "--name", f"{name}-other", "--net", net, *SLEEPS)
        assert mydocker.ok("rename", name, f"/{new}") == ""
        assert mydocker.ok("exec", f"{name}-other", "nslookup", new).count(address(mydocker, new, net))
        assert mydocker("exec", f"{name}-other", "nslookup", name).rc != 0
        assert mydocker.inspect(new, "Name") == f"/{new}"
        assert rules(machine, f"container {new} ")
        assert f"monitor of {new} " in machine.read(f"/proc/{mydocker.monitor(new)}/cmdline")
        assert mydocker.ok("network", "check") == "everything is as recorded"
        assert machine.run("ip", "netns", "exec", new, "true").rc == 0
        assert not machine.exists(f"/run/netns/{name}")
        assert not machine.exists(f"{machine.store}/run/{name}")
        mydocker.fails("port", name)
        mydocker.ok("stop", "-t", "0", new)  # its monitor removes the rules of the new name
        assert not rules(machine, f"container {new} ")
        assert not machine.exists(f"/run/netns/{new}")
        mydocker.ok("rename", new, name)
        mydocker.ok("start", name)

    @pytest.mark.parametrize(("net", "bare"), [("none", False), ("host", False), ("bridge", False), ("none", True)])
    def test_the_end_is_recorded_under_the_new_name(self, mydocker, machine, name, net, bare):
        mydocker.ok("run", "-d", "--rm", "--name", name, "--net", net, *SLEEPS)
        if bare:
            monitor = mydocker.monitor(name)
            until(lambda: machine.is_bare(monitor), "a bare monitor")
        mydocker.ok("rename", name, f"{name}-new")
        mydocker.detached("--name", name, *SLEEPS)  # the old name is free
        mydocker.ok("kill", f"{name}-new")
        until(lambda: f"{name}-new" not in mydocker.ok("ps", "-a", "--format", "{{.Names}}"), "its removal")
        assert not machine.exists(f"/run/netns/{name}-new")
        assert machine.exists(f"/run/netns/{name}")

    def test_while_it_waits_for_a_restart(self, mydocker, name):
        mydocker.detached("--name", name, "--restart", "always", "busybox", "false")
        until(lambda: mydocker.state(name)["Restarting"], "a restart")
        mydocker.ok("rename", name, f"{name}-new")
        before = mydocker.inspect(f"{name}-new", "RestartCount")
        until(lambda: mydocker.inspect(f"{name}-new", "RestartCount") > before, "another restart")
        mydocker.ok("rm", "-f", f"{name}-new")

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("{name}", "{other}"), "is taken by container"),
            (("{name}", "{name}"), "already has that name"),
            (("{name}", "x y"), "invalid container name 'x y'"),
            (("{name}", ""), "invalid container name ''"),
            (("nope", "other"), "no such container: nope"),
        ],
    )
    def test_is_refused(self, mydocker, name, words, says):
        for each in (name, f"{name}-other"):
            mydocker.ok("create", "--name", each, "busybox", "true")
        mydocker._note(("--name", f"{name}-other"))
        assert says in mydocker.fails(
            "rename", *(word.format(name=name, other=f"{name}-other") for word in words), rc=1
        )
        assert set(mydocker.ok("ps", "-a", "--format", "{{.Names}}").split()) >= {name, f"{name}-other"}

    def test_a_name_that_a_killed_rename_has_left_is_freed(self, mydocker, machine, name):
        container_id = mydocker.ok("create", "--name", name, "busybox", "true")
        machine.run("ln", "-s", f"../containers/{container_id}", f"{machine.store}/lib/names/{name}-left")
        mydocker.fails("create", "--name", f"{name}-left", "busybox", "true")
        mydocker.ok("rename", name, f"{name}-new")
        assert machine.shell(f"cd {machine.store}/lib/names; ls -d {name}*").stdout == f"{name}-new\n"

    def test_a_fault_leaves_the_old_name(self, mydocker, name, net):
        """The first step is the change of the firewall's rules."""
        mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", "127.0.0.1::80", *SLEEPS)
        mydocker.fails("rename", name, f"{name}-new", rc=1, env={"MYDOCKER_FAULT": "1"})
        mydocker.fails("port", f"{name}-new")
        assert mydocker.ok("network", "check") == "everything is as recorded"


class TestTop:
    def test_columns_and_rows(self, mydocker, name):
        mydocker.detached("--name", name, *SLEEPS)
        mydocker.ok("exec", "-d", name, "sleep", "77")
        heading, *rows = mydocker.ok("top", name).splitlines()
        assert heading.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        assert heading.startswith("UID" + 17 * " " + "PID" + 17 * " " + "PPID")
        assert [row.split(None, 7)[7] for row in rows] == ["sleep 100", "sleep 77"]
        assert mydocker.ok("top", name, "-o", "pid,args").splitlines()[1] == f"{mydocker.pid(name):<20}sleep 100"

    def test_with_the_hosts_processes(self, mydocker, name):
        mydocker.detached("--name", name, "--pid", "host", *SLEEPS)
        assert [row.split(None, 1)[1] for row in mydocker.ok("top", name, "ax", "-o", "pid,args").splitlines()[1:]] == [
            "sleep 100"
        ]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("-o", "comm"), "no column PID"),
            (("-o", "uid=PID"), "'uid=PID' is not allowed"),
            (("-q",), "ps: "),
            (("--bogus",), "ps: unknown gnu long option (see 'man ps')"),
        ],
    )
    def test_wrong_options(self, mydocker, name, words, says):
        mydocker.detached("--name", name, *SLEEPS)
        assert says in mydocker.fails("top", name, *words, rc=1)

    def test_a_stopped_container(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "true")
        assert "is not running" in mydocker.fails("top", name, rc=1)


class TestStats:
    def test_a_busy_and_a_stopped_container(self, mydocker, name, net):
        busy, stopped = f"{name}-busy", name
        mydocker.ok("create", "--name", stopped, "busybox", "true")
        mydocker.ok(
            *("run", "-d", "--name", busy, "-m", "100m", "--net", net, "busybox", "sh", "-c"),
            "sleep 99 & while :; do :; done",
        )
        form = "{{.Name}} {{.Container}} {{.MemUsage}} {{.NetIO}} {{.BlockIO}} {{.PIDs}} {{.CPUPerc}}"
        first, second = mydocker.ok("stats", "--no-stream", "--format", form, busy, stopped).splitlines()
        used = r"\d[.\d]*[KM]iB / 100MiB \d[.\d]*k?B / \d+B \d[.\d]*\w*B / \d[.\d]*\w*B [23] (\d[.\d]*)%"
        found = re.fullmatch(f"{busy} {busy} {used}", first)
        assert found, first
        assert 1 < float(found[1]) < 150
        assert second == f"{stopped} {stopped} 0B / 0B 0B / 0B 0B / 0B 0 0.00%"
        shown = mydocker.ok("stats", "--no-stream", "--format", "{{.Name}}").splitlines()
        assert busy in shown
        assert stopped not in shown
        assert stopped in mydocker.ok("stats", "-a", "--no-stream", "--format", "{{.Name}}").splitlines()
        mydocker.fails("stats", "--no-stream", busy, "nope", rc=1)

    def test_the_table_of_docker(self, mydocker, docker, name):
        docker.ok("create", "--name", "dd", "busybox", "true")
        mydocker.ok("create", "--name", name, "busybox", "true")
        expected = docker.ok("stats", "--no-stream", "dd").splitlines()
        ours = mydocker.ok("stats", "--no-stream", name).splitlines()
        assert [line.split()[2:] for line in ours] == [line.split()[2:] for line in expected]
        expected = docker.ok("stats", "--no-stream", "--format", "{{json .}}", "dd")
        ours = mydocker.ok("stats", "--no-stream", "--format", "{{json .}}", name)
        hidden = '"(Container|ID|Name)":"[^"]*"'
        assert re.sub(hidden, "", ours) == re.sub(hidden, "", expected)

    def test_a_live_table_follows_until_ctrl_c(self, mydocker, name):
        mydocker.detached("--name", name, *SLEEPS)
        with mydocker.terminal("stats", columns=120) as terminal:
            terminal.expect(name)
            mydocker.detached("--name", f"{name}-more", *SLEEPS)
            terminal.expect(f"{name}-more")
            terminal.send("\x03")
            assert terminal.wait() == 130
        with mydocker.terminal("stats", name, columns=120) as terminal:
            terminal.expect(name)
            mydocker.ok("rm", "-f", name)
            assert terminal.wait() == 0


CHANGES = "mkdir /n; echo a >/n/f; rm /etc/passwd; chmod 700 /home; touch /etc/group; mkfifo /p; rm /bin/wget"


USED = """
$M run -d --name $N-1 -v $N:/data busybox sh -c 'yes | head -c 5000 >/x; echo hello >/data/f; exec sleep 99'
$M run --name $N-2 -v /anon busybox sh -c 'echo 12345 >/y'
$M create --name $N-3 busybox true
$M commit $N-2 img$N
until $M exec $N-1 cat /data/f; do sleep 0.1; done
"""


class TestSystemDf:
    def test_as_docker(self, mydocker, machine, docker, name):
        def used(program):
            return USED.replace("$M", program).replace("$N", name)

        try:
            assert machine.shell(used(machine.program)).rc == 0
            assert docker.shell(used("docker")).rc == 0
            ours, expected = mydocker.ok("system", "df").splitlines(), docker.ok("system", "df").splitlines()
            # docker counts layers as reclaimable that another image needs.
            assert ours.pop(1).split()[:4] == expected.pop(1).split()[:4]
            assert ours == expected
            assert (
                mydocker.ok("system", "df", "--format", "{{json .}}").splitlines()[1:]
                == docker.ok("system", "df", "--format", "{{json .}}").splitlines()[1:]
            )
            ids, ages = (
                r"\b[0-9a-f]{12} |^[0-9a-f]{64} ",
                r"(Less than a|About an?|\d+) (second|minute|year)s? ago|N/A +",
            )
            hidden = rf"(?m){ids}|{ages}|Up .*? {{2,}}| +$"
            ours, expected = (
                re.sub(r" {2,}", "  ", re.sub(hidden, "", told("system", "df", "-v")))
                for told in (mydocker.ok, docker.ok)
            )
            assert sorted(ours.splitlines()) == sorted(expected.replace("  USAGE  SHARED", "  SHARED").splitlines())
            document = json.loads(mydocker.ok("system", "df", "-v", "--format", "json"))
            assert {kind: len(rows) for kind, rows in document.items()} == {
                "Images": 2, "Containers": 3, "Volumes": 2, "BuildCache": 0
            }  # fmt: skip
        finally:
            mydocker("rm", "-fv", *(f"{name}-{number}" for number in (1, 2, 3)))
            mydocker("rmi", f"img{name}")
            mydocker("volume", "rm", name)

    def test_the_build_cache(self, mydocker, directory, machine, name):
        machine.shell(f"printf 'FROM busybox\nRUN echo 12345 >/five\nRUN rm /five\n' >{directory}/Dockerfile")
        mydocker.ok("build", "-q", "-t", name, directory)
        mydocker.ok("rmi", name)
        form = "{{range .BuildCache}}{{.CacheType}} {{.Size}} {{.Shared}} {{.InUse}} {{end}}"
        shown = mydocker.ok("system", "df", "-v", "--format", form).split()
        assert shown[0] == "regular"
        total = mydocker.ok("system", "df", "--format", "{{.TotalCount}} {{.Active}}").splitlines()[3]
        assert total == f"{len(shown) // 4} 0"
        mydocker.ok("builder", "prune", "-af")
        assert mydocker.ok("system", "df", "--format", "{{.TotalCount}} {{.Size}}").splitlines()[3] == "0 0B"


class TestDiff:
    def test_as_docker(self, mydocker, docker, name):
        command = ("-v", "/data/x", "busybox", "sh", "-c", CHANGES)
        mydocker.ok("run", "--name", name, *command)
        docker.ok("run", "--name", "dd", *command)
        assert mydocker.ok("diff", name).splitlines() == sorted(
            docker.ok("diff", "dd").splitlines(), key=lambda row: row[2:]
        )
        size = ("inspect", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}")
        assert mydocker.ok(*size, name) == docker.ok(*size, "dd")
        shown = ("ps", "-as", "--format", "{{.Size}}")
        assert mydocker.ok(*shown, "--filter", f"name={name}") == docker.ok(*shown)

    def test_nothing_for_what_a_start_makes(self, mydocker, name, make):
        """docker has the files of an empty image in a layer of its own."""
        mydocker.detached("--name", name, *SLEEPS)
        assert mydocker.ok("diff", name) == ""
        mydocker.ok("exec", name, "touch", "/x")
        assert mydocker.ok("diff", name) == "A /x"

    def test_no_such_container(self, mydocker):
        assert re.search("no such container: nope", mydocker.fails("diff", "nope", rc=1))
