"""Containers can be stopped and removed on a full disk: that needs no space and no inodes.

Each disk is filled to its last byte or inode, and another process at once takes what a command frees.
"""

from __future__ import annotations

import contextlib
import json
import shlex

import pytest
from machine import Mydocker, until

pytestmark = pytest.mark.local

DISKS = {
    "ext4, bytes": "truncate -s 40m {0}.img && mkfs.ext4 -qm 0 {0}.img && mount -o loop {0}.img {0}",
    "ext4, inodes": "truncate -s 40m {0}.img && mkfs.ext4 -qm 0 -N 900 {0}.img && mount -o loop {0}.img {0}",
    "tmpfs, bytes": "mount -t tmpfs -o size=16m tmpfs {0}",
    "tmpfs, inodes": "mount -t tmpfs -o nr_inodes=900 tmpfs {0}",
}
GREEDY = {
    # A long file may need one more block for its tree of extents than the last free one: new files take that.
    "bytes": "cat /dev/zero >>greedy; while echo >greedy.$i; do i=$((i+1)); done",
    "inodes": "while true >greedy.$i; do i=$((i+1)); done",  # `:` would end the shell
}
# Where the kernel can't make that directory in an upper directory, it may mount overlay read-only instead.
NO_ROOM = ("No space left on device", "Read-only file system")
UNTIL_TOLD = "trap 'exit 7' TERM; trap 'exit 3' USR1; while :; do sleep 0.05; done"


class Disk:
    """A disk for MYDOCKER_ROOT."""

    def __init__(self, machine, mydocker: Mydocker, directory: str, kind: str) -> None:
        self.machine, self.typed, self.path, self.kind = machine, mydocker, f"{directory}/disk", kind
        self.env = {"MYDOCKER_ROOT": f"{self.path}/lib"}
        made = machine.shell(f"mkdir {self.path} && {DISKS[kind].format(self.path)}")
        if made.rc and "loop" in made.stderr:
            pytest.skip(f"no loop devices here: {made.stderr}")
        assert made.rc == 0, made.stderr

    def mydocker(self, *args: str, **options):
        return self.typed(*args, env=self.env, **options)

    def ok(self, *args: str) -> str:
        return self.typed.ok(*args, env=self.env)

    def detached(self, name: str, *options: str) -> None:
        self.ok("run", "-d", "--net", "none", "--name", name, *options, "busybox", "sh", "-c", UNTIL_TOLD)

    def state(self, name: str) -> dict:
        return json.loads(self.ok("inspect", name))[0]

    def refused(self, *args: str) -> str:
        """Return a command's error for a full disk. It is repeated, as freed space may be enough for it."""
        return until(lambda: (tried := self.mydocker(*args)).rc and tried.stderr, "a command without room")

    @contextlib.contextmanager
    def full(self):
        """Keep the disk full by a process that takes all freed space. Its working directory is on the disk."""
        take = GREEDY[self.kind.partition(", ")[2]]
        script = f"i=0; while :; do {take}; sleep 0.01; done"
        with self.machine.start("sh", "-c", script, cwd=self.path, stdout=-3, stderr=-3):
            until(lambda: not self.has_room(), "a full disk")
            yield

    def has_room(self) -> bool:
        return self.machine.shell(f"echo >{self.path}/probe; code=$?; rm -f {self.path}/probe; exit $code").rc == 0

    def free(self) -> None:
        self.machine.shell(f"rm -f {self.path}/greedy*")
        assert self.has_room()

    def unmount(self) -> None:
        self.machine.shell(f"rm -f {self.path}/greedy*")
        names = self.mydocker("ps", "-aq").lines
        if names:
            self.mydocker("rm", "-f", "-v", *names)
        self.machine.shell(f"umount {shlex.quote(self.path)}; rm -f {self.path}.img")


@pytest.fixture(params=DISKS)
def disk(machine, mydocker, directory, request):
    made = Disk(machine, mydocker, directory, request.param)
    yield made
    made.unmount()


