"""Layers that are shown by an index of their tars look as the same layers do when they are unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from archives import archive

from mydocker import paths
from mydocker.errors import CorruptRecord
from mydocker.image import intake, layer, lookup, removal, sizes, store
from mydocker.image.drivers import erofs, overlay
from mydocker.image.erofs import places as indexed
from mydocker.kernel import files, mounts, process
from mydocker.ops.base import Context
from mydocker.ops.erofs import CheckMounted

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty store for the test, on a file system on which erofs works."""
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(tmp_path / "store" / ("" if name == "ROOT" else name.lower())))
    why_not = erofs.why_not()
    if why_not:
        pytest.skip(f"this host can't use erofs: {why_not}")
    use(monkeypatch, erofs)
    return tmp_path / "store"


def use(monkeypatch, driver) -> None:
    monkeypatch.setattr(intake, "driver_in_use", lambda: driver)


def taken(*tars: bytes, name: str = "img:latest", compress=bytes) -> store.Image:
    """Take in an image as a registry has it. compress: what it does to blobs."""
    diff_ids = [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in tars]
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}, indent=3).encode()
    blobs = [compress(raw) for raw in tars]
    layers = [
        intake.Layer(
            {"mediaType": store.LAYER, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)},
            diff_id,
            lambda blob=blob: io.BytesIO(blob),
        )
        for diff_id, blob in zip(diff_ids, blobs)
    ]
    return intake.take(config, layers, [name])


def shown(driver, image: store.Image, use=None) -> dict[str, list]:
    """Return what a container of the image sees, or what `use(root)` returns."""
    directory = f"{paths.CONTAINERS}/{driver.name}.{os.urandom(4).hex()}"
    os.makedirs(directory)
    driver.prepare(directory, image.layers)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            process.unshare(process.NAMESPACES["mount"])
            mounts.mount("none", "/", flags=mounts.FLAGS["private"] | mounts.FLAGS["rec"])
            for op in driver.root_ops(directory, image.layers):
                op.do(Context())
            result = (use or described)(f"{directory}/rootfs")
        except Exception as error:
            result = {"error": repr(error)}
        with open(writer, "w") as out:
            json.dump(result, out)
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        result = json.load(answer)
    os.waitpid(child, 0)
    assert "error" not in result, result
    return result


def described(root: str) -> dict[str, list]:
    top = os.open(root, files.DIR)
    rows = {"": [os.fstat(top).st_mode, os.fstat(top).st_uid]}
    inodes: dict[int, str] = {}
    for entry in layer.walk(top):
        info = entry.info
        row = [
            info.st_mode,
            info.st_uid,
            info.st_gid,
            info.st_rdev,
            sorted(os.listxattr(entry.here, follow_symlinks=False)),
        ]
        row += [os.getxattr(entry.here, name, follow_symlinks=False).hex() for name in row[-1]]
        if not stat.S_ISDIR(info.st_mode):
            row += [info.st_mtime_ns, info.st_nlink, inodes.setdefault(info.st_ino, entry.path)]
        if stat.S_ISREG(info.st_mode):
            row += [info.st_size, digest(entry)]
        elif stat.S_ISLNK(info.st_mode):
            row.append(os.readlink(entry.name, dir_fd=entry.parent))
        rows[entry.path] = row
    return rows


def digest(entry: layer.Entry) -> str:
    """Hash a file without its holes, each of which counts as one."""
    digest = hashlib.sha256()
    with open(os.open(entry.name, os.O_RDONLY, dir_fd=entry.parent), "rb") as file:
        left = entry.info.st_size
        while chunk := file.read(min(left, 1 << 20)):
            digest.update(chunk.strip(b"\0") or b"hole")
            left -= len(chunk)
    return digest.hexdigest()


