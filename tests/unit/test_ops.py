"""ops/: each op is data that a record gives back, and says in words and in shell what it does."""

from __future__ import annotations

import os
import shlex
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext
from mydocker.kernel import cgroups, mounts
from mydocker.kernel.mounts import FLAGS
from mydocker.ops.base import Context, Op, quote, revive
from mydocker.ops.cgroup import (
    AllowDevices,
    EnableControllers,
    FillCpuset,
    FilterDevices,
    JoinCgroups,
    MakeCgroups,
    WriteCgroup,
)
from mydocker.ops.erofs import CheckMounted, MountIndex, ShareIndexes
from mydocker.ops.namespaces import (
    AwaitMonitor,
    JoinNamespaces,
    JoinNetwork,
    LinkUp,
    SetDomainname,
    SetHostname,
    ShowNamespace,
    TellMonitor,
    Unshare,
    WriteSysctl,
)
from mydocker.ops.process import (
    ChangeDirectory,
    CloseDescriptors,
    DieWithMonitor,
    DropBounding,
    LoadSeccomp,
    NewKeyring,
    NewSession,
    NoNewPrivileges,
    OpenTerminal,
    OwnStreams,
    ResetSignals,
    SetCapabilities,
    SetLimit,
    SetOomScore,
    SetUmask,
    SwitchUser,
)
from mydocker.ops.resources import ChangeLimits, ShareRealtime, WriteEither
from mydocker.ops.rootfs import (
    FillVolume,
    MakeDevice,
    MakeDirectory,
    MakeLink,
    MarkRoot,
    MaskPath,
    Mount,
    NoteMade,
    PivotRoot,
    ReadOnlyPath,
    RemountReadOnly,
    RootReadOnly,
    SetPropagation,
)
from mydocker.ops.sharing import AttachSharedMemory, EnterProcesses, JoinIpc, LeaveProcesses
from mydocker.ops.volumes import BindVolume, MountTmpfsVolume

ODD = '/a b/it\'s "$HOME" * é'  # a path that tells whether it was quoted
RULES = ["c 1:3 rwm", "b *:* m"]

# One of each class, with a path that needs quotes wherever it takes one.
SAMPLES = [
    MakeCgroups([ODD, "/sys/fs/cgroup/memory/x"]),
    EnableControllers([ODD, "/y"], ["cpu", "memory"]),
    FillCpuset(ODD),
    WriteCgroup(ODD, "50000 100000"),
    AllowDevices(ODD, RULES),
    FilterDevices(ODD, [{"allow": False, "access": "rwm"}]),
    JoinCgroups([f"{ODD}/tasks", "/y/tasks"]),
    Unshare(["cgroup"]),
    JoinNamespaces(5, ["mount", "network"]),
    JoinNetwork(ODD, 20),
    ShowNamespace("web", 7),
    AwaitMonitor(3, "N", "the links are there"),
    TellMonitor(3, "U"),
    SetHostname("web"),
    SetDomainname("nis"),
    LinkUp("lo"),
    WriteSysctl("net.ipv4.ping_group_range", "0 1"),
    SetPropagation("/data", "private", ODD),
    Mount("/srv", ODD, flags=FLAGS["bind"], root="/r"),
    RemountReadOnly("/r", ODD),
    RootReadOnly(ODD),
    FillVolume("/r", ODD, "/volume"),
    MountIndex(ODD, [ODD, "/data"], "/r"),
    ShareIndexes([[ODD, ODD, [ODD, "/data"]]], ODD),
    CheckMounted([ODD]),
    MakeDevice("/r", ODD, "c", 1, 3, 0o666),
    MakeLink("/r", "pts/ptmx", ODD),
    MarkRoot(ODD),
    MakeDirectory("/r", ODD),
    NoteMade(ODD, ODD),
    PivotRoot(ODD),
    MaskPath("/r", ODD),
    ReadOnlyPath("/r", ODD),
    NewSession(),
    OpenTerminal("/r", 24, 80, console=True),
    SetLimit("RLIMIT_NOFILE", 7, 1024, -1),
    SetOomScore(-5),
    NoNewPrivileges(),
    LoadSeccomp("docker's default profile", "06" + "00" * 7),
    DropBounding(0xA80425FB),
    SwitchUser(5, 6, [7, 8]),
    SetUmask(0o27),
    WriteEither([ODD, "/b"], ["300", "2930"]),
    ShareRealtime([ODD, "/b"], 5000, 100_000),
    ChangeLimits([[ODD, "5"], ["/b", "50000 100000"]]),
    EnterProcesses(7),
    LeaveProcesses(),
    JoinIpc(7, 5),
    AttachSharedMemory(ODD, "/dev/shm", 5),
    BindVolume(ODD, "/volumes/v/_data", "v", readonly=True),
    MountTmpfsVolume(ODD, "/volumes/v/_data", "v", FLAGS["nodev"], "size=1m"),
    SetCapabilities(1, 3, 0, 0),
    NewKeyring(),
    ResetSignals(),
    OwnStreams(5),
    DieWithMonitor(),
    CloseDescriptors(5),
    ChangeDirectory(ODD),
]
EACH = pytest.mark.parametrize("op", SAMPLES, ids=lambda op: type(op).__name__)


