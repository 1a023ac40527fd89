"""Layers: from a tar to a directory and back.

An archive may come from anybody. Every entry is made by its last name in a directory's descriptor, and that descriptor
comes from openat2 with RESOLVE_IN_ROOT: a link of the archive on the way is followed as it would be in the container,
whose root is the directory that is unpacked into. The last name itself is never followed. So whatever the archive says,
nothing is made outside.

In a layer's tar, "deleted" is a file `.wh.NAME`, and a directory that hides the one below holds a file `.wh..wh..opq`
(image-spec, layer.md). In an unpacked layer and in a container's upper directory they have overlay's form: a character
device 0:0, and the extended attribute trusted.overlay.opaque.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from mydocker.errors import FAILED, InvalidArgument, MydockerError
from mydocker.image import tar
from mydocker.kernel import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Callable

    from mydocker.image.streams import Stream

WHITEOUT = ".wh."
_OPAQUE_MARK = ".wh..wh..opq"
_IN_ROOT = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_XDEV
_IN_PLACE = files.STRICT | files.RESOLVE_NO_XDEV
_NO_OWNER = (1 << 32) - 1  # chown(2) takes that for "leave it as it is"
_PARENT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# mknod(1)'s view of the devices that every /dev has: root file systems are shipped with them, and a container's own
# /dev takes their place. They are left out; others are made, and what a container may do with them is up to its cgroup.
_LONGEST_PATH = os.pathconf("/", "PC_PATH_MAX")
_LARGEST_DEVICE = 0xFFF, 0xFFFFF  # major and minor number: the kernel would cut off what is above
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


# --- unpacking --------------------------------------------------------------------------------------------------------


def unpack(stream: Stream, directory: str, below: list[str] | None = None) -> None:
    """Unpack a plain tar into an empty directory. What it must not hold raises InvalidArgument, which names the entry;
    the directory is then the caller's to remove.

    below: for a layer of an image, the unpacked layers under it, top first ([] at the bottom): then whiteouts are
    understood, and directories that the archive leaves out look as they do there. None: a root file system, no
    whiteouts.
    """
    root = os.open(directory, files.DIR)
    try:
        _Unpacker(root, below).run(tar.Reader(stream))
    finally:
        os.close(root)


class _Unpacker:
    def __init__(self, root: int, below: list[str] | None) -> None:
        self.root = root
        self.below = below
        self.parent = ""
        self.parent_fd = os.dup(root)
        self.times: dict[str, int] = {}  # of directories: set when nothing is made in them any more

    def run(self, reader: tar.Reader) -> None:
        try:
            self._dress_like_below(self.root, ".", ".")
            for entry in reader:
                try:
                    self._entry(reader, entry)
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise files.no_space(entry.name, error) from None
                    why = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
                    raise _refused(entry.name, why) from None
                except OverflowError:
                    raise _refused(entry.name, "a number is out of range") from None
            for path, time in self.times.items():
                self._set_time(path, time)
        finally:
            os.close(self.parent_fd)

    def _set_time(self, path: str, time: int) -> None:
        try:
            directory = self._open(path, files.DIR)
        except OSError:
            return  # a link on the way to it has been replaced
        try:
            os.utime(directory, ns=(time, time))
        finally:
            os.close(directory)

    def _entry(self, reader: tar.Reader, entry: tar.Entry) -> None:
        path = _safe_path(entry.name)
        above, _, name = path.rpartition("/")
        if not (0 <= entry.uid < _NO_OWNER and 0 <= entry.gid < _NO_OWNER):
            raise _refused(entry.name, f"an owner of number {entry.uid}:{entry.gid}")
        hidden = [part for part in path.split("/") if part.startswith(WHITEOUT)]
        if hidden:
            if self.below is None or hidden != [name]:
                raise _refused(entry.name, "names that start with .wh. are whiteouts, which only a layer may have")
            self._whiteout(self._directory(above), above, name)
        elif entry.type == tar.DIR:
            self._make_directory(above, name, path, entry)
        elif path == ".":
            raise _refused(entry.name, "the root is a directory")
        elif entry.type == tar.FILE:
            self._make(above, name, lambda directory: _make_file(directory, name, reader, entry))
        elif entry.type == tar.SYMLINK:
            if not entry.target or "\0" in entry.target:
                raise _refused(entry.name, "a link that leads nowhere")
            self._make(above, name, lambda directory: os.symlink(entry.target, name, dir_fd=directory))
            os.chown(name, entry.uid, entry.gid, dir_fd=self.parent_fd, follow_symlinks=False)
            os.utime(name, ns=(entry.time, entry.time), dir_fd=self.parent_fd, follow_symlinks=False)
        elif entry.type == tar.LINK:
            self._make_link(above, name, path, entry)
        elif entry.type == tar.FIFO:
            self._make(above, name, lambda directory: os.mkfifo(name, 0o600, dir_fd=directory))
            _dress(self.parent_fd, name, entry)
        elif entry.type in (tar.CHARACTER, tar.BLOCK_DEVICE):
            if entry.type != tar.CHARACTER or _STANDARD_DEVICES.get(path) != (entry.major, entry.minor):
                self._make(above, name, lambda directory: _make_device(directory, name, entry))
                _dress(self.parent_fd, name, entry)
        else:
            raise _refused(entry.name, f"an entry of the unknown type {entry.type!r}")

    def _make(self, above: str, name: str, make: Callable[[int], None]) -> None:
        """Make something in the directory `above`. Of two of one name the last wins; a directory is never replaced."""
        directory = self._directory(above)
        try:
            make(directory)
        except FileExistsError:
            os.unlink(name, dir_fd=directory)
            make(directory)
            self.parent = _UNKNOWN  # what was replaced may be a link on the way to it

    def _make_directory(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        directory = self._directory(above)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if files.is_whiteout(there):  # the layer removes the old one and brings its own
                os.unlink(name, dir_fd=directory)
                os.mkdir(name, 0o700, dir_fd=directory)
                _set_opaque(directory, name)
            elif not stat.S_ISDIR(there.st_mode):
                raise _refused(entry.name, "a directory in place of what the archive has brought before") from None
        _dress(directory, name, entry)
        _set_attributes(f"/proc/self/fd/{directory}/{name}", entry)
        self.times[path] = entry.time

    def _make_link(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        """Another name for a file (or a symbolic link: it is not followed) that the archive has brought before."""
        target = _safe_path(entry.target, entry.name)
        if target == path:
            raise _refused(entry.name, "a hard link to itself")
        target_above, _, target_name = target.rpartition("/")
        try:
            source = self._open(target_above, _PARENT)
            try:
                if stat.S_ISDIR(os.stat(target_name, dir_fd=source, follow_symlinks=False).st_mode):
                    raise _refused(entry.name, f"a hard link to a directory: {entry.target}")
                self._make(
                    above,
                    name,
                    lambda directory: os.link(
                        target_name, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False
                    ),
                )
            finally:
                os.close(source)
        except FileNotFoundError:
            raise _refused(entry.name, f"a hard link to what is not in the archive: {entry.target}") from None

    def _whiteout(self, directory: int, above: str, name: str) -> None:
        if name == _OPAQUE_MARK:
            _set_opaque(directory, ".")
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", "..") or hidden.startswith(WHITEOUT):
            raise _refused(f"{above}/{name}", "a whiteout of nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=directory)
        except (
            FileExistsError
        ):  # the layer has brought its own already: that hides the old one, unless it is a directory
            if stat.S_ISDIR(os.stat(hidden, dir_fd=directory, follow_symlinks=False).st_mode):
                _set_opaque(directory, hidden)

    def _open(self, path: str, flags: int) -> int:
        return files.open_in_root(self.root, path or ".", flags, resolve=_IN_ROOT)

    def _directory(self, path: str) -> int:
        """A descriptor of a directory in the archive's tree, valid until the next call; made where it is missing.

        It can be kept for the entries that follow, because a directory is never replaced."""
        if path != self.parent:
            try:
                descriptor = self._open(path, _PARENT)
            except FileNotFoundError:
                self._make_missing(path)
                descriptor = self._open(path, _PARENT)
            os.close(self.parent_fd)
            self.parent, self.parent_fd = path, descriptor
        return self.parent_fd

    def _make_missing(self, path: str) -> None:
        """Raises FileNotFoundError where one of them is a link that leads to nothing."""
        parts = path.split("/")
        for depth, name in enumerate(parts):
            directory = self._open("/".join(parts[:depth]), _PARENT)
            try:
                os.mkdir(name, 0o700, dir_fd=directory)
                self._dress_like_below(directory, name, "/".join(parts[: depth + 1]))
            except FileExistsError:
                pass
            finally:
                os.close(directory)

    def _dress_like_below(self, directory: int, name: str, path: str) -> None:
        """What the archive says nothing of has the owner and mode that it has in the layers below."""
        there = _as_below(self.below or [], path)
        if there is not None:
            os.chown(name, there.st_uid, there.st_gid, dir_fd=directory)
        os.chmod(name, stat.S_IMODE(there.st_mode) if there else 0o755, dir_fd=directory)


_UNKNOWN = "/"  # no path of a directory: those are relative
_REASONS = {
    errno.ENOENT: "a link that leads nowhere is in the way to it",
    errno.ELOOP: "links that lead to each other are in the way to it",
    errno.ENOTDIR: "what should be its directory is a file",
    errno.EISDIR: "a directory of that name is there already",
    errno.EXDEV: "it is outside",
}


def _safe_path(name: str, entry: str = "") -> str:
    """A name from the archive as a plain relative path, "." for the root. A `..` takes the part before it away, even if
    that is a link, as docker has it. entry: who gives the name, if not itself."""
    parts: list[str] = []
    outside = "\0" in name
    for part in name.split("/"):
        if part == "..":
            outside = outside or not parts
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if outside:
        raise _refused(entry or name, f"a path that leads outside: {name}" if entry else "a path that leads outside")
    return "/".join(parts) or "."


def _make_file(directory: int, name: str, reader: tar.Reader, entry: tar.Entry) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        reader.copy_content(entry, descriptor)
        os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
        _set_attributes(descriptor, entry)  # after the change of owner, which takes capabilities away
        os.utime(descriptor, ns=(entry.time, entry.time))
    finally:
        os.close(descriptor)


def _make_device(directory: int, name: str, entry: tar.Entry) -> None:
    if not (0 <= entry.major <= _LARGEST_DEVICE[0] and 0 <= entry.minor <= _LARGEST_DEVICE[1]):
        raise _refused(entry.name, f"a device of number {entry.major}:{entry.minor}")
    kind = stat.S_IFCHR if entry.type == tar.CHARACTER else stat.S_IFBLK
    os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=directory)


def _set_attributes(place: int | str, entry: tar.Entry) -> None:
    """The extended attributes of a file or directory, as far as images carry them. A file system that has none of
    users' (an old tmpfs) loses them, as with docker."""
    for name in filter(tar.is_carried, entry.xattrs):
        value = entry.xattrs[name]
        try:
            os.setxattr(place, name, value)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
                raise _refused(
                    entry.name, f"no room for the extended attribute {name[:50]} of {len(value)} bytes"
                ) from None
            if error.errno != errno.ENOTSUP or name == tar.CAPABILITY:
                raise


