"""COPY, ADD and WORKDIR on a real storage driver: what is in the image afterwards, as `docker build` made it.

The expected trees were measured with BuildKit (docker 28.5.2), except where docs/dockerfile.md says otherwise. These
call mydocker's functions, so they run on this machine only.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from mydocker import paths
from mydocker.build.ignore import Ignore
from mydocker.engine.build import copying, hashing
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Document, Origin, Step
from mydocker.engine.child import in_child, mount_privately
from mydocker.errors import MydockerError
from mydocker.image.drivers import copy, overlay

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

T = 981173106  # the time of all files in the context: 2001
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


def shell(script: str, directory: Path) -> None:
    done = subprocess.run(["sh", "-euc", script], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_root(tmp_path: Path, script: str = "", driver=overlay, name: str = "step", scratch: bool = False) -> Root:
    """Make the root of an image with one layer, which the script changes."""
    layer = Path(paths.layer(name.encode().hex()))
    shutil.rmtree(layer, ignore_errors=True)
    for directory in ("etc", "o"):
        (layer / directory).mkdir(parents=True)
    (layer / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbob:x:1234:1235:bob:/home/bob:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\nbob:x:1235:\nstaff:x:50:\n")
    shell(script, layer)
    directory = tmp_path / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return Root(driver, str(directory), [] if scratch else [layer.name])


def archive(path: Path, *entries: tuple, mode: str = "w") -> None:
    """Write a tar. entries: (name, type, content or target, mode, uid, gid)."""
    with tarfile.open(path, mode) as tar:
        for name, kind, content, permissions, uid, gid in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.mtime = kind, permissions, uid, gid, T
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content.encode()))
            else:
                info.linkname = content
                tar.addfile(info)


ENTRIES = [
    ("td", tarfile.DIRTYPE, "", 0o750, 7, 8),
    ("td/f", tarfile.REGTYPE, "new\n", 0o640, 7, 8),
    ("l", tarfile.SYMTYPE, "td/f", 0o777, 0, 0),
]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The build context of the measurements."""
    top = tmp_path_factory.mktemp("context")
    shell(
        """
        echo A >a.txt; echo B >b.txt; echo D >.dot; mkdir -p d/sub withlinks mdir empty
        echo X >d/x; echo Y >d/sub/y; echo H >d/.h
        ln -s a.txt flink; ln -s d dlink; ln -s nope badlink; ln -s /a.txt abslink; ln -s ../../etc/passwd uplink
        echo T >withlinks/t; ln -s t withlinks/l; ln -s /etc/passwd withlinks/abs; ln -s nope withlinks/bad
        echo S >'sp ace.txt'; echo br >'[br].txt'; echo e >exe; echo r >ro; echo s >suid; echo o >owned
        echo f >mdir/f; echo h >hl1; ln hl1 hl2; echo no >nottar.tar
        chmod 755 exe; chmod 400 ro; chown 1234:1235 owned; chmod 4755 suid; chmod 2711 mdir
        echo plain | gzip >plain.gz
        """,
        top,
    )
    for suffix, mode in (("", "w"), (".gz", "w:gz"), (".bz2", "w:bz2"), (".xz", "w:xz")):
        archive(top / f"t.tar{suffix}", *ENTRIES, mode=mode)
    shell("zstd -qf t.tar -o t.tar.zst; cp t.tar.gz tarnoext; ln -s t.tar tarlink", top)
    tarfile.open(top / "empty.tar", "w").close()
    for directory, directories, names in os.walk(top):
        for name in directories + names:
            os.utime(f"{directory}/{name}", (T, T), follow_symlinks=False)
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


A, B = "f644 0:0 @ b'A\\n'", "f644 0:0 @ b'B\\n'"
D = ["o/x/ d755 0:0 @", "o/x/.h f644 0:0 @ b'H\\n'", "o/x/sub/ d755 0:0 @", "o/x/sub/y f644 0:0 @ b'Y\\n'"]
D = [*D, "o/x/x f644 0:0 @ b'X\\n'"]
O = "o/ d755 0:0"  # noqa: E741

