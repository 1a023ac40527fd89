"""The device filter of cgroup v2 in the running kernel: a child in a new cgroup opens and makes devices."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile

import pytest

from mydocker.kernel import device_filter
from mydocker.kernel.mounts import unescape

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make cgroups and load programs"),
]

DENY_ALL = {"allow": False, "access": "rwm"}
NULL = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
ZERO = {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"}


@pytest.fixture(autouse=True)
def nothing_left():
    """Replace the fixture in conftest.py, which checks containers: these tests start none."""


def cgroup2_mount() -> str | None:
    with open("/proc/self/mountinfo") as table:
        for line in table:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 ") and "rw" in before.split()[5].split(","):
                return unescape(before.split()[4])
    return None


@pytest.fixture
def cgroup():
    """A new cgroup in the v2 hierarchy, if there is one and the kernel has CONFIG_CGROUP_BPF."""
    mount = cgroup2_mount()
    if mount is None:
        pytest.skip("needs a writable cgroup2 mount")
    path = tempfile.mkdtemp(prefix="mydocker-test-", dir=mount)
    yield path
    for directory, _, _ in os.walk(path, topdown=False):
        os.rmdir(directory)


def attach(path: str, devices: list[dict]) -> None:
    try:
        device_filter.attach(path, device_filter.compile(devices))
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOSYS):
            pytest.skip(f"needs a kernel with CONFIG_CGROUP_BPF: {problem}")
        raise


def in_cgroup(path: str, function):
    """Call the function in a child that has joined the cgroup. Returns its result (JSON)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with open(f"{path}/cgroup.procs", "w") as procs:
                procs.write("0")
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def tried(function, *arguments) -> str:
    try:
        result = function(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    if isinstance(result, int):
        os.close(result)
    return "ok"


def opened(path: str, flags: int = os.O_RDONLY) -> str:
    return tried(os.open, path, flags | os.O_CLOEXEC)


def made(major: int, minor: int, kind: int = stat.S_IFCHR) -> str:
    with tempfile.TemporaryDirectory() as directory:
        return tried(os.mknod, f"{directory}/device", 0o600 | kind, os.makedev(major, minor))


def test_without_a_filter(cgroup):
    assert (
        in_cgroup(cgroup, lambda: [opened("/dev/null", os.O_RDWR), opened("/dev/zero"), opened("/dev/kmsg")])
        == ["ok"] * 3
    )


def test_only_what_is_allowed(cgroup):
    attach(cgroup, [DENY_ALL, NULL, ZERO])

    def attempts():
        return [
            opened("/dev/null", os.O_RDWR),
            opened("/dev/zero"),
            opened("/dev/zero", os.O_WRONLY),
            opened("/dev/zero", os.O_RDWR),
            opened("/dev/kmsg"),
            opened("/dev/random"),
            opened("/etc/passwd"),
            made(1, 3),
            made(1, 5),
            made(1, 3, stat.S_IFBLK),
        ]

    allowed = ["ok", "ok", "EPERM", "EPERM", "EPERM", "EPERM", "ok", "ok", "EPERM", "EPERM"]
    assert in_cgroup(cgroup, attempts) == allowed
    assert opened("/dev/kmsg") == "ok"  # not in that cgroup


def test_all_devices_may_be_made_and_few_opened(cgroup):
    """docker's default."""
    make_any = {"allow": True, "access": "m"}
    attach(cgroup, [DENY_ALL, {**make_any, "type": "c"}, {**make_any, "type": "b"}, NULL])
    results = in_cgroup(
        cgroup, lambda: [made(10, 200), made(8, 0, stat.S_IFBLK), opened("/dev/kmsg"), opened("/dev/null")]
    )
    assert results == ["ok", "ok", "EPERM", "ok"]


def test_all_but_one(cgroup):
    attach(cgroup, [{"allow": True}, {**NULL, "allow": False, "access": "w"}])
    results = in_cgroup(cgroup, lambda: [opened("/dev/null"), opened("/dev/null", os.O_WRONLY), opened("/dev/kmsg")])
    assert results == ["ok", "EPERM", "ok"]


@pytest.mark.parametrize("devices", [[], [DENY_ALL]], ids=["no entry", "deny all"])
def test_nothing(cgroup, devices):
    attach(cgroup, devices)
    assert in_cgroup(cgroup, lambda: [opened("/dev/null"), made(1, 3)]) == ["EPERM", "EPERM"]


def test_a_cgroup_inside_can_only_deny_more(cgroup):
    inner = f"{cgroup}/inner"
    os.mkdir(inner)
    attach(cgroup, [DENY_ALL, NULL, ZERO])
    attach(inner, [{"allow": True}, {**ZERO, "allow": False}])
    results = in_cgroup(inner, lambda: [opened("/dev/null"), opened("/dev/zero"), opened("/dev/kmsg")])
    assert results == ["ok", "EPERM", "EPERM"]


def test_the_kernels_verifier_accepts_a_long_list(cgroup):
    """Test 256 devices, several times as many as a host has."""
    attach(cgroup, [DENY_ALL, *({**NULL, "minor": minor} for minor in range(256) if minor != 11)])
    assert in_cgroup(cgroup, lambda: [opened("/dev/null"), opened("/dev/zero"), opened("/dev/kmsg")]) == [
        "ok",
        "ok",
        "EPERM",
    ]


def test_no_descriptor_is_left_open(cgroup):
    before = os.listdir("/proc/self/fd")
    attach(cgroup, [DENY_ALL])
    with pytest.raises(NotADirectoryError):
        device_filter.attach("/dev/null", device_filter.compile([]))
    assert os.listdir("/proc/self/fd") == before
