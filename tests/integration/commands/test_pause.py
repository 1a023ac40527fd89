"""pause and unpause, and what the other commands do with a paused container: docker's answers, as it gave them."""

from __future__ import annotations

import signal

import pytest
from machine import until

COUNTS = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.02; done"


def counts(mydocker, name: str) -> bool:
    """True if its program goes on. The container is paused, so exec does not enter it."""
    root = f"/proc/{mydocker.pid(name)}/root/count"
    before = mydocker.machine.run("cat", root).stdout
    return mydocker.machine.shell(f'sleep 0.2; cat "{root}"').stdout != before


@pytest.fixture
def paused(mydocker, name):
    mydocker.detached("--name", name, "--stop-timeout", "1", "busybox", "sh", "-c", COUNTS)
    mydocker.ok("pause", name)
    return name


def test_its_processes_stop_and_go_on(mydocker, paused):
    assert not counts(mydocker, paused)
    state = mydocker.state(paused)
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    assert mydocker.ok("ps", "--filter", "status=paused", "--format", "{{.Names}} {{.State}}") == f"{paused} paused"
    assert mydocker.ok("ps", "--format", "{{.Status}}").endswith(" (Paused)")
    assert mydocker.ok("ps", "-q", "--filter", "status=running") == ""
    numbers = "{{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}"
    assert mydocker.ok("info", "-f", numbers) == "0 1 0"
    assert mydocker.ok("unpause", paused) == paused
    assert counts(mydocker, paused)


def test_what_it_refuses(mydocker, paused):
    for command, says in {
        ("pause",): "is already paused",
        ("exec",): "is paused",
        ("start",): "is paused",
        ("start", "-a"): "is paused",
        ("rm",): "is paused",
    }.items():
        assert says in mydocker.fails(*command, paused, *(["true"] if command == ("exec",) else []))
    mydocker.ok("unpause", paused)
    assert "is not paused" in mydocker.fails("unpause", paused)
    mydocker.ok("stop", "-t", "0", paused)
    assert "is not running" in mydocker.fails("pause", paused)
    assert "is not paused" in mydocker.fails("unpause", paused)


@pytest.mark.parametrize("command", [("kill",), ("stop", "-t", "0"), ("restart", "-t", "0"), ("rm", "-f")])
def test_what_ends_it(mydocker, paused, command):
    pid = mydocker.pid(paused)
    assert mydocker.ok(*command, paused) == paused
    until(lambda: not mydocker.machine.alive(pid), "its end")
    if command[0] == "restart":
        assert counts(mydocker, paused)


@pytest.mark.parametrize(("options", "wakes"), [([], True), (["--stop-signal", "INT"], False)])
def test_a_signal_lets_it_go_on_unless_it_has_a_stop_signal(mydocker, name, options, wakes):
    mydocker.detached("--name", name, *options, "busybox", "sh", "-c", f"trap : USR1; {COUNTS}")
    mydocker.ok("pause", name)
    mydocker.ok("kill", "-s", "USR1", name)
    assert mydocker.state(name)["Paused"] is not wakes
    assert counts(mydocker, name) is wakes


def test_its_monitor_ends_it_too(machine, mydocker, name, paused):
    """A shutdown sends SIGTERM to every process, the monitor's included."""
    machine.run("kill", str(mydocker.monitor(paused)))
    until(lambda: mydocker.state(paused)["Status"] == "exited", "its end", timeout=20)


def test_an_attached_run_passes_signals_on(mydocker, name):
    script = f"trap 'exit 7' INT; echo up; {COUNTS}"
    with mydocker.start("run", "--net", "none", "--name", name, "busybox", "sh", "-c", script) as running:
        assert running.stdout.readline() == b"up\n"
        mydocker.ok("pause", name)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 7


def test_commit_pauses_meanwhile(mydocker, name):
    mydocker.detached("--name", name, "busybox", "sh", "-c", COUNTS)
    images = [mydocker.ok("commit", name)]
    assert mydocker.state(name)["Status"] == "running"
    assert counts(mydocker, name)
    mydocker.ok("pause", name)
    images.append(mydocker.ok("commit", name))
    assert mydocker.state(name)["Status"] == "paused"  # as it was before
    mydocker.ok("rm", "-f", name)
    mydocker.ok("rmi", "-f", *images)