# name -> (script that prepares the image, the steps' words, fields of the steps, the tree at /o)
COPIES = {
    "a file into a directory": ("mkdir o/x", [["a.txt", "/o/x"]], {}, [O, "o/x/ d755 0:0", f"o/x/a.txt {A}"]),
    "new directories": (
        "",
        [["a.txt", "/o/p/q"], ["a.txt", "/o/p/s/"]],
        {},
        [O, "o/p/ d755 0:0", f"o/p/q {A}", "o/p/s/ d755 0:0", f"o/p/s/a.txt {A}"],
    ),
    "a slash after a file": ("", [["a.txt/", "/o/x"]], {}, [O, f"o/x {A}"]),
    "relative destinations": (
        "",
        [["a.txt", "."], ["b.txt", "./"], ["a.txt", "sub"], [".dot", ".."]],
        {"workdir": "/o"},
        [O, f"o/a.txt {A}", f"o/b.txt {B}", f"o/sub {A}"],
    ),
    "an empty destination": ("", [["a.txt", ""]], {"workdir": "/o"}, [O, f"o/a.txt {A}"]),
    "a directory's content, and its time": ("", [["d", "/o/x"]], {}, [O, *D]),
    "wildcards": ("", [["?.txt", "/o/"]], {}, [O, f"o/a.txt {A}", f"o/b.txt {B}"]),
    "a class": ("", [["[^b].txt", "/o/"]], {}, [O, f"o/a.txt {A}"]),
    "one match": ("", [["a*.txt", "/o/x"]], {}, [O, f"o/x {A}"]),
    "directories among matches": (
        "",
        [["d/*", "/o/"]],
        {},
        [O, "o/.h f644 0:0 @ b'H\\n'", "o/x f644 0:0 @ b'X\\n'", "o/y f644 0:0 @ b'Y\\n'"],
    ),
    "a pattern beside one without a match": ("", [["a.txt", "zz*", "/o/"]], {}, [O, f"o/a.txt {A}"]),
    "several sources into a directory": (
        "mkdir o/x",
        [["a.txt", "b.txt", "/o/x"]],
        {},
        [O, "o/x/ d755 0:0", f"o/x/a.txt {A}", f"o/x/b.txt {B}"],
    ),
    "a link to a file": ("", [["flink", "/o/"], ["flink", "/o/as"]], {}, [O, f"o/as {A}", f"o/flink {A}"]),
    "a link to a directory": ("", [["dlink", "/o/x"]], {}, [O, *D]),
    "an absolute link": ("", [["abslink", "/o/"]], {}, [O, f"o/abslink {A}"]),
    "paths with dots": ("", [["././b.txt", "d/../a.txt", "/o/"]], {}, [O, f"o/a.txt {A}", f"o/b.txt {B}"]),
    "links in the destination": (
        "mkdir o/real; ln -s real o/ln; ln -s /o/f o/fl; echo old >o/f",
        [["a.txt", "/o/ln/"], ["b.txt", "/o/fl"]],
        {},
        [O, f"o/f {B}", "o/fl l 0:0 -> /o/f", "o/ln l 0:0 -> real", "o/real/ d755 0:0", f"o/real/a.txt {A}"],
    ),
    "a link in the place of a file": (
        "echo old >o/f; ln -s f o/a.txt",
        [["a.txt", "/o/"]],
        {},
        [O, f"o/a.txt {A}", "o/f f644 0:0 b'old\\n'"],
    ),
    "a dangling link": (
        "ln -s /o/nowhere o/ln",
        [["a.txt", "/o/ln"]],
        {},
        [O, "o/ln l 0:0 -> /o/nowhere", f"o/nowhere {A}"],
    ),
    "a link out of the image": (
        "ln -s ../../../../o/new o/up",
        [["a.txt", "/o/up/"]],
        {},
        [O, "o/new/ d755 0:0", f"o/new/a.txt {A}", "o/up l 0:0 -> ../../../../o/new"],
    ),
    "an owner": (
        "",
        [["d", "/o/n/x"]],
        {"chown": "bob:staff"},
        [O, "o/n/ d755 1234:50", *[row.replace("o/x", "o/n/x").replace("0:0", "1234:50") for row in D]],
    ),
    "an owner by number": ("", [["a.txt", "/o/"]], {"chown": "7"}, [O, "o/a.txt f644 7:7 @ b'A\\n'"]),
    "a mode for all": (
        "",
        [["d", "/o/n/x"]],
        {"chmod": "0700"},
        [O, "o/n/ d700 0:0", *[row.replace("o/x", "o/n/x").replace("644", "700").replace("755", "700") for row in D]],
    ),
    "a symbolic mode": ("", [["d", "/o/x"]], {"chmod": "+x"}, [O, *[row.replace("644", "755") for row in D]]),
    "a mode, and links": (
        "",
        [["withlinks", "/o/x"]],
        {"chmod": "600"},
        [
            O,
            "o/x/ d600 0:0 @",
            "o/x/abs l 0:0 @ -> /etc/passwd",
            "o/x/bad l 0:0 @ -> nope",
            "o/x/l l 0:0 @ -> t",
            "o/x/t f600 0:0 @ b'T\\n'",
        ],
    ),
    "modes and owners of the context": (
        "",
        [["exe", "ro", "suid", "owned", "/o/"]],
        {},
        [
            O,
            "o/exe f755 0:0 @ b'e\\n'",
            "o/owned f644 0:0 @ b'o\\n'",
            "o/ro f400 0:0 @ b'r\\n'",
            "o/suid f4755 0:0 @ b's\\n'",
        ],
    ),
    "the mode of a directory itself": ("", [["mdir", "/o/x"]], {}, [O, "o/x/ d755 0:0 @", "o/x/f f644 0:0 @ b'f\\n'"]),
    "an existing directory below": (
        "mkdir -p o/x/sub; chmod 700 o/x o/x/sub; chown 5:5 o/x o/x/sub",
        [["d", "/o/x"]],
        {},
        [O, "o/x/ d700 5:5 @", *D[1:]],
    ),
    "--link": ("", [["a.txt", "/o/p/q"]], {"link": True}, [O, "o/p/ d755 0:0", f"o/p/q {A}"]),
    "--link does not follow": (
        "mkdir o/real; ln -s real o/ln; echo x >o/f",
        [["a.txt", "/o/ln/"], ["a.txt", "/o/f/x"]],
        {"link": True},
        [O, "o/f/ d755 0:0", f"o/f/x {A}", "o/ln/ d755 0:0", f"o/ln/a.txt {A}", "o/real/ d755 0:0"],
    ),
    "--exclude": ("", [["d", "/o/x"]], {"excludes": ["sub/y"]}, [O, D[0], D[1], D[2], D[4]]),
    "--exclude of a match": ("", [["*.txt", "/o/"]], {"excludes": ["[bs[]*"]}, [O, f"o/a.txt {A}"]),
    "--exclude with an exception": ("", [["d", "/o/x"]], {"excludes": ["**", "!sub/y"]}, [O, D[0], D[2], D[3]]),
    "--parents": (
        "",
        [["d/sub/y", "a.txt", "/o/q"]],
        {"parents": True},
        [
            O,
            "o/q/ d755 0:0",
            f"o/q/a.txt {A}",
            "o/q/d/ d755 0:0 @",
            "o/q/d/sub/ d755 0:0 @",
            "o/q/d/sub/y f644 0:0 @ b'Y\\n'",
        ],
    ),
    "--parents with **": (
        "",
        [["**/y", "/o/"]],
        {"parents": True},
        [O, "o/d/ d755 0:0 @", "o/d/sub/ d755 0:0 @", "o/d/sub/y f644 0:0 @ b'Y\\n'"],
    ),
    "--parents from a directory on": (
        "",
        [["d/./sub/y", "/o/"]],
        {"parents": True},
        [O, "o/sub/ d755 0:0 @", "o/sub/y f644 0:0 @ b'Y\\n'"],
    ),
    "documents": (
        "",
        [["a.txt", "/o/z/"]],
        {"documents": {"EOF": b"hi\r\n", "my.file": b""}, "chown": "bob", "chmod": "600"},
        [
            O,
            "o/z/ d600 1234:1235",
            "o/z/EOF f600 1234:1235 b'hi\\r\\n'",
            "o/z/a.txt f600 1234:1235 @ b'A\\n'",
            "o/z/my.file f600 1234:1235 b''",
        ],
    ),
    "an archive as a file": ("", [["t.tar", "/o/x"]], {"unpack": False}, [O, "o/x f644 0:0 @"]),
    "a document as a file": ("", [["/o/x"]], {"documents": {"EOF": b"1"}}, [O, "o/x f644 0:0 b'1'"]),
}
UNPACKED = ["o/x/ d755 0:0", "o/x/l l 0:0 @ -> td/f", "o/x/td/ d750 7:8 @", "o/x/td/f f640 7:8 @ b'new\\n'"]
for each in ("t.tar", "t.tar.gz", "t.tar.bz2", "t.tar.xz", "t.tar.zst", "tarnoext", "tarlink", "t.ta?"):
    COPIES[f"ADD {each}"] = ("", [[each, "/o/x"]], {"unpack": True}, [O, *UNPACKED])