def _dress(directory: int, name: str, entry: tar.Entry) -> None:
    """Owner, mode and time of a directory, FIFO or device that has just been made: no link can be in its place."""
    os.chown(name, entry.uid, entry.gid, dir_fd=directory)
    os.chmod(name, entry.mode, dir_fd=directory)
    os.utime(name, ns=(entry.time, entry.time), dir_fd=directory)


def _set_opaque(directory: int, name: str) -> None:
    descriptor = files.open_in_root(directory, name, files.DIR, resolve=_IN_PLACE)
    try:
        os.setxattr(descriptor, files.OPAQUE, b"y")
    finally:
        os.close(descriptor)


def _as_below(layers: list[str], path: str) -> os.stat_result | None:
    """The directory `path` as the uppermost of the layers that has it shows it."""
    for layer in layers:
        root = os.open(layer, files.DIR)
        try:
            descriptor = files.open_in_root(root, path, files.DIR, resolve=_IN_PLACE)
        except OSError:
            continue
        finally:
            os.close(root)
        there = os.fstat(descriptor)
        os.close(descriptor)
        return there
    return None


def _refused(name: str, why: str) -> MydockerError:
    return InvalidArgument(f"refused archive entry '{name[:200]}': {why[:200]}", exit_code=FAILED)


# --- packing ----------------------------------------------------------------------------------------------------------


