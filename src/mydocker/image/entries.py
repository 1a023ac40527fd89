"""The rules for the entries of an archive that may come from anybody, whatever is made of them: unpacking.py writes
files, erofs/tree.py an index. What is refused here is refused for both, and for the same reason."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from mydocker.errors import FAILED, InvalidArgument, MydockerError
from mydocker.image import layer, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.image.limits import Meter
    from mydocker.image.tar_reader import Reader

WHITEOUT = b".wh."  # a kind of entry, beside the types of tar.py

_NO_OWNER = (1 << 32) - 1  # for chown(2) that means "leave the owner as it is"
_LARGEST_DEVICE = 0xFFF, 0xFFFFF  # major and minor number: the kernel would cut off what is above
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, as in the kernel
_LARGEST_FILE = 1 << 44  # bytes, as on ext4
_LARGEST_VALUE, _LARGEST_VALUES = 65535, 200_000  # bytes of a file's extended attributes: an inode can hold no more
_CAPABILITIES = (20, 2), (24, 3)  # a value's length in bytes, and its revision: <linux/capability.h>

# Root file systems are shipped with the devices of every /dev. They are left out, as a container's own /dev takes their
# place. Other devices are made, and the container's device cgroup decides what it may do with them.
_STANDARD_DEVICES = {
    "dev/null": (1, 3),
    "dev/zero": (1, 5),
    "dev/full": (1, 7),
    "dev/random": (1, 8),
    "dev/urandom": (1, 9),
    "dev/tty": (5, 0),
    "dev/console": (5, 1),
    "dev/ptmx": (5, 2),
}
_KINDS = (tar.FILE, tar.LINK, tar.SYMLINK, tar.CHARACTER, tar.BLOCK_DEVICE, tar.DIR, tar.FIFO)
_REASONS = {
    errno.ENOENT: "its path has a link to a file that does not exist",
    errno.ELOOP: "its path has a loop of links",
    errno.ENOTDIR: "its parent is not a directory",
    errno.EISDIR: "a directory of that name already exists",
    errno.EXDEV: "its path leads outside",
    errno.EFBIG: "it is too large",
}


class Item(NamedTuple):
    """A checked entry. kind: its type, or WHITEOUT. path: plain and relative, "." for the root; above, name: its two
    parts. target: the plain path of a hard link's target; the name that a whiteout hides, "" if the whole directory."""

    entry: tar.Entry
    kind: bytes
    path: str
    above: str
    name: str
    target: str


def items(reader: Reader, is_layer: bool, meter: Meter, owner: tuple[int, int] | None = None) -> Iterator[Item]:
    """Yield the entries of an archive, each when the one before is done. is_layer: whiteouts may be there. meter:
    counts. owner: (uid, gid) of all, instead of the archive's.

    Of the extended attributes those stay that images carry. Raises InvalidArgument, which names the entry."""
    for entry in reader:
        try:
            item = _checked(entry, is_layer, meter, owner, reader.position)
        except OSError as error:
            raise refusal(entry, error) from None
        if item.kind != tar.CHARACTER or _STANDARD_DEVICES.get(item.path) != (entry.major, entry.minor):
            yield item
    meter.finish()


def refusal(entry: tar.Entry, error: OSError) -> MydockerError:
    """Return the error for an entry that the kernel, or what stands for it, does not take."""
    return refused(entry.name, _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower())


def refused(name: str, why: str) -> MydockerError:
    return InvalidArgument(f"refused archive entry '{name[:200]}': {why[:200]}", exit_code=FAILED)


