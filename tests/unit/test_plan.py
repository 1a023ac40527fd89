"""runtime/{plan,rootfs,security}.py: from a bundle to the ops of a container's birth, in an order that is safe."""

from __future__ import annotations

import shlex

import pytest

from mydocker import jsontext
from mydocker.errors import HostError
from mydocker.kernel.cgroups import Layout
from mydocker.kernel.mounts import FLAGS
from mydocker.model.host import HostFacts
from mydocker.model.oci import capabilities, spec
from mydocker.model.oci.annotations import FILL
from mydocker.model.options import request
from mydocker.ops.base import CLONE, EXECUTE, revive
from mydocker.ops.cgroup import FilterDevices, JoinCgroups, MakeCgroups
from mydocker.ops.namespaces import AwaitMonitor, LinkUp, SetDomainname, SetHostname, Unshare, WriteSysctl
from mydocker.ops.process import (
    ChangeDirectory,
    DieWithMonitor,
    DropBounding,
    LoadSeccomp,
    OpenTerminal,
    OwnStreams,
    SetCapabilities,
    SetLimit,
    SetOomScore,
    SwitchUser,
)
from mydocker.ops.rootfs import (
    FillVolume,
    MakeDevice,
    MakeDirectory,
    MakeLink,
    MaskPath,
    Mount,
    PivotRoot,
    ReadOnlyPath,
    RemountReadOnly,
    RootReadOnly,
    SetPropagation,
)
from mydocker.runtime import plan, security

ID = "0123456789ab" + "c" * 52
DIR = f"/var/lib/mydocker/containers/{ID}"
ROOT = f"{DIR}/rootfs"
V2 = Layout(2, {"unified": "/sys/fs/cgroup"}, ["cpu", "cpuset", "io", "memory", "pids"])
V1 = Layout(
    1,
    {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "devices": "/sys/fs/cgroup/devices",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
        "unified": "/sys/fs/cgroup/unified",
    },
    ["cpu", "cpuacct", "devices", "memory"],
)
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 0, "gid": 7}
ROOT_USER = (0, 0, [])
BIND, RECURSIVE = FLAGS["bind"], FLAGS["bind"] | FLAGS["rec"]


def bundle(fill=(), volumes=None, nodes=(), driver="overlay", **params):
    """config.json as engine.create makes it of these params of `run`."""
    facts = HostFacts(cpus="0-3", hostname="vm", cwd="/here")
    asked = request.from_params({"image_and_command": ["busybox"], **params}, {}, facts, lambda path: path)
    wanted = request.complete(asked, "busybox:latest", ["echo", "it's me"], {})
    made = spec.build(wanted, ID, DIR, facts, volumes, nodes)
    made["annotations"].update({"io.mydocker.driver": driver, "io.mydocker.layers": "sha256:aa,sha256:bb"})
    made["annotations"][FILL] = jsontext.dumps(list(fill))
    return made


def planned(layout=V2, **params):
    return plan.plan(bundle(**params), DIR, layout, (24, 80))


def steps(layout=V2, **params):
    """All ops of the container's side."""
    made = planned(layout, **params)
    return [*made.container, *made.last(ROOT_USER)]


def kinds(found):
    return [type(op).__name__ for op in found]


def only(kind, found):
    return [op for op in found if isinstance(op, kind)]


def at(found, wanted):
    """Where an op, or the one op of a class, stands."""
    places = [number for number, op in enumerate(found) if op == wanted or type(op) is wanted]
    assert len(places) == 1, f"{wanted} stands {len(places)} times"
    return places[0]


def mounted(found, target):
    """Everything that is done at one mount point, in order."""
    return [op for op in found if getattr(op, "target", "") == target and not isinstance(op, MakeLink)]


