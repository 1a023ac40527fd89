"""What `apt purge mydocker` deletes and what not: the package's script, in a mount namespace with its own /var/lib and
/etc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "debian/mydocker.postrm"
STORE = "/var/lib/mydocker"

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make mounts")]


def purge(before: str, after: str) -> str:
    """Run `before`, purge, run `after`, in which `is` compares; what purging wrote. /var/lib/data must stay."""
    script = f"""
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /var/lib
        mkdir /run/etc /run/work
        mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc
        mkdir -p /run/mydocker/_networks /var/lib/data {STORE}/volumes/kept/_data {STORE}/images
        echo precious >/var/lib/data/file
        volume={STORE}/volumes/kept/_data
        is() {{ [ "$1" = "$2" ] || {{ echo "'$1' is not '$2'"; exit 9; }}; }}
        {before}
        sh {SCRIPT} purge 2>/run/said
        {after}
        is "$(cat /var/lib/data/file)" precious
        cat /run/said
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


GONE = f'is "$(ls -d {STORE} /run/mydocker 2>/dev/null)" ""'


def test_the_store_and_what_runs():
    assert purge("", GONE) == ""


def test_the_zone_of_firewalld():
    """Nobody else's."""
    zones = "/etc/firewalld/zones"
    before = f"mkdir -p {zones}; touch {zones}/mydocker.xml {zones}/mydocker.xml.old {zones}/docker.xml"
    assert purge(before, f'is "$(ls {zones} | grep docker)" docker.xml; {GONE}') == ""


def test_where_nothing_is_nothing_is_said():
    assert purge(f"rm -r {STORE} /run/mydocker", GONE) == ""


@pytest.mark.parametrize(
    "name", ["plain", "with blanks", "tab\tin it", "line\nend", "back\\slash", "per%cent", "-rf", "é", r"\101"]
)
def test_a_mount_of_the_same_file_system_goes_first(name, monkeypatch):
    """--one-file-system would not keep rm out of it."""
    monkeypatch.setenv("NAME", name)
    assert purge('mkdir "$volume/./$NAME"; mount --bind /var/lib/data "$volume/./$NAME"', GONE) == ""


def test_mounts_in_and_on_mounts():
    before = """
        mkdir "$volume/a" /var/lib/data/b
        mount --bind /var/lib/data "$volume/a"
        mount -t tmpfs tmpfs "$volume/a/b"
        mount -t tmpfs tmpfs "$volume/a/b"
        mount -t tmpfs tmpfs "$volume"
    """
    assert purge(before, GONE) == ""


def test_what_still_runs_is_ended():
    """Where the program could not do it at the removal."""
    before = """
        mount -t tmpfs tmpfs /sys/fs/cgroup
        group=/sys/fs/cgroup/mydocker.slice/containers/0123
        mkdir -p "$group"
        echo 0 >"$group/cgroup.kill"
    """
    assert purge(before, f'is "$(cat "$group/cgroup.kill")" 1; {GONE}') == ""


@pytest.mark.parametrize("place", ["$volume", "$volume/a"])
def test_one_that_is_in_use_keeps_all(place):
    before = f'mkdir "$volume/a"; mount --bind /var/lib/data {place}; cd {place}'
    said = purge(before, f'is "$(cat file)" precious; is "$(ls {STORE})" "images\nvolumes"')
    assert f"mydocker: {STORE} is a link or mounts in it are in use: please delete it yourself\n" in said


def test_a_store_on_a_disk_of_its_own_is_emptied():
    purge(
        f"mount -t tmpfs tmpfs {STORE}; mkdir -p {STORE}/images/blobs",
        f'is "$(ls -A {STORE})" ""; mountpoint -q {STORE}',
    )


def test_a_store_that_is_a_link_is_left():
    said = purge(f"mv {STORE} /var/lib/elsewhere; ln -s elsewhere {STORE}", f'is "$(ls {STORE}/)" "images\nvolumes"')
    assert "please delete it yourself" in said


def test_a_store_whose_mounts_cannot_be_seen_is_left():
    said = purge("mount -t tmpfs tmpfs /proc", f'is "$(ls {STORE})" "images\nvolumes"')
    assert "please delete it yourself" in said


@pytest.mark.parametrize("action", ["remove", "upgrade", "failed-upgrade", "abort-install", "disappear"])
def test_only_purging_deletes(action):
    script = f'mount -t tmpfs tmpfs /var/lib; mkdir {STORE}; sh "$0" "$1"; test -d {STORE}'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, SCRIPT, action]
    assert subprocess.run(command, timeout=30, check=False).returncode == 0
