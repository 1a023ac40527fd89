"""COPY, ADD and WORKDIR on a real storage driver: what is in the image afterwards, as `docker build` made it.

The expected trees were measured with BuildKit (docker 28.5.2), except where docs/dockerfile.md says otherwise. These
call mydocker's functions, so they run on this machine only.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from pathlib import Path

import pytest
from copies import COPIES, REFUSED, UNPACKED, D, O, T, archive, make_context, make_layer, shell

from mydocker import paths
from mydocker.build.ignore import Ignore
from mydocker.engine.build import copying, hashing
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Document, Origin, Step
from mydocker.engine.private_mounts import mount_privately
from mydocker.errors import MydockerError
from mydocker.image.drivers import copy, overlay
from mydocker.kernel.child import in_child

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service+ep


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """Check that the test has left no mount. This replaces the fixture in conftest.py."""
    before = Path("/proc/self/mountinfo").read_text()
    yield
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(tmp_path / "store" / ("" if name == "ROOT" else name.lower())))


def make_root(tmp_path: Path, script: str = "", driver=overlay, name: str = "step", scratch: bool = False) -> Root:
    """Make the root of an image with one layer, which the script changes."""
    layer = Path(paths.layer(name.encode().hex()))
    shutil.rmtree(layer, ignore_errors=True)
    make_layer(layer, script)
    directory = tmp_path / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return Root(driver, str(directory), [] if scratch else [layer.name])


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    top = tmp_path_factory.mktemp("context")
    make_context(top)
    return top


def listing(root: Root, below: str = "o", contents: bool = True) -> list[str]:
    """List a directory of an image as the measurements did: path, type and mode, owner, @ for the context's time."""

    def work() -> list[str]:
        mount_privately(root.view_ops())
        top = Path(root.path)
        rows, inodes = [], {}
        for path in [top / below, *sorted((top / below).rglob("*"))]:
            info = path.lstat()
            name, mode = path.relative_to(top), f"{info.st_mode & 0o7777:o}"
            owner = f"{info.st_uid}:{info.st_gid}" + (" @" if int(info.st_mtime) == T else "")
            if stat.S_ISDIR(info.st_mode):
                rows.append(f"{name}/ d{mode} {owner}")
            elif stat.S_ISLNK(info.st_mode):
                rows.append(f"{name} l {owner} -> {os.readlink(path)}")
            elif info.st_ino in inodes:
                rows.append(f"{name} = {inodes[info.st_ino]}")
            elif stat.S_ISREG(info.st_mode):
                text = f" {path.read_bytes()!r}"[:30] if contents else ""
                rows.append(f"{name} f{mode} {owner}{text}")
            else:
                rows.append(f"{name} {stat.filemode(info.st_mode)[0]}{mode} {owner}")
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                inodes[info.st_ino] = name
        return rows

    root.prepare()
    return in_child(work, "listing")


def run(root: Root, context: Path, *words: str, **fields) -> list[str]:
    """Apply one COPY: hash, then copy."""
    origin = fields.pop("origin", None) or Origin("the build context", str(context))
    documents = [Document(name, content) for name, content in fields.pop("documents", {}).items()]
    step = Step(origin, [*words[:-1], *documents], words[-1], **fields)
    assert hashing.digest(step).startswith("sha256:")
    return copying.apply(step, root)


@pytest.mark.parametrize("name", COPIES)
def test_copy(name, tmp_path, context):
    script, steps, fields, expected = COPIES[name]
    root = make_root(tmp_path, script)
    for words in steps:
        assert run(root, context, *words, **fields) == []
    actual = listing(root)
    if "archive" in name:  # of these files only the names matter
        actual = [row.partition(" b'")[0] for row in actual]
    assert actual == expected


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path, context):
    script, words, fields, message = REFUSED[name]
    root = make_root(tmp_path, script)
    with pytest.raises(MydockerError, match=message) as error:
        run(root, context, *words, **fields)
    assert error.value.exit_code == 1
    assert str(tmp_path) not in str(error.value)