class TestRoot:
    def test_the_host_is_cut_off_before_anything_is_mounted(self):
        found = steps()
        assert found[at(found, SetPropagation)] == SetPropagation("/", "private")
        first = next(number for number, op in enumerate(found) if isinstance(op, Mount))
        assert at(found, SetPropagation) < first
        assert (found[first].fstype, found[first].target) == ("overlay", ROOT)

    def test_everything_in_the_root_comes_after_it_is_mounted_and_before_the_pivot(self):
        found = steps(volume=["/srv:/data:ro"], tmpfs=["/run"], tty=True, workdir="/w")
        inside = [number for number, op in enumerate(found) if getattr(op, "root", "") == ROOT]
        mounting = next(number for number, op in enumerate(found) if getattr(op, "target", "") == ROOT)
        assert len(inside) > 40
        assert mounting < min(inside)
        assert max(inside) == at(found, PivotRoot)

    def test_a_read_only_root_is_sealed_last_of_all(self):
        found = steps(read_only=True, tty=True, workdir="/w")
        place = at(found, PivotRoot)
        assert found[place - 1 : place + 1] == [RootReadOnly(ROOT), PivotRoot(ROOT)]
        assert only(RootReadOnly, steps()) == []

    def test_the_copy_driver_binds_the_copy(self):
        found = steps(driver="copy")
        assert mounted(found, ROOT) == [Mount(ROOT, ROOT, flags=BIND)]

    def test_a_working_directory_is_made_and_entered(self):
        found = steps(workdir="/w")
        assert at(found, MakeDirectory(ROOT, "/w")) < at(found, PivotRoot) < at(found, ChangeDirectory("/w"))
        assert only(MakeDirectory, steps()) == []

    def test_the_terminal_is_opened_in_the_containers_own_devpts(self):
        found = steps(tty=True)
        opening = found[at(found, OpenTerminal)]
        assert opening == OpenTerminal(ROOT, 24, 80, console=True)
        points = [op.target for op in only(Mount, found[: found.index(opening)])]
        assert points.index("/dev") < points.index("/dev/pts")
        assert only(OpenTerminal, steps()) == []


class TestMounts:
    def test_proc_sys_and_dev_may_be_no_links_but_the_users_places_may(self):
        found = {op.target: op for op in only(Mount, steps(tmpfs=["/run"], volume=["/srv:/data"]))}
        strict = {target for target, op in found.items() if op.root and not op.follow}
        assert strict == {"/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue"}
        assert found["/run"].follow
        assert found["/data"].follow

    def test_a_bind_mount(self):
        found = mounted(steps(volume=["/srv:/data"]), "/data")
        assert found == [Mount("/srv", "/data", "", RECURSIVE, "", ROOT)]

    def test_a_read_only_bind_mount_is_so_before_it_is_there(self):
        """In one step: a second one could be led elsewhere by another container that has the directory around it."""
        found = mounted(steps(volume=["/srv:/data:ro"]), "/data")
        assert found == [Mount("/srv", "/data", "", RECURSIVE, "", ROOT, readonly=True)]

    def test_a_bind_mount_of_one_file_system_alone(self):
        found = mounted(steps(mount=["type=bind,src=/srv,dst=/data,bind-nonrecursive"]), "/data")
        assert found == [Mount("/srv", "/data", "", BIND, "", ROOT)]

    def test_a_tmpfs(self):
        flags = FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["noexec"]
        assert mounted(steps(tmpfs=["/run:size=1m,mode=700"]), "/run") == [
            Mount("tmpfs", "/run", "tmpfs", flags, "size=1m,mode=700", ROOT)
        ]

    def test_a_read_only_tmpfs_needs_no_second_step(self):
        (only_step,) = mounted(steps(tmpfs=["/run:ro,exec"]), "/run")
        assert only_step.flags == FLAGS["ro"] | FLAGS["nosuid"] | FLAGS["nodev"]

    def test_a_new_volume_is_filled_from_the_image_before_it_hides_that(self):
        found = mounted(steps(volume=["vol:/data"], volumes={"vol": "/volumes/vol/_data"}, fill=["/data"]), "/data")
        assert found == [
            FillVolume(ROOT, "/data", "/volumes/vol/_data"),
            Mount("/volumes/vol/_data", "/data", "", RECURSIVE, "", ROOT),
        ]

    def test_a_volume_that_stays_as_it_is(self):
        found = steps(volume=["vol:/data:nocopy"], volumes={"vol": "/volumes/vol/_data"})
        assert only(FillVolume, found) == []

    def test_the_higher_mount_point_comes_first(self):
        points = [op.target for op in only(Mount, steps(volume=["/a:/x/y/z", "/b:/x"], tmpfs=["/x/y"]))]
        assert [point for point in points if point.startswith("/x")] == ["/x", "/x/y", "/x/y/z"]

    @pytest.mark.parametrize("option", ["nosuid", "nodev", "noexec", "size=1m"])
    def test_what_a_bind_mount_can_not_have_is_refused(self, option):
        """mount(2) would ignore it beside MS_BIND."""
        made = bundle()
        made["mounts"].append({"destination": "/x", "type": "bind", "source": "/srv", "options": ["bind", option]})
        with pytest.raises(HostError, match="/x has unsupported options"):
            plan.plan(made, DIR, V2)


