"""What comes back when the machine boots again. In the store of the machine itself, where the boot unit looks."""

from __future__ import annotations

import json
import signal

import pytest
from machine import Mydocker, until

pytestmark = [pytest.mark.lab, pytest.mark.package, pytest.mark.systemd, pytest.mark.reboot]


@pytest.fixture
def installed(machine):
    """mydocker with the machine's own store."""
    store, machine.env = machine.env, {}
    yield Mydocker(machine)
    machine.env = store


def test_containers_and_networks_come_back(machine, installed, name):
    signal.alarm(600)  # an emulated machine takes its time
    net, back, gone = f"n{name}", f"{name}-back", f"{name}-gone"
    try:
        installed.ok("network", "create", net)
        run = ("run", "-d", "--net", net, "--stop-timeout", "1")  # sleep, as PID 1, does not hear SIGTERM
        installed.ok(*run, "--restart", "always", "--name", back, "busybox", "sleep", "6000")
        installed.ok(*run, "--name", gone, "busybox", "sleep", "6000")
        before = installed.pid(back), installed.state(back)["StartedAt"]
        machine.reboot()
        until(lambda: machine.run("systemctl", "is-active", "mydocker").stdout == "active\n", "the unit", timeout=120)
        assert installed.state(back)["Running"]
        assert (installed.pid(back), installed.state(back)["StartedAt"]) != before
        assert (installed.state(gone)["Status"], installed.state(gone)["Pid"]) == ("exited", 0)
        assert "from" in installed.ok(
            "exec", back, "ping", "-c", "1", installed.inspect(net, "IPAM", "Config", 0, "Gateway")
        )
        assert json.loads(installed.ok("network", "check", "--format", "json")) == []
    finally:
        installed("rm", "-f", back, gone)
        installed("network", "rm", net)
