"""runtime/cgroup.py: what is written where, on each kind of host that there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import HostError
from mydocker.kernel.cgroups import Layout
from mydocker.ops.cgroup import (
    AllowDevices,
    EnableControllers,
    FillCpuset,
    FilterDevices,
    JoinCgroups,
    MakeCgroups,
    WriteCgroup,
)
from mydocker.ops.namespaces import Unshare
from mydocker.ops.resources import ShareRealtime, WriteEither
from mydocker.runtime import cgroup, limits

TOP = "/sys/fs/cgroup"
PATH = "/mydocker/abc"
NAMES = ["cpu", "cpuset", "devices", "memory", "pids"]

SEPARATE = Layout(1, {name: f"{TOP}/{name}" for name in NAMES}, NAMES)
COMOUNTED = Layout(
    1,
    {
        **SEPARATE.mounts,
        "cpu": f"{TOP}/cpu,cpuacct",
        "cpuacct": f"{TOP}/cpu,cpuacct",
        "name=systemd": f"{TOP}/systemd",
    },
    [*NAMES, "cpuacct"],
)
HYBRID = Layout(1, {**COMOUNTED.mounts, "unified": f"{TOP}/unified"}, COMOUNTED.controllers)
V2 = Layout(2, {"unified": TOP}, ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"])
BARE_V2 = Layout(2, {"unified": TOP}, [])

EVERYTHING = {
    "cpu": {"cpus": "0-1", "mems": "0", "shares": 512, "quota": 50000, "period": 100000},
    "memory": {"limit": 100 << 20, "reservation": 50 << 20, "swap": 150 << 20},
    "pids": {"limit": 20},
}


def host(resources, layout=V2):
    return cgroup.plan(PATH, resources, layout)[0]


def written(resources, layout=V2):
    """{file: value} of the limits, in their order."""
    return {op.path: op.value for op in host(resources, layout) if isinstance(op, WriteCgroup)}


def on_v2(**resources):
    return {path.rpartition("/")[2]: value for path, value in written(resources).items()}


class TestV1:
    def test_every_limit(self):
        assert host(EVERYTHING, SEPARATE) == [
            MakeCgroups([f"{TOP}/{name}{PATH}" for name in NAMES]),
            FillCpuset(f"{TOP}/cpuset{PATH}"),
            WriteCgroup(f"{TOP}/cpuset{PATH}/cpuset.cpus", "0-1"),
            WriteCgroup(f"{TOP}/cpuset{PATH}/cpuset.mems", "0"),
            WriteCgroup(f"{TOP}/cpu{PATH}/cpu.shares", "512"),
            WriteCgroup(f"{TOP}/cpu{PATH}/cpu.cfs_period_us", "100000"),
            WriteCgroup(f"{TOP}/cpu{PATH}/cpu.cfs_quota_us", "50000"),
            WriteCgroup(f"{TOP}/memory{PATH}/memory.limit_in_bytes", "104857600"),
            WriteCgroup(f"{TOP}/memory{PATH}/memory.soft_limit_in_bytes", "52428800"),
            # The kernel wants this one never below the limit on memory: so it comes after it.
            WriteCgroup(f"{TOP}/memory{PATH}/memory.memsw.limit_in_bytes", "157286400"),
            WriteCgroup(f"{TOP}/pids{PATH}/pids.max", "20"),
        ]

    def test_without_limits_the_cgroup_is_only_made_ready(self):
        assert host({}, SEPARATE) == [
            MakeCgroups([f"{TOP}/{name}{PATH}" for name in NAMES]),
            FillCpuset(f"{TOP}/cpuset{PATH}"),
        ]

    def test_a_shared_hierarchy_is_made_and_joined_once(self):
        steps, join = cgroup.plan(PATH, {"cpu": {"shares": 512}}, COMOUNTED)
        directories = [
            f"{TOP}/{name}{PATH}" for name in ("cpu,cpuacct", "cpuset", "devices", "memory", "pids", "systemd")
        ]
        assert steps[0] == MakeCgroups(directories)
        assert steps[-1] == WriteCgroup(f"{TOP}/cpu,cpuacct{PATH}/cpu.shares", "512")
        assert join == [JoinCgroups([f"{directory}/tasks" for directory in directories]), Unshare(["cgroup"])]

    def test_on_a_hybrid_host_the_v2_directory_is_made_but_not_joined(self):
        steps, join = cgroup.plan(PATH, {}, HYBRID)
        assert f"{TOP}/unified{PATH}" in steps[0].paths
        assert [file for file in join[0].files if "unified" in file] == []
        assert cgroup.clone_cgroup(PATH, HYBRID) == f"{TOP}/unified{PATH}"

    def test_without_a_v2_hierarchy_there_is_no_birthplace(self):
        assert cgroup.clone_cgroup(PATH, COMOUNTED) == ""

    def test_no_limit_is_minus_one(self):
        made = written({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}}, SEPARATE)
        assert list(made.values()) == ["-1", "-1", "max"]

    def test_devices_come_as_rules(self):
        devices = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3}]
        assert host({"devices": devices}, SEPARATE)[-1] == AllowDevices(f"{TOP}/devices{PATH}", ["c 1:3 rwm"])

    @pytest.mark.parametrize(
        ("missing", "resources"),
        [
            ("cpu", {"cpu": {"shares": 2}}),
            ("cpuset", {"cpu": {"cpus": "0"}}),
            ("memory", {"memory": {"limit": 1 << 30}}),
            ("pids", {"pids": {"limit": 1}}),
            ("devices", {"devices": [{"allow": False}]}),
        ],
    )
    def test_a_limit_without_its_controller_is_refused(self, missing, resources):
        rest = {name: point for name, point in SEPARATE.mounts.items() if name != missing}
        with pytest.raises(HostError, match=f"'{missing}'"):
            host(resources, Layout(1, rest, list(rest)))


class TestSwapOnV1:
    WITHOUT = Layout(1, SEPARATE.mounts, NAMES, swap=False)

    def test_a_limit_that_the_kernel_does_not_count_is_an_error(self):
        with pytest.raises(HostError, match="does not support swap limits"):
            host({"memory": {"limit": 10, "swap": 15}}, self.WITHOUT)

    def test_memory_alone_needs_no_counting(self):
        made = written({"memory": {"limit": 10}}, self.WITHOUT)
        assert made == {f"{TOP}/memory{PATH}/memory.limit_in_bytes": "10"}


class TestV2:
    def test_every_limit(self):
        assert host(EVERYTHING) == [
            MakeCgroups([f"{TOP}{PATH}"]),
            EnableControllers([TOP, f"{TOP}/mydocker"], ["cpu", "cpuset", "io", "memory", "pids"]),
            WriteCgroup(f"{TOP}{PATH}/cpuset.cpus", "0-1"),
            WriteCgroup(f"{TOP}{PATH}/cpuset.mems", "0"),
            WriteCgroup(f"{TOP}{PATH}/cpu.weight", "59"),
            WriteCgroup(f"{TOP}{PATH}/cpu.max", "50000 100000"),
            WriteCgroup(f"{TOP}{PATH}/memory.max", "104857600"),
            WriteCgroup(f"{TOP}{PATH}/memory.low", "52428800"),
            WriteCgroup(f"{TOP}{PATH}/memory.swap.max", "52428800"),
            WriteCgroup(f"{TOP}{PATH}/pids.max", "20"),
        ]

    def test_every_level_of_a_slice_passes_the_controllers_on(self):
        """Where the lowest does, systemd can't turn them off in its own slice."""
        (step,) = [op for op in cgroup.plan("/a.slice/containers/c", {}, V2)[0] if isinstance(op, EnableControllers)]
        assert step.directories == [TOP, f"{TOP}/a.slice", f"{TOP}/a.slice/containers"]

    def test_the_container_is_born_there_and_only_hides_the_rest(self):
        assert cgroup.clone_cgroup(PATH, V2) == f"{TOP}{PATH}"
        assert cgroup.plan(PATH, {}, V2)[1] == [Unshare(["cgroup"])]

    def test_devices_are_filtered_as_the_spec_has_them(self):
        devices = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3}]
        assert host({"devices": devices})[-1] == FilterDevices(f"{TOP}{PATH}", devices)

    @pytest.mark.parametrize(
        ("memory", "swap"),
        [
            ({"limit": 100, "swap": 150}, "50"),
            ({"limit": 100, "swap": 100}, "0"),
            ({"limit": 100, "swap": -1}, "max"),
            ({"limit": 100}, None),
        ],
    )
    def test_swap_is_counted_without_the_memory(self, memory, swap):
        assert on_v2(memory=memory).get("memory.swap.max") == swap

    @pytest.mark.parametrize("memory", [{"limit": 200}, {"limit": -1}, {}])
    def test_a_limit_of_both_below_that_of_memory_is_refused(self, memory):
        with pytest.raises(HostError, match="less than that of memory"):
            on_v2(memory={**memory, "swap": 100})

    @given(st.integers(1000, 1_000_000), st.integers(1000, 1_000_000) | st.none())
    def test_cpu_max_is_two_numbers(self, quota, period):
        made = on_v2(cpu={"quota": quota, **({"period": period} if period else {})})
        assert made == {"cpu.max": f"{quota} {period or 100000}"}

    def test_no_limit_on_processes_is_max(self):
        assert on_v2(pids={"limit": -1}) == {"pids.max": "max"}

    @pytest.mark.parametrize(
        ("resources", "expected"),
        [
            ({"memory": {"limit": -1}}, {"memory.max": "max"}),
            ({"cpu": {"quota": -1, "period": 50000}}, {"cpu.max": "max 50000"}),
            ({"cpu": {"period": 50000}}, {"cpu.max": "max 50000"}),
        ],
    )
    def test_no_limit_is_max(self, resources, expected):
        assert on_v2(**resources) == expected

    def test_a_host_that_offers_no_controller_still_runs_what_has_no_limits(self):
        devices = [{"allow": False}]
        assert host({"devices": devices}, BARE_V2) == [
            MakeCgroups([f"{TOP}{PATH}"]),
            FilterDevices(f"{TOP}{PATH}", devices),
        ]

    @pytest.mark.parametrize(
        ("missing", "resources"),
        [
            ("cpu", {"cpu": {"quota": 1000}}),
            ("cpuset", {"cpu": {"mems": "0"}}),
            ("memory", {"memory": {"limit": 1 << 30}}),
            ("pids", {"pids": {"limit": -1}}),
        ],
    )
    def test_a_limit_without_its_controller_is_refused(self, missing, resources):
        offered = [name for name in V2.controllers if name != missing]
        with pytest.raises(HostError, match=f"'{missing}'"):
            host(resources, Layout(2, V2.mounts, offered))