class TestPropagation:
    def test_only_a_volume_that_asks_for_it_is_a_slave(self):
        found = steps(volume=["/srv:/data:rslave", "/opt:/opt"])
        changes = only(SetPropagation, found)
        assert changes[0] == SetPropagation("/", "slave")
        assert {op.kind for op in changes[1:]} == {"private"}
        points = {op.target for op in only(Mount, found) if op.root}
        assert {op.target for op in changes[1:]} >= {"/opt", "/etc/hosts", "/proc", "/dev"}
        assert points - {op.target for op in changes[1:]} == {"/data"}

    def test_what_is_private_is_so_at_once(self):
        assert kinds(mounted(steps(volume=["/srv:/data:rslave", "/opt:/opt:ro"]), "/opt")) == [
            "Mount",
            "SetPropagation",
        ]


class TestCgroupMount:
    """/sys/fs/cgroup shows the container's own part."""

    SAFE = FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["noexec"]

    def test_v2(self):
        assert mounted(steps(), "/sys/fs/cgroup") == [
            Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", self.SAFE | FLAGS["ro"], "", ROOT, False)
        ]

    def test_v1_has_each_hierarchy_and_a_link_for_each_controller_that_shares_one(self):
        found = steps(V1)
        below = {op.target: op for op in only(Mount, found) if op.target.startswith("/sys/fs/cgroup")}
        assert {(target[15:], op.fstype, op.data) for target, op in below.items()} == {
            ("cpu,cpuacct", "cgroup", "cpu,cpuacct"),
            ("devices", "cgroup", "devices"),
            ("memory", "cgroup", "memory"),
            ("systemd", "cgroup", "name=systemd"),
            ("unified", "cgroup2", ""),
            ("", "tmpfs", "mode=755"),
        }
        links = [op for op in only(MakeLink, found) if op.path.startswith("/sys")]
        assert links == [
            MakeLink(ROOT, "cpu,cpuacct", "/sys/fs/cgroup/cpu"),
            MakeLink(ROOT, "cpu,cpuacct", "/sys/fs/cgroup/cpuacct"),
        ]

    def test_v1_is_closed_when_all_is_in_it(self):
        found = steps(V1)
        closing = at(found, RemountReadOnly(ROOT, "/sys/fs/cgroup"))
        inside = [n for n, op in enumerate(found) if getattr(op, "target", "").startswith("/sys/fs/cgroup/")]
        assert max(inside) < closing
        assert all(op.flags & FLAGS["ro"] for op in found if getattr(op, "target", "").startswith("/sys/fs/cgroup/"))

    @pytest.mark.parametrize("layout", [V1, V2], ids=["v1", "v2"])
    def test_a_privileged_container_may_write_to_it(self, layout):
        found = steps(layout, privileged=True)
        assert only(RemountReadOnly, found) == []
        assert not any(op.flags & FLAGS["ro"] for op in only(Mount, found))