COPIES |= {
    "ADD with an owner": (
        "",
        [["t.tar", "/o/x/"]],
        {"unpack": True, "chown": "bob"},
        [O, *[row.replace("0:0", "1234:1235").replace("7:8", "1234:1235") for row in UNPACKED]],
    ),
    "ADD with a mode": ("", [["t.tar", "/o/x/"]], {"unpack": True, "chmod": "600"}, [O, *UNPACKED]),
    "ADD beside a file": (
        "",
        [["t.tar", "a.txt", "/o/x/"]],
        {"unpack": True},
        [O, UNPACKED[0], f"o/x/a.txt {A}", *UNPACKED[1:]],
    ),
    "ADD over existing files": (
        "mkdir -p o/x/td; echo old >o/x/td/f; echo 1 >o/x/td/g; ln -s /etc o/x/l",
        [["t.tar", "/o/x"]],
        {"unpack": True},
        [O, *UNPACKED, "o/x/td/g f644 0:0 b'1\\n'"],
    ),
    "ADD of what is not an archive": (
        "",
        [["nottar.tar", "empty.tar", "/o/"]],
        {"unpack": True},
        [O, "o/empty.tar f644 0:0 @", "o/nottar.tar f644 0:0 @"],
    ),
}


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


# name -> (script that prepares the image, words, fields, what the error says)
REFUSED = {
    "a missing file": ("", ["nope", "/o/"], {}, "'/nope' not found in the build context"),
    "a dangling link": ("", ["badlink", "/o/"], {}, "'/badlink' not found.*it is a link"),
    "a dangling link among matches": ("", ["*", "/o/"], {}, "'/badlink' not found"),
    "a link out": ("", ["uplink", "/o/x"], {}, "'/uplink' not found"),
    "no match": ("", ["zz*", "/o/"], {}, r"no file in the build context matches zz\*"),
    "no match with **": ("", ["**/y", "/o/"], {}, "no file"),
    "no match with --parents": ("", ["nope/x", "/o/"], {"parents": True}, "'nope/x' not found"),
    "a malformed pattern": ("", ["[a", "/o/"], {}, "syntax error in pattern"),
    "an empty source": ("", ["", "/o/"], {}, "an empty source"),
    "several sources, one file": ("", ["a.txt", "b.txt", "/o/x"], {}, "2 sources.*end it with a slash"),
    "several matches, one file": ("", ["?.txt", "/o/x"], {}, "2 sources"),
    "an unknown user": ("", ["a.txt", "/o/"], {"chown": "nosuch"}, "unable to find user nosuch"),
    "an unknown group": ("", ["a.txt", "/o/"], {"chown": "bob:nosuch"}, "unable to find group nosuch"),
    "an invalid mode": ("", ["a.txt", "/o/"], {"chmod": "999"}, "invalid chmod parameter '999'"),
    "a directory over a file": (
        "mkdir o/x; echo >o/x/sub",
        ["d", "/o/x"],
        {},
        "cannot copy to non-directory: /o/x/sub",
    ),
    "a directory over a link": ("mkdir o/x; ln -s / o/x/sub", ["d", "/o/x"], {}, "non-directory: /o/x/sub"),
    "a file over a directory": ("mkdir -p o/x/x", ["d", "/o/x"], {}, "cannot replace directory /o/x/x with a file"),
    "a file in the way": ("echo >o/x", ["a.txt", "/o/x/y"], {}, "/o/x"),
    "an archive over a file": ("echo >o/x", ["t.tar", "/o/x"], {"unpack": True}, "non-directory: /o/x"),
    "a loop": ("ln -s l2 o/l1; ln -s l1 o/l2", ["a.txt", "/o/l1/"], {}, "a link is"),
    "a whiteout": ("", ["a.txt", "/o/.wh.etc"], {}, "begins with .wh. marks a removal"),
}


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


