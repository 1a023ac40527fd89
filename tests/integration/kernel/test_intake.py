"""The way of an image into the store (image/intake.py), on a real kernel: side by side, checked, with limits."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from archives import archive

from mydocker import paths
from mydocker.errors import HostError, InvalidArgument, MydockerError
from mydocker.image import archive as images
from mydocker.image import intake, packing, removal, store, workers, writer

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Return a function that writes the configuration."""
    monkeypatch.setattr(paths, "CONFIG", str(tmp_path / "config.yaml"))
    return (tmp_path / "config.yaml").write_text


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty store for the test, which has no workspace at the end."""
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(tmp_path / "store" / ("" if name == "ROOT" else name.lower())))
    yield tmp_path / "store"
    assert list(tmp_path.rglob(".new.*")) == []


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def unnamed(raw: bytes) -> io.FileIO:
    """The bytes as a file."""
    descriptor = os.memfd_create("blob")
    os.write(descriptor, raw)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return io.FileIO(descriptor)


GZIP = functools.partial(gzip.compress, mtime=0)


class Incoming:
    """An image as a registry has it."""

    def __init__(self, *tars: bytes, compress=GZIP):
        self.tars, self.blobs = tars, [compress(raw) for raw in tars]
        self.diff_ids = [digest(raw) for raw in tars]
        document = {"os": "linux", "config": {"Healthcheck": {"Test": ["NONE"]}, "Shell": ["x"]}, "odd": [1]}
        rootfs = {"type": "layers", "diff_ids": self.diff_ids}
        self.config = json.dumps({**document, "rootfs": rootfs}, indent=3).encode()
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        self.rows = [{"mediaType": kind, "digest": digest(raw), "size": len(raw)} for raw in self.blobs]
        named = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(self.config)}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
        manifest |= {"config": {**named, "digest": digest(self.config)}, "layers": self.rows}
        self.manifest = json.dumps(manifest, indent=3).encode()
        self.opened: list[int] = []

    def layers(self, far: bool = False) -> list[intake.Layer]:
        rows = enumerate(zip(self.rows, self.diff_ids))
        return [intake.Layer(row, diff_id, functools.partial(self.open, at), far) for at, (row, diff_id) in rows]

    def open(self, at: int) -> io.FileIO:
        self.opened.append(at)
        return unnamed(self.blobs[at])

    def take(self, *names: str, repo_digest: str = "", progress=None, far: bool = False) -> store.Image:
        return intake.take(self.config, self.layers(far), list(names), self.manifest, repo_digest, progress)


def nothing_is_left(places: Path) -> None:
    assert store.images() == []
    empty = {"config.json", ".overlay", "index.json", "oci-layout"}  # of a store without images
    assert {path.name for path in places.rglob("*") if path.is_file()} <= empty


class TestTake:
    def test_config_and_manifest_stay_byte_for_byte_with_every_name(self, places):
        new = Incoming(archive(("a", b"1")), archive(("b", b"2")))
        known = f"box@{digest(new.manifest)}"
        image = new.take("box:1", "box:latest", repo_digest=known)
        assert (image.id, image.manifest) == (digest(new.config), digest(new.manifest))
        assert Path(store.blob(image.id)).read_bytes() == new.config
        assert Path(store.blob(image.manifest)).read_bytes() == new.manifest
        assert (image.names, image.repo_digests) == (["box:1", "box:latest"], [known])
        assert store.resolve(known).id == store.resolve("box").id == image.id
        assert [Path(paths.layer(each)).exists() for each in image.layers] == [True, True]

    def test_a_layer_that_is_there_is_not_opened(self, places):
        base, one, two = archive(("base", b"b")), archive(("one", b"1")), archive(("two", b"2"))
        Incoming(base, one).take("one:1")
        new, seen = Incoming(base, two), []
        new.take("two:1", progress=lambda *row: seen.append(row[:2]))
        assert new.opened == [1]
        assert seen == [(0, intake.EXISTS), (1, intake.DONE)]
        again = Incoming(base, two)
        again.take("again:1")
        assert again.opened == []

    def test_another_blob_of_a_layer_that_is_there_is_kept_too(self, places):
        raw = archive(("a", b"1"))
        Incoming(raw).take("one:1")
        plain = Incoming(raw, compress=bytes)
        plain.take("plain:1")
        assert (plain.opened, Path(store.blob(digest(raw))).read_bytes()) == ([0], raw)

    def test_a_layer_that_is_far_is_not_opened_if_the_store_has_its_tar_in_another_compression(self, places):
        base, top = archive(("a", b"1")), archive(("b", b"2"))
        first = Incoming(base, top)
        first.take("one:1")
        for new in (Incoming(base, compress=bytes), Incoming(top, compress=bytes)):  # unpacked already, and not yet
            image = new.take("plain:1", far=True)
            assert (new.opened, image.id) == ([], digest(new.config))
            assert store.layer_descriptors(image.manifest)[0]["digest"] in map(digest, first.blobs)
            assert os.listdir(paths.layer(image.layers[0])) == ["a" if new.tars[0] == base else "b"]

    def test_progress_counts_the_bytes_of_the_blob(self, places):
        seen: list[tuple[int, str, int]] = []
        new = Incoming(archive(("a", os.urandom(5 << 20))))
        new.take("a:1", progress=lambda *row: seen.append(row))
        assert seen[-1] == (0, intake.DONE, len(new.blobs[0]))
        counts = [count for _, state, count in seen if state == intake.READING]
        assert len(counts) >= 4
        assert counts == sorted(counts)

    def test_directories_that_an_archive_lacks_look_as_below_in_any_order(self, places):
        bottom = archive(("tmp", "dir 1777 7 8"), ("srv", None)) if False else below()
        image = Incoming(
            bottom, archive(("tmp/x/one", b"1")), archive(("tmp/x/two", b"2")), archive(("new/f", b""))
        ).take("a:1")
        for chain_id in image.layers[1:3]:
            info = os.stat(f"{paths.layer(chain_id)}/tmp/x")
            assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (7, 8, 0o1770)
            assert stat.S_IMODE(os.stat(paths.layer(chain_id)).st_mode) == 0o711
        assert stat.S_IMODE(os.stat(f"{paths.layer(image.layers[3])}/new").st_mode) == 0o755

    def test_a_range_of_a_file_is_a_layer_and_an_unknown_digest_is_found(self, places, tmp_path):
        raw = archive(("a", b"1"))
        (tmp_path / "all").write_bytes(b"x" * 1000 + raw + b"y" * 1000)

        def opened() -> io.FileIO:
            file = io.FileIO(tmp_path / "all")
            file.seek(1000)
            return file

        new = Incoming(raw)
        row = {"mediaType": "", "digest": "", "size": len(raw)}
        image = intake.take(new.config, [intake.Layer(row, digest(raw), opened)], ["a:1"])
        expected = {"mediaType": store.LAYER, "digest": digest(raw), "size": len(raw)}
        assert store.layer_descriptors(image.manifest) == [expected]

    def test_layers_are_taken_side_by_side(self, places, monkeypatch):
        """Each pipe's writer waits until both layers are being read."""
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
        raws = [gzip.compress(archive((name, os.urandom(3 << 20)))) for name in "ab"]
        both = threading.Barrier(2, timeout=20)

        def opened(raw: bytes) -> io.FileIO:
            source, target = os.pipe()

            def write() -> None:
                with open(target, "wb") as out:
                    out.write(raw[: 2 << 20])
                    both.wait()
                    out.write(raw[2 << 20 :])

            threading.Thread(target=write, daemon=True).start()
            return io.FileIO(source)

        new = Incoming(*(gzip.decompress(raw) for raw in raws), compress=functools.partial(gzip.compress, mtime=1))
        new.open = lambda at: opened(new.blobs[at])  # type: ignore[method-assign]
        assert new.take("a:1").names == ["a:1"]


