"""The image store from within, on a real kernel: files, archives, layers, drivers, and what other tools make of it.

These call mydocker's functions, not its commands, so they run on this machine only.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from archives import archive

from mydocker import paths
from mydocker.build.changes import apply_changes
from mydocker.errors import Conflict, CorruptRecord, HostError, InvalidArgument, MydockerError, NotFound
from mydocker.image import archive as images
from mydocker.image import intake, lookup, packing, removal, store, unpacking, writer
from mydocker.image.drivers import aufs, choice, copy, erofs, overlay, probe
from mydocker.kernel import files, programs
from mydocker.kernel.copying import copy_tree
from mydocker.ops.base import quote
from mydocker.ops.erofs import MountIndex

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture
def directory(tmp_path):
    """A temporary directory in /var/tmp, on a real file system: /tmp may be a tmpfs."""
    return tmp_path


@pytest.fixture
def places(directory, monkeypatch):
    """An empty store for the test."""
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(directory / "store" / ("" if name == "ROOT" else name.lower())))
    return directory / "store"


@pytest.fixture(autouse=True)
def nothing_left(directory):
    """Check that the test has left no mount and no workspace. This replaces the fixture in conftest.py."""
    before = Path("/proc/self/mountinfo").read_text()
    yield
    assert Path("/proc/self/mountinfo").read_text() == before
    assert list(directory.rglob(".new.*")) == []
    assert list(directory.rglob("*.new")) == []


def shell(script: str) -> str:
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, errors="surrogateescape")
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(script: str, places: Path, **options) -> subprocess.Popen:
    """Start a Python process with mydocker's modules and the test's store."""
    env = {"PATH": os.environ["PATH"], "MYDOCKER_ROOT": str(places), "MYDOCKER_RUN": str(places / "run")}
    return subprocess.Popen([sys.executable, "-c", script], env={**env, "PYTHONPATH": str(SOURCE)}, **options)


def tree(top: Path) -> dict[str, tuple]:
    """Map each path in a directory to the properties that a tar can hold."""
    rows = {}
    inodes: dict[int, str] = {}
    for root, directories, names in os.walk(top):
        for name in sorted(directories + names):
            path = Path(root, name)
            info = path.lstat()
            kind = stat.S_IFMT(info.st_mode)
            content: object = None
            if kind == stat.S_IFREG:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            elif kind != stat.S_IFDIR:
                content = info.st_rdev
            first = inodes.setdefault(info.st_ino, str(path.relative_to(top))) if kind != stat.S_IFDIR else ""
            xattrs = {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            }
            rows[str(path.relative_to(top))] = (
                oct(info.st_mode), info.st_uid, info.st_gid, int(info.st_mtime), content, first, xattrs,
            )  # fmt: skip
    return rows


def unpacked(raw: bytes, target: Path, below: list[str] | None = None) -> Path:
    target.mkdir()
    stream = io.BufferedReader(io.BytesIO(raw))
    if below is None:
        unpacking.unpack(stream, str(target))
    else:
        unpacking.complete(str(target), unpacking.unpack_layer(stream, str(target)), below)
    return target


def packed(source: Path) -> bytes:
    out = io.BytesIO()
    packing.pack(str(source), out)
    return out.getvalue()


XATTRS = "--xattrs --xattrs-include='security.*' --xattrs-include='user.*'"


@pytest.fixture
def zoo(directory) -> Path:
    """A directory with one file of every type and property."""
    top = directory / "zoo"
    (top / "deep/er").mkdir(parents=True)
    (top / "file").write_bytes(b"x" * 100_000)
    (top / "deep/er/empty").touch()
    (top / "setuid").write_bytes(b"#!")
    os.chown(top / "setuid", 3, 70000)
    (top / "setuid").chmod(0o6755)
    os.link(top / "setuid", top / "deep/hard")
    (top / "link").symlink_to("deep/er")
    (top / "dangling").symlink_to("/no/where/é\udcff")
    os.mkfifo(top / "fifo", 0o640)
    with (top / "holes").open("wb") as file:
        file.write(b"start")
        file.seek(3_000_000)
        file.write(b"end")
        file.truncate(5_000_000)
    (top / "new\nline \udcff'").write_bytes(b"1")
    (top / ("n" * 255)).write_bytes(b"2")
    (top / "capable").write_bytes(b"3")
    os.setxattr(top / "capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.setxattr(top / "capable", "user.100%", b"\0=\n\xff")
    os.setxattr(top / "file", "user.a=b", b"")
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.setxattr(top / "sticky", "user.of.a.directory", b"x" * 300)
    os.chown(top / "sticky", 5, 6)
    for path in (*top.rglob("*"), top):
        os.utime(path, ns=(0, random.Random(os.fsencode(path)).randrange(1 << 31) * 10**9), follow_symlinks=False)
    return top


class TestOpening:
    def test_links_stay_inside_or_are_refused(self, directory):
        (directory / "victim").write_text("outside")
        root = directory / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").write_text("inside")
        (root / "absolute").symlink_to("/etc/passwd")
        (root / "out").symlink_to("../victim")
        (root / "magic").symlink_to("/proc/self/root")
        descriptor = os.open(root, os.O_PATH)

        def read(path: str, **how) -> str:
            opened = files.open_in_root(descriptor, path, os.O_RDONLY, **how)
            try:
                return os.read(opened, 100).decode()
            finally:
                os.close(opened)

        try:
            assert read("absolute") == read("/etc/passwd") == read("../../etc/passwd") == "inside"
            for path, how, error in (
                ("out", {}, FileNotFoundError),
                ("magic/etc/passwd", {}, FileNotFoundError),
                ("absolute", {"resolve": files.STRICT}, OSError),
                ("../victim", {"resolve": files.STRICT}, OSError),
                ("etc/passwd\0.jpg", {}, ValueError),
            ):
                with pytest.raises(error):
                    read(path, **how)
            made = files.open_in_root(descriptor, "etc/new", os.O_WRONLY | os.O_CREAT, 0o600)
            assert not os.get_inheritable(made)
            os.close(made)
            assert (root / "etc/new").exists()
        finally:
            os.close(descriptor)

    def test_only_a_regular_file_is_opened_as_one(self, zoo):
        descriptor = os.open(zoo, os.O_RDONLY)
        try:
            opened = files.open_regular(descriptor, "setuid")
            assert os.read(opened, 10) == b"#!"
            os.close(opened)
            os.mknod(zoo / "device", stat.S_IFCHR, os.makedev(1, 5))
            for name in ("fifo", "link", "deep", "device", "dangling"):
                with pytest.raises(OSError, match=name):
                    files.open_regular(descriptor, name)
        finally:
            os.close(descriptor)


class TestRemoval:
    def test_of_one_of_everything(self, zoo, directory):
        (directory / "victim").mkdir()
        (directory / "victim/kept").touch()
        (zoo / "out").symlink_to(directory / "victim")
        (zoo / "deep/out").symlink_to(directory / "victim")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(zoo / "socket"))
        for number in range(5):  # the names that removal gives to what it moves
            (zoo / str(number) / "full").mkdir(parents=True)
            (zoo / "deep" / str(number)).write_text("a file in the way")
        (zoo / "deep").chmod(0)
        files.remove_tree(str(zoo))
        assert not zoo.exists()
        assert (directory / "victim/kept").exists()

    def test_of_a_link_a_file_and_nothing(self, directory):
        (directory / "kept/inner").mkdir(parents=True)
        (directory / "link").symlink_to("kept")
        (directory / "file").touch()
        for name in ("link", "file", "nothing"):
            files.remove_tree(str(directory / name))
        assert [path.name for path in directory.iterdir()] == ["kept"]
        assert (directory / "kept/inner").exists()

    def test_of_any_depth(self, directory):
        top = os.open(directory, os.O_RDONLY)
        at = os.dup(top)
        for level in range(5000):
            os.mkdir("d", dir_fd=at)
            if level % 100 == 0:
                os.mkdir("e", dir_fd=at)
                os.symlink("/", "link", dir_fd=at)
            below = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
        os.close(top)
        files.remove_tree(str(directory / "d"))
        assert sorted(path.name for path in directory.iterdir()) == ["e", "link"]

    @pytest.mark.parametrize("where", ["mounted", "deep/mounted", "deep/er/mounted"])
    def test_stops_at_a_mount(self, directory, where):
        source = directory / "source"
        source.mkdir()
        (source / "kept").touch()
        point = directory / "tree" / where
        point.mkdir(parents=True)
        shell(f"mount --bind {source} {point}")
        try:
            with pytest.raises(Conflict, match="mounted"):
                files.remove_tree(str(directory / "tree"))
            assert (source / "kept").exists()
        finally:
            line = next(
                line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{directory}/tree" in line
            )
            shell(f"umount {line.split()[4]}")
        files.remove_tree(str(directory / "tree"))


class TestCopying:
    def test_copies_every_property(self, zoo, directory):
        os.mknod(zoo / "device", stat.S_IFCHR | 0o640, os.makedev(1, 3))
        os.setxattr(zoo / "deep", "user.note", b"x")
        os.setxattr(zoo / "deep", "trusted.overlay.opaque", b"y")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(zoo / "socket"))
        copy_tree(str(zoo), str(directory / "copy"))
        assert tree(directory / "copy") == tree(zoo)
        assert (directory / "copy").stat().st_mtime_ns == zoo.stat().st_mtime_ns
        assert (directory / "copy/holes").stat().st_blocks < 1000

    def test_from_a_descriptor_s_path_into_an_existing_directory(self, zoo, directory):
        (directory / "copy").mkdir()
        descriptor = os.open(zoo, os.O_PATH)
        copy_tree(f"/proc/self/fd/{descriptor}", str(directory / "copy"))
        os.close(descriptor)
        assert tree(directory / "copy") == tree(zoo)

    def test_leaves_out_what_is_mounted(self, zoo, directory):
        (directory / "source").mkdir()
        (directory / "source/secret").touch()
        shell(f"mount --bind {directory}/source {zoo}/sticky")
        try:
            copy_tree(str(zoo), str(directory / "copy"))
        finally:
            shell(f"umount {zoo}/sticky")
        assert (directory / "copy/sticky").is_dir()
        assert not (directory / "copy/sticky/secret").exists()

    def test_does_not_overwrite_files(self, zoo, directory):
        (directory / "copy").mkdir()
        (directory / "copy/setuid").symlink_to("/etc/passwd")
        with pytest.raises(FileExistsError):
            copy_tree(str(zoo), str(directory / "copy"))


class TestWriting:
    def test_mode_is_exact_and_no_temporary_file_is_left(self, directory):
        old = os.umask(0o077)
        try:
            for durable in (False, True):
                files.write_atomic(str(directory / "x"), b"new", 0o644, durable)
                assert ((directory / "x").read_bytes(), (directory / "x").stat().st_mode & 0o7777) == (b"new", 0o644)
        finally:
            os.umask(old)
        assert os.listdir(directory) == ["x"]

    def test_a_full_disk_is_an_error_that_names_the_file_and_the_old_one_stays(self, directory):
        shell(f"mount -t tmpfs -o size=64k tmpfs {directory}")
        try:
            files.write_atomic(str(directory / "x"), b"old")
            with pytest.raises(HostError, match=f"{directory}/x: no space left"):
                files.write_atomic(str(directory / "x"), bytes(1 << 20))
            assert os.listdir(directory) == ["x"]
            assert (directory / "x").read_bytes() == b"old"
        finally:
            shell(f"umount {directory}")


D_L = (("d", None), ("l", "link", "/d"))


class TestUnpacking:
    @pytest.mark.parametrize(
        "form",
        ["gnu", "pax", "gnu --sparse", *(f"pax --sparse --sparse-version={each}" for each in ("1.0", "0.1", "0.0"))],
    )
    def test_gives_the_same_result_as_tar(self, zoo, directory, form):
        xattrs = XATTRS if form.startswith("pax") else ""
        shell(f"tar {xattrs} --format={form} -C {zoo} -cf {directory}/x.tar .")
        ours = tree(unpacked((directory / "x.tar").read_bytes(), directory / "ours"))
        assert bool(ours["capable"][-1]) == bool(ours["sticky"][-1]) == bool(xattrs)
        assert ours == {path: row if xattrs else (*row[:-1], {}) for path, row in tree(zoo).items()}
        if form.endswith("sparse"):
            assert (directory / "ours/holes").stat().st_blocks < 1000

    def test_packing_gives_the_same_tree_again(self, zoo, directory):
        raw = packed(zoo)
        assert packed(zoo) == raw
        assert len(raw) < 300_000, "holes are none"
        assert tree(unpacked(raw, directory / "ours")) == tree(zoo)
        (directory / "theirs").mkdir()
        (directory / "x.tar").write_bytes(raw)
        shell(f"tar {XATTRS} -C {directory}/theirs -xpf {directory}/x.tar")
        assert tree(directory / "theirs") == tree(zoo)
        assert (directory / "theirs/holes").stat().st_blocks < 1000
        assert unpacked(raw, directory / "again").stat().st_mtime == int(zoo.stat().st_mtime)

    def test_of_two_entries_with_one_name_the_last_wins(self, directory):
        (directory / "victim").write_text("safe")
        raw = archive(
            ("a", b"1"), ("a", b"22"), ("b", "link", str(directory / "victim")), ("b", b"333"), ("c", "fifo"),
            ("c", "hard", "a"), ("d", None), ("d/x", b""), ("d", None), ("e", b""), ("e", "link", "a"),
        )  # fmt: skip
        top = unpacked(raw, directory / "ours")
        assert [(top / name).read_text() for name in "abc"] == ["22", "333", "22"]
        assert (top / "d/x").exists()
        assert os.readlink(top / "e") == "a"
        assert (directory / "victim").read_text() == "safe"

    def test_missing_directories_are_made(self, directory):
        deep = "/".join("d" for _ in range(1500))
        top = unpacked(archive(("a/b/c", b"x"), (f"{deep}/x", b"y")), directory / "ours")
        assert (top / "a/b/c").read_bytes() == b"x"
        assert (top / "a").stat().st_mode & 0o7777 == top.stat().st_mode & 0o7777 == 0o755
        files.remove_tree(str(top))

    def test_the_devices_of_every_dev_are_left_out(self, directory):
        devices = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
        devices.update(console=(5, 1), ptmx=(5, 2))
        raw = archive(("./dev/", None), *((f"./dev/{name}", "device", *numbers) for name, numbers in devices.items()))
        assert os.listdir(unpacked(raw, directory / "ours") / "dev") == []

    def test_attributes_other_than_capabilities_and_users_stay_out(self, directory):
        names = ("trusted.overlay.opaque", "trusted.a", "user.a", "security.ima", "system.posix_acl_access", "no.such")
        for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("x")
            info.type, info.linkname = kind, "y" if kind == tarfile.SYMTYPE else ""
            info.pax_headers = {f"SCHILY.xattr.{name}": "y" for name in names}
            raw = info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
            top = unpacked(raw, directory / f"ours{kind.decode()}")
            kept = ["user.a"] if kind in (tarfile.REGTYPE, tarfile.DIRTYPE) else []  # the kernel has none on others
            assert os.listxattr(top / "x", follow_symlinks=False) == kept

    @pytest.mark.parametrize(
        ("entries", "expected"),
        [
            ([("/a/f", b"x"), ("//d/", None), ("/h", "hard", "/a/f")], {"a/f": "x", "h": "x", "d": None}),
            ([("a", None), ("a/../b", b"x"), ("no/../c", b"y"), ("/x/./../d", b"z")], {"b": "x", "c": "y", "d": "z"}),
            ([("t", b"x"), ("d", None), ("d/h", "hard", "d/../t"), ("i", "hard", "./t")], {"d/h": "x", "i": "x"}),
            ([*D_L, ("l/x", b"1"), ("l/e/f", b"2"), ("h", "hard", "l/x")], {"d/x": "1", "d/e/f": "2", "h": "1"}),
            ([*D_L, ("m", "link", "../../l"), ("m/x", b"1"), ("m/s", None)], {"d/x": "1", "d/s": None}),
            ([*D_L, ("l/../x", b"1")], {"x": "1"}),
            ([*D_L, ("e", None), ("l/s", None), ("l", "link", "e"), ("l/x", b"1")], {"d/s": None, "e/x": "1"}),
            (
                [("e", None), ("d/d", "link", "."), ("d/d/d/x", b"1"), ("d/d/d", "link", "/e"), ("d/d/y", b"2")],
                {"d/x": "1", "e/y": "2"},
            ),
            ([("a/l", "link", "../../../x"), ("l", "link", "../ours/x")], {"a/l": "->../../../x", "l": "->../ours/x"}),
        ],
        ids="/ .. hard below-a-link below-links ..-of-a-link link-replaced link-in-itself more-..-than-depth".split(),
    )
    def test_names_are_resolved_inside_the_root(self, directory, entries, expected):
        """docker 20.10 gives the same results."""
        (directory / "outside").mkdir()
        top = unpacked(archive(*entries), directory / "ours")
        for path, content in expected.items():
            file = top / path
            if content is None:
                assert file.is_dir()
                assert not file.is_symlink()
            elif content.startswith("->"):
                assert os.readlink(file) == content[2:]
            else:
                assert (file.read_text(), file.is_symlink()) == (content, False)
        assert sorted(os.listdir(directory)) == ["ours", "outside"]

    def test_devices_are_made_as_they_are(self, directory):
        devices = {"c": (tarfile.CHRTYPE, 1, 3), "b": (tarfile.BLKTYPE, 8, 0), "big": (tarfile.CHRTYPE, 4095, 1048575)}
        members = [
            entry(name, type=kind, devmajor=major, devminor=minor, mode=0o640, uid=3, mtime=5)[:-1024]
            for name, (kind, major, minor) in devices.items()
        ]
        top = unpacked(b"".join(members), directory / "ours")
        for name, (kind, major, minor) in devices.items():
            info = (top / name).lstat()
            assert (stat.S_ISCHR(info.st_mode), info.st_rdev) == (kind == tarfile.CHRTYPE, os.makedev(major, minor))
            assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o640, 3, 5)
        assert tree(unpacked(packed(top), directory / "again")) == tree(top)

    @pytest.mark.parametrize("raw", [b"", bytes(1024), archive(("a", b""), ("b", b""))[:1024]], ids=["0", "end", "ab"])
    @pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
    def test_an_archive_without_end_blocks_or_entries(self, places, raw, compress):
        stream = io.BufferedReader(io.BytesIO(gzip.compress(raw) if compress else raw))
        made = images.import_image(stream, "x:latest", {}, "")
        assert made.config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(raw).hexdigest()}"]
        assert sorted(os.listdir(paths.layer(made.layers[0]))) == (["a", "b"] if raw.strip(b"\0") else [])

    @pytest.mark.parametrize("behind", [b"\0", b"garbage!"], ids=["zeros", "garbage"])
    @pytest.mark.parametrize("mega", [1, 4, 20])
    @pytest.mark.parametrize("way", ["file", "gzip", "pipe"])
    def test_bytes_after_the_end_of_an_archive_are_part_of_the_layer(self, places, directory, behind, mega, way):
        """They count for its digest and size, as with docker. A pipe is read to its end."""
        raw = archive(("a", b"x"))[:2048] + behind * ((mega << 20) // len(behind))
        if way == "pipe":
            (directory / "x").write_bytes(raw)
            cat = subprocess.Popen(["cat", directory / "x"], stdout=subprocess.PIPE)
            made = images.import_image(io.BufferedReader(cat.stdout), "", {}, "")
            assert cat.wait() == 0
        else:
            (directory / "x").write_bytes(gzip.compress(raw, 1) if way == "gzip" else raw)
            made = images.import_image((directory / "x").open("rb"), "", {}, "")
        (descriptor,) = store.layer_descriptors(made.manifest)
        assert (descriptor["digest"], descriptor["size"]) == (f"sha256:{hashlib.sha256(raw).hexdigest()}", len(raw))
        assert os.stat(store.blob(descriptor["digest"])).st_size == len(raw)
        files.remove_tree(paths.layer(made.layers[0]))
        assert lookup.find(made.id) == made
        assert os.listdir(paths.layer(made.layers[0])) == ["a"]

    def test_a_huge_sparse_file_costs_only_its_data(self, places, directory):
        """A file of 20 GB with 8 KB of data is packed, hashed, stored and unpacked as fast as a small one."""
        (directory / "big").mkdir()
        with (directory / "big/file").open("wb") as file:
            file.write(b"start")
            file.seek(12_345_678_901)
            file.write(b"end")
            file.truncate(20_000_000_000)
        parent = imported(("base", b""))
        before = os.times()
        made = images.commit(lambda out: packing.pack(str(directory / "big"), out), parent, "", {}, "sh")
        after = os.times()
        assert after.user + after.system - before.user - before.system < 1
        copy = Path(paths.layer(made.layers[1])) / "file"
        assert copy.stat().st_size == 20_000_000_000
        assert copy.stat().st_blocks < 100
        with copy.open("rb") as file:
            assert file.read(6) == b"start\0"
            file.seek(12_345_678_900)
            assert file.read(5) == b"\0end\0"


def entry(name: str, **fields) -> bytes:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + bytes(1024)


def hostile(outside: Path) -> dict[str, bytes]:
    """Return hostile archives, in addition to those of test_safety_image.py."""
    return {
        "NUL in a name": entry("x", pax_headers={"path": f"a\0{outside}/x"}),
        "NUL in a target": entry("x", type=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"}),
        "empty target": entry("x", type=tarfile.SYMTYPE),
        "name without end": entry("n" * 300),
        "path without end": entry("/".join("nn" for _ in range(3000))),
        "target without end": entry("x", type=tarfile.SYMTYPE, linkname="t" * 5000),
        "hard link to itself": archive(("x", b"x"), ("x", "hard", "./x")),
        "hard link to a directory": archive(("d", None), ("h", "hard", "d")),
        "hard link to nothing": archive(("h", "hard", "no/thing")),
        "hard link to the root": archive(("h", "hard", ".")),
        "hard link over a directory": archive(("d", None), ("x", b""), ("d", "hard", "x")),
        "file over a directory": archive(("d", None), ("d", b"")),
        "file over a full directory": archive(("d", None), ("d/x", b""), ("d", b"")),
        "file as the root": archive((".", b"x")),
        "device as the root": archive((".", "device", 1, 3)),
        "device of a number beyond all": archive(("d", "device", 4096, 0)),
        "device of a number below zero": archive(("d", "device", -1, 0)),
        "device over a directory": archive(("d", None), ("d", "device", 1, 3)),
        "socket": entry("x", type=b"s"),
        "unknown type": entry("x", type=b"V"),
        "name above the root": archive(("a", None), ("a/../../x", b"")),
        "absolute name above the root": archive(("/../x", b"")),
        "hard link above the root": archive(("x", b""), ("h", "hard", "../x")),
        "below a link to outside": archive(("l", "link", str(outside)), ("l/x", b"")),
        "below a link above the root": archive(("l", "link", "../" * 30 + str(outside)), ("l/x", b"")),
        "below a link to nothing": archive(("l", "link", "no/thing"), ("l/a/b/x", b"")),
        "below a link to itself": archive(("l", "link", "l"), ("l/x", b"")),
        "below a link to /proc": archive(("l", "link", "/proc/self/root"), (f"l{outside}/x", b"")),
        "directory over a link": archive(("d", None), ("l", "link", "d"), ("l", None)),
        "hard link through a link to outside": archive(("l", "link", str(outside)), ("h", "hard", "l/victim")),
        "fifo below a link to outside": archive(("l", "link", str(outside)), ("l/p", "fifo")),
        "device below a link to outside": archive(("l", "link", str(outside)), ("l/d", "device", 1, 3)),
        "link below a link to outside": archive(("l", "link", str(outside)), ("l/m", "link", "/")),
        "attribute without end": entry("x", pax_headers={"SCHILY.xattr.user.a": "v" * 70_000}),
        "attribute of a long name": entry("x", pax_headers={f"SCHILY.xattr.user.{'n' * 300}": "v"}),
        "whiteout as a directory": archive((".wh.d", None), (".wh.d/x", b"")),
        "owner -1": entry("x", uid=(1 << 32) - 1),
        "owner without end": entry("x", pax_headers={"uid": "9" * 100}),
        "owner below zero": entry("x", pax_headers={"gid": "-5"}),
        "time without end": entry("x", pax_headers={"mtime": "9" * 100}),
        "nonsense for capabilities": entry("x", pax_headers={"SCHILY.xattr.security.capability": "nonsense"}),
        "hole without end": entry(
            "x", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": str((1 << 63) - 1), "GNU.sparse.name": "y"}
        ),
        "hole beyond all numbers": entry(
            "x", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "9" * 30, "GNU.sparse.name": "y"}
        ),
        "sparse file outside": entry(
            "x", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "5", "GNU.sparse.name": f"../{outside}/x"}
        ),
        "cut within an entry": archive(("a", b"x"), ("b", b"y"))[:1600],
    }


class TestHostileArchives:
    @pytest.mark.parametrize("kind", hostile(Path("/x")))
    @pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize("driver", [overlay, erofs], ids=["unpacked", "indexed"])
    def test_are_refused_in_one_line_and_leave_nothing(self, places, directory, monkeypatch, kind, compress, driver):
        monkeypatch.setattr(intake, "driver_in_use", lambda: driver)
        outside = directory / "outside"
        outside.mkdir()
        (outside / "victim").touch()
        raw = hostile(outside)[kind]
        stream = io.BufferedReader(io.BytesIO(gzip.compress(raw) if compress else raw))
        with pytest.raises(MydockerError) as caught:
            images.import_image(stream, "bad:latest", {}, "")
        assert caught.value.exit_code == 1
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 600
        assert os.listdir(outside) == ["victim"]
        assert (outside / "victim").stat().st_nlink == 1
        assert os.listdir(places / "layers") == []
        assert store.images() == []

    @pytest.mark.parametrize(
        "name", [".wh.", ".wh..", ".wh...", "a/.wh..", ".wh..wh.x", ".wh.a/b", ".wh.a/.wh.b", "../.wh.x", ".wh.a\0b"]
    )
    def test_whiteouts_without_a_name_are_refused_in_a_layer_too(self, directory, name):
        with pytest.raises(InvalidArgument, match="refused archive entry"):
            unpacked(entry("x", pax_headers={"path": name}), directory / "ours", [])
        assert os.listdir(directory) == ["ours"]

    def test_a_full_disk_is_not_blamed_on_the_archive(self, places, directory):
        places.mkdir()
        shell(f"mount -t tmpfs -o size=1m tmpfs {places}")
        try:
            with pytest.raises(HostError, match=r"cannot write .*no space left"):
                images.import_image(io.BufferedReader(io.BytesIO(archive(("x", bytes(4 << 20))))), "", {}, "")
            assert os.listdir(places / "layers") == []
        finally:
            shell(f"umount {places}")


class TestLayers:
    """OCI layers: whiteouts, in overlay's form when unpacked."""

    def test_whiteouts_and_opaque_directories(self, directory):
        raw = archive(
            ("etc", None), ("etc/.wh.gone", b""), ("etc/.wh..wh..opq", b""),
            ("both", b"new"), (".wh.both", b""),
            ("d", None), (".wh.d", b""),
            (".wh.e", b""), ("e", None), ("e/x", b""),
            (".wh.f", b""), ("f", b"again"),
        )  # fmt: skip
        top = unpacked(raw, directory / "ours", [])
        assert files.is_whiteout((top / "etc/gone").lstat())
        assert {name for name in ("etc", "d", "e") if files.is_opaque(str(top / name))} == {"etc", "d", "e"}
        assert ((top / "both").read_text(), (top / "f").read_text()) == ("new", "again")
        assert list(top.rglob(".wh.*")) == []

    def test_missing_directories_look_as_in_the_layer_below(self, directory):
        lower = directory / "lower"
        (lower / "tmp/x").mkdir(parents=True)
        (lower / "tmp").chmod(0o1777)
        os.chown(lower / "tmp/x", 7, 8)
        (lower / "link").symlink_to("tmp")
        top = unpacked(archive(("tmp/x/file", b""), ("link/file", b"")), directory / "ours", [str(directory / "lower")])
        assert (top / "tmp").stat().st_mode & 0o7777 == 0o1777
        assert ((top / "tmp/x").stat().st_uid, (top / "tmp/x").stat().st_gid) == (7, 8)
        assert (top / "link").is_dir()
        lower.chmod(0o711)
        assert unpacked(archive(("x", b"")), directory / "again", [str(lower)]).stat().st_mode & 0o7777 == 0o711

    def test_pack_changes_gives_the_same_layer_again(self, directory):
        top = directory / "upper"
        (top / "opaque").mkdir(parents=True)
        os.setxattr(top / "opaque", "trusted.overlay.opaque", b"y")
        os.setxattr(top, "trusted.overlay.impure", b"y")
        (top / "opaque/x").write_text("x")
        os.mknod(top / "opaque/gone", stat.S_IFCHR, 0)
        os.mknod(top / "gone", stat.S_IFCHR, 0)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(top / "socket"))
        out = io.BytesIO()
        packing.pack_changes(str(top), out)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            assert tar.getnames() == [".", ".wh.gone", "opaque", "opaque/.wh..wh..opq", "opaque/.wh.gone", "opaque/x"]
        again = unpacked(out.getvalue(), directory / "again", [])
        (top / "socket").unlink()
        expected = tree(top)
        assert {path: row[4:] for path, row in tree(again).items()} == {path: row[4:] for path, row in expected.items()}

    def test_whiteouts_below_a_link_of_the_layer(self, directory):
        raw = archive(("d", None), ("l", "link", "/d"), ("l/.wh.gone", b""), ("l/.wh..wh..opq", b""))
        top = unpacked(raw, directory / "ours", [])
        assert files.is_whiteout((top / "d/gone").lstat())
        assert files.is_opaque(str(top / "d"))

    def test_names_that_a_layer_cannot_hold_are_left_out_and_reported(self, directory):
        """docker takes such names for whiteouts: an image with a file .wh.passwd loses its /etc/passwd."""
        for name in ("d/.wh.x", "d/.wh..wh..opq", "d/.wh.directory/in", "d/stays"):
            (directory / "upper" / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / "upper" / name).touch()
        os.link(directory / "upper/d/.wh.x", directory / "upper/d/other")
        out = io.BytesIO()
        said = packing.pack_changes(str(directory / "upper"), out)
        assert [line.partition(": ")[0] for line in said] == ["/d/.wh..wh..opq", "/d/.wh.directory", "/d/.wh.x"]
        assert {line.partition(": ")[2] for line in said} == {"left out: in a layer this name marks a removal"}
        top = unpacked(out.getvalue(), directory / "ours", [])
        assert sorted(tree(top)) == ["d", "d/other", "d/stays"]

    def test_files_that_are_nested_too_deeply_are_left_out_and_reported(self, directory):
        long = "n" * 250
        for top in ("upper", "other"):
            at = directory / top
            for _ in range(9):
                at = at / long
            at.mkdir(parents=True)
            (at / "file").touch()
        at = directory / "upper" / "/".join([long] * 9)
        os.rename(directory / "other", at / "other")  # 4,500 bytes deep
        out = io.BytesIO()
        (said,) = packing.pack_changes(str(directory / "upper"), out)
        assert said.endswith("left out, paths in it are longer than 4096 bytes")
        top = unpacked(out.getvalue(), directory / "ours", [])
        there = (top / "/".join([long] * 9) / "other").is_dir()
        for name in ("upper", "ours"):
            files.remove_tree(str(directory / name))
        assert there

    def test_more_attributes_than_a_header_has_room_for(self, directory, monkeypatch):
        monkeypatch.setattr(packing, "LONGEST_ATTRIBUTES", 2000)
        (directory / "upper/d").mkdir(parents=True)
        for number in range(20):
            os.setxattr(directory / "upper/d", f"user.{number}", b"x" * 100)
        out = io.BytesIO()
        assert packing.pack_changes(str(directory / "upper"), out) == [
            "/d: its extended attributes are left out, they are too long for a tar"
        ]
        assert os.listxattr(unpacked(out.getvalue(), directory / "ours", []) / "d") == []


