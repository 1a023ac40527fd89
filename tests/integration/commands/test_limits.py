"""Limits: what is asked for is in the container's cgroup, and what it can't give is an error before the start."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "v1", "v2", "expected"),
    [
        (["-m", "64m"], "memory.limit_in_bytes", "memory.max", [str(64 * 2**20)]),
        (["--memory", "1g"], "memory.limit_in_bytes", "memory.max", [str(2**30)]),
        (
            ["-m", "64m", "--memory-swap", "128m"],
            "memory.memsw.limit_in_bytes",
            "memory.swap.max",
            [str(128 * 2**20), str(64 * 2**20)],
        ),
        (["--cpus", "0.5"], "cpu.cfs_quota_us", "cpu.max", ["50000", "50000 100000"]),
        (["--cpus", "1.5"], "cpu.cfs_quota_us", "cpu.max", ["150000", "150000 100000"]),
        (["--cpu-shares", "512"], "cpu.shares", "cpu.weight", ["512", "59"]),
        (["--cpuset-cpus", "0"], "cpuset.cpus", "cpuset.cpus", ["0"]),
        (["--cpuset-mems", "0"], "cpuset.mems", "cpuset.mems", ["0"]),
        (["--pids-limit", "17"], "pids.max", "pids.max", ["17"]),
        (["--pids-limit", "-1"], "pids.max", "pids.max", ["max"]),
        (["--cpu-quota", "25000"], "cpu.cfs_quota_us", "cpu.max", ["25000", "25000 100000"]),
        (["-c", "512"], "cpu.shares", "cpu.weight", ["512", "59"]),
        (["--memory-reservation", "64m"], "memory.soft_limit_in_bytes", "memory.low", [str(64 * 2**20)]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_is_in_the_cgroup(mydocker, options, v1, v2, expected):
    made = mydocker.detached(*options, "busybox", "top", "-b")
    assert mydocker.cgroup(made, v1, v2) in expected


def test_memory_is_never_above_the_limit(mydocker, name):
    """A tmpfs counts as its container's memory: filling it ends in the OOM killer, not in 200 MB."""
    result = mydocker(
        "run", "--name", name, "-m", "30m", "busybox", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=60"
    )
    assert result.rc == 137
    assert mydocker.state(name)["OOMKilled"]


def test_an_oom_of_a_child_is_noted_too(mydocker, name):
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1; exit 5"
    assert mydocker("run", "--name", name, "-m", "50m", "busybox", "sh", "-c", script).rc == 5
    assert mydocker.state(name)["ExitCode"] == 5


def test_pids_limit_stops_a_fork(mydocker):
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"
    assert "can't fork" in mydocker("run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c", script).stderr


@pytest.mark.parametrize("script", ["memory.limit_in_bytes", "memory.max"])
def test_the_container_sees_its_own_part_of_the_cgroups(machine, mydocker, script):
    v2 = machine.exists("/sys/fs/cgroup/cgroup.controllers")
    if v2 != (script == "memory.max"):
        pytest.skip(f"needs cgroup v{1 if v2 else 2}")
    directory = "/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/memory"
    assert mydocker.sh(f"cat {directory}/{script}", "-m", "64m") == str(64 * 2**20)
    assert mydocker.sh(f"cat {directory}/cgroup.procs | head -n 1") == "1"
    assert "Read-only" in mydocker.sh(f"echo max >{directory}/{script} || true", "-m", "64m")


@pytest.mark.parametrize(
    "options",
    [
        ["-m", "1k"],
        ["-m", "99999999999t"],
        ["-m", "10m", "--memory-swap", "5m"],
        ["--memory-swap", "100m"],
        ["--cpus", "-1"],
        ["--cpus", "100000"],
        ["--cpu-shares", "1"],
        ["--cpuset-cpus", "9999"],
        ["--cpuset-cpus", "0-"],
        ["--cpuset-mems", "77"],
        ["--pids-limit", "x"],
        ["--cpu-rt-runtime", "1000000"],
        ["--device-read-bps", "/dev/null:1mb"],
        ["--device-read-bps", "/dev/not-there:1mb"],
    ],
    ids=" ".join,
)
def test_one_that_the_kernel_cannot_give_is_an_error_before_the_start(mydocker, options):
    mydocker.fails("run", "--rm", *options, "busybox", "touch", "/proc/1/never")
    assert mydocker.ok("ps", "-aq") == ""


@pytest.fixture
def v1(machine):
    if machine.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("needs cgroup v1")