def test_there_is_a_sample_of_each():
    known = {cls for cls in Op.__subclasses__() if cls.__module__.startswith("mydocker.ops.")}
    assert {type(op) for op in SAMPLES} == known


@EACH
def test_a_record_gives_it_back(op):
    fields = jsontext.loads(jsontext.dumps(op.arguments()))
    assert revive(type(op).__name__, fields) == op


def test_what_is_no_op_is_not_revived():
    for name in ("Op", "NoSuchOp"):
        with pytest.raises(KeyError):
            revive(name, {})
    with pytest.raises(TypeError):
        revive("SetHostname", {"no": "such field"})


@EACH
def test_it_is_under_a_heading_and_has_a_description(op):
    assert op.section in (
        "cgroup",
        "namespaces",
        "network",
        "root",
        "mounts",
        "devices",
        "security",
        "process",
        "limits",
    )
    assert op.describe().split(" ") == op.describe().split() != []


@EACH
def test_its_shell_equivalent_is_quoted(op):
    words = shlex.split(op.shell(), comments=True)
    assert words or op.shell().startswith("# ")
    values = [each for value in op.arguments().values() for each in (value if isinstance(value, list) else [value])]
    for odd in [value for value in values if ODD in str(value)]:
        assert any(odd in word for word in words)


class TestQuote:
    @given(st.text())
    def test_a_shell_reads_the_word_back(self, word):
        assert shlex.split(quote(word)) == [word]

    @pytest.mark.parametrize("word", ["/usr/bin/env", "a=b", "x@y:z", "50%", "--name=a,b+c_d-e.f"])
    def test_what_needs_none_gets_none(self, word):
        assert quote(word) == word

    @pytest.mark.parametrize("word", ["", "~", "*", "a b", "$x", "a;b", "a\nb", "it's", "é", "!x"])
    def test_what_needs_them_gets_them(self, word):
        assert quote(word) != word


class TestMount:
    @pytest.mark.parametrize(
        ("op", "shell", "description"),
        [
            (
                Mount("/srv/a b", "/data", flags=FLAGS["bind"] | FLAGS["rec"], root="/r"),
                "mount --rbind '/srv/a b' /r/data",
                "bind /srv/a b on /data",
            ),
            (
                Mount("tmpfs", "/run", "tmpfs", FLAGS["nosuid"] | FLAGS["ro"], "size=1m", "/r"),
                "mount -t tmpfs -o ro,nosuid,size=1m tmpfs /r/run",
                "mount tmpfs on /run",
            ),
            (Mount("proc", "/proc", "proc", root="/r"), "mount -t proc proc /r/proc", "mount proc on /proc"),
            (
                Mount("overlay", "/r", "overlay", 0, "lowerdir=/b:/a"),
                "mount -t overlay -o lowerdir=/b:/a overlay /r",
                "mount overlay as the container's root",
            ),
            (
                Mount("/r", "/r", flags=FLAGS["bind"]),
                "mount --bind /r /r",
                "mount the copy as the container's root",
            ),
        ],
    )
    def test_in_shell_and_in_words(self, op, shell, description):
        assert (op.shell(), op.describe()) == (shell, description)


