"""Every line of chapters 3 to 5 of the articles that mydocker descends from (自己动手写 Docker), as typed there.

The spellings are Go's: a long option may have one dash. A line without --rm leaves its container, as there.
"""

from __future__ import annotations

import json

import pytest
from machine import until

NAMESPACES = "for n in uts ipc pid mnt net; do readlink /proc/self/ns/$n; done"
PROMPT = "/ # "


@pytest.fixture
def shell(mydocker, keeps_containers):
    """Open `run … sh` on a terminal, wait for its prompt; left by `exit`."""

    def opened(*args: str):
        terminal = mydocker.terminal(*args, columns=300)
        opened.all.append(terminal)
        terminal.expect(PROMPT)
        return terminal

    opened.all = []
    yield opened
    for terminal in opened.all:
        with terminal:
            if terminal.process.poll() is None:
                terminal.send("exit 0\n")
                terminal.wait()


class TestChapter3:
    def test_3_1_a_shell_in_namespaces_of_its_own(self, machine, shell):
        terminal = shell("run", "-ti", "/bin/sh")
        rows = [row.split() for row in terminal.type("ps").splitlines()]
        assert [row[-1] for row in rows if row[0] == "1"] == ["/bin/sh"]
        assert terminal.type("hostname") != machine.run("hostname").stdout.strip()
        assert [row.split()[1].split("@")[0] for row in terminal.type("ip -o link").splitlines()] == ["lo:", "eth0"]
        assert terminal.type("cat /proc/sysvipc/*").count("key") == 3  # headings only; busybox may lack ipcs
        inside, outside = terminal.type(NAMESPACES).split(), machine.shell(NAMESPACES).stdout.split()
        assert len(inside) == len(outside) == 5
        assert not set(inside) & set(outside)

    def test_3_1_a_second_run_works_as_the_first(self, shell):
        assert [shell("run", "-ti", "/bin/sh").type("echo $$") for _ in range(2)] == ["1", "1"]

    def test_3_1_run_alone_says_what_is_missing_and_the_usage(self, mydocker):
        result = mydocker("run")
        assert result.rc == 125
        assert result.stdout == ""
        assert "image" in result.stderr
        assert "command" in result.stderr
        assert "mydocker run" in result.stderr

    @pytest.mark.parametrize("option", ["-mem", "-m", "--memory", "--mem"])
    def test_3_2_more_memory_than_allowed_is_killed(self, mydocker, name, option):
        hungry = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]
        with mydocker.terminal("run", "-ti", "-name", name, option, "100m", *hungry) as terminal:
            assert terminal.wait() == 137
        state = mydocker.state(name)
        assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
        row = mydocker.ok("ps", "-a", "--filter", f"name={name}")
        assert "Exited (137)" in row
        assert "out of memory" in row

    def test_3_2_less_memory_than_allowed_is_not(self, mydocker):
        modest = ["dd", "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1"]
        with mydocker.terminal("run", "-ti", "--rm", "-mem", "100m", *modest) as terminal:
            assert terminal.wait() == 0

    def test_3_2_cpuset_and_cpushare_are_in_effect(self, mydocker, name):
        mydocker.ok("run", "-d", "-name", name, "-mem", "100m", "-cpuset", "0", "-cpushare", "512", "top")
        assert mydocker.cgroup(name, "memory.limit_in_bytes", "memory.max") == str(100 * 1024 * 1024)
        assert mydocker.cgroup(name, "cpuset.cpus", "cpuset.cpus") == "0"
        # v2's weight by the formula that keeps the defaults: 1024 shares are 100.
        assert mydocker.cgroup(name, "cpu.shares", "cpu.weight") in ("512", "59")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("-cpuset", "4096"),
            ("-cpuset", "one"),
            ("-cpushare", "many"),
            ("-mem", "12q"),
            ("-mem", "1k"),
            ("-mem", "-5m"),
        ],
    )
    def test_3_2_an_impossible_limit_is_an_error_before_the_start(self, mydocker, option, value):
        assert value in mydocker.fails("run", "-ti", f"{option}={value}", "ls")

    @pytest.mark.parametrize("limit", [["-mem", "100m"], []])
    def test_3_3_the_command_is_found_through_the_path(self, mydocker, keeps_containers, limit):
        with mydocker.terminal("run", "-ti", *limit, "ls", "-l") as terminal:
            assert terminal.wait() == 0
            assert {"bin", "etc", "proc"} <= {row.split()[-1] for row in terminal.seen.splitlines()}

    @pytest.mark.parametrize(
        "argument", ["a b", "  ", "", "'", '"', "$HOME", "a\\nb", "a\nb\n", "*", "-x", "名前 ü", "\udcff\udc80"]
    )
    def test_3_3_arguments_arrive_unchanged(self, mydocker, argument):
        assert mydocker.ok("run", "--rm", "busybox", "printf", "[%s]", "first", argument) == f"[first][{argument}]"


