"""mydocker as its package has put it on a machine: booted by systemd, with cgroup v2, people who log in and out."""

from __future__ import annotations

import pytest
from machine import until

pytestmark = [pytest.mark.lab, pytest.mark.package, pytest.mark.systemd, pytest.mark.cgroup_v2]


def test_the_package_has_put_everything_in_place(host, machine):
    assert host.package("mydocker").is_installed
    assert host.service("mydocker").is_enabled
    assert host.service("mydocker").is_running
    assert host.file("/etc/mydocker/config.yaml").user == "root"
    assert (host.file("/var/lib/mydocker").mode, host.file("/run/mydocker").mode) == (0o700, 0o700)
    for page in ("mydocker", "mydocker-run", "mydocker-network-create"):
        assert machine.shell(f"ls /usr/share/man/man1/{page}.1*").rc == 0
    assert host.file("/usr/share/bash-completion/completions/mydocker").exists


def test_a_container_is_in_our_slice(machine, mydocker, name):
    """Containers are one level below the slice. That level keeps the controllers on, which systemd turns off in a slice
    where no unit asks for them."""
    made = mydocker.detached("-m", "64m", "--name", name, "busybox", "sleep", "600")
    assert machine.read(f"/proc/{mydocker.pid(name)}/cgroup") == f"0::/mydocker.slice/containers/{made}\n"
    assert machine.run("systemctl", "daemon-reload").rc == 0  # when systemd looks at what it believes unused
    assert machine.read(f"/sys/fs/cgroup/mydocker.slice/containers/{made}/memory.max") == f"{64 * 2**20}\n"


def test_its_processors_are_limited(machine, mydocker, name):
    made = mydocker.detached("--cpus", "0.1", "--name", name, "busybox", "sh", "-c", "while :; do :; done")
    stat = f"/sys/fs/cgroup/mydocker.slice/containers/{made}/cpu.stat"

    def throttled() -> bool:
        return int(dict(line.split() for line in machine.read(stat).splitlines())["nr_throttled"]) > 3

    until(throttled, "a container that is held back")


def test_its_memory_is_limited(mydocker, name):
    fill = ("dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=60")
    assert mydocker("run", "--name", name, "--net", "none", "-m", "30m", "busybox", *fill).rc == 137
    assert mydocker.state(name)["OOMKilled"]


def test_its_processes_are_limited(mydocker):
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"
    result = mydocker("run", "--rm", "--net", "none", "--pids-limit", "5", "busybox", "sh", "-c", script)
    assert "can't fork" in result.stderr


@pytest.mark.remote
def test_it_survives_the_end_of_the_session_that_started_it(machine, mydocker, name):
    """Even where systemd kills all that a user leaves behind."""
    options = " ".join(f"{key}={value}" for key, value in machine.env.items())
    said = machine.session(
        f'echo "$XDG_SESSION_ID"; sudo {options} mydocker run -d --net none --name {name} busybox sleep 600'
    )
    assert said.returncode == 0, said.stderr
    session, made = said.stdout.split()
    mydocker.made.append(made)
    machine.run("loginctl", "terminate-session", session)
    until(lambda: machine.run("loginctl", "show-session", session).rc != 0, "the session's end")
    assert mydocker.state(name)["Running"]
    assert mydocker.ok("exec", name, "echo", "here") == "here"


def test_somebody_without_rights_gets_a_clear_error(machine):
    for words in (("ps",), ("run", "--rm", "busybox", "true"), ("network", "ls")):
        result = machine.run("runuser", "-u", "nobody", "--", "mydocker", *words)
        assert (result.rc, result.stdout) == (125 if words[0] == "run" else 1, "")
        assert result.stderr.startswith("mydocker: must run as root")
        assert "Traceback" not in result.stderr