@pytest.mark.parametrize(
    "entries",
    [
        [("../../escaped", tarfile.REGTYPE, "x", 0o644, 0, 0)],
        [("l", tarfile.SYMTYPE, "../../..", 0o777, 0, 0), ("l/../escaped/../../x", tarfile.REGTYPE, "x", 0o644, 0, 0)],
        [("a", tarfile.LNKTYPE, "/etc/passwd", 0o644, 0, 0)],
        [("a", tarfile.LNKTYPE, "../../etc/passwd", 0o644, 0, 0)],
        [(".wh.etc", tarfile.REGTYPE, "", 0o644, 0, 0)],
        [("a", tarfile.REGTYPE, "", 0o644, 0, 0), ("a/b", tarfile.REGTYPE, "", 0o644, 0, 0)],
    ],
)
def test_a_hostile_archive_is_refused(tmp_path, entries):
    context = tmp_path / "c"
    context.mkdir()
    archive(context / "t.tar", *entries)
    with pytest.raises(MydockerError, match="refused archive entry"):
        run(make_root(tmp_path), context, "t.tar", "/o/x/y/", unpack=True)
    assert not list(tmp_path.rglob("escaped"))


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
    def layer() -> bytes:
        root = make_root(tmp_path, f"mkdir o/old; touch -d @{T} o o/old etc . etc/*")
        for words, fields in (
            (["a.txt", "/o/new/deep/"], {}),
            (["d", "/o/old"], {}),
            (["t.tar", "/o/t/"], {"unpack": True}),
            (["/o/here"], {"documents": {"EOF": b"1"}}),
        ):
            run(root, context, *words, time=10**18, **fields)
        copying.make_directory("/w/x", "bob", root, 10**18)
        out = io.BytesIO()
        root.driver.changes(root.directory, root.layers, out)
        return out.getvalue()

    assert layer() == layer()


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
