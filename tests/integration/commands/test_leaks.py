"""Nothing is left behind, however a container ends. The fixture `nothing_left` compares; here are the endings."""

from __future__ import annotations

import os
import signal
import time

import pytest
from machine import until


@pytest.mark.parametrize(
    "command",
    [
        "run --rm busybox true",
        "run --rm busybox false",
        "run --rm busybox no-such",
        "run --rm busybox /etc",
        "run --rm no-such",
        "run --rm -u no-such busybox true",
        "run --rm -v bad:bad:bad:bad busybox true",
        "run --rm -m 6m busybox dd if=/dev/zero of=/dev/null bs=100M count=1",
        "run --rm --tmpfs /a --tmpfs /b --shm-size 1m -v /tmp:/x busybox true",
        "run --rm --init busybox sh -c (sleep 0.1 &)",
        "run --rm --read-only busybox true",
        "run --rm --privileged busybox mount -t tmpfs none /tmp",
        "run --rm --pid host --ipc host --uts host --net host busybox true",
        "run --rm busybox sh -c sleep 1000 & exit 0",
        "create --bogus busybox",
    ],
)
def test_of_a_command_that_ends(mydocker, command):
    head, _, script = command.partition(" sh -c ")
    mydocker(*head.split(), *(["sh", "-c", script] if script else []))


def test_what_a_container_left_running_ends_with_it(machine, mydocker):
    mydocker.sh("setsid sleep 4321 & exit 0")
    assert machine.run("pgrep", "-f", "^sleep 4321").stdout == ""


def test_with_the_host_s_pids_too(machine, mydocker):
    mydocker.ok("run", "--rm", "--pid", "host", "busybox", "sh", "-c", "setsid sleep 4322 & exit 0")
    assert machine.run("pgrep", "-f", "^sleep 4322").stdout == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_of_a_command_line_that_is_killed(machine, mydocker, number):
    """At ten moments of a start: afterwards there is a container that can be removed, or nothing that is in the way."""
    if not machine.local:
        pytest.skip("needs to kill the command line: this machine only")
    for step in range(10):
        process = mydocker.start("run", "--rm", "busybox", "true")
        time.sleep(0.005 * step)
        os.killpg(process.pid, number)
        process.communicate()
    until(lambda: not mydocker.ok("ps", "-q"), "the end of all that ran")
    for name in machine.run("ls", f"{machine.store}/lib/names").lines:
        if name not in mydocker.ok("ps", "-a", "--format", "{{.Names}}").split():
            mydocker.ok("create", "--name", name, "busybox")  # taken for a container that never came to be: it is free
    mydocker.ok("create", "--name", "last", "busybox")
    mydocker.remove_all()  # each removal also sweeps away what was only begun


def test_of_a_monitor_that_is_killed(machine, mydocker, name):
    """The worst: nobody watches any more. `ps` tells the truth and `rm -f` tidies everything."""
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    pid = mydocker.pid(name)
    parent = machine.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1]
    machine.run("kill", "-9", parent)
    mydocker.ok("rm", "-f", name)
    assert not machine.alive(pid)


def test_of_a_container_whose_directory_was_deleted_under_it(machine, mydocker, name):
    made = mydocker.detached("--name", name, "busybox", "sleep", "1000")
    mydocker.ok("kill", name)
    mydocker.ok("wait", name)
    machine.shell(f"rm -rf {machine.store}/lib/containers/{made}")
    until(lambda: made[:12] not in mydocker("ps", "-aq").stdout, "the container is gone")
    mydocker.detached("--name", name, "busybox", "true")  # its name is free


def test_the_store_is_for_root_alone(machine, mydocker, name):
    mydocker.ok("create", "--name", name, "busybox")
    modes = machine.shell(f"stat -c %a {machine.store}/lib {machine.store}/run").lines
    assert modes == ["700", "700"]


def test_a_reboot_is_survived(machine, mydocker, name):
    """A reboot takes away /run and every process. The container has exited, and starts again."""
    mydocker.detached("--name", name, "busybox", "sh", "-c", "touch /mark; sleep 1000")
    pid = mydocker.pid(name)
    parent = machine.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1]
    machine.shell(f"kill -9 {parent} {pid}; rm -rf {machine.store}/run")
    until(lambda: mydocker.state(name)["Status"] == "exited", "exited")
    mydocker.ok("start", name)
    assert mydocker.ok("exec", name, "ls", "/mark") == "/mark"
    assert mydocker.ok("run", "--rm", "busybox", "echo", "as before") == "as before"