class TestChapter4:
    @pytest.fixture
    def tar(self, mydocker, directory, name):
        """A busybox root file system, as a tar on the machine."""
        mydocker.ok("create", "--name", name, "busybox")
        mydocker.ok("export", "-o", f"{directory}/root.tar", name)
        return f"{directory}/root.tar"

    def test_4_1_an_imported_root_file_system_is_the_root(self, machine, mydocker, shell, tar):
        mydocker.ok("import", tar, "mine")
        terminal = shell("run", "-ti", "mine", "/bin/sh")
        assert terminal.type("pwd") == "/"
        expected = {"bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"}
        assert expected <= set(terminal.type("ls -1 --color=never").split())
        points = [row.split()[2] for row in terminal.type("mount").splitlines()]
        assert points[0] == "/"
        assert {point.split("/")[1] for point in points[1:]} <= {"proc", "dev", "sys", "etc"}
        assert machine.store not in " ".join(points)
        terminal.send("exit\n")
        terminal.wait()
        mydocker.remove_all()
        mydocker.ok("rmi", "mine")

    def test_4_1_export_of_what_runs(self, machine, mydocker, directory):
        identity = mydocker.ok("run", "-d", "busybox", "top", "-b")
        assert identity[:12] in mydocker.ok("ps")
        mydocker.ok("export", "-o", f"{directory}/busybox.tar", identity)
        assert machine.shell(f"mkdir {directory}/root && tar -xf {directory}/busybox.tar -C {directory}/root").rc == 0
        assert {"bin", "etc", "tmp"} <= set(machine.run("ls", f"{directory}/root").lines)
        assert machine.exists(f"{directory}/root/bin/sh")

    def test_4_2_the_image_does_not_change_and_the_write_layer_goes_with_rm(self, machine, mydocker, shell):
        first = shell("run", "-ti", "-name", "writer", "sh")
        first.type("touch /tmp/test.txt")
        assert first.type("ls /tmp/test.txt") == "/tmp/test.txt"
        assert "No such file" in shell("run", "-ti", "--rm", "sh").type("ls /tmp/test.txt")
        first.send("exit\n")
        first.wait()
        written = f"{machine.store}/lib/containers/{mydocker.inspect('writer', 'Id')}"
        assert machine.exists(written)
        mydocker.ok("rm", "writer")
        assert not machine.exists(written)

    def test_4_3_what_is_written_to_a_volume_stays_on_the_host(self, machine, mydocker, shell, directory):
        terminal = shell("run", "-ti", "-v", f"{directory}/volumn/test:/test", "-v", f"{directory}/two:/two", "sh")
        terminal.type("touch /test/test.txt /two/2.txt")
        assert machine.exists(f"{directory}/volumn/test/test.txt")
        terminal.send("exit\n")
        terminal.wait()
        mydocker.remove_all()
        assert machine.exists(f"{directory}/volumn/test/test.txt")
        assert machine.exists(f"{directory}/two/2.txt")

    @pytest.mark.parametrize("volume", ["a", ":b", "a:b:c:d"])
    def test_4_3_a_malformed_volume_is_an_error(self, mydocker, volume):
        assert volume in mydocker.fails("run", "-ti", "-v", volume, "sh")

    def test_4_4_commit_of_the_only_running_container(self, machine, mydocker, directory):
        mydocker.ok("run", "-d", "sh", "-c", "echo kept >/kept; exec top -b")
        mydocker.ok("commit", "-o", f"{directory}/image.tar", "image")
        assert mydocker.ok("run", "--rm", "image", "cat", "/kept") == "kept"
        assert "kept" in machine.run("tar", "-tf", f"{directory}/image.tar").stdout
        mydocker.ok("rmi", "image")


