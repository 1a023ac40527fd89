"""The cgroup hierarchies in a host's mount table, and operations on a cgroup's directory."""

from __future__ import annotations

import io
import os

import pytest

from mydocker.kernel import cgroups
from mydocker.kernel.cgroups import Layout

V1 = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 30 0:29 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd,release_agent=/lib/agent
35 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct
36 30 0:33 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory,clone_children
"""
UNIFIED = "31 30 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
V2 = "30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNTS = {
    "name=systemd": "/sys/fs/cgroup/systemd",
    "cpu": "/sys/fs/cgroup/cpu,cpuacct",
    "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
    "memory": "/sys/fs/cgroup/memory",
}


class TestLayout:
    @pytest.fixture
    def table(self, monkeypatch):
        """Set /proc/self/mountinfo, and the file whose existence means that swap is counted."""

        def set_table(text, counted=False):
            monkeypatch.setattr(cgroups, "open", lambda *_, **__: io.StringIO(text), raising=False)
            monkeypatch.setattr(
                cgroups.os.path, "exists", lambda path: counted and path.endswith("/memory/memory.memsw.limit_in_bytes")
            )
            monkeypatch.setattr(
                cgroups, "read", lambda path: {"cgroup.controllers": "cpuset cpu memory"}[path.rpartition("/")[2]]
            )

        return set_table

    @pytest.mark.parametrize("counted", [True, False])
    def test_v1(self, table, counted):
        table(V1, counted)
        assert cgroups._read_layout() == Layout(1, MOUNTS, ["cpu", "cpuacct", "memory"], counted)

    def test_a_hybrid_host_is_v1_with_a_unified_hierarchy_beside(self, table):
        table(V1 + UNIFIED)
        layout = cgroups._read_layout()
        assert (layout.version, layout.mounts) == (1, {**MOUNTS, "unified": "/sys/fs/cgroup/unified"})
        assert layout.controllers == ["cpu", "cpuacct", "memory"]

    def test_v2(self, table):
        table(V2)
        assert cgroups._read_layout() == Layout(2, {"unified": "/sys/fs/cgroup"}, ["cpuset", "cpu", "memory"])

    def test_systemds_own_hierarchy_does_not_make_a_host_v1(self, table):
        table(V2 + V1.splitlines()[2])
        assert cgroups._read_layout().version == 2

    def test_none(self, table):
        table(V1.splitlines()[0])
        assert cgroups._read_layout() == Layout(0, {}, [])

    def test_the_first_mount_of_a_hierarchy_counts_and_those_of_other_namespaces_do_not(self, table):
        row = V1.splitlines(keepends=True)[4]
        table(
            row.replace("0:33 / ", "0:33 /../.. ").replace("/memory rw", "/view rw") + row + row.replace("/sys", "/x")
        )
        assert cgroups._read_layout().mounts == {"memory": "/sys/fs/cgroup/memory"}

    def test_a_mount_point_with_a_blank(self, table):
        table(V2.replace("/sys/fs/cgroup", "/a\\040b"))
        assert cgroups._read_layout().mounts == {"unified": "/a b"}


class TestDirectories:
    """Plain directories stand for cgroups: the system calls are the same."""

    def test_make_also_makes_the_parent_and_can_be_repeated(self, tmp_path):
        path = f"{tmp_path}/mydocker/abc"
        cgroups.make(path)
        cgroups.make(path)
        assert os.path.isdir(path)

    def test_make_makes_all_levels_and_remove_only_the_lowest(self, tmp_path):
        """The slice above belongs to systemd, whose settings would be lost with it."""
        cgroups.make(f"{tmp_path}/mydocker.slice/containers/abc")
        cgroups.remove(f"{tmp_path}/mydocker.slice/containers/abc")
        assert [path.name for path in tmp_path.rglob("*")] == ["mydocker.slice"]

    def test_a_parent_that_vanishes_meanwhile_is_recreated(self, tmp_path, monkeypatch):
        real, calls = os.mkdir, []

        def mkdir(path, *rest):
            calls.append(path)
            if len(calls) == 3:  # the container's own directory, just after its parent was made
                os.rmdir(tmp_path / "mydocker")
            real(path, *rest)

        monkeypatch.setattr(cgroups.os, "mkdir", mkdir)
        cgroups.make(f"{tmp_path}/mydocker/abc")
        assert os.path.isdir(tmp_path / "mydocker" / "abc")
        assert len(calls) == 5

    def test_remove_also_removes_an_empty_parent(self, tmp_path):
        for name in ("a", "b"):
            cgroups.make(f"{tmp_path}/mydocker/{name}")
        cgroups.remove(f"{tmp_path}/mydocker/a")
        assert os.listdir(tmp_path / "mydocker") == ["b"]
        cgroups.remove(f"{tmp_path}/mydocker/b")
        cgroups.remove(f"{tmp_path}/mydocker/b")  # harmless
        assert os.listdir(tmp_path) == []

    def test_an_error_of_write_names_the_value_and_the_file(self, tmp_path):
        (tmp_path / "cpu.max").touch()
        cgroups.write(f"{tmp_path}/cpu.max", "50000 100000")
        assert cgroups.read(f"{tmp_path}/cpu.max") == "50000 100000"
        with pytest.raises(FileNotFoundError, match="No such file or directory for '5'") as caught:
            cgroups.write(f"{tmp_path}/none", "5")
        assert caught.value.filename == f"{tmp_path}/none"


class TestOomKills:
    def test_v2(self, tmp_path):
        (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
        assert cgroups.oom_kills(Layout(2, {"unified": str(tmp_path.parent)}, []), f"/{tmp_path.name}") == 2

    def test_v1(self, tmp_path):
        (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
        assert cgroups.oom_kills(Layout(1, {"memory": str(tmp_path.parent)}, []), f"/{tmp_path.name}") == 1

    @pytest.mark.parametrize("layout", [Layout(1, {}, []), Layout(1, {"memory": "/nowhere"}, []), Layout(0, {}, [])])
    def test_without_a_counter_there_are_no_kills(self, layout):
        assert cgroups.oom_kills(layout, "/x") == 0


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/sys/fs/cgroup/mydocker", True),
        ("/sys/fs/cgroup/mydocker.slice/containers", True),
        ("/sys/fs/cgroup/jobs.slice/containers", True),
        ("/sys/fs/cgroup/containers", False),
        ("/sys/fs/cgroup/jobs/containers", False),
        ("/sys/fs/cgroup/jobs.slice", False),
    ],
)
def test_a_parent_that_a_user_has_named_stays(path, is_own):
    assert cgroups.is_own_parent(path) is is_own
