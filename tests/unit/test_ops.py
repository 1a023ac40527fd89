"""ops.py: each op is data that a record gives back, and says in a phrase and in shell what it does."""

from __future__ import annotations

import os
import shlex
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext, ops
from mydocker.kernel.mounts import FLAGS

ODD = '/a b/it\'s "$HOME" * é'  # a path that tells whether it was quoted
RULES = ["c 1:3 rwm", "b *:* m"]

# One of each class, with a path that needs quotes wherever it takes one.
SAMPLES = [
    ops.MakeCgroups([ODD, "/sys/fs/cgroup/memory/x"]),
    ops.EnableControllers([ODD, "/y"], ["cpu", "memory"]),
    ops.FillCpuset(ODD),
    ops.WriteCgroup(ODD, "50000 100000"),
    ops.AllowDevices(ODD, RULES),
    ops.FilterDevices(ODD, [{"allow": False, "access": "rwm"}]),
    ops.JoinCgroups([f"{ODD}/tasks", "/y/tasks"]),
    ops.Unshare(["cgroup"]),
    ops.JoinNamespaces(5, ["mount", "network"]),
    ops.JoinNetwork(ODD, 20),
    ops.ShowNamespace("web", 7),
    ops.AwaitMonitor(3),
    ops.TellMonitor(3),
    ops.SetHostname("web"),
    ops.SetDomainname("nis"),
    ops.LinkUp("lo"),
    ops.WriteSysctl("net.ipv4.ping_group_range", "0 1"),
    ops.SetPropagation("/data", "private", ODD),
    ops.Mount("/srv", ODD, flags=FLAGS["bind"], root="/r"),
    ops.RemountReadOnly("/r", ODD),
    ops.RootReadOnly(ODD),
    ops.FillVolume("/r", ODD, "/volume"),
    ops.MakeDevice("/r", ODD, "c", 1, 3, 0o666),
    ops.MakeLink("/r", "pts/ptmx", ODD),
    ops.MarkRoot(ODD),
    ops.MakeDirectory("/r", ODD),
    ops.PivotRoot(ODD),
    ops.MaskPath("/r", ODD),
    ops.ReadOnlyPath("/r", ODD),
    ops.NewSession(),
    ops.OpenTerminal("/r", 24, 80, console=True),
    ops.SetLimit("RLIMIT_NOFILE", 7, 1024, -1),
    ops.SetOomScore(-5),
    ops.NoNewPrivileges(),
    ops.LoadSeccomp("docker's default profile", "06" + "00" * 7),
    ops.DropBounding(0xA80425FB),
    ops.SwitchUser(5, 6, [7, 8]),
    ops.SetCapabilities(1, 3, 0, 0),
    ops.NewKeyring(),
    ops.ResetSignals(),
    ops.OwnStreams(5),
    ops.DieWithMonitor(),
    ops.CloseDescriptors(5),
    ops.ChangeDirectory(ODD),
]
EACH = pytest.mark.parametrize("op", SAMPLES, ids=lambda op: type(op).__name__)


def test_there_is_a_sample_of_each():
    assert [type(op).__name__ for op in SAMPLES] == [
        name for name, cls in ops.classes().items() if cls.__module__ == ops.__name__
    ]


@EACH
def test_a_record_gives_it_back(op):
    fields = jsontext.loads(jsontext.dumps(op.arguments()))
    assert ops.revive(type(op).__name__, fields) == op


def test_what_is_no_op_is_not_revived():
    for name in ("Op", "NoSuchOp"):
        with pytest.raises(KeyError):
            ops.revive(name, {})
    with pytest.raises(TypeError):
        ops.revive("SetHostname", {"no": "such field"})


@EACH
def test_it_is_under_a_heading_and_has_a_phrase(op):
    assert op.topic in ("cgroup", "namespaces", "network", "root", "mounts", "devices", "security", "process", "limits")
    assert op.phrase().split(" ") == op.phrase().split() != []


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
        assert shlex.split(ops.quote(word)) == [word]

    @pytest.mark.parametrize("word", ["/usr/bin/env", "a=b", "x@y:z", "50%", "--name=a,b+c_d-e.f"])
    def test_what_needs_none_gets_none(self, word):
        assert ops.quote(word) == word

    @pytest.mark.parametrize("word", ["", "~", "*", "a b", "$x", "a;b", "a\nb", "it's", "é", "!x"])
    def test_what_needs_them_gets_them(self, word):
        assert ops.quote(word) != word


