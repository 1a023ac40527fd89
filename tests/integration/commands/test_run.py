"""`run` and its options, each by what the container's process sees."""

from __future__ import annotations

import os
import re
import select
import time

import pytest
from machine import until


@pytest.mark.parametrize(
    ("options", "script", "expected"),
    [
        (["-e", "A=1", "--env", "B=two words"], 'echo "$A-$B"', "1-two words"),
        (["-e", "EMPTY="], 'echo "[$EMPTY]"; env | grep -c ^EMPTY=', "[]\n1"),
        (["-w", "/tmp"], "pwd", "/tmp"),
        (["--workdir", "/made/on/the/way"], "pwd", "/made/on/the/way"),
        (["-u", "1000:1001"], "id -u; id -g; grep Groups /proc/self/status", "1000\n1001\nGroups:\t1001 "),
        (["-u", "nobody"], "id -un", "nobody"),
        (["-u", "1000"], "id -u; id -g; echo $HOME", "1000\n0\n/"),
        (["-h", "box"], "hostname; cat /etc/hostname; grep -c box /etc/hosts", "box\nbox\n1"),
        (["--tmpfs", "/scratch:size=1m"], "stat -f -c '%T %b %S' /scratch", "tmpfs 256 4096"),
        (["--shm-size", "8m"], "stat -f -c '%T %b %S' /dev/shm", "tmpfs 2048 4096"),
        ([], "stat -f -c '%b %S' /dev/shm", "16384 4096"),
        (["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn", "100\n200"),
        (["--ulimit", "core=0"], "ulimit -c", "0"),
        (["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
        (["--cap-drop", "all", "--cap-add", "chown"], "grep CapBnd /proc/self/status", "CapBnd:\t0000000000000001"),
        (["--cap-add", "SYS_ADMIN"], "grep CapPrm /proc/self/status", "CapPrm:\t00000000a82425fb"),
        (["--cap-add", "CAP_NET_ADMIN"], "ip link set lo mtu 1400 && echo set", "set"),
        (["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        (["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
        (["--privileged"], "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo may", "Seccomp:\t0\nmay"),
        (["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (["--sysctl", "kernel.msgmax=4000"], "cat /proc/sys/kernel/msgmax", "4000"),
        (["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj", "500"),
        (
            ["--device", "/dev/full:/dev/brim"],
            "head -c1 /dev/brim | wc -c; ls -l /dev/brim | cut -c1-10",
            "1\ncrw-rw-rw-",
        ),
        (["--device", "/dev/fuse"], "ls /dev/fuse", "/dev/fuse"),
        (["--read-only", "--tmpfs", "/run"], "touch /run/x /dev/shm/x && echo made", "made"),
        (["--cpuset-mems", "0"], "grep Mems_allowed_list /proc/self/status", "Mems_allowed_list:\t0"),
        (["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0"),
        (["--init"], "[ $$ != 1 ] && echo second", "second"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_option(mydocker, options, script, expected):
    assert mydocker.sh(script, *options) == expected


@pytest.mark.parametrize(
    "options",
    [
        ["--bogus"],
        ["-bogus"],
        ["-mem"],
        ["--memory"],
        ["-e", "=x"],
        ["--env-file", "/nowhere"],
        ["-w", "relative"],
        ["--name", "-x"],
        ["--name", "a/b"],
        ["--name", "x" * 300],
        ["-h", "a b"],
        ["--tmpfs", "relative"],
        ["--shm-size", "much"],
        ["--ulimit", "bogus=1"],
        ["--ulimit", "nofile=9:5"],
        ["--cap-add", "FLY"],
        ["--cap-drop", "FLY"],
        ["--security-opt", "bogus"],
        ["--sysctl", "kernel.hostname=x"],
        ["--sysctl", "nonsense"],
        ["--sysctl", "kernel/../../x=1"],
        ["--oom-score-adj", "2000"],
        ["--stop-signal", "SIGBOGUS"],
        ["--stop-timeout", "soon"],
        ["--device", "/dev/no-such"],
        ["--device", "/dev/null:/dev/x:q"],
        ["--cpus", "0.001"],
        ["--cpus", "1000"],
        ["--pids-limit", "lots"],
        ["--cpuset-mems", "99"],
        ["--memory-swap", "5m", "-m", "10m"],
        ["--net", "bogus"],
        ["--pid", "bogus"],
        ["--mount", "type=bogus,target=/x"],
        ["--mount", "type=bind,source=/no/such,target=/x"],
        ["-v", "/a:relative"],
        ["-v", "/a:/b:bogus"],
        ["-v", "bad*name:/x"],
        ["-l", "=x"],
        ["--label-file", "/nowhere"],
        ["--cidfile", "/etc/passwd"],
        ["-d", "--rm=maybe"],
    ],
    ids=" ".join,
)
def test_a_bad_option_is_one_line_and_no_container(mydocker, options):
    """The error is one line that names the option or its value."""
    line = mydocker.fails("run", "--net", "none", *options, "busybox", "true")
    words = re.split("[-=,:]+", " ".join(options).replace(" ", ","))
    assert any(word and word[:40] in line for word in words), line
    assert mydocker.ok("ps", "-aq") == ""


class TestExitCode:
    @pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
    def test_is_the_commands(self, mydocker, code):
        assert mydocker("run", "--rm", "busybox", "sh", "-c", f"exit {code}").rc == code

    @pytest.mark.parametrize(
        ("command", "rc"),
        [("/etc/passwd", 126), ("/etc", 126), ("/no/such", 127), ("no-such", 127), ("./no-such", 127), ("", 127)],
    )
    def test_of_a_command_that_cannot_start(self, mydocker, command, rc):
        assert command in mydocker.fails("run", "--rm", "busybox", command, rc=rc)

    def test_of_a_foreign_binary_is_126(self, machine, mydocker, directory):
        machine.shell(f"printf '\\177ELFgarbage' >{directory}/x; chmod +x {directory}/x")
        assert "/v/x" in mydocker.fails("run", "--rm", "-v", f"{directory}:/v", "busybox", "/v/x", rc=126)

    def test_of_neither_image_nor_command_is_125(self, mydocker):
        line = mydocker.fails("run", "--rm", "--pull", "never", "no-such-thing")
        assert "'no-such-thing' is neither an image here nor a command in busybox" in line
        assert "'mydocker pull no-such-thing'" in line

    def test_of_a_signal_is_128_and_its_number(self, mydocker):
        assert mydocker("run", "--rm", "--init", "busybox", "sh", "-c", "kill -USR1 $$").rc == 128 + 10

    def test_detached_failure_to_start_is_seen_by_the_caller(self, mydocker):
        assert "no-such" in mydocker.fails("run", "-d", "--rm", "busybox", "no-such", rc=127)


class TestStreams:
    def test_stay_apart(self, mydocker):
        result = mydocker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
        assert (result.stdout, result.stderr) == ("out\n", "err\n")

    def test_stdin_and_its_end_are_passed_with_i(self, mydocker):
        assert (
            mydocker.ok("run", "-i", "--rm", "busybox", "sh", "-c", "cat; echo end", input=b"hello\n") == "hello\nend"
        )

    def test_stdin_is_empty_without_i(self, mydocker):
        assert mydocker.ok("run", "--rm", "busybox", "sh", "-c", "cat; echo end", input=b"hello\n") == "end"

    def test_bytes_are_not_changed(self, mydocker):
        raw = os.urandom(3_000_000)
        result = mydocker("run", "-i", "--rm", "busybox", "cat", input=raw)
        assert result.stdout.encode(errors="surrogateescape") == raw

    def test_a_reader_that_goes_away_is_no_hang(self, machine, mydocker, keeps_containers):
        assert machine.shell(f"{machine.program} run busybox yes | head -n 1", timeout=20).stdout == "y\n"

    def test_stdin_left_unread_is_no_hang(self, mydocker):
        assert mydocker("run", "-i", "--rm", "busybox", "true", input=b"x" * 1_000_000, timeout=20).rc == 0


class TestDetached:
    def test_prints_the_id_alone(self, mydocker):
        result = mydocker("run", "-d", "busybox", "top", "-b")
        assert re.fullmatch(r"[0-9a-f]{64}\n", result.stdout)
        assert result.stderr == ""

    def test_returns_at_once_and_holds_no_descriptor(self, machine, mydocker):
        """Every end of the caller's pipes is closed once the command line is gone, though the container runs."""
        if not machine.local:
            pytest.skip("needs to pass a descriptor: this machine only")
        mine, its = os.pipe()
        mydocker.ok("run", "-d", "busybox", "top", "-b", pass_fds=[its], timeout=20)
        os.close(its)
        assert select.select([mine], [], [], 20)[0], "somebody holds the other end"
        assert os.read(mine, 1) == b""
        os.close(mine)

    def test_with_rm_goes_by_itself(self, mydocker):
        made = mydocker.ok("run", "-d", "--rm", "busybox", "sleep", "0.3")
        assert made[:12] in mydocker.ok("ps")
        until(lambda: mydocker.ok("ps", "-aq") == "", "the container is gone")


class TestNamesAndIds:
    def test_a_prefix_that_fits_one_works_and_one_that_fits_more_does_not(self, mydocker):
        made = [mydocker.ok("create", "busybox") for _ in range(17)]  # two of them begin alike
        assert mydocker.inspect(made[0][:20], "Id") == made[0]
        firsts = [identity[0] for identity in made]
        double = next(first for first in firsts if firsts.count(first) > 1)
        assert double in mydocker.fails("inspect", double, stdout="[]\n")
        for identity in made:
            assert mydocker.ok("rm", identity[:32]) == identity[:32]

    def test_without_name_one_is_made_up(self, mydocker):
        made = mydocker.ok("create", "busybox")
        name = mydocker.inspect(made, "Name")
        assert re.fullmatch(r"/[a-z0-9]+_[a-z0-9]+", name)
        assert mydocker.inspect(name[1:], "Id") == made

    def test_cidfile(self, machine, mydocker, directory):
        made = mydocker.ok("run", "-d", "--cidfile", f"{directory}/id", "busybox", "true")
        assert machine.read(f"{directory}/id").strip() == made
        assert f"{directory}/id" in mydocker.fails("run", "--rm", "--cidfile", f"{directory}/id", "busybox", "true")

    def test_the_host_name_is_the_short_id(self, mydocker):
        made = mydocker.detached("busybox", "top", "-b")
        assert mydocker.ok("exec", made, "hostname") == made[:12]


class TestEnvironment:
    def test_is_the_images_the_containers_and_nothing_else(self, mydocker):
        rows = mydocker.ok("run", "--rm", "-h", "box", "busybox", "env", env={"SECRET": "host"}).splitlines()
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        assert sorted(rows) == ["HOME=/root", "HOSTNAME=box", f"PATH={path}"]

    def test_a_bare_name_is_taken_from_the_caller(self, mydocker):
        options = ["-e", "GIVEN", "-e", "ABSENT"]
        inside = mydocker.sh("env", *options, env={"GIVEN": "by the caller"}).splitlines()
        assert "GIVEN=by the caller" in inside
        assert "ABSENT" not in "".join(inside)

    def test_file_and_options_the_option_wins(self, machine, mydocker, directory):
        machine.shell(f"printf '# comment\\n\\nA=file\\nB=b=c\\nGIVEN\\n' >{directory}/env")
        script = 'echo "$A $B $GIVEN"'
        assert mydocker.sh(script, "--env-file", f"{directory}/env", "-e", "A=mine", env={"GIVEN": "g"}) == "mine b=c g"


class TestNamespaces:
    @pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "net"])
    def test_of_the_host(self, machine, mydocker, kind):
        options = [*(["--net", "none"] if kind != "net" else []), f"--{kind}", "host"]
        inside = mydocker.ok("run", "--rm", *options, "busybox", "readlink", f"/proc/self/ns/{kind}")
        assert inside == machine.run("readlink", f"/proc/self/ns/{kind}").stdout.strip()

    def test_none_has_a_loopback_that_is_up_and_nothing_else(self, mydocker):
        assert mydocker.sh("ip -o link | wc -l; ip -o -4 addr show lo | grep -c 127.0.0.1/8") == "1\n1"
        assert mydocker.sh("ping -c1 -W1 127.0.0.1 >/dev/null && echo up") == "up"


class TestRoot:
    def test_entrypoint_replaces_the_images_and_its_command(self, mydocker):
        assert mydocker.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b"
        assert mydocker.ok("run", "--rm", "--entrypoint", "/bin/hostname", "-h", "box", "busybox") == "box"

    def test_read_only(self, mydocker):
        assert "Read-only file system" in mydocker.sh("touch /x || true", "--read-only")

    def test_a_device_without_write_may_not_be_written(self, mydocker):
        script = ": </dev/brim && echo read; (: <>/dev/brim) || true"
        out = mydocker.sh(script, "--device", "/dev/fuse:/dev/brim:r")
        assert out.startswith("read\n")
        assert "Operation not permitted" in out

    def test_dev_is_docker_s(self, mydocker):
        names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
        assert mydocker.sh("cd /dev; echo *") == names

    def test_labels_and_their_file(self, machine, mydocker, directory, name):
        machine.shell(f"printf 'a=file\\nb=2\\n' >{directory}/labels")
        mydocker.ok(
            "create", "--name", name, "--label-file", f"{directory}/labels", "-l", "a=1", "--label", "bare", "busybox"
        )
        assert mydocker.inspect(name, "Config", "Labels") == {"a": "1", "b": "2", "bare": ""}

    def test_init_reaps_orphans_and_passes_signals_on(self, machine, mydocker, name):
        script = "(sleep 0.1 &); trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"
        mydocker.detached("--init", "--name", name, "busybox", "sh", "-c", script)
        mydocker.wait_log(name, "up")
        time.sleep(0.3)
        pids = machine.run("pgrep", "--ns", str(mydocker.pid(name)), "--nslist", "pid").lines
        states = machine.run("ps", "-o", "stat=", "-p", ",".join(pids)).lines  # some have ended meanwhile
        assert not [state for state in states if state.startswith("Z")]
        mydocker.ok("stop", name)
        assert mydocker.state(name)["ExitCode"] == 9
