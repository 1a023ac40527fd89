"""Layers: from a tar to a folder and back.

An archive may come from anybody. Every entry is made by a name in a folder's descriptor, and that descriptor comes from
openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS: whatever the archive says, nothing is made through a link or
outside the folder.

In a layer's tar, "deleted" is a file `.wh.NAME`, and a folder that hides the one below holds a file `.wh..wh..opq`
(image-spec, layer.md). In an unpacked layer and in a container's upper folder they have overlay's form: a character
device 0:0, and the extended attribute trusted.overlay.opaque.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from mydocker.errors import Conflict, InvalidArgument, MydockerError
from mydocker.image import tar
from mydocker.kernel import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Callable

    from mydocker.image.streams import Stream

WHITEOUT = ".wh."
_OPAQUE_MARK = ".wh..wh..opq"
_IN_ROOT = files.STRICT | files.RESOLVE_NO_XDEV
_NO_OWNER = (1 << 32) - 1  # chown(2) takes that for "leave it as it is"
_PARENT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# mknod(1)'s view of the devices that every /dev has: root file systems are shipped with them, and a container's own
# /dev takes their place.
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


def unpack(stream: Stream, folder: str, below: list[str] | None = None) -> None:
    """Unpack a plain tar into an empty folder. What it must not hold raises InvalidArgument, which names the entry;
    the folder is then the caller's to remove.

    below: for a layer of an image, the unpacked layers under it, top first ([] at the bottom): then whiteouts are
    understood, and folders that the archive leaves out look as they do there. None: a root file system, no whiteouts,
    and an archive that ends without its end mark was cut off.
    """
    root = os.open(folder, files.FOLDER)
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
        self.times: dict[str, int] = {}  # of folders: set when nothing is made in them any more

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
            if self.below is None and not reader.complete:
                raise tar.truncated()
            for path, time in self.times.items():
                folder = files.open_in_root(self.root, path, files.FOLDER, resolve=_IN_ROOT)
                try:
                    os.utime(folder, ns=(time, time))
                finally:
                    os.close(folder)
        finally:
            os.close(self.parent_fd)

    def _entry(self, reader: tar.Reader, entry: tar.Entry) -> None:
        path = _safe_path(entry.name)
        above, _, name = path.rpartition("/")
        if not (0 <= entry.uid < _NO_OWNER and 0 <= entry.gid < _NO_OWNER):
            raise _refused(entry.name, f"an owner of number {entry.uid}:{entry.gid}")
        hidden = [part for part in path.split("/") if part.startswith(WHITEOUT)]
        if hidden:
            if self.below is None or hidden != [name]:
                raise _refused(entry.name, "names that start with .wh. are whiteouts, which only a layer may have")
            self._whiteout(self._folder(above), above, name)
        elif entry.type == tar.FOLDER:
            self._make_folder(above, name, path, entry)
        elif path == ".":
            raise _refused(entry.name, "the root is a folder")
        elif entry.type == tar.FILE:
            self._make(above, name, lambda folder: _make_file(folder, name, reader, entry))
        elif entry.type == tar.SYMLINK:
            _check_target(entry, above)
            self._make(above, name, lambda folder: os.symlink(entry.target, name, dir_fd=folder))
            os.chown(name, entry.uid, entry.gid, dir_fd=self.parent_fd, follow_symlinks=False)
            os.utime(name, ns=(entry.time, entry.time), dir_fd=self.parent_fd, follow_symlinks=False)
        elif entry.type == tar.LINK:
            self._make_link(above, name, path, entry)
        elif entry.type == tar.FIFO:
            self._make(above, name, lambda folder: os.mkfifo(name, 0o600, dir_fd=folder))
            _dress(self.parent_fd, name, entry)
        elif entry.type in (tar.CHARACTER, tar.BLOCK_DEVICE):
            if entry.type != tar.CHARACTER or _STANDARD_DEVICES.get(path) != (entry.major, entry.minor):
                raise _refused(entry.name, "a device node")
        else:
            raise _refused(entry.name, f"an entry of the unknown type {entry.type!r}")

    def _make(self, above: str, name: str, make: Callable[[int], None]) -> None:
        """Make something in the folder `above`. Of two of one name the last wins; a folder is never replaced."""
        folder = self._folder(above)
        try:
            make(folder)
        except FileExistsError:
            os.unlink(name, dir_fd=folder)
            make(folder)

    def _make_folder(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        folder = self._folder(above)
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if files.is_whiteout(there):  # the layer removes the old one and brings its own
                os.unlink(name, dir_fd=folder)
                os.mkdir(name, 0o700, dir_fd=folder)
                _set_opaque(folder, name)
            elif not stat.S_ISDIR(there.st_mode):
                raise _refused(entry.name, "a folder in place of what the archive has brought before") from None
        _dress(folder, name, entry)
        self.times[path] = entry.time

    def _make_link(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        """Another name for a file (or a symbolic link: it is not followed) that the archive has brought before."""
        target = _safe_path(entry.target, entry.name)
        if target == path:
            raise _refused(entry.name, "a hard link to itself")
        target_above, _, target_name = target.rpartition("/")
        try:
            source = files.open_in_root(self.root, target_above or ".", _PARENT, resolve=_IN_ROOT)
            try:
                if stat.S_ISDIR(os.stat(target_name, dir_fd=source, follow_symlinks=False).st_mode):
                    raise _refused(entry.name, f"a hard link to a folder: {entry.target}")
                self._make(
                    above,
                    name,
                    lambda folder: os.link(
                        target_name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False
                    ),
                )
            finally:
                os.close(source)
        except FileNotFoundError:
            raise _refused(entry.name, f"a hard link to what is not in the archive: {entry.target}") from None

    def _whiteout(self, folder: int, above: str, name: str) -> None:
        if name == _OPAQUE_MARK:
            _set_opaque(self.root, above or ".")
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", "..") or hidden.startswith(WHITEOUT):
            raise _refused(f"{above}/{name}", "a whiteout of nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=folder)
        except FileExistsError:  # the layer has brought its own already: that hides the old one, unless it is a folder
            if stat.S_ISDIR(os.stat(hidden, dir_fd=folder, follow_symlinks=False).st_mode):
                _set_opaque(folder, hidden)

    def _folder(self, path: str) -> int:
        """A descriptor of a folder in the archive's tree, valid until the next call; made where it is missing.

        It can be kept for the entries that follow, because a folder is never replaced."""
        if path != self.parent:
            try:
                descriptor = files.open_in_root(self.root, path or ".", _PARENT, resolve=_IN_ROOT)
            except FileNotFoundError:
                self._make_missing(path)
                descriptor = files.open_in_root(self.root, path, _PARENT, resolve=_IN_ROOT)
            os.close(self.parent_fd)
            self.parent, self.parent_fd = path, descriptor
        return self.parent_fd

    def _make_missing(self, path: str) -> None:
        parts = path.split("/")
        for depth, name in enumerate(parts):
            folder = self._folder("/".join(parts[:depth]))
            try:
                os.mkdir(name, 0o700, dir_fd=folder)
            except FileExistsError:
                continue
            self._dress_like_below(folder, name, "/".join(parts[: depth + 1]))

    def _dress_like_below(self, folder: int, name: str, path: str) -> None:
        """What the archive says nothing of has the owner and mode that it has in the layers below."""
        there = _as_below(self.below or [], path)
        if there is not None:
            os.chown(name, there.st_uid, there.st_gid, dir_fd=folder)
        os.chmod(name, stat.S_IMODE(there.st_mode) if there else 0o755, dir_fd=folder)


_REASONS = {
    errno.ELOOP: "a link is in the way to it",
    errno.ENOTDIR: "what should be its folder is a file",
    errno.EISDIR: "a folder of that name is there already",
    errno.EXDEV: "it is outside",
}


def _safe_path(name: str, entry: str = "") -> str:
    """A name from the archive as a plain relative path, "." for the root. entry: who gives it, if not itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _refused(entry or name, f"a path that leads outside: {name}" if entry else "a path that leads outside")
    return "/".join(parts) or "."


