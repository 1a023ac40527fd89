"""The look at what tests have left (snapshot.py) sees what is theirs, and nothing of others on the same machine."""

from __future__ import annotations

import contextlib
import copy
import os

import pytest
from lan import lan_device
from machine import SNAPSHOT, Mydocker

pytestmark = pytest.mark.local


@pytest.fixture(params=["/var/tmp", "/tmp"])
def other(machine, request):
    """mydocker with another store: one where the look expects some, and one that only its processes tell of."""
    theirs = copy.copy(machine)
    theirs.store = machine.run("mktemp", "-d", f"{request.param}/other-store.XXXXXX").stdout.strip()
    theirs.env = {"MYDOCKER_ROOT": f"{theirs.store}/lib", "MYDOCKER_RUN": f"{theirs.store}/run"}
    with contextlib.ExitStack() as stack:
        stack.callback(machine.run, "rm", "-rf", "--one-file-system", theirs.store)
        typed = Mydocker(theirs)
        stack.callback(typed, "network", "rm", "other")
        stack.callback(typed.clean_up)
        yield typed


def test_others_come_and_go(machine, other, name):
    before = machine.snapshot()
    other.ok("network", "create", "other")
    other.ok("run", "-d", "--name", name, "--net", "other", "-p", "80", "busybox", "sleep", "1000")
    assert machine.changes_since(before) == []
    beside = machine.snapshot()
    other.ok("rm", "-f", name)
    other.ok("network", "rm", "other")
    assert machine.changes_since(beside) == []


def test_their_processes_may_be_out_of_sight(machine, other, name):
    """As those of another namespace of processes, which has the same control groups."""
    container = other.detached("--name", name, "busybox", "sleep", "1000")
    assert container in machine.read(f"/proc/{other.pid(name)}/cgroup")
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "/usr/bin/python3", "-I", "-S", "-c", SNAPSHOT]
    result = machine.run(*apart, input=machine.store.encode())
    assert result.rc == 0, result.stderr
    assert container not in result.stdout


GROUP = "cgroup=$(dirname $(grep -rls . /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs | head -n 1))"


@pytest.mark.parametrize(
    ("kind", "make", "remove"),
    [
        ("stray cgroups", f"{GROUP}; mkdir -p $cgroup/mydocker/$id", f"{GROUP}; rmdir $cgroup/mydocker/$id"),
        ("stray links", "ip link add $veth type bridge", "ip link delete $veth"),
        (
            "stray links",
            "ip link add $link type bridge; ip link set $link alias 'mydocker: network gone '$short",
            "ip link delete $link",
        ),
        ("links", "ip link add $link type bridge", "ip link delete $link"),
        (
            "stray firewall",
            "iptables -A INPUT -m comment --comment 'mydocker: container gone '$short",
            "iptables -D INPUT -m comment --comment 'mydocker: container gone '$short",
        ),
    ],
    ids=["cgroup", "veth", "bridge", "lan", "rule"],
)
def test_rules_of_unknown_owners_are_left(machine, kind, make, remove):
    identity = os.urandom(32).hex()
    names = f"id={identity} short={identity[:12]} veth=veth{identity[:8]}0 link={lan_device(machine)}; "
    before = machine.snapshot()
    try:
        assert machine.shell(names + make).rc == 0
        changes = machine.changes_since(before, timeout=0)
    finally:
        assert machine.shell(names + remove).rc == 0
    # A second run may be at this very test.
    mine = [each for each in changes if identity[:8] in each or lan_device(machine) in each]
    assert {each.partition(": ")[0] for each in mine} == {f"new {kind}"}


def test_what_was_the_tests_own_may_not_go(machine, mydocker, name):
    mydocker.ok("network", "create", name)
    before = machine.snapshot()
    mydocker.ok("network", "rm", name)
    gone = {change.partition(": ")[0] for change in machine.changes_since(before, timeout=0)}
    assert {"gone links", "gone firewall"} <= gone