def pax(*members: tuple, **headers) -> bytes:
    """Make a pax archive. members: (name, content, fields…)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as made:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def with_holes(directory: Path, *options: str) -> bytes:
    """Make an archive of files with holes by GNU tar."""
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    for name, size, pieces in (
        ("aligned", 1 << 20, [(0, 4096), (65536, 8192)]),
        ("end", (1 << 20) + 77, [((1 << 20), 77)]),
        ("large", 5 << 30, [(3 << 30, 5000)]),
        ("none", 1 << 16, []),
    ):
        with open(tree / name, "wb") as file:
            file.truncate(size)
            for offset, length in pieces:
                os.pwrite(file.fileno(), os.urandom(length), offset)
    return subprocess.run(["tar", "-C", tree, "-c", *options, "."], capture_output=True, check=True).stdout


def unaligned(*pieces: tuple[int, int], size: int) -> bytes:
    """Make an archive with a file of pax 0.1, whose pieces lie anywhere."""
    content = os.urandom(sum(length for _, length in pieces))
    table = ",".join(f"{offset},{length}" for offset, length in pieces)
    headers = {"GNU.sparse.map": table, "GNU.sparse.size": str(size), "GNU.sparse.name": "holes"}
    return pax(("x", content, {"pax_headers": headers}), ("behind", b"it", {}))


BASE = archive(
    ("a", None), ("a/one", b"1"), ("a/two", b"2" * 600), ("d", None), ("d/x", b"x"), ("d/sub", None), ("d/sub/y", b""),
    ("usr", None), ("usr/lib", None), ("lib", "link", "usr/lib"), ("f", b"file"), ("l", "link", "a/one"),
    ("many", None), *((f"many/{'n' * 40}{number}", b"%d" % number) for number in range(200)),
)  # fmt: skip
CAPABILITY = "\1\0\0\2\0\4\0\0" + "\0" * 12
LAYERS = {
    "files of all kinds": archive(
        ("p", "fifo"), ("c", "device", 1, 3), ("b", "block", 0xFFF, 0xFFFFF), ("s", b"", 0o4755), ("h", "hard", "s"),
        ("lh", "link", "s"), ("hl", "hard", "lh"), ("dev", None), ("dev/null", "device", 1, 3),
        ("dev/zero", "device", 1, 6), ("empty", None),
    ),
    "names": pax(
        *((name, b"x", {}) for name in ("n" * 255, "/".join("d" * 200 for _ in range(15)), "ä/ö", "new\nline", "b\\s")),
        ("\udce9t\udce9", b"latin", {}),
    ),
    "long links": pax(
        *((f"l{n}", b"", {"type": tarfile.SYMTYPE, "linkname": "t" * n}) for n in (1, 447, 448, 512, 4095)),
    ),
    "times and owners": pax(
        ("new", b"", {"mtime": 1.25, "uid": 4_000_000_000, "gid": 7}),
        ("old", b"", {"mtime": -12345, "pax_headers": {"mtime": "-12345.678901234"}}),
        ("far", b"", {"pax_headers": {"mtime": "9999999999.123456789"}}),
    ),
    "attributes": pax(
        ("f", b"", {"pax_headers": {"SCHILY.xattr.user.a": "v" * 900, "SCHILY.xattr.user.b": ""}}),
        ("cap", b"", {"pax_headers": {"SCHILY.xattr.security.capability": CAPABILITY}}),
        ("d", b"", {"type": tarfile.DIRTYPE, "pax_headers": {"SCHILY.xattr.trusted.overlay.opaque": "y"}}),
        ("a", b"", {"type": tarfile.DIRTYPE, "pax_headers": {"SCHILY.xattr.user.overlay.opaque": "y"}}),
        ("m", b"", {"pax_headers": {"SCHILY.xattr.trusted.overlay.redirect": "/f", "SCHILY.xattr.security.ima": "s"}}),
    ),
    "whiteouts": archive((".wh.f", b""), ("a/.wh.one", b""), ("d", None), ("d/.wh..wh..opq", b""), ("d/new", b"n")),
    "a whiteout and a directory": archive((".wh.d", b""), ("d", None), ("d/only", b"o")),
    "a directory and its whiteout": archive(("d", None), ("d/only", b"o"), (".wh.d", b"")),
    "a file and its whiteout": archive(("f", b"mine"), (".wh.f", b"")),
    "a directory over a file": archive(("f", None), ("f/in", b"i")),
    "a file over a directory": archive(("d", b"file")),
    "missing parents": archive(("a/three", b"3"), ("d/sub/deep/er/z", b"z"), ("n/e/w", b"w")),
    "below a link": archive(("usr/lib", None), ("lib", "link", "usr/lib"), ("lib/so", b"so"), ("lib/new/x", b"x")),
    "absolute names and dots": archive(("/abs", b"a"), ("./p/../q", b"q"), ("a//b/./c", b"c"), ("h", "hard", "/abs")),
    "duplicates": archive(
        ("x", b"1"), ("x", b"22"), ("y", "link", "x"), ("y", b"y"), ("d", None), ("d", None), ("d/k", b"")
    ),
    "a replaced link on the way": archive(
        ("t", None), ("u", None), ("w", "link", "t"), ("w/a", b"a"), ("w", "link", "u"), ("w/b", b"b")
    ),
    "a link that replaces its target's name": archive(("x", b"1"), ("y", "hard", "x"), ("x", b"2"), ("z", "hard", "y")),
    "no entries": b"",
    "only the end": bytes(1024),
    "no end mark": archive(("x", b"x" * 512))[:1024],
    "garbage behind": archive(("x", b"x")) + b"garbage",
    "many files": archive(*((f"many/{'n' * 40}{number}", b"%d" % -number) for number in range(100, 400))),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_looks_as_it_does_unpacked(kind, monkeypatch):
    image = taken(BASE, LAYERS[kind])
    by_index = shown(erofs, image), sizes.of_layers(image)
    assert not any(os.path.exists(paths.layer(chain_id)) for chain_id in image.layers)
    use(monkeypatch, overlay)
    intake.complete(image)
    for chain_id in image.layers:
        files.remove_tree(indexed.directory(chain_id))
    assert by_index == (shown(overlay, image), sizes.of_layers(image))


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu", "-S"),
        *(("--format=pax", "-S", f"--sparse-version={version}") for version in ("0.0", "0.1", "1.0")),
    ],
    ids=["gnu", "0.0", "0.1", "1.0"],
)
def test_files_with_holes(tmp_path, monkeypatch, options):
    raw = with_holes(tmp_path, *options)
    image = taken(raw)
    by_index = shown(erofs, image, holes)
    use(monkeypatch, overlay)
    intake.complete(image)
    expected = shown(overlay, image, holes)
    assert by_index == expected
    assert by_index["./large"][0] == 5 << 30
    used = os.stat(f"{indexed.directory(image.layers[0])}/data").st_blocks * 512
    assert used < len(raw) + 500_000


def holes(root: str) -> dict[str, list]:
    """Return each file's size and digest, with zeros for its holes, at most the end of it."""
    rows: dict[str, list] = {}
    for name in sorted(os.listdir(root)):
        if not os.path.isfile(f"{root}/{name}"):
            continue
        with open(f"{root}/{name}", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - (2 << 30) - (1 << 20)) if size > 1 << 30 else 0)
            rows[f"./{name}"] = [size, hashlib.sha256(file.read(8 << 20)).hexdigest()]
    return rows


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (5000, [(0, 10), (4000, 1000)]),
        (5000, [(1, 1), (3, 1), (512, 512), (2000, 3)]),
        (1 << 20, [(n, 1) for n in range(0, 1 << 20, 5000)]),
        (3 << 30, [(512, 512), ((3 << 30) - 1, 1)]),
        (4096, [(0, 4096)]),
        (4096, []),
    ],
)
def test_holes_that_are_no_blocks(monkeypatch, size, pieces):
    image = taken(unaligned(*pieces, size=size))
    by_index = shown(erofs, image, holes)
    use(monkeypatch, overlay)
    intake.complete(image)
    assert by_index == shown(overlay, image, holes)
    assert by_index["./holes"][0] == size