def pack(directory: str, out: BinaryIO) -> list[str]:
    """A tar of everything in the directory, in a fixed order. What is mounted below it stays out.
    Returns what else was left out, and why, a sentence each."""
    with Packer(directory, out) as packer:
        for entry in packer.entries():
            packer.add(entry)
    return packer.left_out


def pack_changes(upper: str, out: BinaryIO) -> list[str]:
    """A layer's tar from an overlay's upper directory. Returns what was left out."""
    with Packer(upper, out) as packer:
        for entry in packer.changes():
            if files.is_whiteout(entry.info):
                packer.whiteout(entry.path)
                continue
            packer.add(entry)
            if stat.S_ISDIR(entry.info.st_mode) and files.is_opaque(entry.here):
                packer.mark(f"{entry.path}/{_OPAQUE_MARK}")
    return packer.left_out


class Entry(NamedTuple):
    """Something in a tree. parent: a descriptor of its directory. path: from the tree's root. info: its lstat."""

    parent: int
    name: str
    path: str
    info: os.stat_result

    @property
    def here(self) -> str:
        """A path for the system calls that take no descriptor of a directory. Its last part is not to be followed."""
        return f"/proc/self/fd/{self.parent}/{self.name}"


def walk(root: int, too_deep: list[str] | None = None) -> Iterator[Entry]:
    """Everything below a directory, in a fixed order: a directory, all that is in it, what comes after it. tar(1)
    relies on that for directories' times. Mounts are not entered. The tree may change meanwhile: what vanishes is left
    out, and so is what is in a directory whose path is longer than the kernel takes one, which is added to
    `too_deep`."""
    todo: list[tuple[str, Iterator[str] | None]] = [
        ("", None)
    ]  # directories from the root down, what is left to do in each
    while todo:
        above, names = todo[-1]
        try:
            parent = files.open_in_root(root, above or ".", files.DIR, resolve=_IN_PLACE)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                if too_deep is not None:
                    too_deep.append(above)
            elif error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):  # gone, replaced, a mount
                raise
            todo.pop()
            continue
        try:
            if names is None:
                names = iter(sorted(os.listdir(parent)))
                todo[-1] = above, names
            for name in names:
                try:
                    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                entry = Entry(parent, name, f"{above}/{name}" if above else name, info)
                yield entry
                if stat.S_ISDIR(info.st_mode):
                    todo.append((entry.path, None))
                    break
            else:
                todo.pop()
        finally:
            os.close(parent)


