"""Fixtures of the tests that run commands on a real machine.

The machines are those of --hosts, those in the ssh configuration MYDOCKER_SSH_CONFIG, those that `vagrant up` has
started, or this one (--hosts local://). On other machines, only tests with the mark `lab` run unless -m selects others:
each command once, and tests that need a separate machine. All tests would take an hour over ssh.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import newer
import pytest
from archives import busybox
from machine import CHECKOUT, Machine, Mydocker, until
from oracle import docker_host, missing

_numbers = itertools.count(1)

# mark -> (a condition on the machine, why the test is skipped without it)
REQUIREMENTS = {
    "local": (lambda machine: machine.local, "acts on the kernel from the tests' own process"),
    "remote": (lambda machine: not machine.local, "logs in and out again: needs a machine behind ssh"),
    "reboot": (lambda machine: not machine.local, "reboots the machine, which is this one"),
    "package": (lambda machine: machine.program == "mydocker", "needs the package, this is the checkout"),
    "systemd": (lambda machine: machine.exists("/run/systemd/system"), "needs systemd"),
    "cgroup_v2": (lambda machine: machine.exists("/sys/fs/cgroup/cgroup.controllers"), "needs cgroup v2"),
}


def pytest_configure(config: pytest.Config) -> None:
    if config.option.hosts is None:
        given = os.environ.get("MYDOCKER_SSH_CONFIG")
        text = f"Include {os.path.abspath(given)}\n" if given else _vagrant()
        names = _hosts(Path(given).read_text() if given else text)
        if names:
            directory = Path(tempfile.mkdtemp(prefix="mydocker-test.ssh."))
            config.add_cleanup(lambda: shutil.rmtree(directory))
            # One connection for all commands: a new one takes a second.
            (directory / "config").write_text(f"{text}Host *\n  ControlPath {directory}/%C\n  ServerAliveInterval 5\n")
            config.option.ssh_config, config.option.sudo = str(directory / "config"), True
            config.option.hosts = ",".join(f"ssh://{name}?timeout=60&controlpersist=20" for name in names)
    if config.option.hosts not in (None, "local://") and not config.option.markexpr:
        config.option.markexpr = "lab"


def _hosts(ssh_config: str) -> list[str]:
    """List the names with a `Host` entry in an ssh configuration."""
    lines = [line.split() for line in ssh_config.splitlines()]
    return [name for words in lines if words[:1] == ["Host"] for name in words[1:] if "*" not in name]


def _vagrant() -> str:
    """Return the ssh configuration of this checkout's running Vagrant machines, "" if there are none."""
    made = sorted(path.parents[1].name for path in CHECKOUT.glob(".vagrant/machines/*/*/id"))
    asked = [
        subprocess.run(["vagrant", "ssh-config", name], cwd=CHECKOUT, capture_output=True, text=True) for name in made
    ]
    return "".join(each.stdout for each in asked if each.returncode == 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run commands as root, and those that need other programs."""
    for item in items:
        if "machine" in getattr(item, "fixturenames", ()):
            item.add_marker("root")
        if {"docker", "newer_host"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("peer")


@pytest.fixture(autouse=True)
def requirements(request, machine):
    for mark, (holds, reason) in REQUIREMENTS.items():
        if request.node.get_closest_marker(mark) and not holds(machine):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def _machines():
    """The machines by testinfra's ID, each with a store for the tests, which is removed at the end."""
    machines: dict[str, Machine] = {}
    yield machines
    for machine in machines.values():
        machine.run(machine.program, "network", "rm", "bridge")
        machine.run("rm", "-rf", "--one-file-system", machine.store)


@pytest.fixture(scope="session")
def _forwarding():
    """Turn the host's forwarding on, so that mydocker does not do and report it for each of many networks. That is
    tested by kernel/test_forwarding.py, in namespaces. Of several runs at the same time, the last one restores the
    value that the first one has read."""
    path = Path("/proc/sys/net/ipv4/ip_forward")
    network = os.stat("/proc/self/ns/net").st_ino  # of which the value is
    with open(f"/run/mydocker-test.ip_forward.{network}", "a+") as before:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(before, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before.truncate(0)
            before.write(path.read_text())
            before.flush()
        fcntl.flock(before, fcntl.LOCK_SH)
        path.write_text("1")
        yield
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(before, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before.seek(0)
            path.write_text(before.read())


def _set_up(machine: Machine) -> None:
    """Make everything that is made once and stays: the image, directories, locks, the default network."""
    for _ in range(2):
        machine.run(machine.program, "create", "--name", "first", "busybox")
    machine.run(machine.program, "rm", "first")
    for kind in ("volume", "network"):
        machine.run(machine.program, kind, "create", "first")
        machine.run(machine.program, kind, "rm", "first")
    machine.run(machine.program, "run", "--rm", "busybox", "true")
    mounts = "--mount=type=cache,target=/c --mount=type=secret,id=s"
    steps = f"FROM busybox\nRUN {mounts} true\n".encode()
    built = machine.run(machine.program, "build", "-q", "--network=none", "--secret", "id=s,env=PATH", "-", input=steps)
    machine.run(machine.program, "rmi", "-f", built.stdout.strip())
    machine.run(machine.program, "builder", "prune", "-a", "-f")
    machine.run("mkdir", "-p", "-m", "700", f"{machine.store}/lib/build/steps")  # where a build of a step failed
    # The monitor still removes the container's files: a snapshot must come after that.
    containers = f"{machine.store}/lib/containers"
    until(lambda: not machine.run("ls", "-A", containers).stdout, "a store without containers")


@pytest.fixture(scope="module")
def machine(request, host, _machines) -> Machine:
    key = host.backend.get_pytest_id()
    if key not in _machines:
        new = _machines[key] = Machine(host)
        if new.run("id", "-u").stdout.strip() != "0":
            pytest.skip("needs root on the machine under test")
        if new.local:
            request.getfixturevalue("_forwarding")
            # Two runs that begin at once would both call their default network's bridge mydocker0.
            with open("/run/mydocker-test.set-up", "w") as alone:
                fcntl.flock(alone, fcntl.LOCK_EX)
                _set_up(new)
        else:
            _set_up(new)
    return _machines[key]


@pytest.fixture(autouse=True)
def no_hang():
    """Fail a test that takes two minutes."""

    def stop(*_: object) -> None:
        raise AssertionError("not done after two minutes")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _longer_lived(item: pytest.Item) -> tuple[object, ...]:
    """Return the fixtures of a test that stay for the next one: their effects are in its first snapshot."""
    definitions = item._fixtureinfo.name2fixturedefs
    names = sorted(name for name, fixtures in definitions.items() if fixtures[-1].scope != "function")
    params = getattr(getattr(item, "callspec", None), "params", {})
    return (item.path, *((name, repr(params.get(name))) for name in names))


@pytest.fixture(autouse=True)
def nothing_left(request, machine, requirements):
    """Check that the test has left nothing on the machine."""
    if request.node.get_closest_marker("reboot"):
        yield  # only files stay, and the test itself looks after them
        return
    places = _longer_lived(request.node)
    before = machine.clean if machine.clean and machine.clean_with == places else machine.snapshot()
    yield
    changes = machine.changes_since(before)
    machine.clean_with = places
    if changes:
        Mydocker(machine).remove_all()  # so that the next test starts clean
    assert not changes, "\n".join(changes)


@pytest.fixture
def mydocker(machine, nothing_left):
    """Runs `mydocker …`. Named and detached containers are removed at the end; the test must remove all others."""
    typed = Mydocker(machine)
    yield typed
    typed.clean_up()


@pytest.fixture
def keeps_containers(mydocker):
    """Remove all containers at the end, for a test whose foreground containers stay, as they do without --rm."""
    yield
    mydocker.remove_all()


@pytest.fixture(scope="session")
def _docker():
    with docker_host() as docker:
        yield docker


@pytest.fixture
def docker(request, machine):
    """docker, on a separate host, for tests on this machine, if its daemon is installed."""
    reason = missing() if machine.local else "docker runs only on the tests' own machine"
    if reason:
        pytest.skip(reason)
    docker = request.getfixturevalue("_docker")
    yield docker
    docker.clear()


@pytest.fixture(scope="session", params=newer.SUITES)
def newer_host(request):
    """A host with the newest docker, podman, skopeo, buildah and umoci of one of Debian's suites. dockerd runs."""
    reason = newer.missing(request.param)
    if reason:
        pytest.skip(reason)
    temporary = tempfile.TemporaryDirectory(prefix="mydocker-test.newer.", dir="/var/tmp")
    with temporary as directory, newer.host(Path(directory), request.param) as host:
        yield host


@pytest.fixture
def name() -> str:
    """A container name that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def directory(machine):
    """A directory on the machine, outside the store."""
    path = machine.directory()
    yield path
    machine.run("rm", "-rf", "--one-file-system", path)


@pytest.fixture
def make(mydocker, name):
    """make(entries, changes) makes an image of busybox and these entries, and returns its name. The image is removed at
    the end."""
    image = f"img{name}"

    def made(entries, changes=()) -> str:
        words = [word for change in changes for word in ("--change", change)]
        mydocker.ok("import", *words, "-", image, input=busybox(*entries))
        return image

    yield made
    mydocker("rmi", image)