def test_a_name_needs_an_image(tmp_path, context):
    root = make_root(tmp_path, scratch=True)
    with pytest.raises(MydockerError, match="unable to find user bob"):
        run(root, context, "a.txt", "/o/", chown="bob")


@pytest.mark.parametrize(
    ("directory", "message"), [("", "there are no files in the build context"), ("/no/such", "does not exist")]
)
def test_without_a_context(tmp_path, directory, message):
    origin = Origin("the build context", directory)
    with pytest.raises(MydockerError, match=message):
        run(make_root(tmp_path), tmp_path, "a.txt", "/o/", origin=origin)
    run(make_root(tmp_path), tmp_path, "/o/", origin=origin, documents={"EOF": b""})


@pytest.mark.parametrize("driver", [overlay, copy])
def test_without_layers(tmp_path, context, driver):
    root = make_root(tmp_path, scratch=True, driver=driver)
    run(root, context, "a.txt", "/o/", chown="5:6")
    assert listing(root) == ["o/ d755 5:6", "o/a.txt f644 5:6 @ b'A\\n'"]


def test_with_another_driver(tmp_path, context):
    root = make_root(tmp_path, "mkdir o/x", driver=copy)
    run(root, context, "d", "/o/x")
    run(root, context, "t.tar", "/o/t/", unpack=True)
    assert listing(root) == [O, "o/t/ d755 0:0", *[row.replace("o/x", "o/t") for row in UNPACKED[1:]], *D]


# --- another stage ----------------------------------------------------------------------------------------------------


def stage(tmp_path: Path, script: str) -> Origin:
    return Origin("stage 'one'", root=make_root(tmp_path, script, name="one"))


def test_a_stage_keeps_owners_and_modes(tmp_path):
    origin = stage(
        tmp_path,
        f"""mkdir s; echo 1 >s/f; mkfifo s/p; mknod s/n c 1 3; ln s/f s/g; ln -s /etc/passwd s/l
        truncate -s 8M s/sparse; echo end >>s/sparse
        chown -R 1234:50 s; chmod 2750 s; chmod 4711 s/f; touch -h -d @{T} s/* s""",
    )
    root = make_root(tmp_path)
    run(root, tmp_path, "/s", "/o", origin=origin)
    assert listing(root, contents=False) == [
        "o/ d755 0:0 @",
        "o/f f4711 1234:50 @",
        "o/g = o/f",
        "o/l l 1234:50 @ -> /etc/passwd",
        "o/n c644 1234:50 @",
        "o/p p644 1234:50 @",
        "o/sparse f644 1234:50 @",
    ]
    assert os.stat(f"{root.directory}/upper/o/sparse").st_blocks < 1000


def test_links_of_a_stage_lead_nowhere_outside(tmp_path):
    (tmp_path / "secret").write_text("secret")
    origin = stage(
        tmp_path,
        f"mkdir s; echo 1 >s/f; ln -s f s/l; ln -s /s/f s/al; ln -s {tmp_path}/secret out; ln -s ../../../s up",
    )
    root = make_root(tmp_path)
    run(root, tmp_path, "/s/l", "up/al", "../../etc/passwd", "/o/", origin=origin)
    assert [row.split(" ")[0] for row in listing(root)] == ["o/", "o/al", "o/l", "o/passwd"]
    with pytest.raises(MydockerError, match="'/out' not found in stage 'one'"):
        run(root, tmp_path, "out", "/o/", origin=origin)


# --- everything that a file has ---------------------------------------------------------------------------------------