@pytest.mark.parametrize(
    ("op", "shell"),
    [
        (EnableControllers(["/a", "/a/b c"], ["cpu", "io"]), "echo '+cpu +io' > /a/cgroup.subtree_control; "
         "echo '+cpu +io' > '/a/b c'/cgroup.subtree_control"),
        (WriteCgroup("/c/cpu.max", "50000 100000"), "echo '50000 100000' > /c/cpu.max"),
        (JoinCgroups(["/a/tasks", "/b/tasks"]), "echo 0 | tee /a/tasks /b/tasks"),
        (JoinNamespaces(5, ["network", "pid"]), "nsenter --target PID --net --pid"),
        (Unshare(["network", "cgroup"]), "unshare --net --cgroup"),
        (SetPropagation("/", "slave"), "mount --make-rslave /"),
        (RemountReadOnly("/r", "/"), "mount -o remount,bind,ro /r"),
        (MakeDevice("/r", "/dev/null", "c", 1, 3, 0o666), "mknod -m 0666 /r/dev/null c 1 3"),
        (MakeDevice("/r", "/p", "p", 0, 0, 0o600, 0, 7), "mknod -m 0600 /r/p p && chown 0:7 /r/p"),
        (SetLimit("RLIMIT_NOFILE", 7, 1024, -1), "prlimit --pid $$ --nofile=1024:unlimited"),
        (DropBounding(0x23), "setpriv --bounding-set -all,+chown,+dac_override,+kill"),
        (DropBounding(0), "setpriv --bounding-set -all"),
        (SetCapabilities(1, 3, 0, 0), "capsh --caps='cap_chown+e cap_chown,cap_dac_override+p'"),
        (SetCapabilities(1, 1, 1, 1), "capsh --caps=cap_chown+epi --addamb=cap_chown"),
        (SetCapabilities(0, 0, 0, 0), "capsh --caps=="),
        (SetUmask(0o27), "umask 0027"),
        (
            WriteEither(["/c/a", "/c/b"], ["300", "2930"]),
            "if [ -e /c/a ]; then echo 300 > /c/a; else echo 2930 > /c/b; fi",
        ),
        (SwitchUser(5, 6, []), "setpriv --reuid 5 --regid 6 --clear-groups"),
        (SwitchUser(5, 6, [7, 8]), "setpriv --reuid 5 --regid 6 --groups 7,8"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Op) else "",
)  # fmt: skip
def test_in_shell(op, shell):
    assert op.shell() == shell


def test_a_filter_counts_its_instructions():
    assert "3 BPF instructions" in LoadSeccomp("", "00" * 8 * 3).describe()


def test_capabilities_have_names():
    assert DropBounding(0xA80425FB).describe() == (
        "limit the capabilities to CHOWN, DAC_OVERRIDE, FOWNER, FSETID and 10 more"
    )
    assert SetCapabilities(0, 3, 0, 0).describe() == "keep no capabilities"
    assert SetCapabilities(3, 3, 0, 0).describe() == "keep the capabilities CHOWN, DAC_OVERRIDE"


def test_devices_are_told_from_no_restriction():
    assert AllowDevices("/c", ["a"]).describe() != AllowDevices("/c", RULES).describe()


class TestDo:
    """The calls of ops that make a single call to the kernel."""

    @pytest.fixture
    def written(self, monkeypatch):
        found = []
        monkeypatch.setattr(cgroups, "write", lambda path, value: found.append((path, value)))
        return found

    def test_devices_are_all_denied_first(self, written):
        AllowDevices("/c", RULES).do(Context())
        assert written == [("/c/devices.deny", "a"), *(("/c/devices.allow", rule) for rule in RULES)]

    def test_a_cpuset_is_filled_from_above_and_what_is_set_stays(self, written, monkeypatch):
        known = {"/t/cpuset.cpus": "0-3", "/t/cpuset.mems": "0", "/t/m/cpuset.cpus": "1"}
        monkeypatch.setattr(cgroups, "read", lambda path: {**known, **dict(written)}.get(path, ""))
        FillCpuset("/t/m/c").do(Context())
        assert written == [("/t/m/c/cpuset.cpus", "1"), ("/t/m/cpuset.mems", "0"), ("/t/m/c/cpuset.mems", "0")]

    def test_all_levels_of_a_cpuset_are_filled(self, written, monkeypatch):
        known = {"/t/cpuset.cpus": "0-3", "/t/cpuset.mems": "0"}
        monkeypatch.setattr(cgroups, "read", lambda path: {**known, **dict(written)}.get(path, ""))
        FillCpuset("/t/m.slice/containers/c").do(Context())
        directories = ["/t/m.slice", "/t/m.slice/containers", "/t/m.slice/containers/c"]
        assert written == [
            (f"{directory}/{name}", known[f"/t/{name}"])
            for name in ("cpuset.cpus", "cpuset.mems")
            for directory in directories
        ]

    def test_controllers_are_passed_on_from_the_top(self, written):
        EnableControllers(["/t", "/t/m"], ["cpu", "io"]).do(Context())
        assert written == [("/t/cgroup.subtree_control", "+cpu +io"), ("/t/m/cgroup.subtree_control", "+cpu +io")]

    def test_a_sysctl_is_a_file(self, written):
        WriteSysctl("net.ipv4.ip_forward", "1").do(Context())
        assert written == [("/proc/sys/net/ipv4/ip_forward", "1")]

    def test_cgroups_are_made_and_removed(self, monkeypatch):
        calls = []
        monkeypatch.setattr(cgroups, "make", lambda path: calls.append(("make", path)))
        monkeypatch.setattr(cgroups, "remove", lambda path: calls.append(("remove", path)))
        op = MakeCgroups(["/a", "/b"])
        op.do(Context())
        op.undo()
        assert calls == [("make", "/a"), ("make", "/b"), ("remove", "/a"), ("remove", "/b")]

    def test_another_device_of_that_name_is_an_error(self, monkeypatch):
        def refuse(*_, dir_fd):
            raise FileExistsError(17, "File exists")

        monkeypatch.setattr(mounts, "open_point", lambda *_: os.open("/dev", os.O_PATH))
        monkeypatch.setattr(os, "mknod", refuse)
        MakeDevice("/r", "/dev/null", "c", 1, 3, 0o666).do(Context())
        for other in (("c", 1, 5), ("b", 1, 3)):
            with pytest.raises(FileExistsError):
                MakeDevice("/r", "/dev/null", *other, 0o666).do(Context())

    def test_a_node_that_came_with_a_volume_stays_as_it_is(self, monkeypatch, tmp_path):
        """With a FIFO, which needs no rights and is no device."""
        monkeypatch.setattr(mounts, "open_point", lambda *_: os.open(tmp_path, os.O_PATH))
        op = MakeDevice("/r", "/dev/initctl", "p", 0, 0, 0o600, os.getuid(), os.getgid())
        op.do(Context())
        made = os.stat(tmp_path / "initctl")
        assert stat.S_ISFIFO(made.st_mode)
        os.chmod(tmp_path / "initctl", 0o640)
        op.do(Context())
        assert stat.S_IMODE(os.stat(tmp_path / "initctl").st_mode) == 0o640
        (tmp_path / "initctl").unlink()
        (tmp_path / "initctl").touch()
        with pytest.raises(FileExistsError):
            op.do(Context())

    def test_a_working_directory_outside_the_root_is_refused(self, monkeypatch):
        monkeypatch.setattr(os, "chdir", lambda path: None)
        for here in (FileNotFoundError, "(unreachable)/home"):  # glibc's answer, and the system call's
            monkeypatch.setattr(os, "getcwd", lambda here=here: _answer(here))
            with pytest.raises(OSError, match="outside the container's root"):
                ChangeDirectory("/proc/self/fd/9").do(Context())
        monkeypatch.setattr(os, "getcwd", lambda: "/w")
        ChangeDirectory("/w").do(Context())


def _answer(value):
    if isinstance(value, str):
        return value
    raise value