class TestDevices:
    def test_dev_is_filled_as_soon_as_it_is_there(self):
        found = steps()
        place = at(found, next(op for op in found if getattr(op, "target", "") == "/dev"))
        nodes = only(MakeDevice, found)
        assert [(op.path, op.kind, op.major, op.minor, op.mode) for op in nodes] == [
            ("/dev/null", "c", 1, 3, 0o666),
            ("/dev/zero", "c", 1, 5, 0o666),
            ("/dev/full", "c", 1, 7, 0o666),
            ("/dev/random", "c", 1, 8, 0o666),
            ("/dev/urandom", "c", 1, 9, 0o666),
            ("/dev/tty", "c", 5, 0, 0o666),
        ]
        links = {op.path: op.target for op in only(MakeLink, found)}
        assert links == {
            "/dev/fd": "/proc/self/fd",
            "/dev/stdin": "/proc/self/fd/0",
            "/dev/stdout": "/proc/self/fd/1",
            "/dev/stderr": "/proc/self/fd/2",
            "/dev/core": "/proc/kcore",
            "/dev/ptmx": "pts/ptmx",
        }
        made = len(nodes) + len(links)
        assert set(kinds(found[place + 1 : place + 1 + made])) == {"MakeDevice", "MakeLink"}

    def test_a_device_that_was_asked_for(self):
        wanted = MakeDevice(ROOT, "/dev/fuse", "c", 10, 229, 0o600, 0, 7)
        assert only(MakeDevice, steps(nodes=[{**FUSE, "access": "rwm"}]))[-1] == wanted

    def test_one_of_the_usual_ones_is_made_once(self):
        null = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 0, "gid": 0}
        made = [op for op in only(MakeDevice, steps(nodes=[{**null, "access": "r"}])) if op.path == "/dev/null"]
        assert [op.mode for op in made] == [0o600]

    def test_it_may_be_used(self):
        (limit,) = only(FilterDevices, planned(nodes=[{**FUSE, "access": "rw"}]).host)
        assert limit.devices[0] == {"allow": False, "access": "rwm"}
        assert limit.devices[-1] == {"allow": True, "type": "c", "access": "rw", "major": 10, "minor": 229}

    def test_in_the_users_own_dev_nothing_is_made(self):
        found = steps(volume=["/dev:/dev"])
        assert only(MakeDevice, found) + only(MakeLink, found) == []


class TestHiding:
    def test_paths_are_hidden_when_proc_and_sys_are_there(self):
        found = steps()
        last_mount = max(number for number, op in enumerate(found) if isinstance(op, Mount))
        hidden = [n for n, op in enumerate(found) if isinstance(op, (MaskPath, ReadOnlyPath))]
        assert last_mount < min(hidden)
        assert max(hidden) < at(found, PivotRoot)
        assert {op.path for op in only(MaskPath, found)} >= {"/proc/kcore", "/proc/keys", "/sys/firmware"}
        assert {op.path for op in only(ReadOnlyPath, found)} >= {"/proc/sys", "/proc/sysrq-trigger"}

    def test_nothing_is_hidden_from_a_privileged_container(self):
        found = steps(privileged=True)
        assert only(MaskPath, found) + only(ReadOnlyPath, found) + only(LoadSeccomp, found) == []
        everything = capabilities.mask(capabilities.NAMES)
        assert only(DropBounding, found) == [DropBounding(everything)]
        assert only(SetCapabilities, found) == [SetCapabilities(everything, everything, 0, 0)]


class TestNamespaces:
    ALL = ["mount", "network", "uts", "pid", "ipc"]

    def test_the_clone_makes_all_but_cgroup_whose_root_is_where_its_maker_is(self):
        made = planned(V1)
        assert made.clone == self.ALL
        join, unshare = at(made.container, JoinCgroups), at(made.container, Unshare(["cgroup"]))
        mount = next(number for number, op in enumerate(made.container) if isinstance(op, Mount))
        assert join < unshare < mount

    @pytest.mark.parametrize(
        ("given", "kind", "missing"),
        [
            ({"network": ["host"]}, "network", LinkUp),
            ({"uts": "host"}, "uts", SetHostname),
            ({"pid": "host"}, "pid", None),
            ({"ipc": "host"}, "ipc", None),
        ],
    )
    def test_what_is_the_hosts_is_neither_made_nor_changed(self, given, kind, missing):
        made = planned(**given)
        assert made.clone == [name for name in self.ALL if name != kind]
        if missing:
            assert only(missing, made.container) == []
            assert len(only(missing, steps())) == 1

    def test_in_the_hosts_network_none_of_its_settings_is_touched(self):
        assert only(WriteSysctl, steps(network=["host"])) == []

    def test_names_and_settings_are_set_while_the_hosts_proc_is_there(self):
        found = steps(hostname="web", sysctl=["net.ipv4.ip_forward=1"])
        settings = [found.index(SetHostname("web")), found.index(WriteSysctl("net.ipv4.ip_forward", "1"))]
        settings += [found.index(op) for op in only(WriteSysctl, found)]
        assert max(settings) < at(found, SetPropagation)

    def test_a_nis_domain_in_a_bundle(self):
        made = plan.plan({**bundle(), "domainname": "nis"}, DIR, V2)
        assert only(SetDomainname, made.container) == [SetDomainname("nis")]


