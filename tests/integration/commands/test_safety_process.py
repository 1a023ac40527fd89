"""A hostile process inside: what it may not see, do or use up."""

from __future__ import annotations

import time

import pytest

BOUNDING = "00000000a80425fb"
ZERO = "0000000000000000"


class TestRights:
    def lines(self, mydocker, *options, pid="self"):
        return dict(
            row.split(":\t")
            for row in mydocker.sh(f"grep -E '^(Cap|NoNew|Seccomp:)' /proc/{pid}/status", *options).splitlines()
        )

    def test_of_root_are_docker_s(self, mydocker):
        assert self.lines(mydocker) == {
            "CapInh": ZERO,
            "CapPrm": BOUNDING,
            "CapEff": BOUNDING,
            "CapBnd": BOUNDING,
            "CapAmb": ZERO,
            "NoNewPrivs": "0",
            "Seccomp": "2",
        }

    def test_of_another_user_are_none(self, mydocker):
        found = self.lines(mydocker, "-u", "1000")
        assert [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [
            ZERO,
            ZERO,
            ZERO,
            BOUNDING,
            ZERO,
        ]

    def test_of_pid_1_with_init_are_no_more(self, mydocker):
        assert int(self.lines(mydocker, "--init", pid="1")["CapEff"], 16) & ~int(BOUNDING, 16) == 0

    def test_of_an_exec_are_the_same(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        rows = mydocker.ok("exec", name, "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status")
        assert rows == f"CapEff:\t{BOUNDING}\nSeccomp:\t2"

    def test_privileged_has_all_that_the_machine_has(self, machine, mydocker):
        bounding = machine.run("grep", "CapBnd", "/proc/self/status").stdout.split()[1]
        assert self.lines(mydocker, "--privileged")["CapEff"] == bounding


@pytest.mark.parametrize(
    "attack",
    [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /sys",
        "mount -o remount,rw /proc/sys",
        "mount --bind /bin /tmp",
        "umount /proc/sys",
        "umount /proc/kcore",
        "umount -l /proc",
        "mount -t proc proc /tmp",
        "mount -t cgroup -o memory none /tmp",
        "mount -t sysfs none /tmp",
        "pivot_root / /tmp",
        "unshare -U true",
        "unshare -m true",
        "unshare -n true",
        "nsenter -t 1 -n true",
        "hostname evil",
        "! date -s @$(date +%s) 2>&1 | grep -q 'not permitted'",
        "ip link set lo mtu 1000",
        "ip link add x type dummy",
        "v=$(cat /proc/sys/kernel/core_pattern); echo $v >/proc/sys/kernel/core_pattern",
        "v=$(cat /proc/sys/vm/swappiness); echo $v >/proc/sys/vm/swappiness",
        "echo h >/proc/sysrq-trigger",
        "echo >/sys/kernel/uevent_helper",
        "echo 0 >$(ls /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs | head -n 1)",
        "mkdir $(dirname $(ls /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs | head -n 1))/evil",
        "echo -1000 >/proc/1/oom_score_adj",
        "mknod /disk b 254 0 && head -c1 /disk",
        "mknod /disk b 8 0 && head -c1 /disk",
        "mknod /mem c 1 1 && head -c1 /mem",
        "mknod /kmsg c 1 11 && head -c1 /kmsg",
        "mknod /fuse c 10 229 && : <>/fuse",
        "head -c1 /proc/kcore | grep .",
        "grep . /proc/keys",
        "grep . /proc/timer_list",
        "ls /proc/acpi | grep .",
        "ls /proc/scsi | grep .",
        "ls /sys/firmware | grep .",
        "ls /proc/1/fd/3",
        "renice -n -5 1",
        "dmesg | grep .",
        "chroot /proc/1/root/../../.. /bin/sh -c 'test -e /usr/bin/python3'",
    ],
)
def test_an_attack_fails(mydocker, attack):
    """Should one succeed, it does no harm: values are written back as they are."""
    result = mydocker("run", "--rm", "--net", "none", "busybox", "sh", "-c", f"exec 2>&1; {attack}", timeout=20)
    assert result.rc != 0, result
    assert "not found" not in result.stdout, "busybox has no such applet: the attack was none"


SYSTEM_CALLS = """
import ctypes, errno, sys
call = ctypes.CDLL(None, use_errno=True).syscall
for number in map(int, sys.argv[1:]):
    ctypes.set_errno(0)
    result = call(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    print(number, errno.errorcode.get(ctypes.get_errno(), 0))
"""


def table(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (word.split("=") for word in text.split())}


def test_system_calls_are_refused_as_docker_refuses_them(machine, mydocker):
    """The host's Python, mounted into the container, makes them; arguments are nonsense, so what passes says EINVAL."""
    if machine.run("uname", "-m").stdout.strip() != "x86_64":
        pytest.skip("needs x86-64: the numbers are its own")
    refused = table("""
        mount=165 umount2=166 pivot_root=155 swapon=167 reboot=169 init_module=175 kexec_load=246 acct=163 iopl=172
        add_key=248 request_key=249 keyctl=250 unshare=272 setns=308 perf_event_open=298 bpf=321 userfaultfd=323
        open_by_handle_at=304 quotactl=179 settimeofday=164 finit_module=313 move_mount=429
    """)
    unknown = table("clone3=435 a_newer_one=500 a_much_newer_one=900")
    allowed = table("openat2=437 getpid=39")
    parts = {part: machine.run("readlink", "-f", f"/{part}").stdout.strip() for part in ("usr", "lib", "lib64")}
    mounts = [word for part, source in parts.items() for word in ("-v", f"{source}:/{part}:ro")]
    numbers = [str(number) for calls in (refused, unknown, allowed) for number in calls.values()]
    command = ["/usr/bin/python3", "-I", "-S", "-c", SYSTEM_CALLS, *numbers]
    out = mydocker.ok("run", "--rm", "--net", "none", *mounts, "busybox", *command)
    answer = {int(number): error for number, error in (row.split() for row in out.splitlines())}
    assert {name for name, number in refused.items() if answer[number] != "EPERM"} == set()
    assert {name for name, number in unknown.items() if answer[number] != "ENOSYS"} == set()
    assert {name for name, number in allowed.items() if answer[number] in ("EPERM", "ENOSYS")} == set()


class TestWhatItSees:
    def test_of_pid_1_is_its_own(self, mydocker):
        script = "cd /proc; readlink 1/exe; readlink 1/root; ls 1/fd; tr '\\0' '\\n' <1/environ"
        exe, root, *rest = mydocker.sh(script).splitlines()
        assert (exe, root, rest[:3]) == ("/bin/sh", "/", ["0", "1", "2"])
        assert not [row for row in rest if "MYDOCKER" in row or "python" in row]

    def test_of_init_is_nothing_of_the_host(self, machine, mydocker):
        script = "cd /proc/1; for link in exe cwd fd/*; do readlink $link; done; cat maps environ cmdline"
        seen = mydocker.sh(f"({script}) 2>/dev/null; true", "--init")
        for secret in ("python", machine.store, "MYDOCKER"):
            assert secret not in seen

    def test_of_mounts_is_nothing_of_the_host(self, machine, mydocker):
        points = [row.split()[4] for row in mydocker.sh("cat /proc/self/mountinfo").splitlines()]
        assert points[0] == "/"
        known = ("/proc", "/sys", "/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
        assert [point for point in points[1:] if not point.startswith(known)] == []

    def test_no_propagation_to_the_host(self, machine, mydocker):
        optional = [row.split(" - ")[0].split()[6:] for row in mydocker.sh("cat /proc/self/mountinfo").splitlines()]
        assert not [words for words in optional if any(word.startswith("shared") for word in words)]
        script = "mkdir /m && mount -t tmpfs evil /m && echo mounted"
        assert mydocker.sh(script, "--privileged") == "mounted"  # nothing_left sees the host's mounts

    def test_of_processes_is_its_own(self, mydocker):
        assert len(mydocker.sh("ls -d /proc/[0-9]*").splitlines()) <= 2


class TestCallersTerminal:
    def test_is_not_handed_down_without_t(self, mydocker):
        """A process that has the terminal could push input into it (TIOCSTI), which the caller's shell then runs."""
        script = "for n in 0 1 2; do test -t $n && echo bad; done; readlink /proc/self/fd/0; (: </dev/tty) || echo none"
        with mydocker.terminal("run", "--rm", "-i", "--net", "none", "busybox", "sh", "-c", script) as terminal:
            terminal.expect("none")
            terminal.send("\x04")
            terminal.wait()
            assert "bad" not in terminal.seen

    def test_sees_no_control_characters_of_a_command(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox", "echo", "\x1b]0;evil\x07\x1b[2J")
        for command in (["ps", "-a"], ["inspect", name], ["ps", "-a", "--no-trunc", "--format", "json"]):
            assert "\x1b" not in mydocker.ok(*command)
        assert "\x1b" not in mydocker("run", "--rm", "busybox", "\x1b[2J").stderr


class TestUsingUp:
    def test_a_fork_bomb_stays_within_its_limit(self, mydocker, name):
        mydocker.detached("--name", name, "--pids-limit", "40", "busybox", "sh", "-c", "f() { f | f & }; f; sleep 1000")
        time.sleep(0.5)
        assert int(mydocker.cgroup(name, "pids.current", "pids.current")) <= 40
        mydocker.ok("rm", "-f", name, timeout=20)

    def test_a_flood_of_output_is_logged_whole_and_in_little_memory(self, machine, mydocker, name):
        script = "timeout 0.2 seq 1 100000000; sleep 1000"
        mydocker.detached("--name", name, "busybox", "sh", "-c", script)
        monitor = machine.read(f"/proc/{mydocker.pid(name)}/stat").rpartition(")")[2].split()[1]
        time.sleep(1)
        rows = mydocker.ok("logs", name).splitlines()
        whole = rows[:-1]  # the last may be cut by the signal
        assert whole == [str(number) for number in range(int(whole[0]), int(whole[0]) + len(whole))]
        assert len(whole) > 1000
        status = dict(row.split(":", 1) for row in machine.read(f"/proc/{monitor}/status").splitlines())
        assert int(status["VmHWM"].split()[0]) < 40_000

    def test_a_reader_that_does_not_read_stops_nobody_else(self, mydocker, name):
        """The command line's stdout is a full pipe: the container waits, but stop works."""
        with mydocker.start("run", "--name", name, "busybox", "yes") as process:
            time.sleep(0.5)
            mydocker.ok("stop", "-t", "0", name, timeout=10)
            process.stdout.close()
            process.wait(10)

    def test_a_stopped_process_can_be_removed(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        mydocker.ok("kill", "-s", "STOP", name)
        mydocker.ok("stop", "-t", "1", name)
        assert mydocker.state(name)["ExitCode"] == 137

    def test_what_it_leaves_in_its_root_does_not_stop_rm_or_export(self, machine, mydocker, name):
        script = "mkfifo /p; mknod /n c 1 3; ln -s /etc/shadow /l; ln -s / /r; mkdir -m 0 /closed; touch '/a\n-rf ü'"
        mydocker.ok("run", "--name", name, "busybox", "sh", "-c", script)
        listed = machine.shell(f"{machine.program} export {name} | tar -t | sort", timeout=20)
        assert listed.rc == 0
        assert {"p", "n", "l", "r"} <= {row.removeprefix("./") for row in listed.lines}
        mydocker.ok("rm", name)

    def test_a_very_deep_directory_is_removed(self, mydocker, name):
        """Deeper than a path may be long, and than Python may recurse."""
        script = """
            part=a; for i in 1 2 3 4 5 6 7 8 9; do part=$part/$part; done
            mkdir /deep
            for i in 1 2 3 4 5 6 7; do mkdir -p /new/$part && mv /deep /new/$part/x && mv /new /deep || exit 3; done
        """
        mydocker.ok("run", "--name", name, "busybox", "sh", "-c", script)
        mydocker.ok("rm", name, timeout=30)

    def test_many_files_are_removed(self, mydocker):
        mydocker.sh("mkdir /many; cd /many; for i in $(seq 3000); do : >$i; done", timeout=30)


def test_a_password_file_swapped_for_a_fifo_does_not_hold_exec(mydocker, name):
    mydocker.detached(
        "--name", name, "busybox", "sh", "-c", "rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; sleep 1000"
    )
    time.sleep(0.2)
    assert "nobody" in mydocker.fails("exec", "-u", "nobody", name, "true", rc=126, timeout=20)
    assert mydocker.ok("exec", "-u", "5", name, "grep", "Uid", "/proc/self/status", timeout=20).split()[1] == "5"


def test_in_a_chroot_nothing_is_started(machine):
    """pivot_root there exchanges the chroot's root only: whoever enters the namespace later would be on the host."""
    script = f"""
        directory=$(mktemp -d {machine.store}-XXXXXX)
        unshare -m sh -c "mount --rbind / $directory && exec chroot $directory {machine.program} run --rm busybox true"
        code=$?; rmdir "$directory"; exit $code
    """
    result = machine.shell(script)
    assert (result.rc, result.stdout) == (125, ""), result.stderr
    assert "itself runs in a chroot" in result.stderr