def imported(*entries, name: str = "img:latest", changes: list[str] | None = None) -> store.Image:
    return images.import_image(
        io.BufferedReader(io.BytesIO(archive(*entries))), name, apply_changes({}, changes or []), "a note"
    )


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def incoming(*tars: bytes, compress=bytes, **changes) -> tuple[bytes, list[intake.Layer], bytes]:
    """An image as a registry has it: config, layers, manifest. changes: to the layers' descriptors."""
    blobs = [compress(raw) for raw in tars]
    config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(raw) for raw in tars]}, "x": [1, 2]}
    data = json.dumps(config, indent=3).encode()
    kind = store.LAYER if compress is bytes else f"{store.LAYER}+gzip"
    rows = [{"mediaType": kind, "digest": digest(raw), "size": len(raw), **changes} for raw in blobs]
    named = {"mediaType": store.CONFIG, "digest": digest(data), "size": len(data)}
    manifest = {"schemaVersion": 2, "mediaType": store.MANIFEST, "config": named, "layers": rows}
    layers = [
        intake.Layer(row, digest(raw), functools.partial(piped, blob)) for row, raw, blob in zip(rows, tars, blobs)
    ]
    return data, layers, json.dumps(manifest, indent=3).encode()


def piped(raw: bytes) -> io.FileIO:
    """The bytes as they come through a pipe."""
    source, target = os.pipe()

    def write() -> None:
        try:
            with open(target, "wb") as out:
                out.write(raw)
        except BrokenPipeError:
            pass

    threading.Thread(target=write, daemon=True).start()
    return io.FileIO(source)


