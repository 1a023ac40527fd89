"""The tar format, as far as its reader (tar_reader.py) and its writer (tar_writer.py) share it.

tarfile is not used for archives from others: it keeps every entry in memory, reads an extended header of any size
into it, and in the versions of Python that distributions ship, a crafted one keeps it busy for ever (CVE-2024-6232,
CVE-2025-8194). It is three times as slow, too.
"""

from __future__ import annotations

from struct import Struct

BLOCK = 512
CAPABILITY = "security.capability"

# An entry's type, <tar.h>. The other types are headers that describe the entry that follows.
FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIR, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
PAX = b"x"
DEVICES = (CHARACTER, BLOCK_DEVICE)

# name, mode, uid, gid, size, mtime, checksum, type, target, magic, user, group, major, minor, prefix
HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
XATTR = "SCHILY.xattr."  # an extended attribute's key in an extended header: this, then its name
LONGEST_HEADER = 1 << 20  # bytes of an extended header or a map of holes, as in Go's archive/tar


class Entry:
    """An archive's file, directory, link, FIFO or device. name, target: as os.fsdecode() gives them. target: of a
    symbolic or hard link. time: nanoseconds. data: where a sparse file's data lies, as (offset, length); else None."""

    __slots__ = ("data", "gid", "major", "minor", "mode", "name", "size", "target", "time", "type", "uid", "xattrs")

    name: str
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    time: int
    target: str
    major: int
    minor: int
    xattrs: dict[str, bytes]
    data: list[tuple[int, int]] | None


def is_carried(attribute: str) -> bool:
    """True if images carry this extended attribute. Others would change how the host or overlay treats a file."""
    return attribute == CAPABILITY or attribute.startswith("user.")
