"""Make ordinary and hostile tar archives for `import`, in memory."""

from __future__ import annotations

import gzip
import io
import tarfile

BUSYBOX = "/bin/busybox"
APPLETS = (
    "sh",
    "cat",
    "ls",
    "id",
    "echo",
    "env",
    "pwd",
    "sleep",
    "touch",
    "grep",
    "readlink",
    "stat",
    "test",
    "true",
    "wc",
)


def archive(*entries, compress: bool = False) -> bytes:
    """Make an archive. entries, in order:

    ("name", b"content"), ("name", b"content", mode) a file; ("name", None) a directory;
    ("name", "link", target), ("name", "hard", target); ("name", "fifo");
    ("name", "device", major, minor), ("name", "block", major, minor).
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, *rest in entries:
            kind, *more = rest
            info = tarfile.TarInfo()
            info.name, info.mode = name, 0o755
            if kind is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(kind, bytes):
                info.size, info.mode = len(kind), more[0] if more else 0o755
            elif kind in ("link", "hard"):
                info.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                (info.linkname,) = more
            elif kind == "fifo":
                info.type = tarfile.FIFOTYPE
            else:
                info.type = tarfile.BLKTYPE if kind == "block" else tarfile.CHRTYPE
                info.devmajor, info.devminor = more
            tar.addfile(info, io.BytesIO(kind) if isinstance(kind, bytes) else None)
    raw = stream.getvalue()
    return gzip.compress(raw, mtime=0) if compress else raw


def busybox(*entries, compress: bool = False) -> bytes:
    """Make a small root file system with busybox's shell and these entries."""
    with open(BUSYBOX, "rb") as file:
        program = file.read()
    links = [(f"bin/{applet}", "link", "busybox") for applet in APPLETS]
    base = [("bin", None), ("bin/busybox", program), *links, ("tmp", None)]
    return archive(*base, *entries, compress=compress)