@pytest.mark.parametrize(
    ("options", "file", "begins"),
    [
        (["--cpu-period", "50000"], "cpu.cfs_period_us", "50000"),
        (["--memory-swappiness", "0"], "memory.swappiness", "0"),
        (["--oom-kill-disable", "-m", "64m"], "memory.oom_control", "oom_kill_disable 1"),
        (["--blkio-weight", "300"], "blkio.bfq.weight", "300"),
        (["--device-read-bps", "DISK:1mb"], "blkio.throttle.read_bps_device", "N 1048576"),
        (["--device-write-iops", "DISK:20"], "blkio.throttle.write_iops_device", "N 20"),
        (["--device-cgroup-rule", "c 42:* rmw"], "devices.list", "c *:* m\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_rare_ones_on_v1(v1, machine, mydocker, options, file, begins):
    disks = machine.shell("for d in /sys/block/*; do [ -e $d/device ] && echo ${d##*/} $(cat $d/dev); done").lines
    if "DISK" in options[1] and not disks:
        pytest.skip("needs a disk")
    name, number = (disks or ["none 0:0"])[0].split()
    if (
        "blkio.bfq" in file
        and "bfq" not in machine.shell("cat /sys/fs/cgroup/blkio/*/blkio.bfq.weight && echo bfq").stdout
    ):
        pytest.skip("needs a kernel with bfq")
    options = [word.replace("DISK", f"/dev/{name}") for word in options]
    made = mydocker.detached(*options, "busybox", "top", "-b")
    assert mydocker.cgroup(made, file, file).startswith(begins.replace("N", number))
    if file == "devices.list":
        assert "c 42:* rwm" in mydocker.cgroup(made, file, file)


def test_a_cgroup_that_the_user_has_made_stays(machine, mydocker, name):
    """It may have limits, which later containers must not lose."""
    hierarchies = machine.shell(
        "ls -d /sys/fs/cgroup/*/tasks /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs"
    )
    tops = sorted({line.rpartition("/")[0] for line in hierarchies.lines})
    made = [f"{top}/test-{name}" for top in tops]
    machine.run("mkdir", *made)
    try:
        mydocker.detached("--cgroup-parent", f"test-{name}", "--name", name, "busybox", "top", "-b")
        assert f"/test-{name}/" in machine.read(f"/proc/{mydocker.pid(name)}/cgroup")
        mydocker.ok("rm", "-f", name)
        assert machine.run("ls", "-d", *made).rc == 0
    finally:
        machine.run("rmdir", *made)


def test_update_of_a_running_container(mydocker, name):
    mydocker.detached("--name", name, "-m", "64m", "busybox", "top", "-b")
    options = ["-m", "96m", "--memory-swap", "200m", "--cpus", "0.5", "-c", "512", "--pids-limit", "17"]
    assert mydocker.ok("update", *options, name) == name
    assert mydocker.cgroup(name, "memory.limit_in_bytes", "memory.max") == str(96 * 2**20)
    assert mydocker.cgroup(name, "cpu.cfs_quota_us", "cpu.max") in ("50000", "50000 100000")
    assert mydocker.cgroup(name, "pids.max", "pids.max") == "17"
    mydocker.ok("update", "--pids-limit", "-1", "--memory-swap", "-1", name)
    assert mydocker.cgroup(name, "pids.max", "pids.max") == "max"
    shown = mydocker.inspect(name, "HostConfig")
    wanted = {"Memory": 96 * 2**20, "MemorySwap": -1, "NanoCpus": 5 * 10**8, "CpuShares": 512, "PidsLimit": None}
    assert {key: shown[key] for key in wanted} == wanted
    mydocker.ok("restart", "-t", "0", name)
    assert mydocker.cgroup(name, "memory.limit_in_bytes", "memory.max") == str(96 * 2**20)


def test_update_of_a_stopped_container(mydocker, name):
    mydocker.ok("create", "--net", "none", "--name", name, "busybox", "top", "-b")
    mydocker.ok("update", "--pids-limit", "17", "--restart", "on-failure:2", name)
    mydocker.ok("start", name)
    assert mydocker.cgroup(name, "pids.max", "pids.max") == "17"
    assert mydocker.inspect(name, "HostConfig", "RestartPolicy", "Name") == "on-failure"


def test_an_update_that_fails_changes_nothing(mydocker, name):
    mydocker.detached("--name", name, "-m", "64m", "--cpu-quota", "20000", "busybox", "top", "-b")
    before = mydocker.inspect(name, "HostConfig")
    for options, says in {
        ("-m", "200m"): "above the limit of memory and swap",
        ("--cpus", "1"): "--cpu-quota, which is set already",
        ("-c", "77", "--cpu-rt-runtime", "1000000"): "real-time",
    }.items():
        assert says in mydocker.fails("update", "--restart", "always", *options, name)
    assert mydocker.inspect(name, "HostConfig") == before
    assert mydocker.cgroup(name, "cpu.shares", "cpu.weight") in ("1024", "100")


def test_memory_below_its_use(v1, mydocker, name):
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=30; echo full; exec top -b"
    mydocker.detached("--name", name, "-m", "64m", "busybox", "sh", "-c", script)
    mydocker.wait_log(name, "full")
    line = mydocker.fails("update", "-c", "77", "-m", "10m", name)
    assert line.startswith(f"mydocker: container {name} uses more memory than the new limit")
    assert mydocker.cgroup(name, "cpu.shares", "") == "1024"
