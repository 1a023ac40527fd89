"""Fixtures of the tests that type commands on a real machine: this one, or those of --hosts or MYDOCKER_SSH_CONFIG."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
from archives import busybox
from machine import Machine, Mydocker

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Without --hosts: this machine, or every host that the ssh configuration of MYDOCKER_SSH_CONFIG names."""
    ssh_config = os.environ.get("MYDOCKER_SSH_CONFIG")
    if config.option.hosts is None and ssh_config:
        with open(ssh_config) as file:
            names = [
                name for line in file if line.split()[:1] == ["Host"] for name in line.split()[1:] if "*" not in name
            ]
        config.option.ssh_config, config.option.sudo = ssh_config, True
        config.option.hosts = ",".join(f"ssh://{name}?timeout=60" for name in names)


@pytest.fixture(scope="session")
def _machines():
    """The machines by testinfra's id, each with a store of the tests' own, which goes at the end."""
    machines: dict[str, Machine] = {}
    yield machines
    for machine in machines.values():
        machine.run(machine.program, "network", "rm", "bridge")
        machine.run("rm", "-rf", "--one-file-system", machine.store)


@pytest.fixture(scope="module")
def machine(host, _machines) -> Machine:
    key = host.backend.get_pytest_id()
    if key not in _machines:
        found = _machines[key] = Machine(host)
        if found.run("id", "-u").stdout.strip() != "0":
            pytest.skip("needs root on the machine under test")
        for _ in range(2):  # what is made once and stays: the image, folders, locks
            found.run(found.program, "create", "--name", "first", "busybox")
        found.run(found.program, "rm", "first")
        for kind in ("volume", "network"):
            found.run(found.program, kind, "create", "first")
            found.run(found.program, kind, "rm", "first")
        found.run(found.program, "run", "--rm", "busybox", "true")  # the default network
    return _machines[key]


@pytest.fixture(autouse=True)
def no_hang():
    """A test that takes two minutes has failed."""

    def stop(*_: object) -> None:
        raise AssertionError("not done after two minutes")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def nothing_left(machine):
    """The machine after the test is the machine before it."""
    before = machine.snapshot()
    yield
    changes = machine.changes_since(before)
    if changes:
        Mydocker(machine).remove_all()  # the next test starts clean all the same
    assert not changes, "\n".join(changes)


@pytest.fixture
def mydocker(machine, nothing_left):
    """Types `mydocker …`. What is made by name or detached is removed at the end; the rest has to be gone by then."""
    typed = Mydocker(machine)
    yield typed
    typed.clean_up()


@pytest.fixture
def keeps_containers(mydocker):
    """For a test whose foreground containers stay, as docker's do without --rm: all are removed at its end."""
    yield
    mydocker.remove_all()


@pytest.fixture
def name() -> str:
    """A container name that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def folder(machine):
    """A folder on the machine, outside the store."""
    path = machine.folder()
    yield path
    machine.run("rm", "-rf", "--one-file-system", path)


@pytest.fixture
def make(mydocker, name):
    """make(entries, changes): the name of an image of busybox and these entries. It goes at the test's end."""
    image = f"img{name}"

    def made(entries, changes=()) -> str:
        words = [word for change in changes for word in ("--change", change)]
        mydocker.ok("import", *words, "-", image, input=busybox(*entries))
        return image

    yield made
    mydocker("rmi", image)