PROGRAM = bytes.fromhex("060000000000ff7f")  # allow all


class TestSecurity:
    BASIC = ["ChangeDirectory", "LoadSeccomp", "DropBounding", "SwitchUser", "SetCapabilities"]

    def last(self, identity=ROOT_USER, **params):
        made = bundle(**params)
        return security.plan(made, made["process"], identity, PROGRAM)

    def test_the_filter_is_loaded_while_the_process_still_may(self):
        assert kinds(self.last()) == self.BASIC

    def test_with_no_new_privileges_the_filter_comes_last_so_that_it_allows_what_is_needed_before(self):
        found = kinds(self.last(security_opt=["no-new-privileges"]))
        assert found == [*[name for name in self.BASIC if name != "LoadSeccomp"], "NoNewPrivileges", "LoadSeccomp"]

    def test_the_bounding_set_is_dropped_while_the_process_is_still_root(self):
        found = kinds(self.last((5, 6, [7]), user="5:6"))
        assert found.index("DropBounding") < found.index("SwitchUser") < found.index("SetCapabilities")

    def test_root_has_the_14_capabilities(self):
        mask = capabilities.mask(capabilities.names(capabilities.DEFAULT))
        found = self.last()
        assert found[-3:] == [
            DropBounding(mask),
            SwitchUser(0, 0, []),
            SetCapabilities(mask, mask, 0, 0),
        ]

    def test_another_user_has_none(self):
        found = self.last((5, 6, [7, 8]), user="5:6")
        assert found[-2:] == [SwitchUser(5, 6, [7, 8]), SetCapabilities(0, 0, 0, 0)]

    def test_unconfined(self):
        assert "LoadSeccomp" not in kinds(self.last(security_opt=["seccomp=unconfined"]))

    def test_the_default_filter_says_what_it_is(self):
        (load,) = only(LoadSeccomp, self.last())
        assert (load.about, bytes.fromhex(load.program)) == ("docker's default profile", PROGRAM)

    def test_a_filter_of_the_users_own_is_not_called_dockers(self):
        (load,) = only(LoadSeccomp, self.last(security_opt=['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']))
        assert load.about != "docker's default profile"


class TestLimits:
    def test_each_by_the_kernels_number(self):
        found = {op.name: op for op in only(SetLimit, steps(ulimit=["nofile=10:20", "core=-1"]))}
        assert len(found) == 16
        assert found["RLIMIT_NOFILE"] == SetLimit("RLIMIT_NOFILE", 7, 10, 20)
        assert found["RLIMIT_CORE"] == SetLimit("RLIMIT_CORE", 4, -1, -1)

    def test_they_are_set_while_the_process_still_may(self):
        found = steps(oom_score_adj="-5")
        places = [number for number, op in enumerate(found) if isinstance(op, (SetLimit, SetOomScore))]
        assert max(places) < at(found, DropBounding)
        assert only(SetOomScore, found) == [SetOomScore(-5)]

    def test_the_numbers_are_the_kernels(self):
        resource = pytest.importorskip("resource")
        known = {f"RLIMIT_{name}": number for number, name in enumerate(security.RLIMITS)}
        theirs = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
        assert {name: number for name, number in theirs.items() if name != "RLIMIT_OFILE"}.items() <= known.items()