def test_attributes_of_the_context(tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    shell("mkdir d; echo 1 >d/f; mkfifo d/p; echo 2 >d/h; ln d/h d/i; truncate -s 8M d/s", context)
    os.setxattr(context / "d/f", "user.note", b"hello")
    os.setxattr(context / "d/f", "security.capability", CAPABILITY)
    os.setxattr(context / "d/f", "trusted.overlay.opaque", b"y")
    os.setxattr(context / "d", "trusted.overlay.opaque", b"y")
    odd = os.fsencode(context / "d") + b"/\xff\n"
    Path(os.fsdecode(odd)).write_text("odd")
    os.utime(context / "d/f", ns=(1, T * 10**9 + 123456789))
    root = make_root(tmp_path, "mkdir o/x; echo kept >o/x/k")
    run(root, context, "d", "/o/x")
    assert listing(root, contents=False) == [
        O,
        "o/x/ d755 0:0",
        "o/x/f f644 0:0 @",
        "o/x/h f644 0:0",
        "o/x/i = o/x/h",
        "o/x/k f644 0:0",
        "o/x/p p644 0:0",
        "o/x/s f644 0:0",
        "o/x/\udcff\n f644 0:0",
    ]
    copied = Path(root.directory) / "upper/o/x"
    assert os.getxattr(copied / "f", "user.note") == b"hello"
    assert os.getxattr(copied / "f", "security.capability") == CAPABILITY
    assert "trusted.overlay.opaque" not in os.listxattr(copied / "f")
    assert "trusted.overlay.opaque" not in os.listxattr(copied)
    assert (copied / "f").stat().st_mtime_ns == T * 10**9 + 123456789
    assert (copied / "s").stat().st_blocks == 0


def test_what_a_layer_cannot_hold(tmp_path):
    import socket

    context = tmp_path / "c"
    (context / "d").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(context / "d/s"))
        root = make_root(tmp_path)
        assert run(root, context, "d", "/o/x") == ["/d/s: left out: a layer can't hold a socket"]
    os.mknod(context / "d/w", stat.S_IFCHR | 0o600, 0)
    with pytest.raises(MydockerError, match="a device 0:0 marks a removal"):
        run(make_root(tmp_path), context, "d", "/o/x")


# --- .dockerignore ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "words", "expected"),
    [
        (["d"], [".", "/o/"], {"a", "l"}),
        (["d/*", "!d/b"], [".", "/o/"], {"a", "l", "d/", "d/b"}),
        (["**", "!d/e/z"], [".", "/o/"], {"d/", "d/e/", "d/e/z"}),
        (["**", "!a"], ["*", "/o/"], {"a"}),
        (["d/*", "!d/b"], ["d/*", "/o/"], {"b"}),
        (["d/e"], ["d", "/o/"], {"b"}),
    ],
)
def test_ignored_files(tmp_path, patterns, words, expected):
    context = tmp_path / "c"
    (context / "d/e").mkdir(parents=True)
    for name in ("a", "d/b", "d/e/z"):
        (context / name).write_text(name)
    (context / "l").symlink_to("d/b")
    root = make_root(tmp_path)
    run(root, context, *words, origin=Origin("the build context", str(context), ignore=Ignore(patterns)))
    assert {row.split(" ")[0][2:] for row in listing(root)} == {"", *expected}


@pytest.mark.parametrize("source", ["a", "l", "d/../a", "dl/b", "d/b"])
def test_ignored_files_are_out_of_reach(tmp_path, source):
    context = tmp_path / "c"
    (context / "d").mkdir(parents=True)
    (context / "a").write_text("1")
    (context / "d/b").write_text("1")
    (context / "l").symlink_to("a")
    (context / "dl").symlink_to("d")
    origin = Origin("the build context", str(context), ignore=Ignore(["a", "d"]))
    with pytest.raises(MydockerError, match="not found in the build context"):
        run(make_root(tmp_path), context, source, "/o/", origin=origin)


def test_the_store_is_not_copied_into_itself(tmp_path):
    (tmp_path / "f").write_text("1")
    root = make_root(tmp_path)
    run(root, tmp_path, ".", "/o/", excludes=["step"])
    assert [row.split(" ")[0] for row in listing(root)] == ["o/", "o/f"]


