"""The guard of conftest.py bites."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from mydocker.kernel import libc

THERE = os.path.realpath(__file__)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(os.fork, id="fork"),
        pytest.param(lambda: os.posix_spawn("/bin/true", ["true"], {}), id="posix_spawn"),
        pytest.param(lambda: os.execv("/bin/true", ["true"]), id="exec"),
        pytest.param(lambda: subprocess.run(["true"]), id="subprocess"),
        pytest.param(lambda: os.kill(os.getpid(), 0), id="kill"),
        pytest.param(lambda: libc.syscall("unshare", 0), id="system call"),
        pytest.param(lambda: open("/proc/self/oom_score_adj", "w"), id="open"),
        pytest.param(lambda: open(THERE, "r+"), id="open to read and write"),
        pytest.param(lambda: os.open(THERE, os.O_WRONLY), id="os.open"),
        pytest.param(lambda: os.open(f"{THERE}.new", os.O_CREAT), id="os.open makes it"),
        pytest.param(lambda: Path(f"{THERE}.new").write_text("x"), id="pathlib"),
        pytest.param(lambda: tempfile.NamedTemporaryFile(dir="/var/tmp"), id="tempfile"),
        pytest.param(lambda: os.truncate(THERE, os.stat(THERE).st_size), id="truncate"),
        pytest.param(lambda: os.mkdir(f"{THERE}.new"), id="mkdir"),
        pytest.param(lambda: os.mkfifo(f"{THERE}.new"), id="mkfifo"),
        pytest.param(lambda: os.mknod(f"{THERE}.new"), id="mknod"),
        pytest.param(lambda: os.symlink("x", f"{THERE}.new"), id="symlink"),
        pytest.param(lambda: os.link(THERE, f"{THERE}.new"), id="link"),
        pytest.param(lambda: os.rename(f"{THERE}.old", f"{THERE}.new"), id="rename"),
        pytest.param(lambda: os.remove(f"{THERE}.old"), id="remove"),
        pytest.param(lambda: os.rmdir(f"{THERE}.old"), id="rmdir"),
        pytest.param(lambda: os.chmod(THERE, 0o644), id="chmod"),
        pytest.param(lambda: os.chown(THERE, -1, -1), id="chown"),
        pytest.param(lambda: os.utime(THERE, (0, 0)), id="utime"),
        pytest.param(lambda: os.setxattr(THERE, "user.x", b""), id="setxattr"),
        pytest.param(lambda: os.removexattr(THERE, "user.x"), id="removexattr"),
    ],
)
def test_a_unit_test_may_not(guard, act):
    with pytest.raises(PermissionError, match="a unit test may not"):
        act()
    assert len(guard.seen) == 1
    guard.seen.clear()  # else this test would fail


def test_it_is_seen_where_the_program_overlooks_it(guard):
    with contextlib.suppress(OSError):
        open("/proc/self/oom_score_adj", "w")
    assert guard.seen == [f"write: open /proc/{os.getpid()}/oom_score_adj"]
    guard.seen.clear()


def test_a_link_leads_nowhere_else(guard, tmp_path):
    (tmp_path / "out").symlink_to("/proc/self")
    with pytest.raises(PermissionError):
        open(tmp_path / "out/oom_score_adj", "w")
    (tmp_path / "file").symlink_to("/proc/self/oom_score_adj")
    with pytest.raises(PermissionError):
        open(tmp_path / "file", "w")
    os.remove(tmp_path / "file")  # that is the link's own affair
    assert len(guard.seen) == 2
    guard.seen.clear()


def test_a_directories_descriptor_counts(guard, tmp_path):
    inside, outside = (os.open(path, os.O_RDONLY) for path in (tmp_path, os.path.dirname(THERE)))
    try:
        os.close(os.open("file", os.O_CREAT, dir_fd=inside))
        os.rename("file", "renamed", src_dir_fd=inside, dst_dir_fd=inside)
        os.mknod("node", dir_fd=inside)
        for act in (os.mkdir, os.mknod, lambda name, dir_fd: os.open(name, os.O_CREAT, dir_fd=dir_fd)):
            with pytest.raises(PermissionError):
                act("new", dir_fd=outside)
    finally:
        os.close(inside)
        os.close(outside)
    assert sorted(os.listdir(tmp_path)) == ["node", "renamed"]
    assert len(guard.seen) == 3
    guard.seen.clear()


def test_what_is_its_own_a_test_may_write(guard, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("relative").write_text("x")
    os.mkdir("directory")
    shutil.move("relative", "directory/moved")
    shutil.rmtree(tmp_path / "directory")
    with open(os.devnull, "w"), tempfile.TemporaryFile():
        assert guard.seen == []