def test_stopping_and_removing_needs_no_space(machine, disk):
    for name in ("stopped", "killed", "removed", "left", "failed"):
        disk.detached(name)
    for name in ("always", "again", "shut"):
        disk.detached(name, "--restart", "always")
    disk.detached("volatile", "--rm", "-v", "/data")
    started = disk.state("again")["State"]["StartedAt"]
    with disk.full(), disk.typed.start("wait", "removed", env=disk.env) as waits:
        begin = [disk.mydocker(*words.split()) for words in (
            "stop stopped always", "kill killed", "kill -s USR1 failed again", "rm -f removed", "stop volatile",
        )]  # fmt: skip
        assert [(result.rc, result.stderr) for result in begin] == [(0, "")] * len(begin)
        assert waits.communicate(timeout=20)[0] == b"137\n"
        until(lambda: disk.state("failed")["State"]["Status"] == "exited", "the end of one that ends by itself")
        again = until(lambda: (now := disk.state("again"))["State"]["Status"] != "restarting" and now, "a restart")
        # overlay's mount makes a directory, which takes an inode, and on ext4 a block that somebody else may have by
        # then.
        restarted = ["again"] if again["State"]["Status"] == "running" else []
        if restarted or disk.kind == "tmpfs, bytes":
            assert (again["RestartCount"], again["State"]["Status"], again["State"]["Error"]) == (1, "running", "")
        else:
            assert again["State"]["Status"] == "exited"
            assert any(why in again["State"]["Error"] for why in NO_ROOM)
        assert "no space left" in disk.refused("volume", "create")
        said = disk.refused("run", "--rm", "--net", "none", "busybox", "true")
        assert any(why in said for why in ("no space left", *NO_ROOM))
        assert sorted(disk.ok("system", "shutdown").splitlines()) == [
            f"container {name}: stopped" for name in (*restarted, "left", "shut")
        ]
        until(lambda: not disk.has_room(), "a disk that is full still")
    disk.free()
    ends = {name: disk.state(name)["State"] for name in ("stopped", "killed", "left", "failed", "always", "shut")}
    assert {name: (end["Status"], end["ExitCode"], end["Error"]) for name, end in ends.items()} == {
        "stopped": ("exited", 7, ""),
        "killed": ("exited", 137, ""),
        "left": ("exited", 7, ""),
        "failed": ("exited", 3, ""),
        "always": ("exited", 7, ""),
        "shut": ("exited", 7, ""),
    }
    assert all(end["FinishedAt"] > started for end in ends.values())
    assert sorted(disk.ok("ps", "-a", "--format", "{{.Names}}").split()) == sorted([*ends, "again"])
    disk.ok("volume", "prune", "-f")
    assert disk.mydocker("volume", "ls", "-q").stdout == ""
    # What a shutdown has ended comes back; what a person has stopped does not.
    assert sorted(disk.ok("system", "restore").splitlines()) == [
        f"container {name}: started" for name in (*restarted, "shut")
    ]
    disk.ok("rm", "-f", *ends, "again")
    left = [machine.run("ls", "-A", f"{disk.path}/lib/{each}").lines for each in ("containers", "names", "volumes")]
    assert [set(entries) - {".lock"} for entries in left] == [set(), set(), set()]


@pytest.mark.parametrize("disk", ["tmpfs, bytes"], indirect=True)  # ext4 keeps some blocks back, now and then
def test_a_failed_restart_does_not_remove_a_container_of_run_rm(disk):
    disk.detached("kept", "--rm")
    disk.ok("exec", "kept", "touch", "/data")
    with disk.full():
        refused = disk.mydocker("restart", "-t", "0", "kept")
        assert (refused.rc, "no space left" in refused.stderr) == (1, True), refused
        assert disk.ok("exec", "kept", "ls", "/data") == "/data"
        disk.ok("stop", "-t", "0", "kept")
    assert disk.ok("ps", "-aq") == ""


@pytest.mark.parametrize("disk", ["ext4, bytes", "tmpfs, inodes"], indirect=True)
def test_images_can_be_removed(disk):
    disk.ok("run", "--rm", "--net", "none", "busybox", "true")
    with disk.full():
        assert "no space left" in disk.refused("tag", "busybox", "other")
        assert "\nuntagged: busybox:latest\ndeleted: sha256:" in disk.ok("image", "prune", "-af")
    assert (disk.ok("images", "-q"), disk.machine.run("ls", "-A", f"{disk.path}/lib/layers").lines) == ("", [])
