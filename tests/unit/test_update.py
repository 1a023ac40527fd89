"""engine/update.py: which limits change, which contradict what is set already, and what is written where."""

from __future__ import annotations

import pytest

from mydocker.engine import update
from mydocker.errors import Conflict, HostError, InvalidArgument
from mydocker.kernel.cgroups import Layout
from mydocker.model.host import HostFacts
from mydocker.model.oci import spec
from mydocker.model.options import changes as parsed
from mydocker.model.options import request
from mydocker.ops.resources import ChangeLimits

MIB = 1 << 20
HOST = HostFacts(cpus="0-3")
NO_SWAP = HostFacts(cpus="0-3", swap=False)
NAMES = ["cpu", "cpuset", "memory", "pids", "devices"]
V1 = Layout(1, {name: f"/c/{name}" for name in NAMES}, NAMES)
V2 = Layout(2, {"unified": "/c"}, NAMES)


def of(**fields):
    return request.CreateRequest([], **fields)


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"memory": "100m", "memory_swap": "-1"}, {"memory": 100 * MIB, "memory_swap": -1}),
        ({"memory": "0", "cpus": "0", "cpu_quota": "0", "blkio_weight": "0"}, {}),  # as with docker: left alone
        ({"pids_limit": "0"}, {"pids_limit": 0}),
        ({"pids_limit": "-1"}, {"pids_limit": 0}),
        ({"cpu_quota": "-1"}, {"cpu_quota": -1}),
        ({"cpus": "0.5", "cpuset_cpus": "0", "cpu_shares": "300"},
         {"nano_cpus": 500_000_000, "cpuset_cpus": "0", "cpu_shares": 300}),
        ({"memory_reservation": "400m", "blkio_weight": "300"}, {"memory_reservation": 400 * MIB, "blkio_weight": 300}),
    ],
)  # fmt: skip
def test_what_changes(given, changes):
    assert parsed.parse(given, HOST) == changes


@pytest.mark.parametrize(
    "given", [{"memory": "5m"}, {"cpus": "9"}, {"cpus": "1", "cpu_quota": "5000"}, {"memory_reservation": "1m"}]
)
def test_what_cannot_be_meant(given):
    with pytest.raises(InvalidArgument):
        parsed.parse(given, HOST)


@pytest.mark.parametrize(
    ("old", "changes", "host", "memory", "total"),
    [
        # docker keeps the limit of both, which is twice that of memory unless it was given.
        (of(memory=100 * MIB), {"memory": 150 * MIB}, HOST, 150, 200),
        (of(memory=100 * MIB), {"memory": 50 * MIB}, HOST, 50, 200),
        (of(memory=100 * MIB, memory_swap=-1), {"memory": 900 * MIB}, HOST, 900, -1),
        (of(), {"memory": 50 * MIB, "memory_swap": 60 * MIB}, HOST, 50, 60),
        (of(), {"memory": 50 * MIB}, NO_SWAP, 50, 0),
    ],
)
def test_memory_and_swap(old, changes, host, memory, total):
    new = update.merged(old, changes, host)
    assert (new.memory, new.memory_swap) == (memory * MIB, total * MIB if total > 0 else total)


@pytest.mark.parametrize(
    ("old", "changes", "error"),
    [
        (of(), {"memory": 50 * MIB}, Conflict),
        (of(memory=100 * MIB), {"memory": 250 * MIB}, Conflict),
        (of(memory=100 * MIB), {"memory_swap": 50 * MIB}, InvalidArgument),
        (of(), {"memory_swap": 50 * MIB}, InvalidArgument),
        (of(nano_cpus=10**9), {"cpu_quota": 5000}, Conflict),
        (of(nano_cpus=10**9), {"cpu_period": 5000}, Conflict),
        (of(cpu_quota=5000), {"nano_cpus": 10**9}, Conflict),
        (of(cpu_period=5000), {"nano_cpus": 10**9}, Conflict),
    ],
)
def test_what_contradicts(old, changes, error):
    with pytest.raises(error) as caught:
        update.merged(old, changes, HOST)
    assert caught.value.hint or error is Conflict


def test_swap_that_the_kernel_does_not_count():
    with pytest.raises(HostError):
        update.merged(of(memory=100 * MIB), {"memory_swap": 150 * MIB}, NO_SWAP)


@pytest.mark.parametrize(
    ("layout", "old", "new", "rows"),
    [
        (V1, of(), of(pids_limit=5), [("pids", "pids.max", "5")]),
        (V1, of(pids_limit=5), of(), [("pids", "pids.max", "max")]),
        (V1, of(pids_limit=5), of(pids_limit=5), []),
        (V1, of(memory=100 * MIB), of(memory=50 * MIB, memory_swap=200 * MIB),
         [("memory", "memory.limit_in_bytes", str(50 * MIB))]),
        # v2 counts swap alone.
        (V2, of(memory=100 * MIB), of(memory=50 * MIB, memory_swap=200 * MIB),
         [("memory", "memory.max", str(50 * MIB)), ("memory", "memory.swap.max", str(150 * MIB))]),
        (V2, of(nano_cpus=10**9), of(nano_cpus=5 * 10**8), [("cpu", "cpu.max", "50000 100000")]),
    ],
)  # fmt: skip
def test_only_what_changes_is_written(layout, old, new, rows):
    before, after = (spec.resources(each, HOST, []) for each in (old, new))
    assert update.changed_rows(before, after, layout) == rows


def test_what_is_refused_at_first_is_tried_again_and_undone(tmp_path, monkeypatch):
    """Memory with swap has to be raised before memory, and lowered after it."""
    for name, value in (("limit", "10"), ("memsw", "20"), ("shares", "1")):
        (tmp_path / name).write_text(value)

    def write(path, value):
        limit, both = (int(value if path == str(tmp_path / name) else (tmp_path / name).read_text()) for name in names)
        if limit > both:
            raise OSError(22, "Invalid argument")
        with open(path, "w") as file:
            file.write(value)

    def values():
        return [(tmp_path / name).read_text() for name in ("limit", "memsw", "shares")]

    names = ("limit", "memsw")
    monkeypatch.setattr("mydocker.kernel.cgroups.write", write)
    change = ChangeLimits([[str(tmp_path / name), value] for name, value in (("limit", "30"), ("memsw", "40"))])
    change.do(None)
    assert values() == ["30", "40", "1"]
    change.undo()
    assert values() == ["10", "20", "1"]
    change = ChangeLimits([[str(tmp_path / "shares"), "9"], [str(tmp_path / "memsw"), "5"]])
    with pytest.raises(OSError, match="Invalid argument"):
        change.do(None)
    change.undo()
    assert values() == ["10", "20", "1"]