# --- hostile archives and contexts ------------------------------------------------------------------------------------


def test_links_of_an_archive_stay_below_the_destination(tmp_path):
    context = tmp_path / "c"
    context.mkdir()
    archive(
        context / "t.tar",
        ("d", tarfile.DIRTYPE, "", 0o755, 0, 0),
        ("l", tarfile.SYMTYPE, "/d", 0o777, 0, 0),
        ("l/f", tarfile.REGTYPE, "x", 0o644, 0, 0),
        ("up", tarfile.SYMTYPE, "../../../../d", 0o777, 0, 0),
        ("up/g", tarfile.REGTYPE, "x", 0o644, 0, 0),
    )
    root = make_root(tmp_path, "mkdir d")
    run(root, context, "t.tar", "/o/x/", unpack=True)
    assert {row.split(" ")[0] for row in listing(root)} >= {"o/x/d/f", "o/x/d/g", "o/x/l", "o/x/up"}


def test_a_directory_keeps_its_own_mode_under_an_archive(tmp_path):
    context = tmp_path / "c"
    context.mkdir()
    archive(context / "t.tar", (".", tarfile.DIRTYPE, "", 0o777, 9, 9), ("./f", tarfile.REGTYPE, "x", 0o644, 0, 0))
    root = make_root(tmp_path, "chmod 711 o; chown 3:4 o")
    run(root, context, "t.tar", "/o", unpack=True)
    assert listing(root) == ["o/ d711 3:4", "o/f f644 0:0 @ b'x'"]