def is_mark(entry: Entry) -> bool:
    """True of what each container gets at its start: ops.rootfs.MarkRoot."""
    if entry.path == ".dockerenv":
        return stat.S_ISREG(entry.info.st_mode) and not entry.info.st_size
    return (
        entry.path == "etc/mtab"
        and stat.S_ISLNK(entry.info.st_mode)
        and os.readlink(entry.name, dir_fd=entry.parent) == "/proc/mounts"
    )


class Packer:
    """`with Packer(directory, out) as packer:` a tar of that directory, of what is then added. It ends well or not at
    all. left_out: at the end, what a tar or layer can't hold, a sentence each."""

    def __init__(self, directory: str, out: BinaryIO) -> None:
        self._writer = tar.Writer(out)
        self._directory = directory
        self._links: dict[tuple[int, int], str] = {}  # (device, inode) of a file with several names -> the first one
        self._too_deep: list[str] = []
        self.left_out: list[str] = []

    def __enter__(self) -> Packer:
        self._root = os.open(self._directory, files.DIR)
        self._writer.add("./", os.fstat(self._root), xattrs=attributes(self._root))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self._root)
        if kind is None:
            self._writer.finish()
        for path in self._too_deep:
            self.left_out.append(f"/{path[:50]}…: left out, paths in it are longer than {_LONGEST_PATH} bytes")

    def entries(self) -> Iterator[Entry]:
        return walk(self._root, self._too_deep)

    def changes(self) -> Iterator[Entry]:
        """The entries for a layer: a name that would be taken for a whiteout is left out, with all that is in it."""
        inside = None
        for entry in self.entries():
            if (inside and entry.path.startswith(inside)) or is_mark(entry):
                continue
            if entry.name.startswith(WHITEOUT):
                inside = f"{entry.path}/"
                self.left_out.append(f"/{entry.path}: left out, in a layer such a name means a removal")
            else:
                yield entry

    def add(self, entry: Entry) -> None:
        """Sockets, which a tar can't hold, are left out, and so is what vanishes."""
        info = entry.info
        if stat.S_ISSOCK(info.st_mode):
            return
        inode = info.st_dev, info.st_ino
        link = self._links.get(inode, "")
        try:
            if link:
                self._writer.add(entry.path, info, link=link)
            elif stat.S_ISREG(info.st_mode):
                self._add_file(entry)
            elif stat.S_ISDIR(info.st_mode):
                self._writer.add(entry.path, info, xattrs=self._attributes(entry, entry.here))
            elif stat.S_ISLNK(info.st_mode):
                self._writer.add(entry.path, info, target=os.readlink(entry.name, dir_fd=entry.parent))
            else:
                self._writer.add(entry.path, info)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # gone, or something else by now
                raise
        else:
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                self._links.setdefault(inode, entry.path)

    def _add_file(self, entry: Entry) -> None:
        content = files.open_regular(entry.parent, entry.name)
        try:
            found = self._attributes(entry, content)
            self._writer.add(entry.path, os.fstat(content), xattrs=found, content=content)
        finally:
            os.close(content)

    def _attributes(self, entry: Entry, place: int | str) -> dict[str, bytes] | None:
        found = attributes(place)
        if found is None or sum(len(name) + len(value) + 40 for name, value in found.items()) > tar.LONGEST_ATTRIBUTES:
            self.left_out.append(f"/{entry.path}: its extended attributes are left out, they are too long for a tar")
            return None
        return found

    def whiteout(self, path: str) -> None:
        """Say that `path`, which a layer below has, is gone."""
        above, slash, name = path.rpartition("/")
        self.mark(f"{above}{slash}{WHITEOUT}{name}")

    def mark(self, path: str) -> None:
        """An empty file, whose name says it all."""
        self._writer.add_empty(path)


def attributes(place: int | str) -> dict[str, bytes] | None:
    """The extended attributes of a file or directory that images carry; None if it has more than the kernel lists.
    place: a descriptor, or a path whose last part is not followed."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
        names = sorted(filter(tar.is_carried, names)) if names else names  # nearly always there are none
        return {name: os.getxattr(place, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno == errno.E2BIG:
            return None
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return {}
