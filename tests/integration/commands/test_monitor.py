"""A monitor makes itself small: the same process, another interpreter, and nobody who uses the container sees it."""

from __future__ import annotations

import json

import pytest
from machine import until
from networks import network, rules

SERVER = ("sh", "-c", "echo hello >/tmp/index.html; httpd -f -h /tmp")
PATIENCE = 10  # seconds; it makes itself small after 3


@pytest.fixture
def settled(machine, mydocker):
    """Start a container; once its monitor is small, the monitor's PID."""

    def start(*words: str) -> int:
        container = mydocker.ok("run", "-d", *words)
        pid = mydocker.monitor(container)
        assert not machine.is_bare(pid)
        until(lambda: machine.is_bare(pid), "the monitor has made itself small", PATIENCE)
        assert mydocker.monitor(container) == pid
        return pid

    return start


def test_it_says_whose_it_is(machine, mydocker, name, settled):
    pid = settled("--net", "none", "--name", name, "busybox", "sleep", "1000")
    assert machine.read(f"/proc/{pid}/cmdline").startswith(f"mydocker: monitor of {name} (")
    assert machine.read(f"/proc/{pid}/comm") == "mydocker\n"
    assert {machine.run("readlink", f"/proc/{pid}/fd/{number}").stdout for number in range(3)} == {"/dev/null\n"}


def test_the_log_goes_on_in_the_middle_of_a_line(mydocker, name, settled):
    script = "printf half; printf other >&2; read word; echo $word; echo ' of it' >&2; exit 7"
    settled("--net", "none", "--name", name, "-v", "/tmp", "busybox", "sh", "-c", f"mkfifo /f; ({script}) </f")
    mydocker("exec", name, "sh", "-c", "echo ' a line' >/f")  # this ends the container, and so perhaps the exec
    assert mydocker.ok("wait", name) == "7"
    logs = mydocker("logs", name)
    assert (logs.stdout, logs.stderr) == ("halfa line\n", "other of it\n")
    assert mydocker.state(name)["ExitCode"] == 7


def test_a_terminal_stays_open(mydocker, name, settled):
    settled("--net", "none", "-t", "--name", name, "busybox", "sh", "-c", "sleep 5; tty; exit 3")
    assert mydocker.ok("wait", name) == "3"
    assert mydocker.ok("logs", name) == "/dev/pts/0\r"


def test_its_network_is_changed_and_taken_down(machine, mydocker, name, settled):
    with network(mydocker, name):
        pid = settled("--net", name, "--name", f"{name}-1", "-p", "127.0.0.1:42311:80", "busybox", *SERVER)
        page = ("run", "--rm", "--net", name, "busybox", "wget", "-q", "-O", "-", f"http://{name}-1/")
        assert mydocker.ok(*page) == "hello"  # it still answers for names
        mydocker.ok("port", "add", f"{name}-1", "127.0.0.1:42312:81")
        assert not machine.is_bare(pid)
        until(lambda: machine.is_bare(pid), "it is small again", PATIENCE)
        assert mydocker.ok("port", f"{name}-1") == "80/tcp -> 127.0.0.1:42311\n81/tcp -> 127.0.0.1:42312"
        held = mydocker.fails("run", "--rm", "-p", "127.0.0.1:42312:80", "busybox", "true")
        assert "42312" in held
        mydocker.ok("stop", "-t", "0", f"{name}-1")
        assert rules(machine, ":4231") == []
        mydocker.ok("run", "--rm", "-p", "127.0.0.1:42312:80", "busybox", "true")


def test_a_monitor_that_is_terminated_stops_its_container(machine, mydocker, name, settled):
    pid = settled(
        "--net", "none", "--name", name, "busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    )
    machine.run("kill", str(pid))
    until(lambda: not machine.alive(pid), "the monitor has ended")
    assert mydocker.state(name)["ExitCode"] == 5


def test_one_that_vanishes_at_its_end(machine, mydocker, name, settled):
    settled("--net", "none", "--rm", "--name", name, "busybox", "sleep", "5")
    until(lambda: mydocker("inspect", name).rc != 0, "it has vanished", PATIENCE)


def test_the_last_container_of_a_layer_unmounts_it(machine, mydocker, directory):
    """Also after monitors that were killed. A container that another driver made keeps that."""
    env = {f"MYDOCKER_{key}": f"{directory}/{key.lower()}" for key in ("ROOT", "RUN", "CONFIG")}

    def configure(driver: str) -> None:
        machine.run("tee", env["MYDOCKER_CONFIG"], input=f"storage_driver: {driver}\n".encode())

    def mounted() -> int:
        return machine.read("/proc/self/mountinfo").count(f" {env['MYDOCKER_RUN']}/_layers/")

    configure("overlay")
    before = mydocker.ok("create", "--net", "none", "busybox", "echo", "x", env=env)
    configure("erofs")
    if "does not work here" in mydocker("run", "--rm", "--net", "none", "busybox", "true", env=env).stderr:
        pytest.skip("erofs does not work here")
    assert mounted() == 0
    containers = [mydocker.ok("run", "-d", "--net", "none", "busybox", "sleep", "1000", env=env) for _ in range(2)]
    assert mounted() == 1
    for container in containers:
        (about,) = json.loads(mydocker.ok("inspect", container, env=env))
        status = machine.read(f"/proc/{about['State']['Pid']}/stat")
        machine.run("kill", "-9", status.rpartition(")")[2].split()[1])
    assert mydocker.ok("start", "-a", before, env=env) == "x"
    mydocker.ok("rm", "-f", containers[0], env=env)
    assert mounted() == 1
    mydocker.ok("rm", "-f", containers[1], before, env=env)
    assert mounted() == 0
