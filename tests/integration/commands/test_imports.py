"""The hot commands start fast because they import little: these tests read the loaded modules from the interpreter."""

from __future__ import annotations

import pytest
from machine import CHECKOUT, PATH
from start_cost import modules

pytestmark = pytest.mark.local

BANNED = (
    "typer rich click pyroute2 yaml subprocess dataclasses pathlib logging re json enum typing collections ctypes "
    "socket signal shutil tempfile hashlib contextlib functools datetime tarfile"
).split()


@pytest.fixture
def imported(machine, mydocker):
    """Return the modules that a command of mydocker loads, in any of its processes."""

    def load(*args: str) -> set[str]:
        mydocker._note(args)
        return modules(list(args), {"PATH": PATH, **machine.env})

    return load


@pytest.mark.parametrize(
    "command",
    [
        "run --rm --net none busybox true",
        "run --rm --net none -m 100m -e A=1 -v /tmp:/x -w /tmp -u nobody busybox true",
        "run -d --net none --name NAME-2 busybox true",
        "run --rm busybox true",
        "run --rm -p 80/tcp --dns 192.0.2.1 --add-host me:host-gateway busybox true",
        "run --rm --net container:NAME busybox true",
        "create --name NAME-3 busybox true",
        "exec NAME true",
        "start NAME",
        "ps",
        "ps -a",
        "logs NAME",
        "inspect NAME",
        "stop -t 0 NAME",
        "rm -f NAME",
    ],
)
def test_a_hot_verb_imports_nothing_slow(mydocker, imported, name, command):
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    loaded = imported(*command.replace("NAME", name).split())
    assert "mydocker.errors" in loaded or "mydocker.record" in loaded  # the list is one of a real run
    assert sorted(loaded & set(BANNED)) == []


def test_without_a_network_no_network_module_is_loaded(imported):
    loaded = imported("run", "--rm", "--net", "none", "busybox", "true")
    room = {name for name in loaded if name.startswith("mydocker.network.")}
    assert room == {"mydocker.network.resolvconf"}  # for its /etc/hosts
    assert "mydocker.kernel.rtnetlink" not in loaded


def test_on_a_user_made_network(mydocker, imported, name):
    mydocker.ok("network", "create", name)
    loaded = imported("run", "--rm", "--net", name, "busybox", "true")
    mydocker.ok("network", "rm", name)
    assert "mydocker.engine.network.networks" in loaded
    assert sorted(loaded & set(BANNED)) == []


@pytest.mark.parametrize(
    "module",
    ["mydocker.runtime.starter", "mydocker.network.plan", "mydocker.network.resolver", "mydocker.runtime.control"],
)
def test_a_module_of_the_monitor_imports_nothing_slow(machine, module):
    if not machine.local:
        pytest.skip("needs the sources: this machine only")
    script = f"import sys; sys.path.insert(0, {str(CHECKOUT / 'src')!r}); import {module}; print(*sys.modules)"
    loaded = set(machine.python(script).stdout.split())
    assert module in loaded
    assert sorted(loaded & set(BANNED)) == []