class TestWhole:
    def test_nothing_of_the_callers_is_left_before_anything_else_happens(self):
        assert kinds(steps()[:3]) == ["CloseDescriptors", "NewSession", "ResetSignals"]

    def test_the_order_of_a_birth(self):
        wanted = ["SetHostname", "LinkUp", "SetPropagation", "OpenTerminal", "RootReadOnly", "PivotRoot", "OwnStreams"]
        wanted += ["ChangeDirectory", "LoadSeccomp", "DropBounding", "SwitchUser", "SetCapabilities", "DieWithMonitor"]
        found = kinds(steps(tty=True, read_only=True))
        assert sorted(wanted, key=found.index) == wanted

    def test_die_with_monitor_comes_last_because_a_change_of_user_clears_it(self):
        for params in ({}, {"security_opt": ["no-new-privileges"]}, {"user": "5"}):
            assert steps(**params)[-1] == DieWithMonitor()

    def test_the_streams_become_the_users(self):
        assert only(OwnStreams, planned(user="www").last((33, 33, []))) == [OwnStreams(33)]

    def test_the_program_waits_for_the_host_s_side(self):
        """iptables may take longer than all of the root; what fails there shall end the start, not the program."""
        made = planned()
        assert made.published
        assert isinstance(made.last((0, 0, []))[0], AwaitMonitor)

    @pytest.mark.parametrize(("layout", "clone_cgroup"), [(V1, "/sys/fs/cgroup/unified"), (V2, "/sys/fs/cgroup")])
    def test_where_it_is_born(self, layout, clone_cgroup):
        made = planned(layout)
        assert made.clone_cgroup == f"{clone_cgroup}/mydocker/{ID}"
        assert made.clone_cgroup in made.clone_shell()
        assert only(MakeCgroups, made.host)[0].paths.count(made.clone_cgroup) == 1

    def test_on_v1_alone_it_is_born_where_the_monitor_is(self):
        mounts = {name: point for name, point in V1.mounts.items() if name != "unified"}
        made = planned(Layout(1, mounts, V1.controllers))
        assert made.clone_cgroup == ""
        assert "born" not in made.clone_shell()

    def test_a_layer_list_goes_to_the_driver_bottom_first(self):
        (root,) = mounted(steps(), ROOT)
        assert root.data.startswith("lowerdir=")
        assert root.data.index("/bb") < root.data.index("/aa")  # overlay has the uppermost first


class TestOutline:
    """The steps as --dry-run shows them and the trace records them."""

    FULL = {
        "tty": True,
        "read_only": True,
        "volume": ["/srv/a b:/data:ro", "/opt:/it's:rslave"],
        "tmpfs": ["/run"],
        "memory": "100m",
        "sysctl": ["net.ipv4.ip_forward=1"],
        "workdir": "/w",
    }

    def rows(self, layout=V2, **params):
        return planned(layout, **params).outline()

    def test_host_then_clone_then_container_then_the_program(self):
        rows = self.rows()
        clone = [row["name"] for row in rows].index(CLONE)
        assert {row["side"] for row in rows[: clone + 1]} == {"host"}
        sides = [row["side"] for row in rows[clone + 1 :]]
        assert sides == sorted(sides, reverse=True)  # what the host still does, and then the container's own
        assert rows[clone + 1]["op"] == "ShowNamespace"
        assert rows[clone + 2]["side"] == "container"
        assert rows[-1]["name"] == EXECUTE
        assert [row["name"] for row in rows if row["op"] is None] == [CLONE, EXECUTE]

    def test_steps_are_numbered_as_faults_are(self):
        """But not what is done before the start, by the command line."""
        made = planned(V2)
        made.bridges = [LinkUp("br-lab")]
        rows = made.outline()
        assert (rows[0]["name"], rows[0]["number"]) == (LinkUp("br-lab").describe(), None)
        assert [row["number"] for row in rows[1:]] == list(range(1, len(rows)))

    def test_it_is_json_and_each_op_comes_back(self):
        rows = self.rows(V1, **self.FULL)
        assert jsontext.loads(jsontext.dumps(rows)) == rows
        for row in rows:
            if row["op"]:
                op = revive(row["op"], row["args"])
                assert (op.describe(), op.shell()) == (row["name"], row["shell"])

    def test_the_program_is_shown_as_a_shell_takes_it(self):
        assert shlex.split(self.rows()[-1]["shell"]) == ["exec", "echo", "it's me"]

    def test_the_clone_is_shown_with_the_names_that_unshare_knows(self):
        made = planned(ipc="host")
        assert made.clone_shell().split("  #")[0] == "unshare --mount --net --uts --pid --fork"

    @pytest.mark.parametrize("layout", [V1, V2], ids=["v1", "v2"])
    def test_no_two_steps_read_the_same(self, layout):
        names = [row["name"] for row in self.rows(layout, **self.FULL)]
        assert [name for name in names if names.count(name) > 1] == []

    @pytest.mark.parametrize("layout", [V1, V2], ids=["v1", "v2"])
    def test_every_step_is_one_line_that_a_shell_can_read(self, layout):
        for row in self.rows(layout, **self.FULL):
            assert len(row["name"].splitlines()) == 1, row
            assert len(row["shell"].splitlines()) == 1, row
            shlex.split(row["shell"], comments=True)
