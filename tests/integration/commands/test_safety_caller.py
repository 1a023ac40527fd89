"""A hostile, or only unlucky, caller: nothing of its surroundings reaches the container, and nothing breaks."""

from __future__ import annotations

import fcntl
import os

import pytest
from machine import CHECKOUT

DESCRIPTORS = "cd /proc/self/fd; echo *"


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONPATH": "DIR"},
        {"PYTHONHOME": "/nowhere"},
        {"PYTHONSTARTUP": "DIR/os.py", "PYTHONINSPECT": "1"},
        {"PYTHONIOENCODING": "bogus", "PYTHONWARNINGS": "bogus", "PYTHONDEBUG": "9", "PYTHONVERBOSE": "1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "no_SUCH", "LANG": "no_SUCH", "LANGUAGE": "x"},
        {"HOME": ""},
        {"PATH": ""},
        {"TMPDIR": "/nowhere", "TZ": "No/Where", "TERM": "", "COLUMNS": "-1", "LINES": "x"},
        {"_TYPER_COMPLETE": "1", "_MYDOCKER_COMPLETE": "bogus", "NO_COLOR": "1", "FORCE_COLOR": "1"},
        {"\udcff": "\udcfe", "X": "a\nb"},
    ],
    ids=lambda env: " ".join(env).encode("ascii", "replace").decode(),
)
def test_environment(machine, mydocker, directory, env):
    machine.shell(
        f"echo 'print(\"PWNED\")' | tee {directory}/os.py {directory}/mydocker.py {directory}/sitecustomize.py"
    )
    env = {key: value.replace("DIR", directory) for key, value in env.items()}
    result = mydocker("run", "--rm", "--net", "none", "busybox", "echo", "fine ü", env=env)
    assert (result.rc, result.stdout, result.stderr) == (0, "fine ü\n", "")
    assert mydocker("ps", env=env).rc == 0
    inside = mydocker.ok("run", "--rm", "--net", "none", "busybox", "env", env=env)
    assert {row.partition("=")[0] for row in inside.splitlines()} == {"PATH", "HOSTNAME", "HOME"}