def taken(*tars: bytes, name: str = "img:latest", compress=bytes) -> store.Image:
    config, layers, manifest = incoming(*tars, compress=compress)
    return intake.take(config, layers, [name], manifest)


def blobs(places: Path) -> set[str]:
    return {f"sha256:{name}" for name in os.listdir(places / "images/blobs/sha256")}


class TestStore:
    def test_import(self, places):
        made = imported(("a", b"hello"), changes=['CMD ["cat", "/a"]', "ENV X=1"])
        assert made == store.resolve("img")
        assert made.config["config"] == {"Cmd": ["cat", "/a"], "Env": ["X=1"]}
        assert made.config["history"][0]["comment"] == "a note"
        assert (Path(paths.layer(made.layers[0])) / "a").read_bytes() == b"hello"
        for digest in blobs(places):
            assert hashlib.sha256(Path(store.blob(digest)).read_bytes()).hexdigest() == digest[7:]
        assert oct(os.stat(places / "images").st_mode)[-3:] == "700"

    def test_the_same_archive_twice_is_stored_once(self, places):
        one, two = imported(("a", b"x"), name="one:latest"), imported(("a", b"x"), name="two:latest")
        assert one.layers == two.layers
        assert os.listdir(places / "layers") == [one.layers[0][7:]]
        assert len(blobs(places)) == 5
        assert removal.remove("one", False, list) == ["Untagged: one:latest", f"Deleted: {one.id}"]
        assert removal.remove("two", False, list)[1:] == [f"Deleted: {two.id}", f"Deleted: {two.layers[0]}"]
        assert blobs(places) == set()
        assert os.listdir(places / "layers") == []

    def test_a_registrys_digest_is_removed_like_a_name(self, places):
        """As docker does with an image that was pulled by two tags and a digest."""
        made = imported(("a", b"1"), name="h:5000/x:1")
        of_x, of_y = (f"{name}@sha256:{digit * 64}" for name, digit in (("h:5000/x", "1"), ("y", "2")))
        for digest in (of_x, of_y):
            writer.note_digest(made.id, digest)
        writer.tag(made.id, "h:5000/x:2")
        assert store.resolve(of_x).repo_digests == [of_x, of_y]
        with pytest.raises(Conflict, match="has 2 names: h:5000/x:1, h:5000/x:2"):
            removal.remove(made.id, False, list)
        assert removal.remove("h:5000/x:2", False, list) == ["Untagged: h:5000/x:2"]
        with pytest.raises(Conflict, match="names: "):  # in two repositories
            removal.remove(made.id, False, list)
        assert removal.remove("h:5000/x:1", False, list) == ["Untagged: h:5000/x:1", f"Untagged: {of_x}"]
        assert store.resolve(of_y).names == []
        assert removal.remove(of_y, False, list) == [
            f"Untagged: {of_y}", f"Deleted: {made.id}", f"Deleted: {made.layers[0]}",
        ]  # fmt: skip
        assert blobs(places) == set()

    def test_an_image_with_one_tag_and_its_digest_is_removed_by_id(self, places):
        made = imported(("a", b"1"), name="x:1")
        digest = f"x@sha256:{'1' * 64}"
        writer.note_digest(made.id, digest)
        assert removal.remove(made.id[7:], False, list)[:2] == ["Untagged: x:1", f"Untagged: {digest}"]
        assert blobs(places) == set()

    def test_a_name_is_moved_and_the_old_image_stays_without_a_name(self, places):
        one, two = imported(("a", b"1")), imported(("a", b"2"))
        assert store.resolve("img").id == two.id
        assert store.resolve(one.id).names == []
        writer.tag(one.id, "img:latest")
        assert (store.resolve("img").id, store.resolve(two.id).names) == (one.id, [])

    def user(self, image: store.Image, running: bool = False) -> list[removal.User]:
        return [removal.User("c" * 64, image.id, image.layers, running)]

    def test_an_image_in_use_stays_unless_forced(self, places):
        made = imported(("a", b"1"))
        for reference in ("img", made.id, made.id[7:20]):
            with pytest.raises(Conflict, match="stopped container cccccccccccc"):
                removal.remove(reference, False, lambda: self.user(made))
        lines = removal.remove("img", True, lambda: self.user(made))
        assert lines == ["Untagged: img:latest", f"Deleted: {made.id}"]
        assert os.path.isdir(paths.layer(made.layers[0])), "the container's root would be gone"
        assert store.images() == []

    def test_a_running_container_s_image_only_loses_its_name(self, places):
        made = imported(("a", b"1"))
        for reference, force in (("img", False), (made.id, False), (made.id, True)):
            with pytest.raises(Conflict, match="running container"):
                removal.remove(reference, force, lambda: self.user(made, running=True))
        assert removal.remove("img", True, lambda: self.user(made, running=True)) == ["Untagged: img:latest"]
        assert store.resolve(made.id).names == []

    def test_one_of_several_names_can_be_removed_from_an_image_in_use(self, places):
        made = imported(("a", b"1"))
        writer.tag("img", "other:v1")
        assert removal.remove("other:v1", False, lambda: self.user(made)) == ["Untagged: other:v1"]
        writer.tag("img", "other:v1")
        with pytest.raises(Conflict, match="2 names: img:latest, other:v1"):
            removal.remove(made.id, False, list)
        assert removal.remove(made.id, True, list)[:3] == [
            "Untagged: img:latest",
            "Untagged: other:v1",
            f"Deleted: {made.id}",
        ]

    def test_a_corrupt_image_can_be_removed(self, places):
        made, other = imported(("a", b"1")), imported(("a", b"2"), name="other:latest")
        Path(store.blob(made.id)).write_bytes(b"{")
        with pytest.raises(CorruptRecord, match=made.id[7:]):
            removal.remove("img", False, list)
        with pytest.raises(CorruptRecord):
            removal.remove("other", True, list)[:0] or store.images()
        assert removal.remove("img", True, list) == ["Untagged: img:latest"]
        assert [image.id for image in store.images()] in ([other.id], [])

    def test_a_garbled_index_is_never_overwritten(self, places):
        imported(("a", b"1"))
        index = places / "images/index.json"
        for content in (b"{", None):
            if content is None:
                index.unlink()
            else:
                index.write_bytes(content)
            for change in (
                lambda: imported(("b", b"")),
                lambda: writer.tag("img", "x:latest"),
                lambda: removal.remove("img", True, list),
            ):
                with pytest.raises(CorruptRecord, match=r"index\.json"):
                    change()
                assert (index.read_bytes() if index.exists() else None) == content

    def test_a_crashed_workspace_is_removed_and_one_in_use_is_not(self, places):
        (places / "layers/.new.dead/layers/x").mkdir(parents=True)
        with writer.Workspace() as alive:
            imported(("a", b"1"))
            assert os.path.isdir(alive.path)
        assert sorted(os.listdir(places / "layers")) == [store.resolve("img").layers[0][7:]]

    def test_keep_prevents_the_removal_of_an_image(self, places):
        made = imported(("a", b"1"))
        with store.keep(made, overlay):
            remover = threading.Thread(target=removal.remove, args=("img", False, list))
            remover.start()
            remover.join(0.2)
            assert remover.is_alive()
            assert os.path.isdir(paths.layer(made.layers[0]))
        remover.join()
        with pytest.raises(NotFound), store.keep(made, overlay):
            pass

    def test_changes_in_parallel(self, places):
        """After parallel imports, tags and removals of the same few names, the store is consistent."""
        script = """
import io, random, sys
sys.path.insert(0, sys.argv[2])
from archives import archive
from mydocker.errors import MydockerError, NotFound
from mydocker.image import archive as images, removal, store, writer
chance = random.Random(sys.argv[1])
for turn in range(12):
    name = f"img:{chance.randrange(3)}"
    try:
        kind = chance.randrange(4)
        if kind < 2:
            content = b"%d" % chance.randrange(4)
            images.import_image(io.BufferedReader(io.BytesIO(archive(("a", content)))), name, {}, "")
        elif kind == 2:
            writer.tag(name, f"img:{chance.randrange(3)}")
        else:
            removal.remove(name, True, list)
        for image in store.images():
            store.resolve(image.id)
    except MydockerError as error:
        if not isinstance(error, NotFound):
            raise
"""
        here = str(Path(__file__).parents[1])
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(number), here],
                env={"MYDOCKER_ROOT": str(places), "PYTHONPATH": str(SOURCE)},
                stderr=subprocess.PIPE,
            )
            for number in range(6)
        ]
        for worker in workers:
            assert worker.communicate()[1] == b""
            assert worker.returncode == 0
        listed = store.images()
        for image in listed:
            assert all(os.path.isdir(paths.layer(chain_id)) for chain_id in image.layers)
        for image in listed:
            removal.remove(image.id, True, list)
        assert blobs(places) == set()
        assert os.listdir(places / "layers") == []