def test_a_stack_of_many_layers(monkeypatch):
    """The fourth and the sixteenth index show four and sixteen layers."""
    tars = [BASE]
    for number in range(21):
        tars.append(
            archive(
                (f"n{number}", b"%d" % number), ("a", None), (f"a/{number}", b""), (f".wh.n{number - 2}", b""),
                ("d" if number % 5 else "o", None), *([("d/.wh..wh..opq", b"")] if number == 9 else []),
                (f"d/{number}", b"x" * number), ("f", b"%d" % number, 0o600), (f"h{number}", "hard", "f"),
            )
        )  # fmt: skip
    for count in (4, 5, 16, 22):
        image = taken(*tars[:count], name=f"img:{count}")
        by_index = shown(erofs, image)
        use(monkeypatch, overlay)
        intake.complete(image)
        assert by_index == shown(overlay, image)
        use(monkeypatch, erofs)


def test_compressed_layers_are_stored_plain_and_once(places):
    raw = archive(("f", os.urandom(100_000)))
    image = taken(raw, compress=gzip.compress)
    (descriptor,) = store.layer_descriptors(image.manifest)
    assert descriptor == {
        "mediaType": store.LAYER,
        "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "size": len(raw),
    }
    assert os.path.samefile(store.blob(descriptor["digest"]), f"{indexed.directory(image.layers[0])}/data")
    used = {(info.st_ino): info.st_blocks * 512 for path in places.rglob("*") if (info := path.lstat())}
    assert sum(used.values()) < len(raw) * 1.02 + 100_000


