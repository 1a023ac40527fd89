"""The hot verbs start fast because of what they do not import: here is what they load, read from the interpreter."""

from __future__ import annotations

import re

import pytest

BANNED = (
    "typer rich click pyroute2 yaml subprocess dataclasses pathlib logging re json enum typing collections ctypes "
    "socket signal shutil tempfile hashlib contextlib functools datetime tarfile"
).split()


@pytest.fixture
def imported(machine, mydocker):
    """The modules that a command of mydocker loads, in any of its processes."""

    def found(*args: str) -> set[str]:
        mydocker._note(args)
        result = machine.run("/usr/bin/python3", "-I", "-S", "-X", "importtime", machine.program, *args)
        assert result.rc == 0, result
        return set(re.findall(r"^import time: .*\| +(\S+)$", result.stderr, re.MULTILINE))

    return found


@pytest.mark.parametrize(
    "command",
    [
        "run --rm --net none busybox true",
        "run --rm --net none -m 100m -e A=1 -v /tmp:/x -w /tmp -u nobody busybox true",
        "run -d --net none --name NAME-2 busybox true",
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
    modules = imported(*command.replace("NAME", name).split())
    assert "mydocker.errors" in modules or "mydocker.record" in modules  # the list is one of a real run
    assert sorted(modules & set(BANNED)) == []