def test_a_host_without_cgroups_is_an_error_that_says_what_to_do():
    with pytest.raises(HostError, match="no cgroup file system") as caught:
        host({}, Layout(0, {}, []))
    assert "mount -t cgroup2" in caught.value.hint


class TestWeight:
    @pytest.mark.parametrize(
        ("shares", "weight"),
        [(0, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (262143, 10000), (262144, 10000)],
    )
    def test_known_values(self, shares, weight):
        """Of docker 28.5 with runc 1.3: 512, 1024 and 2048."""
        assert limits.weight(shares) == weight

    @given(st.integers(0, 1 << 63), st.integers(0, 1 << 63))
    def test_the_kernel_takes_it_and_more_is_never_less(self, one, other):
        low, high = sorted((one, other))
        assert 1 <= limits.weight(low) <= limits.weight(high) <= 10000


class TestDeviceRules:
    @pytest.mark.parametrize(
        ("device", "rule"),
        [
            ({"type": "c", "major": 1, "minor": 3, "access": "rwm"}, "c 1:3 rwm"),
            ({"type": "b", "major": 8, "minor": 0, "access": "r"}, "b 8:0 r"),
            ({"type": "c", "major": 136, "access": "rw"}, "c 136:* rw"),
            ({"type": "c", "access": "m"}, "c *:* m"),
            ({"type": "c", "major": 0, "minor": 0}, "c 0:0 rwm"),
            ({"type": "c", "major": None, "minor": None}, "c *:* rwm"),
            ({"type": "c", "major": 136, "minor": -1}, "c 136:* rwm"),
        ],
    )
    def test_one(self, device, rule):
        assert limits.device_rules([{"allow": False}, {"allow": True, **device}]) == [rule]

    @pytest.mark.parametrize("everything", [{"allow": True}, {"allow": True, "type": "a", "access": "rwm"}])
    def test_everything_is_one_word(self, everything):
        null = {"allow": True, "type": "c", "major": 1, "minor": 3}
        assert limits.device_rules([null, everything, null]) == ["a"]

    KMSG = {"allow": False, "type": "c", "major": 1, "minor": 11}

    @pytest.mark.parametrize(
        "devices", [[KMSG], [{"allow": False}, KMSG], [{"allow": True}, KMSG], [{"allow": True}, {"allow": False}]]
    )
    def test_only_a_list_that_begins_by_denying_all_can_be_said(self, devices):
        with pytest.raises(HostError, match="deny after"):
            limits.device_rules(devices)


BLOCK_IO = {
    "weight": 300,
    "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
}
RARE = {
    "cpu": {"realtimePeriod": 100_000, "realtimeRuntime": 5_000, "quota": -1},
    "memory": {"swappiness": 0, "disableOOMKiller": True},
}


class TestRareLimits:
    def test_of_block_io_on_v1(self):
        disks = Layout(1, {**SEPARATE.mounts, "blkio": f"{TOP}/blkio"}, [*NAMES, "blkio"])
        at = f"{TOP}/blkio{PATH}"
        assert host({"blockIO": BLOCK_IO}, disks)[2:] == [
            WriteCgroup(f"{at}/blkio.throttle.read_bps_device", "8:0 1024"),
            WriteCgroup(f"{at}/blkio.throttle.write_iops_device", "8:16 0"),
            WriteEither([f"{at}/blkio.weight", f"{at}/blkio.bfq.weight"], ["300", "300"]),
            WriteEither([f"{at}/blkio.weight_device", f"{at}/blkio.bfq.weight_device"], ["8:0 10", "8:0 10"]),
        ]

    def test_of_block_io_on_v2(self):
        at = f"{TOP}{PATH}"
        assert host({"blockIO": BLOCK_IO})[2:] == [
            WriteCgroup(f"{at}/io.max", "8:0 rbps=1024"),
            WriteCgroup(f"{at}/io.max", "8:16 wiops=max"),
            WriteEither([f"{at}/io.bfq.weight", f"{at}/io.weight"], ["300", "2930"]),
            WriteEither([f"{at}/io.bfq.weight", f"{at}/io.bfq.weight"], ["8:0 10", "8:0 10"]),
        ]

    @pytest.mark.parametrize(("weight", "converted"), [(10, "1"), (100, "910"), (1000, "10000")])
    def test_a_weight_is_converted_as_runc_does(self, weight, converted):
        [(_, (file, value))] = limits.weights({"blockIO": {"weight": weight}}, 2)
        assert (file, value) == ("io.weight", converted)

    def test_of_v1(self):
        at = {file.rpartition("/")[2]: value for file, value in written(RARE, SEPARATE).items()}
        assert at == {
            "cpu.cfs_quota_us": "-1",
            "memory.swappiness": "0",
            "memory.oom_control": "1",
            "cpu.rt_period_us": "100000",
            "cpu.rt_runtime_us": "5000",
        }
        [share] = [op for op in host(RARE, SEPARATE) if isinstance(op, ShareRealtime)]
        assert share == ShareRealtime([f"{TOP}/cpu/mydocker"], 5_000, 100_000)

    @pytest.mark.parametrize(
        "resources", [{key: {name: value}} for key, of in RARE.items() for name, value in of.items()]
    )
    def test_v2_does_not_have_those(self, resources):
        if "quota" in resources.get("cpu", {}):
            assert on_v2(**resources) == {"cpu.max": "max 100000"}
            return
        with pytest.raises(HostError, match="only cgroup v1 has this"):
            host(resources)

    @pytest.mark.parametrize("layout", [SEPARATE, BARE_V2])
    def test_a_host_without_the_controller(self, layout):
        with pytest.raises(HostError, match="needs the cgroup controller"):
            host({"blockIO": {"weight": 300}}, layout)


def test_real_time_is_passed_on_level_by_level(tmp_path):
    """A cgroup above has what those in it have together; a second start of the same adds nothing."""

    def level(path, runtime):
        path.mkdir(parents=True, exist_ok=True)
        (path / "cpu.rt_runtime_us").write_text(str(runtime))
        (path / "cpu.rt_period_us").write_text("1000000")

    for path, runtime in (("a", 70_000), ("a/other", 70_000), ("a/b", 0), ("a/b/one", 10_000), ("a/b/new", 0)):
        level(tmp_path / path, runtime)
    share = ShareRealtime([str(tmp_path / "a"), str(tmp_path / "a/b")], 5_000, 100_000)
    for _ in range(2):
        share.do(None)
        assert [(tmp_path / path / "cpu.rt_runtime_us").read_text() for path in ("a", "a/b")] == ["130000", "60000"]