def test_a_removed_image_leaves_nothing(places):
    taken(BASE)
    removal.remove("img", False, list)
    assert os.listdir(places / "layers") == []


class TestDamage:
    """Nobody sees a wrong file: a change is noticed before a start, and what the blob still has is made again."""

    @pytest.mark.parametrize("name", ["index", "about.json"])
    def test_an_index_is_made_again(self, monkeypatch, name):
        image = taken(BASE, LAYERS["whiteouts"])
        expected = shown(erofs, image)
        place = indexed.directory(image.layers[1])
        with open(f"{place}/{name}", "r+b") as damaged:
            damaged.seek(1030)
            damaged.write(b"damage")
        with pytest.raises(CorruptRecord):
            shown(erofs, image)
        monkeypatch.setattr("mydocker.image.drivers.choice.choose", lambda *_, **__: (erofs, ""))
        assert shown(erofs, lookup.find("img")) == expected

    def test_an_index_that_is_made_again_is_there_at_every_moment(self, monkeypatch, places):
        """Also if the process is killed between two steps."""
        image = taken(BASE)
        there = indexed.directory(image.layers[0])
        os.utime(f"{there}/index")
        steps = []

        def watched(step):
            def watch(*names, **where):
                step(*names, **where)
                steps.append(os.path.isfile(f"{there}/index"))

            return watch

        monkeypatch.setattr(os, "rename", watched(os.rename))
        monkeypatch.setattr(files, "exchange", watched(files.exchange))
        intake.complete(image)
        assert steps
        assert all(steps)
        assert not indexed.damage(image.layers)
        assert os.listdir(places / "layers") == [os.path.basename(there)]

    @pytest.mark.parametrize("damage", ["byte", "cut"])
    def test_of_a_tar_is_an_error(self, monkeypatch, damage):
        image = taken(BASE)
        with open(f"{indexed.directory(image.layers[0])}/data", "r+b") as tar:
            if damage == "cut":
                tar.truncate(2000)
            else:
                tar.seek(1024)
                tar.write(b"0")
        monkeypatch.setattr("mydocker.image.drivers.choice.choose", lambda *_, **__: (erofs, ""))
        with pytest.raises(CorruptRecord, match=r"corrupt image store: .*its digest is|ends after"):
            lookup.find("img")
        with pytest.raises(CorruptRecord, match="data: it has been changed"):
            shown(erofs, image)

    def test_a_layer_that_two_commands_make_at_once_fits_indexes_above_it(self, monkeypatch):
        """The second one has not seen the first one's layer and blob yet, and replaces both."""
        image = taken(BASE, *[LAYERS["whiteouts"]] * 3, compress=gzip.compress)  # the last index shows all four
        expected = shown(erofs, image)
        inode = os.stat(f"{indexed.directory(image.layers[0])}/index").st_ino
        os.unlink(store.blob(store.layer_descriptors(image.manifest)[0]["digest"]))
        with monkeypatch.context() as blind:
            blind.setattr(erofs, "missing", lambda layers: list(range(len(layers))))
            taken(BASE, name="other:latest", compress=gzip.compress)
        assert os.stat(f"{indexed.directory(image.layers[0])}/index").st_ino != inode
        assert shown(erofs, image) == expected

    def test_a_touched_tar_is_read_again(self, monkeypatch):
        image = taken(BASE)
        expected = shown(erofs, image)
        os.utime(f"{indexed.directory(image.layers[0])}/data")
        monkeypatch.setattr("mydocker.image.drivers.choice.choose", lambda *_, **__: (erofs, ""))
        assert shown(erofs, lookup.find("img")) == expected