def below() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode, uid, gid in ((".", 0o711, 0, 0), ("tmp", 0o1777, 0, 0), ("tmp/x", 0o1770, 7, 8)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, mode, uid, gid
            tar.addfile(member)
    return out.getvalue()


def other_config(new: Incoming) -> None:
    new.config = new.config.replace(b"linux", b"Linux")


def damaged(new: Incoming) -> None:
    raw = bytearray(new.blobs[1])
    raw[len(raw) // 2] ^= 1
    new.blobs[1] = bytes(raw)


def cut(new: Incoming) -> None:
    new.blobs[1] = new.blobs[1][:-9]


def other_layer(new: Incoming) -> None:
    new.blobs[1] = gzip.compress(archive(("other", b"")))


def other_diff_id(new: Incoming) -> None:
    raw = gzip.compress(archive(("other", b"")))
    rows = [new.rows[0], {**new.rows[1], "digest": digest(raw), "size": len(raw)}]
    new.manifest = json.dumps({**json.loads(new.manifest), "layers": rows}).encode()
    new.blobs[1], new.rows = raw, rows


def set_rows(**change: object):
    def apply(new: Incoming) -> None:
        new.rows = [new.rows[0], {**new.rows[1], **change}]
        new.manifest = json.dumps({**json.loads(new.manifest), "layers": new.rows}).encode()

    return apply


def no_json(new: Incoming) -> None:
    new.config = b"[" * 100_000


def long_json(new: Incoming) -> None:
    new.config = b" " * (9 << 20) + new.config


def more_layers(new: Incoming) -> None:
    new.rows = [*new.rows, new.rows[1]]
    new.manifest = json.dumps({**json.loads(new.manifest), "layers": new.rows}).encode()


def dot_dot(new: Incoming) -> None:
    new.config = new.config.replace(new.diff_ids[1].encode(), b"sha256:../../../../etc/passwd")
    new.diff_ids[1] = "sha256:../../../../etc/passwd"


HOSTILE = {
    "its config": (other_config, "config does not have the digest"),
    "a wrong byte": (damaged, "its digest is sha256:"),
    "cut off": (cut, "it ends after"),
    "another layer": (other_layer, "layer sha256:"),
    "another content": (other_diff_id, "holds sha256:"),
    "a size too large": (set_rows(size=10_000_000), "it ends after"),
    "a size too small": (set_rows(size=20), "its digest is"),
    "a negative size": (set_rows(size=-5), "size"),
    "a size that is text": (set_rows(size="5"), "a layer's size is not a number"),
    "a path as digest": (set_rows(digest="sha256:../../../x"), "'sha256:../../../x' is not a SHA-256 digest"),
    "no digest": (set_rows(digest=None), "its manifest is malformed"),
    "another hash": (set_rows(digest="sha512:" + "0" * 128), "is not a SHA-256 digest"),
    "nested": (no_json, "its config is malformed"),
    "a long config": (long_json, "more than 8 MB"),
    "more layers": (more_layers, "layers"),
    "a path as diff id": (dot_dot, "is not a SHA-256 digest"),
}


class TestHostileImages:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_is_refused_in_one_line_and_leaves_nothing(self, places, kind):
        new = Incoming(archive(("a", b"1")), archive(("b", os.urandom(300_000))))
        change, message = HOSTILE[kind]
        change(new)
        with pytest.raises(InvalidArgument, match=message) as caught:
            new.take("bad:1")
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)
        nothing_is_left(places)

    @pytest.mark.parametrize(
        ("limit", "tars"),
        [
            ("image_size: 1000000", [archive(("zeros", bytes(2_000_000)))]),
            ("image_size: 1000000", [archive((f"{at}", bytes(600_000))) for at in range(2)]),
            ("image_size: 1000000", [archive(*((f"{at}", bytes(600)) for at in range(3000)))]),
            ("image_size: 1000000\nimage_entries: 9", [archive(("a", b"")) + bytes(3_000_000)]),
            ("image_entries: 100", [archive(*((f"{at}", b"") for at in range(101)))]),
            ("image_entries: 100", [archive(*((f"{layer}{at}", b"") for at in range(60))) for layer in range(2)]),
            ("image_entries: 100", [archive(("/".join("d" * 101) + "/f", b""))]),
            ("image_depth: 10", [archive(("a/b/c/d/e/f/g/h/i/j/k/l", b""))]),
            ("image_layers: 2", [archive(("a", b"%d" % at)) for at in range(3)]),
        ],
    )
    def test_a_bomb_is_refused(self, places, settings, limit, tars):
        settings(limit)
        with pytest.raises(InvalidArgument, match="refused image: it has") as caught:
            Incoming(*tars).take("bomb:1")
        assert (caught.value.exit_code, limit.partition(":")[0] in caught.value.hint) == (1, True)
        nothing_is_left(places)
        if len(tars) == 1:
            with pytest.raises(InvalidArgument, match="refused image: it has"):
                images.import_image(io.BufferedReader(io.BytesIO(gzip.compress(tars[0]))), "bomb:1", {}, "")
            nothing_is_left(places)

    def test_holes_are_no_bomb(self, places, settings, tmp_path):
        settings("image_size: 1000000")
        with open(tmp_path / "sparse", "wb") as file:
            file.truncate(1 << 40)
        os.mkdir(tmp_path / "d")
        os.rename(tmp_path / "sparse", tmp_path / "d/sparse")
        out = io.BytesIO()
        packing.pack(str(tmp_path / "d"), out)
        image = Incoming(out.getvalue()).take("sparse:1")
        info = os.stat(f"{paths.layer(image.layers[0])}/sparse")
        assert (info.st_size, info.st_blocks) == (1 << 40, 0)


class TestWorkers:
    class Job:
        def __init__(self, work):
            self.work = lambda report: work()
            self.closed = 0
            self.result = None

        def prepare(self):
            pass

        def advance(self, count):
            pass

        def done(self, result):
            self.result = result

        def close(self):
            self.closed += 1

    def test_the_first_error_ends_all(self):
        def fail():
            raise HostError("no", "hint", 7)

        jobs = [self.Job(fail), self.Job(lambda: time.sleep(60)), self.Job(fail)]
        began = time.monotonic()
        with pytest.raises(HostError, match="no") as caught:
            workers.run(jobs, 2)
        assert time.monotonic() - began < 20
        assert (caught.value.hint, caught.value.exit_code) == ("hint", 7)
        assert [job.closed for job in jobs] == [1, 1, 0]

    @pytest.mark.parametrize(
        "fault", [lambda: 1 / 0, lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: open("/no")]
    )
    def test_a_worker_that_fails_otherwise_is_an_error_of_one_line(self, fault):
        with pytest.raises(MydockerError) as caught:
            workers.run([self.Job(fault)])
        assert "\n" not in str(caught.value)

    def test_results_come_to_their_jobs(self):
        jobs = [self.Job(lambda at=at: at) for at in range(5)]
        workers.run(jobs, 2)
        assert [(job.result, job.closed) for job in jobs] == [(at, 1) for at in range(5)]

    def test_killed_at_any_moment_the_store_is_as_before_and_the_next_change_cleans_up(self, places, tmp_path):
        (tmp_path / "tar").write_bytes(archive(*((f"f{at}", os.urandom(200_000)) for at in range(40))))
        script = f"""
import io, sys
sys.path.insert(0, {str(SOURCE)!r})
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import test_intake
test_intake.Incoming(open({str(tmp_path / "tar")!r}, "rb").read(), compress=bytes).take("a:1")
"""
        variables = {**os.environ, "MYDOCKER_ROOT": str(places), "MYDOCKER_RUN": str(places / "run")}
        with writer.Workspace():
            pass  # makes the directories, which a child that is killed early does not
        for pause in (0.25, 0.35, 0.45, 0.6):
            child = subprocess.Popen([sys.executable, "-c", script], env=variables)
            time.sleep(pause)
            child.kill()
            child.wait()
            time.sleep(0.05)
            for image in store.images():
                assert image.names == ["a:1"]
                assert os.path.isdir(paths.layer(image.layers[0]))
                removal.remove("a:1", True, list)
        with writer.Workspace():
            pass
        nothing_is_left(places)


class TestRoundTrip:
    def test_every_kind_of_file_comes_back(self, places, tmp_path):
        """import → pack (save and export write this) → import: the trees are equal, and holes stay holes."""
        top = tmp_path / "zoo"
        top.mkdir()
        (top / "file").write_bytes(b"content")
        os.setxattr(top / "file", "user.note", b"a\\0=\\n%")
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        os.setxattr(top / "file", "security.capability", capability)
        os.link(top / "file", top / "hard")
        (top / "link").symlink_to("no where")
        os.mkfifo(top / "fifo")
        os.mknod(top / "disk", stat.S_IFBLK | 0o640, os.makedev(7, 9))
        with open(top / "sparse", "wb") as file:
            file.truncate(50 << 20)
            os.pwrite(file.fileno(), b"x", 30 << 20)
        name = os.fsencode(str(top)) + b"/caf\xe9\xff\n"
        with open(name, "wb"):
            pass
        os.mkdir(top / "d", 0o2711)
        os.chown(top / "d", 70_000, 3_000_000)
        for path, moment in (
            (top / "file", 1_700_000_000_123_456_789),
            (top / "d", -1_500_000_000),
            (name, 10**19 // 4),
        ):
            os.utime(path, ns=(moment, moment))
        os.utime(top / "link", ns=(5, 1_234_567_890), follow_symlinks=False)
        first = packed(top)
        image = images.import_image(io.BufferedReader(io.BytesIO(first)), "zoo:1", {}, "")
        layer = Path(paths.layer(image.layers[0]))
        assert listing(layer) == listing(top)
        assert packed(layer) == first
        assert os.stat(layer / "sparse").st_blocks <= 64
        assert len(first) < 1 << 20


def packed(top: Path) -> bytes:
    out = io.BytesIO()
    packing.pack(str(top), out)
    return out.getvalue()


def listing(top: Path) -> dict[bytes, tuple]:
    found = {}
    for directory, folders, names in os.walk(os.fsencode(str(top))):
        for name in [*folders, *names]:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
            xattrs = {
                each: os.getxattr(path, each, follow_symlinks=False)
                for each in os.listxattr(path, follow_symlinks=False)
            }
            found[os.path.relpath(path, os.fsencode(str(top)))] = (
                info.st_mode, info.st_uid, info.st_gid, size, info.st_mtime_ns, info.st_rdev,
                info.st_nlink if stat.S_ISREG(info.st_mode) else 0, xattrs,
            )  # fmt: skip
    return found