def test_no_program_is_looked_up_in_its_path(machine, mydocker, directory, name):
    programs = ("iptables", "ip6tables", "nft", "firewall-cmd", "busybox", "mount", "umount", "ps", "tar")
    for each in [
        *programs,
        *(f"ip{v}tables{kind}" for v in ("", "6") for kind in ("-save", "-restore", "-legacy-save")),
    ]:
        machine.shell(
            f"cd {directory}; printf '#!/bin/sh\necho {each} >>{directory}/ran; exit 1\n' >{each}; chmod +x {each}"
        )
    env = {"PATH": f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin"}
    mydocker.ok("network", "create", name, env=env)
    mydocker.ok("run", "--rm", "--net", name, "-p", "80", "busybox", "true", env=env)
    for words in ("network reload", "network check", "netmap", "info", f"network rm {name}"):
        mydocker.ok(*words.split(), env=env)
    assert not machine.exists(f"{directory}/ran")


def test_code_in_the_current_directory_is_not_run(machine, mydocker, directory):
    for module in ("os", "mydocker", "fcntl", "site", "encodings"):
        machine.shell(f"echo 'raise SystemExit(77)' >{directory}/{module}.py")
    result = machine.shell(f"cd {directory} && exec {machine.program} run --rm --net none busybox echo fine")
    assert (result.rc, result.stdout) == (0, "fine\n")


class TestDescriptors:
    @pytest.fixture
    def leaked(self, machine):
        """Open descriptors of the host's root and of a file, as a careless caller hands them down."""
        if not machine.local:
            pytest.skip("needs to pass descriptors: this machine only")
        opened = [os.open("/", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY), os.open("/", os.O_PATH)]
        opened += [fcntl.fcntl(opened[0], fcntl.F_DUPFD, number) for number in (100, 300, 500)]
        yield opened
        for descriptor in opened:
            os.close(descriptor)

    def test_do_not_reach_a_container(self, mydocker, leaked):
        assert mydocker.sh(DESCRIPTORS, pass_fds=leaked) == "0 1 2 3"  # 3 is the shell's own, of /proc/self/fd

    def test_do_not_reach_one_with_init(self, mydocker, leaked):
        assert mydocker.sh(DESCRIPTORS, "--init", pass_fds=leaked) == "0 1 2 3"

    def test_do_not_reach_an_exec(self, mydocker, name, leaked):
        mydocker.ok("run", "-d", "--net", "none", "--name", name, "busybox", "sleep", "1000", pass_fds=leaked)
        assert mydocker.ok("exec", name, "ls", "/proc/1/fd", pass_fds=leaked) == "0\n1\n2"
        assert mydocker.ok("exec", name, "sh", "-c", DESCRIPTORS, pass_fds=leaked) == "0 1 2 3"

    def test_are_not_kept_by_the_monitor(self, machine, mydocker, name, leaked):
        mydocker.ok("run", "-d", "--net", "none", "--name", name, "busybox", "sleep", "1000", pass_fds=leaked)
        monitor = machine.read(f"/proc/{mydocker.pid(name)}/stat").rpartition(")")[2].split()[1]
        targets = machine.shell(f"readlink /proc/{monitor}/fd/*").lines
        assert "/" not in targets
        assert "/etc/passwd" not in targets

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
    @pytest.mark.parametrize("options", ["--rm", "-i --rm", "-d"])
    def test_closed_ones_are_not_taken_by_others(self, machine, mydocker, directory, closed, options):
        """A file of ours opened as 1 or 2 would get the container's output; a log would get the host's."""
        script = "echo out; echo err >&2; ls /proc/self/fd >/mark/fds; touch /mark/ran"
        run = f"{machine.program} run {options} --net none --cidfile {directory}/id -v {directory}:/mark"
        result = machine.shell(f"{run} busybox sh -c '{script}' {closed}; exit $?", timeout=20)
        assert "Traceback" not in result.stderr
        if options == "-d":
            mydocker.ok("wait", machine.read(f"{directory}/id").strip())
            assert mydocker.ok("logs", machine.read(f"{directory}/id").strip()).splitlines()[0] == "out"
            mydocker.remove_all()
        assert machine.exists(f"{directory}/ran")
        assert machine.read(f"{directory}/fds").split() == ["0", "1", "2", "3"]

    @pytest.mark.parametrize(
        "command", ["ps", "images", "info", "run --rm busybox echo x", "inspect busybox", "--help"]
    )
    def test_a_full_device_as_stdout_is_an_error(self, machine, mydocker, command):
        result = machine.shell(f"{machine.program} {command} >/dev/full")
        assert result.rc != 0
        assert len(result.stderr.splitlines()) == 1


class TestSignals:
    @pytest.mark.parametrize("how", ["--ignore-signal", "--block-signal"])
    def test_that_the_caller_ignores_or_blocks_are_the_containers_again(self, machine, mydocker, how):
        words = ["run", "--rm", "--net", "none", "busybox", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
        result = machine.run("env", how, machine.program, *words, timeout=20)
        zero = "0000000000000000"
        assert (result.rc, result.stdout) == (0, f"SigBlk:\t{zero}\nSigIgn:\t{zero}\n")

    def test_ignored_children_are_still_waited_for(self, machine, mydocker):
        words = ["run", "--rm", "--net", "none", "busybox", "sh", "-c", "exit 6"]
        assert machine.run("env", "--ignore-signal=CHLD", machine.program, *words, timeout=20).rc == 6


class TestLimits:
    WANTED = "ulimit -a; cat /proc/self/oom_score_adj; umask"

    @pytest.mark.parametrize(
        "before",
        [
            "ulimit -S -n 64",
            "ulimit -c unlimited",
            "ulimit -S -s 1024",
            "ulimit -S -t 50",
            "ulimit -S -l 16",
            "umask 0777",
            "umask 0000",
            "echo 700 >/proc/self/oom_score_adj",
        ],
    )
    def test_of_the_caller_are_not_the_containers(self, machine, mydocker, before):
        line = f"exec {machine.program} run --rm --net none busybox sh -c '{self.WANTED}'"
        plain, changed = machine.shell(line), machine.shell(f"{before}; {line}")
        assert (changed.rc, changed.stderr) == (0, "")
        assert changed.stdout == plain.stdout
        assert "\n0\n0022\n" in changed.stdout

    @pytest.mark.parametrize(
        "before", ["ulimit -n 6", "ulimit -f 0", "ulimit -v 60000", "ulimit -d 8000", "ulimit -u 1"]
    )
    def test_too_low_ones_are_an_error_or_no_matter(self, machine, mydocker, before):
        result = machine.shell(f"{before}; exec {machine.program} run --rm --net none busybox echo fine", timeout=20)
        assert (result.rc, result.stdout) in {(0, "fine\n"), (125, "")}, result
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize("mask", ["0777", "0000"])
    def test_a_umask_changes_no_file(self, machine, mydocker, directory, mask):
        """A new store, its image, a container: every mode is as with the usual umask."""

        def modes(mask):
            store = f"{directory}/{mask}"
            line = f"{machine.program} create --name one busybox && cd {store} && find . -printf '%m %P\\n'"
            env = {"MYDOCKER_ROOT": store, "MYDOCKER_RUN": f"{store}/run"}
            rows = machine.shell(f"umask {mask}; {line}", env=env).lines
            return sorted(row for row in rows if "containers/" not in row and len(row.split()) == 2)

        usual = modes("0022")
        assert len(usual) > 300
        assert modes(mask) == usual


class TestCurrentDirectory:
    def test_that_was_deleted(self, machine, mydocker, directory):
        line = f"cd {directory}; mkdir d; cd d; rmdir ../d; {machine.program} run --rm --net none busybox pwd"
        result = machine.shell(line)
        assert (result.rc, result.stdout, result.stderr) == (0, "/\n", "")

    def test_is_not_the_containers(self, machine, mydocker):
        assert machine.shell(f"cd /etc; {machine.program} run --rm --net none busybox pwd").stdout == "/\n"

    def test_is_not_kept_busy_by_the_monitor(self, machine, mydocker, directory, name):
        machine.shell(f"cd {directory}; {machine.program} run -d --net none --name {name} busybox sleep 1000")
        mydocker.made.append(name)
        monitor = machine.read(f"/proc/{mydocker.pid(name)}/stat").rpartition(")")[2].split()[1]
        assert machine.run("readlink", f"/proc/{monitor}/cwd").stdout != f"{directory}\n"


@pytest.mark.local
def test_another_user_is_told_to_be_root(machine, mydocker, directory):
    """By a copy: the checkout may be in a directory that is closed to others, as /root is."""
    machine.shell(f"cp -r {CHECKOUT}/bin {CHECKOUT}/src {directory}; chmod -R a+rX {directory}")
    other = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{directory}/bin/mydocker")
    for command, code in ("run --rm busybox true", 125), ("ps", 1), ("images", 1):
        result = machine.run(*other, *command.split())
        assert (result.rc, result.stdout) == (code, "")
        assert "root" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_many_arguments(machine, mydocker, size):
    words = ["x" * 1000] * (size // 1000)
    result = mydocker.machine.python(
        "import os, sys; words = ['x' * 1000] * int(sys.argv[2])\n"
        "try: os.execv(sys.argv[1], [sys.argv[1], 'run', '--rm', '--net', 'none', 'busybox', 'echo', *words])\n"
        "except OSError: print('too long for this machine')",
        machine.program,
        str(len(words)),
    )
    assert result.stdout.strip() in (" ".join(words), "too long for this machine")