class TestBusybox:
    def test_several_processes_at_once_make_it_once(self, places):
        script = "from mydocker.image import lookup; print(lookup.find('busybox').id)"
        workers = [python(script, places, stdout=subprocess.PIPE) for _ in range(8)]
        ids = {worker.communicate()[0] for worker in workers}
        assert {worker.returncode for worker in workers} == {0}
        assert len(ids) == 1
        assert len(os.listdir(places / "layers")) == 1
        assert len(blobs(places)) == 3

    def test_a_dry_run_writes_nothing_and_returns_the_same_image(self, places):
        planned = lookup.find("busybox", make=False)
        assert not places.exists()
        assert lookup.find("busybox") == planned

    def test_its_shell_works(self, places):
        root = paths.layer(lookup.find("busybox:latest").layers[0])
        assert shell(f"chroot {root} /bin/sh -c 'echo $((6 * 7)); ls -d /tmp; usr/bin/env | wc -l'").startswith(
            "42\n/tmp\n"
        )

    def test_other_names_are_not_made(self, places):
        with pytest.raises(NotFound):
            lookup.find("busybox:1.36")
        assert not places.exists()


@pytest.fixture
def skopeo():
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    return lambda *words: shell(f"skopeo --insecure-policy {' '.join(words)}")


class TestSkopeo:
    def test_reads_our_images(self, places, directory, skopeo):
        made = imported(("a", b"hello"), changes=["ENV X=1"])
        inspected = json.loads(skopeo("inspect", f"oci:{places}/images:img:latest"))
        assert (inspected["Env"], inspected["Digest"]) == (["X=1"], made.manifest)
        skopeo("copy", f"oci:{places}/images:img:latest", f"docker-archive:{directory}/x.tar:img:latest")
        assert "manifest.json" in shell(f"tar tf {directory}/x.tar")

    @pytest.mark.parametrize("name", ["img:latest", "host.example:5000/a/b:v1.2_x"])
    def test_reads_every_name(self, places, directory, skopeo, name):
        imported(("a", b"hello"), name=name)
        skopeo("inspect", f"oci:{places}/images:{name}")

    def test_an_image_that_it_brings_is_unpacked_on_first_use(self, places, directory, skopeo):
        parent = imported(("a", b"hello"), ("gone", b""), ("d", None), ("d/old", b""))
        changes = archive(("b", b"more"), (".wh.gone", b""), ("d", None), ("d/.wh..wh..opq", b""))
        images.commit(lambda out: out.write(changes), parent, "two:latest", {}, "sh")
        skopeo("copy", "--dest-compress", f"oci:{places}/images:two:latest", f"oci:{directory}/other:two:latest")
        own = store.resolve("two")
        removal.remove("two", False, list)
        removal.remove("img", False, list)
        assert os.listdir(places / "layers") == []
        skopeo("copy", f"oci:{directory}/other:two:latest", f"oci:{places}/images:two:latest")
        image = lookup.find("two")
        assert (image.id, image.layers) == (own.id, own.layers)
        assert "gzip" in store.layer_descriptors(image.manifest)[0]["mediaType"]
        bottom, top = (Path(paths.layer(chain_id)) for chain_id in image.layers)
        assert (bottom / "a").read_bytes() == b"hello"
        assert files.is_whiteout((top / "gone").lstat())
        assert files.is_opaque(str(top / "d"))

    @staticmethod
    def frame(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout

    def zstd(self, image: store.Image, pack) -> None:
        """Replace the image's only layer by a zstd blob, as skopeo would store it."""
        (old,) = store.layer_descriptors(image.manifest)
        plain = Path(store.blob(old["digest"])).read_bytes()
        raw = pack(plain)
        new = {"mediaType": f"{store.LAYER}+zstd", "digest": store.digest_of(raw), "size": len(raw)}
        Path(store.blob(new["digest"])).write_bytes(raw)
        with writer.Workspace() as work, store.lock():
            writer.add(work, *writer.documents(image.config, [new]), ["img:latest"])
        files.remove_tree(paths.layer(image.layers[0]))

    @pytest.mark.parametrize("form", ["one frame", "many frames and skippable ones", "a skippable one first"])
    def test_zstd_layers_are_unpacked(self, places, form):
        def pack(data: bytes) -> bytes:
            skippable = b"\x5a\x2a\x4d\x18\5\0\0\0hello"
            if form == "one frame":
                return self.frame(data)
            cuts = [0, 600, 1000, 1 << 20, 3 << 20, len(data)]
            frames = [self.frame(data[start:end]) for start, end in zip(cuts, cuts[1:])]
            return (skippable if form.startswith("a ") else b"") + skippable.join(frames) + skippable

        made = imported(("a", b"hello"), ("b", os.urandom(4 << 20)), ("c", b"c"))
        self.zstd(made, pack)
        assert lookup.find("img").id == made.id
        assert (Path(paths.layer(made.layers[0])) / "c").read_bytes() == b"c"

    @pytest.mark.parametrize("damage", ["cut", "garbage", "another's"])
    def test_a_damaged_zstd_layer(self, places, damage):
        def pack(data: bytes) -> bytes:
            content = data + bytes(512) if damage == "another's" else data
            raw = self.frame(content)
            return raw[:-100_000] if damage == "cut" else raw + b"garbage" if damage == "garbage" else raw

        made = imported(("a", os.urandom(300_000)))
        self.zstd(made, pack)
        with pytest.raises(MydockerError, match="holds" if damage == "another's" else "compressed data"):
            lookup.find("img")
        assert not os.path.exists(paths.layer(made.layers[0]))
        assert subprocess.run(["pgrep", "-P", str(os.getpid()), "zstd"], check=False).returncode == 1

    def test_a_zstd_layer_without_zstd_names_the_package(self, places, monkeypatch):
        made = imported(("a", b"hello"))
        self.zstd(made, self.frame)
        monkeypatch.setitem(sys.modules, "compression", None)
        monkeypatch.setattr(programs, "find", lambda name: "")
        with pytest.raises(HostError, match="install the package zstd"):
            lookup.find("img")

    @pytest.mark.parametrize("damage", ["byte", "cut", "missing", "gzip"])
    def test_a_blob_that_does_not_have_its_digest(self, places, directory, skopeo, damage):
        made = imported(("a", os.urandom(100_000)))
        if damage == "gzip":
            skopeo("copy", "--dest-compress", f"oci:{places}/images:img:latest", f"oci:{directory}/x:img:latest")
            removal.remove("img", False, list)
            skopeo("copy", f"oci:{directory}/x:img:latest", f"oci:{places}/images:img:latest")
        else:
            files.remove_tree(paths.layer(made.layers[0]))
        digest = store.layer_descriptors(store.resolve("img").manifest)[0]["digest"]
        blob = Path(store.blob(digest))
        raw = bytearray(blob.read_bytes())
        raw[50_000] ^= 1
        blob.write_bytes(raw[:60_000] if damage == "cut" else raw)
        if damage == "missing":
            blob.unlink()
        with pytest.raises(CorruptRecord, match=digest[7:]):
            lookup.find("img")
        assert not os.path.exists(paths.layer(made.layers[0]))


def command(op) -> str:
    """Return the shell command of an op. Before 2.39, mount(8) can't mount erofs without a loop device."""
    if isinstance(op, MountIndex):
        script = f"from mydocker.ops.erofs import MountIndex; MountIndex(**{op.arguments()!r}).do(None)"
        return f"PYTHONPATH={quote(str(SOURCE))} {quote(sys.executable)} -c {quote(script)}"
    return op.shell()


class Container:
    """The directory of an imitated container, whose root is mounted by the shell commands of the driver's ops."""

    def __init__(self, places: Path, driver, image: store.Image, name: str = "c"):
        self.directory = str(places / "containers" / name)
        os.makedirs(self.directory)
        self.driver, self.image = driver, image
        if driver.missing(image.layers):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(intake, "driver_in_use", lambda: driver)
                intake.complete(image)
        driver.prepare(self.directory, image.layers)

    def run(self, script: str, plan=None) -> str:
        steps = (plan or self.driver.root_ops)(self.directory, self.image.layers)
        lines = [
            "mount --make-rprivate /",
            *map(command, steps),
            f"cd {quote(self.directory)}/rootfs",
            script,
        ]
        return shell(f"unshare -m sh -euc {quote(chr(10).join(lines))}")

    def commit(self, name: str = "") -> store.Image:
        return images.commit(
            lambda out: self.driver.changes(self.directory, self.image.layers, out),
            self.image,
            name,
            {"Cmd": ["x"]},
            "sh",
        )


LISTING = """
find . -mindepth 1 -printf '%p %y %m %U %G %l %n\\n' | grep -v ' d ' | sort
find . -type d -printf '%p %m %U %G\\n' | sort
cat file* a/b/* e f/*
"""
CHANGES = """
echo new >file2; echo more >>a/b/one; chmod 600 a/b/two; chown 5:6 a/b/three; rm a/b/four; mv a/b/five a/six
rm -r c; mkdir c; echo fresh >c/new; rm -r e; echo 'now a file' >e; rm f; mkdir f; echo in >f/in
ln a/b/one linked; ln -s a/b soft; mkfifo fifo; rm -r g/h; touch -d @5 g; mkdir -p "deep/new/directory"; echo '
' >"$(printf 'new\\nline')"
"""
MORE_CHANGES = """
rm -r c; mkdir c; echo >c/d; rm -r f; mkdir f; rm -r g; echo >g; echo 3 >e
mkdir a/b/four; chmod 700 deep; touch x; rm x
"""
CHANGED = (
    "C/a C/a/b D/a/b/five D/a/b/four C/a/b/one C/a/b/three C/a/b/two A/a/six C/c D/c/d A/c/new D/c/old A/deep"
    " A/deep/new A/deep/new/directory C/e C/f A/f/in A/fifo A/file2 C/g D/g/h A/linked A/new\nline A/soft"
)
CHANGED_AGAIN = "C/a C/a/b A/a/b/four C/c A/c/d D/c/new C/deep C/e C/f D/f/in C/g"
BASE = [
    ("a", None), ("a/b", None), *((f"a/b/{name}", name.encode()) for name in ("one", "two", "three", "four", "five")),
    ("c", None), ("c/old", b"x"), ("c/d", None), ("c/d/x", b""), ("e", None), ("e/x", b""), ("f", b"file"),
    ("g", None), ("g/h", None), ("g/h/i", None), ("g/h/i/j", b""), ("file", b"1"), ("hard", "hard", "file"),
]  # fmt: skip


NOTED = '("noted", "directory")'


def differences(container: Container) -> str:
    rows = container.driver.differences(container.directory, container.image.layers)
    return " ".join(f"{kind}{path}" for kind, path in rows)


def test_aufs_lists_differences_by_its_own_marks(tmp_path, monkeypatch):
    """Its upper branch has marks of removals as a layer's tar has them, and files of aufs itself."""
    monkeypatch.setattr(paths, "LAYERS", str(tmp_path))
    layers = [f"sha256:{digit * 64}" for digit in "ab"]
    lower, upper = (tmp_path / layer[7:] for layer in layers)
    branch = tmp_path / "c" / "rw"
    for path in (lower / "a/b", lower / "old/x", upper / "c", branch / "a", branch / "old", branch / ".wh..wh.plnk"):
        path.mkdir(parents=True)
    files = (lower / "a/one", lower / "a/two", lower / "gone", lower / "old/y", upper / "c/three")
    changed = (branch / "a/one", branch / "a/.wh.two", branch / ".wh.gone", branch / ".wh.never", branch / "new")
    opaque = (branch / "old/.wh..wh..opq", branch / "old/y", branch / ".wh..wh.aufs")
    for path in (*files, *changed, *opaque):
        path.write_text("1")
    shown = " ".join(kind + path for kind, path in aufs.differences(str(tmp_path / "c"), layers))
    assert shown == "C/a C/a/one D/a/two D/gone A/new C/old D/old/x C/old/y"


class TestDrivers:
    @pytest.fixture(params=[name for name in choice.NAMES if name != "aufs"])  # few kernels have aufs
    def driver(self, request, places, monkeypatch):
        """A driver, with which layers are taken in, too."""
        driver = choice.named(request.param)
        why_not = driver.why_not()
        if why_not:
            pytest.skip(f"this host can't use {driver.name}: {why_not}")
        monkeypatch.setattr(intake, "driver_in_use", lambda: driver)
        return driver

    def test_commit_has_the_changes(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        container.run(CHANGES)
        expected = container.run(LISTING)
        made = container.commit("new:latest")
        assert len(made.layers) == 2
        assert made.config["config"] == {"Cmd": ["x"]}
        assert [row.get("empty_layer", False) for row in made.config["history"]] == [False, False]
        assert Container(places, overlay, made, "by overlay").run(LISTING) == expected
        assert Container(places, copy, made, "by copy").run(LISTING) == expected

    def test_differences(self, places, driver):
        """The second container's image has removals, an opaque directory, and a file in the place of a directory."""
        container = Container(places, driver, imported(*BASE))
        container.run(CHANGES)
        assert differences(container) == CHANGED
        second = Container(places, driver, container.commit("two:latest"), "c2")
        assert differences(second) == ""
        second.run(MORE_CHANGES)
        assert differences(second) == CHANGED_AGAIN

    def test_commit_s_unpacked_layer_equals_its_blob(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        container.run(CHANGES)
        made = container.commit("new:latest")
        top = Path(paths.layer(made.layers[1]))
        before = tree(top)
        files.remove_tree(str(top))
        lookup.find("new")
        for path, row in tree(top).items():
            marks_removal = row[0] == oct(stat.S_IFCHR)  # its time says nothing
            assert row[:3] + row[4:] == before[path][:3] + before[path][4:]
            assert marks_removal or row[3] == before[path][3]
        assert len(tree(top)) == len(before)

    def test_commit_without_changes_adds_no_layer(self, places, driver):
        made = Container(places, driver, imported(*BASE)).commit()
        assert len(made.layers) == 1
        assert made.config["history"][-1]["empty_layer"] is True
        assert made.names == []

    def test_commit_of_a_commit(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        for turn in range(3):
            container.run(f"echo {turn} >turn{turn}; rm -f turn{turn - 1}")
            container = Container(places, driver, container.commit(f"img:{turn}"), f"c{turn}")
        assert len(container.image.layers) == 4
        assert container.run("ls -d turn*") == "turn2\n"

    def test_commit_of_every_kind_of_file(self, places, driver):
        """Test devices, user attributes (also if nothing else has changed), names like whiteouts', and sockets."""
        base = [("etc/passwd", b"root"), ("noted", b"x"), ("directory", None), ("gone", b"x"), ("same", b"")]
        container = Container(places, driver, imported(*base))
        container.run(f"""
            mknod blk b 8 0; mknod chr c 1 3; mkfifo fifo; mkdir sub; touch etc/.wh.passwd sub/.wh..wh..opq sub/real
            python3 -c 'if 1:
                import os, socket
                for number, name in enumerate({NOTED}, 1):
                    os.setxattr(name, "user.note", b"%d" % number)
                socket.socket(socket.AF_UNIX).bind("socket")'
            rm gone
        """)
        if driver is copy:  # overlay lets nobody make one
            container.run("mknod gone c 0 0; mknod nothing c 0 0")
        made = container.commit("new:latest")
        Container(places, overlay, made, "unpacked")
        top = Path(paths.layer(made.layers[1]))
        assert (files.is_whiteout((top / "gone").lstat()), (top / "nothing").exists()) == (True, False)
        assert ((top / "noted").read_bytes(), (top / "same").exists()) == (b"x", False)
        assert not list(top.rglob(".wh.*"))
        for other in (overlay, copy):
            again = Container(places, other, made, other.name)
            assert again.run("stat -c '%n %F %t %T' blk chr fifo; cat etc/passwd").splitlines() == [
                "blk block special file 8 0",
                "chr character special file 1 3",
                "fifo fifo 0 0",
                "root",
            ]
            notes = again.run(f"""python3 -c 'import os; print(*(os.getxattr(f, "user.note") for f in {NOTED}))'""")
            assert notes == "b'1' b'2'\n"

    def test_an_error_of_the_driver_is_raised_and_leaves_nothing(self, places, driver, monkeypatch):
        container = Container(places, driver, imported(*BASE))
        container.run("touch x")
        before = blobs(places), sorted(os.listdir(places / "layers"))
        monkeypatch.setattr(packing.Packer, "whiteout", lambda *_: (_ for _ in ()).throw(Conflict("enough")))
        container.run("rm file")
        with pytest.raises(Conflict, match="enough"):
            container.commit("new:latest")
        assert (blobs(places), sorted(os.listdir(places / "layers"))) == before

    def test_commit_needs_the_image_below(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        removal.remove("img", True, lambda: [removal.User("c", container.image.id, container.image.layers, False)])
        container.run("touch x")
        with pytest.raises((NotFound, CorruptRecord)):
            container.commit("new:latest")
        assert store.images() == []

    def test_view_shows_the_root_read_only(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        container.run(CHANGES)
        assert container.run(LISTING, driver.view_ops) == container.run(LISTING)
        if driver is overlay:
            with pytest.raises(AssertionError, match="Read-only"):
                container.run("touch x", driver.view_ops)

    def test_a_second_prepare_keeps_the_changes(self, places, driver):
        container = Container(places, driver, imported(*BASE))
        container.run("echo kept >kept")
        driver.prepare(container.directory, container.image.layers)
        assert container.run("cat kept") == "kept\n"

    def test_an_interrupted_copy_is_repeated(self, places):
        image = imported(*BASE)
        (places / "containers/c/rootfs.new/half").mkdir(parents=True)
        copy.prepare(str(places / "containers/c"), image.layers)
        assert not (places / "containers/c/rootfs/half").exists()
        assert (places / "containers/c/rootfs/file").exists()

    def test_127_layers(self, places):
        count = 127
        hidden = [[(f".wh.file{number - 1}", b"")] if number else [] for number in range(count - 1)]
        rows = [(f"file{number}", b"%d" % number) for number in range(count - 1)]
        tars = [archive(("base", b"0")), *(archive(row, *gone) for row, gone in zip(rows, hidden))]
        image = taken(*tars)
        assert len(image.layers) == count
        container = Container(places, overlay, image)
        assert container.run("ls; echo x >new") == f"base\nfile{count - 2}\n"
        assert container.run("cat new", overlay.view_ops) == "x\n"
        files.remove_tree(container.directory)
        removal.remove("img", True, list)
        assert os.listdir(places / "layers") == []

    def test_a_store_whose_path_has_colons_and_commas(self, directory, monkeypatch):
        odd = directory / "a:b,c\\d e"
        for name in ("LAYERS", "IMAGES", "RUN"):
            monkeypatch.setattr(paths, name, str(odd / name.lower()))
        monkeypatch.setattr(paths, "ROOT", str(odd))
        container = Container(odd, overlay, imported(*BASE))
        container.run("echo x >made")
        assert (odd / "containers/c/upper/made").read_text() == "x\n"
        assert container.run("cat made file", overlay.view_ops) == "x\n1"

    def test_commit_from_an_aufs_branch(self, places):
        image = imported(*BASE)
        branch = places / "containers/c/rw"
        (branch / ".wh..wh.plnk").mkdir(parents=True)
        (branch / ".wh..wh.aufs").touch()
        (branch / ".wh.f").touch()
        (branch / "c").mkdir()
        (branch / "c/.wh..wh..opq").touch()
        (branch / "file2").write_text("new")
        made = images.commit(lambda out: aufs.changes(str(branch.parent), image.layers, out), image, "", {}, "sh")
        top = Path(paths.layer(made.layers[1]))
        assert sorted(os.listdir(top)) == ["c", "f", "file2"]
        assert files.is_whiteout((top / "f").lstat())
        assert files.is_opaque(str(top / "c"))
        with pytest.raises(Conflict, match="aufs can't use the image: a layer removes '/c'"):
            aufs.prepare(str(branch.parent), made.layers)


class TestChoice:
    def test_overlay_is_tried_once(self, places, monkeypatch):
        assert overlay.why_not() == ""
        monkeypatch.setattr(probe, "_try_overlay", lambda: pytest.fail("tried again"))
        assert overlay.why_not() == ""
        assert choice.choose("")[0].name == "overlay"

    def test_a_dry_run_tries_nothing(self, places):
        assert choice.choose("", try_it=False)[0].name == "overlay"
        assert not places.exists()

    def test_copy_is_the_default_where_overlay_does_not_work(self, places):
        """An overlay can't be on an overlay, as in a container."""
        places.mkdir()
        for name in ("lower", "upper", "work"):
            (places.parent / name).mkdir()
        top = places.parent
        shell(f"mount -t overlay -o lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work overlay {places}")
        try:
            for try_it in (True, False):
                driver, why = choice.choose("", try_it)
                assert driver.name == "copy"
                assert why.startswith("no overlay: ")
            with pytest.raises(HostError, match="overlay does not work here"):
                choice.choose("overlay")
        finally:
            shell(f"umount {places}")
        assert choice.choose("")[0].name == "overlay"