class TestMount:
    @pytest.mark.parametrize(
        ("op", "shell", "phrase"),
        [
            (
                ops.Mount("/srv/a b", "/data", flags=FLAGS["bind"] | FLAGS["rec"], root="/r"),
                "mount --rbind '/srv/a b' /r/data",
                "bind /srv/a b on /data",
            ),
            (
                ops.Mount("tmpfs", "/run", "tmpfs", FLAGS["nosuid"] | FLAGS["ro"], "size=1m", "/r"),
                "mount -t tmpfs -o ro,nosuid,size=1m tmpfs /r/run",
                "mount tmpfs on /run",
            ),
            (ops.Mount("proc", "/proc", "proc", root="/r"), "mount -t proc proc /r/proc", "mount proc on /proc"),
            (
                ops.Mount("overlay", "/r", "overlay", 0, "lowerdir=/b:/a"),
                "mount -t overlay -o lowerdir=/b:/a overlay /r",
                "mount overlay as the container's root",
            ),
            (
                ops.Mount("/r", "/r", flags=FLAGS["bind"]),
                "mount --bind /r /r",
                "mount the copy as the container's root",
            ),
        ],
    )
    def test_in_shell_and_in_words(self, op, shell, phrase):
        assert (op.shell(), op.phrase()) == (shell, phrase)