def _checked(entry: tar.Entry, is_layer: bool, meter: Meter, owner: tuple[int, int] | None, position: int) -> Item:
    path = safe_path(entry.name)
    above, _, name = path.rpartition("/")
    _check_length(above, _LONGEST_PATH)  # a name in it may be beyond: it is reached by the directory's descriptor
    meter.take(path, entry, position)
    if owner:
        entry.uid, entry.gid = owner
    if not (0 <= entry.uid < _NO_OWNER and 0 <= entry.gid < _NO_OWNER):
        raise refused(entry.name, f"an invalid owner, {entry.uid}:{entry.gid}")
    if not -1 << 63 <= entry.time // 1_000_000_000 < 1 << 63:
        raise refused(entry.name, "a number is out of range")
    hidden = [part for part in path.split("/") if part.startswith(layer.WHITEOUT)]
    if hidden:
        if not is_layer or hidden != [name]:
            raise refused(entry.name, "names that start with .wh. are whiteouts, which only a layer may have")
        return Item(entry, WHITEOUT, path, above, name, _hidden(entry, name))
    if entry.type not in _KINDS:
        raise refused(entry.name, f"an entry of the unknown type {entry.type!r}")
    if path == "." and entry.type != tar.DIR:
        raise refused(entry.name, "the root is a directory")
    target = ""
    if entry.type == tar.LINK:
        target = safe_path(entry.target, entry.name)
        if target == path:
            raise refused(entry.name, "a hard link to itself")
    elif entry.type == tar.SYMLINK:
        if not entry.target or "\0" in entry.target:
            raise refused(entry.name, "a link without a target")
        _check_length(entry.target, _LONGEST_PATH)
    elif entry.type in tar.DEVICES:
        if not (0 <= entry.major <= _LARGEST_DEVICE[0] and 0 <= entry.minor <= _LARGEST_DEVICE[1]):
            raise refused(entry.name, f"an invalid device number, {entry.major}:{entry.minor}")
    elif entry.size > _LARGEST_FILE:
        raise OSError(errno.EFBIG, "")
    if entry.xattrs:
        entry.xattrs = _attributes(entry)
    return Item(entry, entry.type, path, above, name, target)


def _hidden(entry: tar.Entry, name: str) -> str:
    if name == layer.OPAQUE_MARK:
        return ""
    hidden = name[len(layer.WHITEOUT) :]
    if hidden in ("", ".", "..") or hidden.startswith(layer.WHITEOUT):
        raise refused(entry.name, "a whiteout without a name")
    return hidden


def safe_path(name: str, entry: str = "") -> str:
    """Turn a name from the archive into a plain relative path, "." for the root. A `..` removes the part before it,
    even if that is a link, as with docker. entry: the entry that holds the name, if it is not its own."""
    path = inside(name)
    if path is None:
        raise refused(entry or name, f"a path that leads outside: {name}" if entry else "a path that leads outside")
    return path or "."


def inside(name: str) -> str | None:
    """Return a name without `.`, `..` and slashes at its ends, "" for the root; None if it leads outside."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return None if "\0" in name else "/".join(parts)


def check_name(name: str) -> str:
    """Return a name of a directory. Raises OSError if the kernel would not take it."""
    _check_length(name, _LONGEST_NAME)
    return name


def _check_length(text: str, longest: int) -> None:
    if len(text) > longest // 4 and len(os.fsencode(text)) > longest:  # a character has four bytes at most
        raise OSError(errno.ENAMETOOLONG, "")


def _attributes(entry: tar.Entry) -> dict[str, bytes]:
    carried = {name: value for name, value in entry.xattrs.items() if tar.is_carried(name)}
    room = _LARGEST_VALUES
    for name, value in carried.items():
        suffix = len(os.fsencode(name.partition(".")[2]))
        room -= suffix + len(value) + 8
        if not 0 < suffix <= _LONGEST_NAME - len("user.") or len(value) > _LARGEST_VALUE or room < 0:
            raise no_room(entry, name)
    capability = carried.get(tar.CAPABILITY)
    if capability is not None and (len(capability), *capability[3:4]) not in _CAPABILITIES:
        raise OSError(errno.EINVAL, "")  # as the kernel says
    return carried


def no_room(entry: tar.Entry, name: str) -> MydockerError:
    what = f"no room for the extended attribute {name[:50]} of {len(entry.xattrs[name])} bytes"
    return refused(entry.name, what)