class TestChapter5:
    @pytest.fixture
    def bird(self, mydocker, keeps_containers):
        """The articles' container: `run -d -name bird top`."""
        return mydocker.ok("run", "-d", "-name", "bird", "top", "-b")

    def test_5_1_detached_survives_its_terminal_and_a_log_out(self, machine, mydocker, keeps_containers):
        with machine.terminal("sh") as login:
            login.expect("# ")
            note, identity = login.type(f"{machine.program} run -d top -b", prompt="# ").splitlines()
            assert "no image 'top'" in note
            assert len(identity) == 64
            assert int(identity, 16)
            pid = mydocker.pid(identity)
            login.hang_up()
        row = machine.run("ps", "-o", "tty=,args=", "-p", str(pid)).stdout.split()
        assert row == ["?", "top", "-b"]
        assert mydocker.state(identity)["Running"]

    def test_5_2_ps_shows_what_runs_and_ps_a_all(self, mydocker, keeps_containers):
        mydocker.ok("run", "-d", "-name", "test1", "sh")  # no stdin: it ends at once
        mydocker.ok("wait", "test1")
        mydocker.ok("run", "-d", "-name", "test2", "top", "-b")
        running, both = mydocker.ok("ps"), mydocker.ok("ps", "-a")
        for column in ("ID", "NAME", "STATUS", "COMMAND", "CREATED"):  # the articles' PID is no column of docker's
            assert column in running.splitlines()[0]
        table = mydocker.ok("ps", "--format", "table {{.Names}}\\t{{.Pid}}")
        assert [row.split() for row in table.splitlines()] == [["NAMES", "PID"], ["test2", str(mydocker.pid("test2"))]]
        assert "test1" not in running
        assert "test2" in running
        assert [row.count("Exited (0)") for row in both.splitlines() if "test1" in row] == [1]

    def test_5_3_logs_and_the_directory_under_run(self, machine, mydocker, bird):
        mydocker.wait_log("bird", "Mem:")
        assert {"config.json", "container.log"} <= set(machine.run("ls", f"{machine.store}/run/bird/").lines)
        assert json.loads(machine.read(f"{machine.store}/run/bird/config.json"))["process"]["args"] == ["top", "-b"]

    def test_5_4_exec_is_inside_in_every_way(self, machine, mydocker, bird, shell):
        terminal = shell("exec", "-ti", "bird", "sh")
        rows = [row.split() for row in terminal.type("ps -ef").splitlines()]
        assert [row[-2:] for row in rows if row[0] == "1"] == [["top", "-b"]]
        every = "ipc mnt net pid uts cgroup user"
        one = f"for n in {every}; do readlink /proc/1/ns/$n; done"
        assert terminal.type(one) == terminal.type(one.replace("/proc/1/", "/proc/self/"))
        terminal.type("sleep 1234 &")
        sleeper = machine.run("pgrep", "-f", "^sleep 1234$").stdout.strip()
        assert machine.read(f"/proc/{sleeper}/cgroup") == machine.read(f"/proc/{mydocker.pid('bird')}/cgroup")
        terminal.type("kill %1")

    def test_5_4_exec_with_one_quoted_argument(self, mydocker, bird):
        assert "proc" in mydocker.ok("exec", "bird", "ls -l")

    def test_5_5_stop_and_what_ps_says(self, machine, mydocker, bird):
        pid = mydocker.pid("bird")
        mydocker.ok("stop", "bird")
        assert not machine.alive(pid)
        row = next(row for row in mydocker.ok("ps", "-a").splitlines() if "bird" in row)
        assert "Exited (143)" in row  # busybox's top catches SIGTERM
        assert str(pid) not in row.split()
        assert mydocker.state("bird")["Pid"] == 0

    def test_5_6_rm(self, mydocker, bird):
        refused = mydocker.fails("rm", "bird")
        assert "bird" in refused
        assert "stop" in refused
        assert "-f" in refused
        assert mydocker.state("bird")["Running"]
        mydocker.ok("rm", "-f", "bird")
        assert "bird" not in mydocker.ok("ps", "-a")

    @pytest.mark.parametrize("image", [[], ["flown"]])
    def test_5_7_commit(self, mydocker, bird, image):
        mydocker.ok("exec", "bird", "touch", "/nest")
        made = mydocker.ok("commit", "bird", *image)
        assert made.startswith("sha256:")
        assert mydocker.ok("run", "--rm", *(image or [made]), "ls", "/nest") == "/nest"
        mydocker.ok("rmi", *(image or [made]))

    def test_5_8_the_environment(self, mydocker, bird, shell):
        terminal = shell("run", "-ti", "-e", "bird=123", "sh")
        assert "bird=123" in terminal.type("env").splitlines()
        mydocker.ok("run", "-d", "-e", "bird=123", "-name", "bird2", "top", "-b", env={"SECRET": "host"})
        inside = mydocker.ok("exec", "bird2", "env", env={"SECRET": "host"})
        assert "bird=123" in inside.splitlines()
        assert "SECRET" not in inside