CHANGES = {
    "content": lambda d: (d / "f").write_text("2"),
    "content, size and time kept": lambda d: ((d / "f").write_text("2"), os.utime(d / "f", (T, T))),
    "a link in its place": lambda d: ((d / "f").unlink(), (d / "f").symlink_to("/etc/passwd")),
    "a FIFO in its place": lambda d: ((d / "f").unlink(), os.mkfifo(d / "f")),
    "removed": lambda d: (d / "f").unlink(),
    "another file": lambda d: (d / "g").write_text("1"),
    "a link for the directory": lambda d: (d.rename(f"{d}2"), d.symlink_to("/etc")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_context_that_changes_is_an_error(tmp_path, name):
    directory = tmp_path / "c/d"
    directory.mkdir(parents=True)
    (directory / "f").write_text("1")
    os.utime(directory / "f", (T, T))
    root = make_root(tmp_path)
    step = Step(Origin("the build context", str(tmp_path / "c")), ["d"], "/o/x")
    hashing.digest(step)
    CHANGES[name](directory)
    with pytest.raises(MydockerError, match=r"changed|not found|does not exist"):
        copying.apply(step, root)


# --- keys -------------------------------------------------------------------------------------------------------------

KEYS = {  # change -> is the key the same?
    "nothing": ("true", True),
    "touch a file": ("touch d/f", True),
    "touch a directory": ("touch d", True),
    "the mode of a file": ("chmod 600 d/f", False),
    "the mode of a directory": ("chmod 700 d/s", False),
    "the owner in the context": ("chown 5:5 d/f d", True),
    "content, same size and time": (f"echo 2 >d/f; touch -d @{T} d/f", False),
    "another file": ("echo 2 >other", True),
    "a new name": ("mv d/f d/g", False),
    "an empty directory": ("mkdir d/new", False),
    "a link's target": ("ln -sf x d/l", False),
    "a file becomes a link": ("mv d/f d/g2; ln -s g2 d/f; mv d/g2 d/f.x", False),
    "an attribute": ("setfattr -n user.a -v b d/f", False),
}


@pytest.mark.parametrize("name", KEYS)
def test_key(tmp_path, name):
    script, same = KEYS[name]
    if "setfattr" in script and not shutil.which("setfattr"):
        script = "python3 -c \"import os; os.setxattr('d/f', 'user.a', b'b')\""
    shell(f"mkdir -p d/s; echo 1 >d/f; ln -s f d/l; touch -d @{T} d/f", tmp_path)

    def key() -> str:
        return hashing.digest(Step(Origin("the build context", str(tmp_path)), ["d"], "/o/x"))

    before = key()
    shell(script, tmp_path)
    assert (key() == before) is same


def test_the_key_has_the_names_of_sources_and_the_whole_step(tmp_path):
    shell("echo 1 >a; cp a b", tmp_path)
    origin = Origin("the build context", str(tmp_path))
    steps = [
        Step(origin, ["a"], "/o/x"),
        Step(origin, ["b"], "/o/x"),
        Step(origin, ["a"], "/o/y"),
        Step(origin, ["a"], "/o/x", chmod="644"),
        Step(origin, ["a"], "/o/x", chown="1"),
        Step(origin, ["a"], "/o/x", unpack=True),
        Step(origin, ["a"], "/o/x", link=True),
        Step(origin, ["a"], "/o/x", excludes=["z"]),
        Step(origin, ["a", Document("d", b"")], "/o/"),
        Step(origin, ["a", Document("d", b"1")], "/o/"),
        Step(origin, ["a", Document("e", b"1")], "/o/"),
    ]
    keys = [hashing.digest(step) for step in steps]
    assert len(set(keys)) == len(keys)
    assert hashing.digest(steps[0]) == keys[0]


def test_the_key_of_a_stage_has_owners_and_no_times(tmp_path):
    def key(script: str) -> str:
        return hashing.digest(Step(stage(tmp_path, f"mkdir s; echo 1 >s/f; {script}"), ["/s"], "/o"))

    first = key("true")
    assert key("touch -d @1 s/f") == first
    assert key("chown 5 s/f") != first
    assert key("echo 2 >s/f") != first


def test_two_copies_give_the_same_layer(tmp_path, context):
    deep = tmp_path / "c"
    deep.mkdir()
    archive(deep / "t.tar", ("p/q/f", tarfile.REGTYPE, "x", 0o644, 0, 0))

    def layer() -> bytes:
        root = make_root(tmp_path, f"mkdir o/old; touch -d @{T} o o/old etc . etc/*")
        for words, fields in (
            (["a.txt", "/o/new/deep/"], {}),
            (["d", "/o/old"], {}),
            (["t.tar", "/o/t/"], {"unpack": True}),
            (["/o/here"], {"documents": {"EOF": b"1"}}),
        ):
            run(root, context, *words, time=10**18, **fields)
        run(root, deep, "t.tar", "/o/u/", unpack=True, time=10**18)
        copying.make_directory("/w/x", "bob", root, 10**18)
        out = io.BytesIO()
        root.driver.changes(root.directory, root.layers, out)
        return out.getvalue()

    first = layer()
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {entry.mtime for entry in tar} == {T, 10**9}  # none is now
    assert layer() == first


# --- WORKDIR ----------------------------------------------------------------------------------------------------------


def test_workdir(tmp_path):
    root = make_root(tmp_path, "mkdir o/there; chmod 711 o/there; ln -s there o/l")
    copying.make_directory("/o/new/x", "bob", root)
    copying.make_directory("/o/l/y", "", root)
    copying.make_directory("/o/there", "7:8", root)
    assert listing(root) == [
        O,
        "o/l l 0:0 -> there",
        "o/new/ d755 1234:1235",
        "o/new/x/ d755 1234:1235",
        "o/there/ d711 0:0",
        "o/there/y/ d755 0:0",
    ]
    with pytest.raises(MydockerError, match="not a directory"):
        copying.make_directory("/etc/passwd/x", "", root)
    with pytest.raises(MydockerError, match="unable to find user nosuch"):
        copying.make_directory("/z", "nosuch", root)
