"""engine/stats.py: docker's figures from the files of both versions of cgroups."""

from __future__ import annotations

import os

import pytest

from mydocker.cli import rows
from mydocker.engine import stats
from mydocker.kernel.cgroups import Layout
from mydocker.model.container import Container
from mydocker.model.options.units import binary_size

MIB = 1 << 20
V2 = {
    "cpu.stat": "usage_usec 5000\nuser_usec 4000\n",
    "memory.current": str(100 * MIB),
    "memory.max": str(400 * MIB),
    "memory.stat": f"anon 1\ninactive_file {20 * MIB}\nactive_file 7\n",
    "pids.current": "3",
    "io.stat": "8:0 rbytes=1000 wbytes=20 rios=1 wios=1\n8:16 rbytes=500 wbytes=2 rios=1",
}
V1 = {
    "cpuacct.usage": "5000000",
    "memory.usage_in_bytes": str(100 * MIB),
    "memory.limit_in_bytes": str(400 * MIB),
    "memory.stat": f"inactive_file 5\ntotal_inactive_file {20 * MIB}\n",
    "pids.current": "3",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 1000\n8:0 Write 20\n8:16 Read 500\n8:16 Write 2\nTotal 1522",
}


@pytest.fixture(params=[1, 2])
def host(request, tmp_path, monkeypatch):
    """host(name=text) changes files of the container's cgroup; the names are those of v2."""
    version = request.param
    mounts = (
        {"unified": str(tmp_path)}
        if version == 2
        else dict.fromkeys(("cpuacct", "memory", "pids", "blkio"), str(tmp_path))
    )
    monkeypatch.setattr(stats.cgroups, "layout", lambda: Layout(version, mounts, []))
    monkeypatch.setattr(stats, "load_spec", lambda _: {"linux": {"cgroupsPath": "/c"}})
    monkeypatch.setattr(stats.state, "is_running", lambda container: container.is_up())
    monkeypatch.setattr(stats, "_network", lambda _: (70, 7))
    clock = iter(range(0, 10**12, 10**7))  # each look is 10 ms after the one before
    monkeypatch.setattr(stats, "monotonic_ns", lambda: next(clock))
    (tmp_path / "c").mkdir()

    def change(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / "c" / name).write_text(text)

    change(**(V2 if version == 2 else V1))
    change.version = version
    return change


def container(status="running"):
    return Container("a" * 64, "web", "", "busybox", "", [], "overlay", [], status=status, pid=1)


def cpu(host, milliseconds):
    host(
        **{"cpu.stat": f"usage_usec {milliseconds * 1000}"}
        if host.version == 2
        else {"cpuacct.usage": f"{milliseconds}000000"}
    )


def test_every_figure(host):
    gauge = stats.Gauge(container())
    cpu(host, 10)  # 5 ms more, in 10 ms
    usage = gauge.measure(container())
    assert usage == stats.Usage(50.0, 80 * MIB, 400 * MIB, 70, 7, 1500, 22, 3)
    assert usage.memory_percent == 20.0
    cpu(host, 30)  # two CPUs
    assert gauge.measure(container()).cpu == 200.0


def test_no_limit_is_that_of_the_host(host):
    host(**{"memory.max": "max"} if host.version == 2 else {"memory.limit_in_bytes": "9223372036854771712"})
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert stats.Gauge(container()).measure(container()).limit == most


def test_a_container_that_does_not_run(host):
    assert stats.Gauge(container("exited")).measure(container("exited")) == stats.Usage()


def test_missing_controllers(host, tmp_path):
    gauge = stats.Gauge(container())
    for file in (tmp_path / "c").iterdir():
        file.unlink()
    usage = gauge.measure(container())
    assert (usage.cpu, usage.memory, usage.read, usage.pids) == (0.0, 0, 0, 0)


def test_a_row_is_dockers():
    row = rows.usage(container(), stats.Usage(12.341, 324 << 10, 100 << 20, 736, 1050, 10**7, 0, 1))
    assert row == {
        "Container": "a" * 12, "ID": "a" * 12, "Name": "web", "CPUPerc": "12.34%",
        "MemUsage": "324KiB / 100MiB", "MemPerc": "0.32%", "NetIO": "736B / 1.05kB", "BlockIO": "10MB / 0B",
        "PIDs": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (25276000000, "23.54GiB"), (1 << 20, "1MiB")]
)
def test_binary_size(count, text):
    assert binary_size(count) == text
