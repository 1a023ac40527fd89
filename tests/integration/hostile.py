"""Tar archives that attack their reader: each is an image's layer, a root file system, a build context or a file for
ADD, and each reader must refuse it."""

from __future__ import annotations

import tarfile

from archives import archive

FILE = b"escaped\n"
UNKNOWN = b"Z"
PAST = 1 << 62


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", pax=(), **fields) -> bytes:
    """One entry as tarfile would not write it. pax: (key, value) of an extended header. fields: of its TarInfo; `size`
    may be another than the content's."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, 0o755, len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    records = b"".join(record(key, value) for key, value in pax)
    extended = member("pax", tarfile.XHDTYPE, records) if records else b""
    return extended + info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)


def record(key: str, value: bytes) -> bytes:
    body = f" {key}=".encode() + value + b"\n"
    length = len(body) + 1
    while len(f"{length}") + len(body) != length:
        length += 1
    return f"{length}".encode() + body


def escaping(outside: str) -> dict[str, bytes]:
    """Archives that would write or link in the directory `outside` of the host, which has a file `victim`."""
    up = "../" * 30
    return {
        "..": archive((f"{up}{outside}/escaped", FILE)),
        ".. further on": archive(("a", None), (f"a/{up}{outside}/escaped", FILE)),
        ".. by an extended header": member("a", content=FILE, pax=[("path", f"{up}{outside}/escaped".encode())]),
        "through a link": archive(("out", "link", outside), ("out/escaped", FILE)),
        "through a relative link": archive(("out", "link", f"{up}{outside}"), ("out/escaped", FILE)),
        "through two links": archive(("a", "link", outside), ("b", "link", "a"), ("b/escaped", FILE)),
        "a directory replaced by a link": archive(("d", None), ("d", "link", outside), ("d/escaped", FILE)),
        "a link as the root": archive((".", "link", outside), ("escaped", FILE)),
        "a file over a link": archive(("f", "link", f"{outside}/victim"), ("f/", None), ("f/escaped", FILE)),
        "hard link, absolute": archive(("h", "hard", f"{outside}/victim")),
        "hard link, ..": archive(("h", "hard", f"{up}{outside}/victim")),
        "hard link through a link": archive(("l", "link", outside), ("h", "hard", "l/victim")),
        "hard link to a link outside": archive(("l", "link", f"{outside}/victim"), ("h", "hard", "l"), ("h/x", FILE)),
        "fifo through a link": archive(("out", "link", outside), ("out/escaped", "fifo")),
        "device through a link": archive(("out", "link", outside), ("out/escaped", "device", 1, 3)),
    }


HOLES = [("GNU.sparse.major", b"0"), ("GNU.sparse.minor", b"1")]
WRONG = {
    "an empty name": archive(("", FILE)),
    "a directory below a file": archive(("f", FILE), ("f/g", FILE)),
    "a directory over a file": archive(("f", FILE), ("f", None)),
    "a file over a directory": archive(("f", None), ("f", FILE)),
    "a link over a directory": archive(("f/g", None), ("f", "link", "x")),
    "a FIFO on the way": archive(("f", "fifo"), ("f/g", FILE)),
    "a loop of links on the way": archive(("a", "link", "b"), ("b", "link", "a"), ("a/x", FILE)),
    "links that double": archive(
        ("a0", None), *((f"a{n + 1}", "link", f"a{n}/../a{n}") for n in range(45)), ("a45/x", FILE)
    ),
    "a hard link to itself": archive(("f", FILE), ("f", "hard", "f")),
    "hard links in a circle": archive(("f", "hard", "g"), ("g", "hard", "f")),
    "a hard link to a directory": archive(("d", None), ("h", "hard", "d")),
    "a hard link to the root": archive(("h", "hard", ".")),
    "a link without a target": archive(("l", "link", "")),
    "a link of 5,000 letters": archive(("l", "link", "x" * 5000)),
    "a NUL in a name": member("a", pax=[("path", b"a\0b")]),
    "a NUL in a target": member("a", tarfile.SYMTYPE, linkname="b", pax=[("linkpath", b"a\0b")]),
    "a name of 256 bytes": archive(("x" * 256, FILE)),
    "a path of 5,000 bytes": archive(("x/" * 2500, None)),
    "a path of a million bytes": member("a", pax=[("path", b"x/" * 500_000)]),
    "a whiteout in a whiteout": archive((".wh.a/b", FILE)),
    "a whiteout without a name": archive((".wh.", FILE)),
    "a whiteout of ..": archive((".wh...", FILE)),
    "an unknown type": member("a", UNKNOWN),
    "an owner that no file has": member("a", pax=[("uid", b"4294967295")]),
    "a negative owner": member("a", pax=[("uid", b"-1")]),
    "a time that no file has": member("a", pax=[("mtime", b"99999999999999999999")]),
    "a size that is text": member("a", pax=[("size", b"a")]),
    "a negative size": member("a", pax=[("size", b"-512")]),
    "a size of years": member("a", pax=[("size", b"%d" % PAST)]),
    "a size without end": member("a", pax=[("size", b"9" * 5000)]),
    "a device that no kernel has": member("a", tarfile.CHRTYPE, devmajor=1 << 20, devminor=1 << 20),
    "attributes of a megabyte": member("a", pax=[("SCHILY.xattr.user.a", b"x" * 900_000)]),
    "thousands of attributes": member("a", pax=[(f"SCHILY.xattr.user.{n}", b"x" * 20) for n in range(9000)]),
    "an attribute without a name": member("a", pax=[("SCHILY.xattr.user.", b"x")]),
    "an attribute with a long name": member("a", pax=[(f"SCHILY.xattr.user.{'x' * 256}", b"x")]),
    "a capability that is none": member("a", pax=[("SCHILY.xattr.security.capability", b"x" * 20)]),
    "an extended header of 3 MB": member("a", pax=[("comment", b"x" * (3 << 20))]),
    "extended headers without end": member("pax", tarfile.XGLTYPE, record("a", b"x" * 900_000)) * 6 + member("a"),
    "a record that is too long": member("pax", tarfile.XHDTYPE, b"999 path=a\n") + member("a"),
    "a record without a value": member("pax", tarfile.XHDTYPE, b"9 path a\n") + member("a"),
    "a name of 3 MB": member("././@LongLink", tarfile.GNUTYPE_LONGNAME, b"x" * (3 << 20)) + member("a"),
    "holes out of order": member(
        "a", content=FILE, pax=[*HOLES, ("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"50,4,10,4")]
    ),
    "holes over the end": member(
        "a", content=FILE, pax=[*HOLES, ("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"5,8")]
    ),
    "holes of years": member("a", pax=[*HOLES, ("GNU.sparse.size", b"%d" % PAST), ("GNU.sparse.map", b"0,0")]),
    "holes that are odd": member("a", pax=[*HOLES, ("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"1,2,3")]),
    "cut off in a header": archive(("a", FILE), ("b", FILE))[: 1024 + 100],
    "cut off in a file": archive(("a", FILE), ("b", b"x" * 2000))[: 1024 + 512 + 1000],
    "a wrong byte in a header": archive(("a", FILE))[:1024] + b"x" + archive(("b", FILE))[1:],
    "text after the first file": archive(("a", FILE))[:1024] + b"text" * 200,
}
# With image_size 100,000, image_entries 50 and image_depth 20, a layer's tar has at most 202,400 bytes.
BOMBS = {
    "zeros": archive(("a", bytes(3_000_000))),
    "zeros in many files": archive(*((f"{n}", bytes(40_000)) for n in range(40))),
    "many files": archive(*((f"{n}", b"") for n in range(60))),
    "many directories": archive(*((f"{n}/{n}", b"") for n in range(30))),
    "many links": archive(("f", b""), *((f"{n}", "hard", "f") for n in range(60))),
    "one file again and again": archive(*(("f", b"") for _ in range(60))),
    "a deep path": archive(("/".join("d" * 30), None)),
    "many extended headers": b"".join(member("a", pax=[("comment", b"x" * 200_000)]) for _ in range(3)),
    "data between holes": member(
        "a",
        content=bytes(200_000),
        pax=[*HOLES, ("GNU.sparse.size", b"%d" % (1 << 40)), ("GNU.sparse.map", b"0,200000")],
    ),
}
# Those that some readers take: what is harmless there, or no archive at all for ADD.
TAKEN = {
    "a whiteout": (archive((".wh.bin", b"")), {"load", "load OCI"}),
    "an opaque whiteout": (archive(("etc", None), ("etc/.wh..wh..opq", b"")), {"load", "load OCI"}),
    "no tar": (b"text" * 500, {"ADD"}),
    "cut off in the first header": (archive(("a", FILE))[:300], {"ADD"}),
    "padding without end": (archive(("a", FILE)) + bytes(3_000_000), {"load", "context", "ADD"}),
    "text after the end": (archive(("a", FILE)) + b"text" * 9, {"load", "load OCI", "import", "context", "ADD"}),
}
