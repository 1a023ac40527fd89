"""What COPY and ADD do: a build context, steps, and the trees or errors that they lead to.

The trees were measured with BuildKit (docker 28.5.2), except where docs/dockerfile.md says otherwise.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

T = 981173106  # the time of all files in the context: 2001


def shell(script: str, directory: Path) -> None:
    done = subprocess.run(["sh", "-euc", script], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_layer(layer: Path, script: str) -> None:
    for directory in ("etc", "o"):
        (layer / directory).mkdir(parents=True)
    (layer / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbob:x:1234:1235:bob:/home/bob:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\nbob:x:1235:\nstaff:x:50:\n")
    shell(script, layer)


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


def make_context(top: Path) -> None:
    """Fill a directory with the build context of the measurements."""
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
        "mkdir o/real; ln -s real o/ln",
        [["a.txt", "/o/ln/"]],
        {"link": True},
        [O, "o/ln/ d755 0:0", f"o/ln/a.txt {A}", "o/real/ d755 0:0"],
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
    "--link and a file in the way": ("echo >o/x", ["a.txt", "/o/x/y"], {"link": True}, "non-directory: /o/x"),
    "an archive over a file": ("echo >o/x", ["t.tar", "/o/x"], {"unpack": True}, "non-directory: /o/x"),
    "a loop": ("ln -s l2 o/l1; ln -s l1 o/l2", ["a.txt", "/o/l1/"], {}, "a link is"),
    "a whiteout": ("", ["a.txt", "/o/.wh.etc"], {}, "begins with .wh. marks a removal"),
}
