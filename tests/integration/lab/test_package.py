"""The package is installed anew, goes and comes back. An upgrade leaves what runs alone; removal stops it, and what is
stored stays; a purge takes all of it."""

from __future__ import annotations

import json
import signal

import pytest
from machine import Machine, Mydocker

pytestmark = [pytest.mark.lab, pytest.mark.package, pytest.mark.systemd]

# Where the role leaves the package that it installed.
APT = {
    "file": "/var/cache/mydocker/mydocker.deb",
    "install": "apt-get install -y --no-install-recommends /var/cache/mydocker/mydocker.deb",
    "upgrade": "apt-get install -y --reinstall --no-install-recommends /var/cache/mydocker/mydocker.deb",
    "remove": "apt-get remove -y mydocker",
}
DNF = {
    "file": "/var/cache/mydocker/mydocker.rpm",
    "install": "dnf install -y --nogpgcheck /var/cache/mydocker/mydocker.rpm",
    "upgrade": "dnf reinstall -y --nogpgcheck /var/cache/mydocker/mydocker.rpm",
    "remove": "dnf remove -y --noautoremove mydocker",
}


def typed(machine: Machine, line: str) -> None:
    result = machine.shell(line, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=240)
    assert result.rc == 0, f"{line}\n{result.stdout}{result.stderr}"


@pytest.fixture
def manager(machine):
    """The commands of the machine's package manager. mydocker is there again at the end."""
    signal.alarm(600)  # an emulated machine takes its time
    found = APT if machine.exists("/usr/bin/apt-get") else DNF
    if not machine.exists(found["file"]):
        pytest.skip(f"needs the package at {found['file']}, where the role puts it")
    yield found
    if not machine.exists("/usr/bin/mydocker"):
        typed(machine, found["install"])
        typed(machine, "systemctl enable --now mydocker.service")


@pytest.fixture
def installed(machine, name, manager):
    """mydocker with the machine's own store, a container with a volume that runs there, and a network."""
    store, machine.env = machine.env, {}
    made = Mydocker(machine)
    made.ok("network", "create", f"n{name}", timeout=60)
    script = "echo kept >/data/file; exec sleep 6000"
    made.ok("run", "-d", "--name", name, "--net", f"n{name}", "-v", f"{name}:/data", "busybox", "sh", "-c", script)
    yield made
    if machine.exists("/usr/bin/mydocker"):
        made("rm", "-f", name)
        made("network", "rm", f"n{name}")
        made("volume", "rm", name)
    machine.env = store


def what_is_up(machine: Machine, name: str) -> str:
    """Processes, links, rules and mounts of the container and its network."""
    return machine.shell(
        f"pgrep -af '[s]leep 6000'; ip -br link | grep -F n{name}; iptables-save | grep -F n{name};"
        " grep /var/lib/mydocker/ /proc/self/mountinfo"
    ).stdout


def test_upgraded(machine, installed, manager, name):
    """To the same version, which package managers do as they do any other."""
    before = installed.state(name)
    typed(machine, manager["upgrade"])
    assert installed.state(name) == before
    assert installed.ok("exec", name, "cat", "/data/file") == "kept"
    assert json.loads(installed.ok("network", "check", "--format", "json")) == []


def test_removed_and_installed_again(machine, installed, manager, name):
    assert "sleep 6000" in what_is_up(machine, name)
    typed(machine, manager["remove"])
    assert what_is_up(machine, name) == ""
    assert not machine.exists("/sys/fs/cgroup/mydocker.slice")
    assert machine.read(f"/var/lib/mydocker/volumes/{name}/_data/file") == "kept\n"
    typed(machine, f'{manager["install"]} && test "$(mydocker run --rm busybox echo hi)" = hi')
    installed.ok("network", "rm", "bridge")  # which was not up before, either
    assert installed.state(name)["Status"] == "exited"
    assert installed.ok("start", name) == name
    assert machine.run("systemctl", "is-enabled", "mydocker").rc == 0


def test_purged(machine, installed, manager, name):
    """With a container that runs, and somebody else's mount inside, which stays as it is."""
    if manager is not APT:
        pytest.skip("rpm has no purge")
    foreign = machine.directory()
    machine.run("touch", f"{foreign}/theirs")
    try:
        typed(machine, f"mkdir /var/lib/mydocker/foreign && mount --bind {foreign} /var/lib/mydocker/foreign")
        typed(machine, "apt-get purge -y mydocker")
        assert machine.exists(f"{foreign}/theirs")
        assert machine.run("ls", "-A", "/var/lib/mydocker").stdout in ("", "foreign\n")
        assert not machine.exists("/etc/mydocker")
    finally:
        machine.run("umount", "/var/lib/mydocker/foreign")
        machine.run("rm", "-rf", "--one-file-system", foreign, "/var/lib/mydocker/foreign")