class TestFaultsOfTheOriginals:
    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_every_run_exits_255(self, mydocker, code):
        assert mydocker("run", "--rm", "busybox", "sh", "-c", f"exit {code}").rc == code

    def test_arguments_are_joined_and_split_again(self, mydocker):
        assert mydocker.ok("run", "--rm", "busybox", "sh", "-c", "echo $#", "name", "a b", "c  d") == "2"

    def test_stderr_is_not_logged(self, mydocker, name):
        mydocker.ok("run", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2")
        logs = mydocker("logs", name)
        assert (logs.stdout, logs.stderr) == ("out\n", "err\n")

    def test_one_cgroup_is_shared_by_all(self, machine, mydocker):
        small, large = (mydocker.ok("run", "-d", "-mem", size, "top", "-b") for size in ("50m", "80m"))
        limits = [mydocker.cgroup(which, "memory.limit_in_bytes", "memory.max") for which in (small, large)]
        assert limits == [str(50 * 2**20), str(80 * 2**20)]
        assert machine.read(f"/proc/{mydocker.pid(small)}/cgroup") != machine.read(
            f"/proc/{mydocker.pid(large)}/cgroup"
        )

    def test_the_image_is_written_directly(self, mydocker):
        mydocker.ok("run", "--rm", "busybox", "sh", "-c", "rm /bin/ls; echo x >/etc/passwd")
        assert "root" in mydocker.ok("run", "--rm", "busybox", "sh", "-c", "ls /; cat /etc/passwd")

    def test_a_name_used_twice_overwrites_the_first_state(self, mydocker, name):
        first = mydocker.detached("--name", name, "busybox", "top", "-b")
        assert name in mydocker.fails("run", "-d", "--name", name, "busybox", "true")
        assert mydocker.inspect(name, "Id") == first
        assert mydocker.state(name)["Running"]

    def test_ps_says_running_for_what_is_dead(self, machine, mydocker, name):
        mydocker.detached("--name", name, "busybox", "top", "-b")
        machine.run("kill", "-9", str(mydocker.pid(name)))
        until(lambda: name not in mydocker.ok("ps"), "ps without the dead container")
        assert mydocker.state(name)["ExitCode"] == 137

    def test_stop_does_not_wait(self, machine, mydocker, name):
        mydocker.detached(
            "--name", name, "busybox", "sh", "-c", "trap 'sleep 0.5; exit 4' TERM; echo up; while :; do sleep 0.1; done"
        )
        mydocker.wait_log(name, "up")
        pid = mydocker.pid(name)
        mydocker.ok("stop", name)
        assert not machine.alive(pid)
        assert mydocker.state(name)["ExitCode"] == 4

    def test_a_detached_containers_mounts_and_cgroup_are_never_freed(self, machine, mydocker, name):
        before = machine.snapshot()
        mydocker.detached("--name", name, "busybox", "true")
        mydocker.ok("wait", name)
        changes = machine.changes_since(before, timeout=1)
        assert {change.split()[1] for change in changes} == {"files:"}  # its record, which `rm` takes away

    def test_cgroup_v2_cpu_max_is_malformed(self, machine, mydocker):
        if not machine.exists("/sys/fs/cgroup/cgroup.controllers"):
            pytest.skip("needs cgroup v2")
        made = mydocker.detached("--cpus", "0.5", "busybox", "top", "-b")
        assert mydocker.cgroup(made, "cpu.cfs_quota_us", "cpu.max") == "50000 100000"
