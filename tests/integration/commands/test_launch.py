"""runtime/launch.py: a monitor is forked before the request is parsed, and gets its orders later."""

from __future__ import annotations

import os
import re

import pytest
from machine import until

from mydocker.runtime import launch, messages

MANY = 2 * messages.AT_ONCE + 5  # more than one message takes


def orders(**named) -> messages.Orders:
    words = {
        "record": {"id": "a" * 64}, "spec": {"process": {"args": ["true"]}}, "program": b"\x06\0", "networks": [],
        "size": (24, 80), "fresh": True, "attach": False, "stdin": False, "explain": False, "log_size": 1,
        "log_files": 1, "dns": [], "notes": [("fork", "", None, 1, 2, "")], "lock": -1,
    }  # fmt: skip
    return messages.Orders(**{**words, **named})


@pytest.fixture
def ends():
    ours, theirs = messages.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def file(tmp_path):
    """Open a file whose content is its name."""
    opened = []

    def one(name: str) -> int:
        (tmp_path / name).write_text(name)
        opened.append(os.open(tmp_path / name, os.O_RDONLY))
        return opened[-1]

    yield one
    for descriptor in opened:
        os.close(descriptor)


def content(descriptor: int) -> str:
    with open(descriptor) as reader:
        return reader.read()


@pytest.mark.local
@pytest.mark.parametrize("shared", [True, False])
def test_orders_arrive_whole_with_their_descriptors(ends, file, shared):
    held = {f"{port}:80/tcp": [file(f"{port}-4"), file(f"{port}-6")] for port in range(8000, 8000 + MANY)}
    given = orders(
        lock=file("lock"), shared=file("shared") if shared else -1, bound_sockets=held, spec={"env": ["A" * 10**6]}
    )
    launch._send(ends[0], given)
    got = launch._receive(ends[1])
    assert got
    assert content(got.lock) == "lock"
    assert got.shared == -1 if not shared else content(got.shared) == "shared"
    assert {text: [content(each) for each in sockets] for text, sockets in got.bound_sockets.items()} == {
        f"{port}:80/tcp": [f"{port}-4", f"{port}-6"] for port in range(8000, 8000 + MANY)
    }
    for name in set(messages.Orders._fields) - {"lock", "shared", "bound_sockets"}:
        assert getattr(got, name) == getattr(given, name)


@pytest.mark.local
def test_without_orders_there_is_nothing_to_do(ends):
    ends[0].close()
    assert launch._receive(ends[1]) is None


def test_a_command_line_that_fails_leaves_no_monitor(machine, mydocker):
    """The monitor is forked first, then the image turns out to be missing. nothing_left looks for processes, too."""
    assert mydocker("run", "--rm", "no-such-image", "true").rc == 125
    until(lambda: machine.run("pgrep", "-f", "no-such-imag[e]").rc == 1, "the monitor is gone", 5)


def test_a_request_of_a_megabyte(mydocker):
    words = [f"{number}" + 100_000 * "x" for number in range(10)]
    assert mydocker.ok("run", "--rm", "--net", "none", "busybox", "sh", "-c", "echo $#", *words) == "9"


def test_hundreds_of_ports(mydocker, name):
    first, last = 21000, 21000 + MANY
    ports = f"127.0.0.1:{first}-{last}:{first}-{last}"
    mydocker.ok("run", "-d", "--name", name, "-p", ports, "busybox", "sleep", "1000")
    assert len(mydocker.ok("port", name).splitlines()) == last - first + 1


@pytest.mark.parametrize("words", [("create",), ("run", "-d"), ("run", "-d", "--rm")], ids=" ".join)
def test_what_is_said_to_be_there_survives_a_power_cut(machine, mydocker, name, words):
    if not machine.local:
        pytest.skip("needs strace: this machine only")
    command = [machine.program, *words, "--name", name, "--net", "none", "busybox", "true"]
    traced = machine.run("strace", "-f", "-y", "-qq", "-e", "trace=fsync", *command)
    assert traced.rc == 0
    synced = {path.rpartition("/")[2] for path in re.findall(r"fsync\(\d+<(.*)>\)", traced.stderr)}
    container = traced.stdout.strip()
    kept = {"config.json", "request.json", "record.json", container, "containers", "names"}
    assert synced == set() if "--rm" in words else synced >= kept  # a monitor that is quick syncs the end, too
    mydocker("rm", "-f", name)


def test_several_are_started_by_one_command_line(mydocker, name):
    """The first by the monitor that was forked ahead, the others by their own."""
    names = [f"{name}-{number}" for number in range(3)]
    for each in names:
        mydocker.ok("create", "--name", each, "--net", "none", "busybox", "sleep", "1000")
    mydocker.ok("start", *names)
    assert [mydocker.state(each)["Status"] for each in names] == ["running"] * 3
    mydocker.ok("rm", "-f", *names)