def _check_target(entry: tar.Entry, above: str) -> None:
    """An absolute target is as good as any: it is followed inside the container. A relative one must stay inside."""
    depth = above.count("/") + 1 if above else 0
    if not entry.target or "\0" in entry.target:
        raise _refused(entry.name, "a link that leads nowhere")
    if entry.target.startswith("/"):
        return
    for part in entry.target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            raise _refused(entry.name, f"a link that leads outside: {entry.target}")


def _make_file(folder: int, name: str, reader: tar.Reader, entry: tar.Entry) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        reader.copy_content(entry, descriptor)
        os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
        if tar.CAPABILITY in entry.xattrs:  # after the change of owner, which takes it away
            os.setxattr(descriptor, tar.CAPABILITY, entry.xattrs[tar.CAPABILITY])
        os.utime(descriptor, ns=(entry.time, entry.time))
    finally:
        os.close(descriptor)


def _dress(folder: int, name: str, entry: tar.Entry) -> None:
    """Owner, mode and time of a folder or FIFO that has just been made: no link can be in its place."""
    os.chown(name, entry.uid, entry.gid, dir_fd=folder)
    os.chmod(name, entry.mode, dir_fd=folder)
    os.utime(name, ns=(entry.time, entry.time), dir_fd=folder)


def _set_opaque(folder: int, name: str) -> None:
    descriptor = files.open_in_root(folder, name, files.FOLDER, resolve=_IN_ROOT)
    try:
        os.setxattr(descriptor, files.OPAQUE, b"y")
    finally:
        os.close(descriptor)