@pytest.mark.parametrize(
    ("op", "shell"),
    [
        (ops.EnableControllers(["/a", "/a/b c"], ["cpu", "io"]), "echo '+cpu +io' > /a/cgroup.subtree_control; "
         "echo '+cpu +io' > '/a/b c'/cgroup.subtree_control"),
        (ops.WriteCgroup("/c/cpu.max", "50000 100000"), "echo '50000 100000' > /c/cpu.max"),
        (ops.JoinCgroups(["/a/tasks", "/b/tasks"]), "echo 0 | tee /a/tasks /b/tasks"),
        (ops.JoinNamespaces(5, ["network", "pid"]), "nsenter --target PID --net --pid"),
        (ops.Unshare(["network", "cgroup"]), "unshare --net --cgroup"),
        (ops.SetPropagation("/", "slave"), "mount --make-rslave /"),
        (ops.RemountReadOnly("/r", "/"), "mount -o remount,bind,ro /r"),
        (ops.MakeDevice("/r", "/dev/null", "c", 1, 3, 0o666), "mknod -m 0666 /r/dev/null c 1 3"),
        (ops.MakeDevice("/r", "/p", "p", 0, 0, 0o600, 0, 7), "mknod -m 0600 /r/p p && chown 0:7 /r/p"),
        (ops.SetLimit("RLIMIT_NOFILE", 7, 1024, -1), "prlimit --pid $$ --nofile=1024:unlimited"),
        (ops.SwitchUser(5, 6, []), "setpriv --reuid 5 --regid 6 --clear-groups"),
        (ops.SwitchUser(5, 6, [7, 8]), "setpriv --reuid 5 --regid 6 --groups 7,8"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ops.Op) else "",
)  # fmt: skip
def test_in_shell(op, shell):
    assert op.shell() == shell


def test_a_filter_counts_its_instructions():
    assert "3 BPF instructions" in ops.LoadSeccomp("", "00" * 8 * 3).phrase()


def test_devices_are_told_from_no_restriction():
    assert ops.AllowDevices("/c", ["a"]).phrase() != ops.AllowDevices("/c", RULES).phrase()


class TestDo:
    """What an op asks of the kernel, where that is one call that can be looked at."""

    @pytest.fixture
    def written(self, monkeypatch):
        found = []
        monkeypatch.setattr(ops.cgroups, "write", lambda path, value: found.append((path, value)))
        return found

    def test_devices_are_all_denied_first(self, written):
        ops.AllowDevices("/c", RULES).do()
        assert written == [("/c/devices.deny", "a"), *(("/c/devices.allow", rule) for rule in RULES)]

    def test_a_cpuset_is_filled_from_above_and_what_is_set_stays(self, written, monkeypatch):
        known = {"/t/cpuset.cpus": "0-3", "/t/cpuset.mems": "0", "/t/m/cpuset.cpus": "1"}
        monkeypatch.setattr(ops.cgroups, "read", lambda path: {**known, **dict(written)}.get(path, ""))
        ops.FillCpuset("/t/m/c").do()
        assert written == [("/t/m/c/cpuset.cpus", "1"), ("/t/m/cpuset.mems", "0"), ("/t/m/c/cpuset.mems", "0")]

    def test_all_levels_of_a_cpuset_are_filled(self, written, monkeypatch):
        known = {"/t/cpuset.cpus": "0-3", "/t/cpuset.mems": "0"}
        monkeypatch.setattr(ops.cgroups, "read", lambda path: {**known, **dict(written)}.get(path, ""))
        ops.FillCpuset("/t/m.slice/containers/c").do()
        directories = ["/t/m.slice", "/t/m.slice/containers", "/t/m.slice/containers/c"]
        assert written == [
            (f"{directory}/{name}", known[f"/t/{name}"])
            for name in ("cpuset.cpus", "cpuset.mems")
            for directory in directories
        ]

    def test_controllers_are_passed_on_from_the_top(self, written):
        ops.EnableControllers(["/t", "/t/m"], ["cpu", "io"]).do()
        assert written == [("/t/cgroup.subtree_control", "+cpu +io"), ("/t/m/cgroup.subtree_control", "+cpu +io")]

    def test_a_sysctl_is_a_file(self, written):
        ops.WriteSysctl("net.ipv4.ip_forward", "1").do()
        assert written == [("/proc/sys/net/ipv4/ip_forward", "1")]

    def test_cgroups_are_made_and_removed(self, monkeypatch):
        calls = []
        monkeypatch.setattr(ops.cgroups, "make", lambda path: calls.append(("make", path)))
        monkeypatch.setattr(ops.cgroups, "remove", lambda path: calls.append(("remove", path)))
        op = ops.MakeCgroups(["/a", "/b"])
        op.do()
        op.undo()
        assert calls == [("make", "/a"), ("make", "/b"), ("remove", "/a"), ("remove", "/b")]

    def test_another_device_of_that_name_is_an_error(self, monkeypatch):
        def refuse(*_, dir_fd):
            raise FileExistsError(17, "File exists")

        monkeypatch.setattr(ops.mounts, "open_point", lambda *_: os.open("/dev", os.O_PATH))
        monkeypatch.setattr(ops.os, "mknod", refuse)
        ops.MakeDevice("/r", "/dev/null", "c", 1, 3, 0o666).do()
        for other in (("c", 1, 5), ("b", 1, 3)):
            with pytest.raises(FileExistsError):
                ops.MakeDevice("/r", "/dev/null", *other, 0o666).do()

    def test_a_node_that_came_with_a_volume_stays_as_it_is(self, monkeypatch, tmp_path):
        """With a FIFO, which needs no rights and is no device."""
        monkeypatch.setattr(ops.mounts, "open_point", lambda *_: os.open(tmp_path, os.O_PATH))
        op = ops.MakeDevice("/r", "/dev/initctl", "p", 0, 0, 0o600, os.getuid(), os.getgid())
        op.do()
        made = os.stat(tmp_path / "initctl")
        assert stat.S_ISFIFO(made.st_mode)
        os.chmod(tmp_path / "initctl", 0o640)
        op.do()
        assert stat.S_IMODE(os.stat(tmp_path / "initctl").st_mode) == 0o640
        (tmp_path / "initctl").unlink()
        (tmp_path / "initctl").touch()
        with pytest.raises(FileExistsError):
            op.do()

    def test_a_working_directory_outside_the_root_is_refused(self, monkeypatch):
        monkeypatch.setattr(ops.os, "chdir", lambda path: None)
        for here in (FileNotFoundError, "(unreachable)/home"):  # glibc's answer, and the system call's
            monkeypatch.setattr(ops.os, "getcwd", lambda here=here: _answer(here))
            with pytest.raises(OSError, match="outside of the container's root"):
                ops.ChangeDirectory("/proc/self/fd/9").do()
        monkeypatch.setattr(ops.os, "getcwd", lambda: "/w")
        ops.ChangeDirectory("/w").do()


def _answer(value):
    if isinstance(value, str):
        return value
    raise value