class TestSharing:
    """Containers of an image have one mount of each index, so that the page cache has a file once."""

    @pytest.fixture
    def image(self, monkeypatch, places):
        monkeypatch.setattr(paths, "RUN", str(places / "run"))
        return taken(BASE)

    @pytest.fixture
    def start(self, image):
        """Do a container's steps on the host; those that are left are undone at the end."""
        started = []

        def start(name: str):
            (op,) = erofs.host_ops(f"{paths.CONTAINERS}/{name}", image.layers)
            started.append(op)
            op.do(Context())
            return op

        yield start
        for op in started:
            op.undo()

    def root(self, image) -> str:
        return f"{paths.shared_layer(image.layers[0])}/root"

    def test_the_last_container_unmounts_it(self, image, start, places):
        one, first = start("one"), os.stat(self.root(image)).st_dev
        two = start("two")
        assert os.stat(self.root(image)).st_dev == first
        one.undo()
        one.undo()  # by two cleanups
        CheckMounted([self.root(image)]).do(Context())
        assert described(self.root(image))
        two.undo()
        assert os.listdir(places / "run/_layers") == []

    def test_a_start_that_failed_leaves_nothing(self, image, places):
        (op,) = erofs.host_ops(f"{paths.CONTAINERS}/one", image.layers)
        op.undo()
        os.truncate(f"{indexed.directory(image.layers[0])}/index", 0)
        with pytest.raises(OSError, match="index"):
            op.do(Context())
        op.undo()
        assert os.listdir(places / "run/_layers") == []

    def test_an_index_that_was_made_again_is_mounted_anew(self, image, start):
        start("one")
        with open(f"{self.root(image)}/f") as file:
            os.utime(f"{indexed.directory(image.layers[0])}/data")
            intake.complete(image)
            before = os.stat(self.root(image)).st_dev
            start("two")
            assert os.stat(self.root(image)).st_dev != before
            assert file.read() == Path(self.root(image), "f").read_text()

    def test_a_layer_that_is_not_mounted_is_not_an_empty_one(self, image, start):
        start("one")
        mounts.unmount(self.root(image))
        with pytest.raises(OSError, match="not mounted"):
            CheckMounted([self.root(image)]).do(Context())
        start("two")
        CheckMounted([self.root(image)]).do(Context())