def _as_below(layers: list[str], path: str) -> os.stat_result | None:
    """The folder `path` as the uppermost of the layers that has it shows it."""
    for layer in layers:
        root = os.open(layer, files.FOLDER)
        try:
            descriptor = files.open_in_root(root, path, files.FOLDER, resolve=_IN_ROOT)
        except OSError:
            continue
        finally:
            os.close(root)
        there = os.fstat(descriptor)
        os.close(descriptor)
        return there
    return None


def _refused(name: str, why: str) -> MydockerError:
    return InvalidArgument(f"refused archive entry '{name[:200]}': {why[:200]}")


# --- packing ----------------------------------------------------------------------------------------------------------


def pack(folder: str, out: BinaryIO) -> None:
    """A tar of everything in the folder, in a fixed order. What is mounted below it stays out."""
    with Packer(folder, out) as packer:
        for entry in packer.entries():
            packer.add(entry)


def pack_changes(upper: str, out: BinaryIO) -> None:
    """A layer's tar from an overlay's upper folder. Raises Conflict for what a layer can't hold."""
    with Packer(upper, out) as packer:
        for entry in packer.entries():
            if files.is_whiteout(entry.info):
                packer.whiteout(entry.path)
                continue
            packer.add_change(entry)
            if stat.S_ISDIR(entry.info.st_mode) and files.is_opaque(entry.here):
                packer.mark(f"{entry.path}/{_OPAQUE_MARK}")


class Entry(NamedTuple):
    """Something in a tree. parent: a descriptor of its folder. path: from the tree's root. info: its lstat."""

    parent: int
    name: str
    path: str
    info: os.stat_result

    @property
    def here(self) -> str:
        """A path for the system calls that take no descriptor of a folder. Its last part is not to be followed."""
        return f"/proc/self/fd/{self.parent}/{self.name}"


def walk(root: int) -> Iterator[Entry]:
    """Everything below a folder, in a fixed order: a folder, all that is in it, what comes after it. tar(1) relies on
    that for folders' times. Mounts are not entered. The tree may change meanwhile: what vanishes is left out."""
    todo: list[tuple[str, Iterator[str] | None]] = [
        ("", None)
    ]  # folders from the root down, what is left to do in each
    while todo:
        above, names = todo[-1]
        try:
            parent = files.open_in_root(root, above or ".", files.FOLDER, resolve=_IN_ROOT)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise Conflict(
                    f"folders are nested too deeply: {above[:100]}", "4096 bytes are the longest path"
                ) from None
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):  # gone, replaced, a mount
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


class Packer:
    """`with Packer(folder, out) as packer:` a tar of that folder, of what is then added. It ends well or not at all."""

    def __init__(self, folder: str, out: BinaryIO) -> None:
        self._writer = tar.Writer(out)
        self._folder = folder
        self._links: dict[tuple[int, int], str] = {}  # (device, inode) of a file with several names -> the first one

    def __enter__(self) -> Packer:
        self._root = os.open(self._folder, files.FOLDER)
        self._writer.add("./", os.fstat(self._root))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self._root)
        if kind is None:
            self._writer.finish()

    def entries(self) -> Iterator[Entry]:
        return walk(self._root)

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
            self._writer.add(entry.path, os.fstat(content), capability=_capability(content), content=content)
        finally:
            os.close(content)

    def add_change(self, entry: Entry) -> None:
        """`add` for a layer. Raises Conflict for device nodes and for names that would be taken for whiteouts."""
        if entry.name.startswith(WHITEOUT):
            raise Conflict(f"can't commit '/{entry.path}': in a layer that name means a removal", "rename it")
        if stat.S_ISCHR(entry.info.st_mode) or stat.S_ISBLK(entry.info.st_mode):
            raise Conflict(f"can't commit '/{entry.path}': images hold no device nodes", "remove it; see run --device")
        self.add(entry)

    def whiteout(self, path: str) -> None:
        """Say that `path`, which a layer below has, is gone."""
        above, slash, name = path.rpartition("/")
        self.mark(f"{above}{slash}{WHITEOUT}{name}")

    def mark(self, path: str) -> None:
        """An empty file, whose name says it all."""
        self._writer.add_empty(path)


def _capability(descriptor: int) -> bytes:
    try:
        return os.getxattr(descriptor, tar.CAPABILITY)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return b""
