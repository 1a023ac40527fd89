"""Unpack a layer, or a root file system, that may come from anybody.

Every entry is made by its last name in a directory's descriptor, and that descriptor comes from openat2 with
RESOLVE_IN_ROOT: a link of the archive on the way is followed as it would be in the container, whose root is the
directory that is unpacked into. The last name itself is never followed. So nothing is ever made outside, whatever the
archive says.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.image import entries, layer, sizes, tar
from mydocker.image.limits import Budget
from mydocker.image.tar_reader import Reader
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Callable

    from mydocker.image.entries import Item
    from mydocker.image.limits import Meter
    from mydocker.image.streams import Stream

_IN_ROOT = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_XDEV
_PARENT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_UNKNOWN = "/"  # never the path of a directory in the archive: those are relative


def unpack(stream: Stream, directory: str, meter: Meter | None = None) -> list[str]:
    """Unpack a plain tar of a root file system, without whiteouts, into an empty directory, and record the size of its
    files there (sizes.py). Returns the directories that the archive lacks. meter: counts what is made, if not only
    for this layer. Raises InvalidArgument, which names the entry, for an archive that is not to be trusted or too
    large; then the caller removes the directory."""
    return _unpack(stream, directory, False, meter)


def unpack_layer(stream: Stream, directory: str, meter: Meter | None = None) -> list[str]:
    """Unpack a layer's plain tar in the same way; its whiteouts have effect. The result is for complete(): the layers
    below may not be there yet."""
    return _unpack(stream, directory, True, meter)


def unpack_into(
    stream: Stream,
    directory: int,
    owner: tuple[int, int] | None,
    time: int | None,
    resolve: int = _IN_ROOT,
    barred: Collection[int] = (),
) -> None:
    """Unpack a plain tar, without whiteouts, into a directory that may have files, and whose links may be anybody's.
    Files are replaced; directories are merged, and get the archive's owners, modes and times.

    directory: a descriptor. It is the root for all links, and keeps its own owner and mode. owner: (uid, gid) of
    everything, instead of the archive's. time: of directories without an entry that are made or changed, in
    nanoseconds, or None for now. resolve: how openat2(2) finds directories; without RESOLVE_NO_XDEV also in mounts, but
    never in those of the devices `barred`.
    """
    unpacker = _Unpacker(directory, False, Budget().meter())
    unpacker.merges, unpacker.time = True, time
    unpacker.resolve, unpacker.barred = resolve, barred
    unpacker.run(Reader(stream), owner)


def complete(directory: str, bare: list[str], below: list[str]) -> None:
    """Give the directories that a layer's archive lacks the owner and mode that they have in the layers below. bare: as
    unpack_layer() returned them. below: the unpacked layers, top first, complete themselves."""
    root = os.open(directory, files.DIR)
    try:
        for path in bare:
            there = as_below(below, path)
            if there is None:
                continue
            try:
                descriptor = files.open_in_root(root, path, files.DIR, resolve=layer.IN_PLACE)
            except OSError:
                continue  # a later entry has replaced it
            try:
                os.fchown(descriptor, there.st_uid, there.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(there.st_mode))
            finally:
                os.close(descriptor)
    finally:
        os.close(root)


def _unpack(stream: Stream, directory: str, is_layer: bool, meter: Meter | None) -> list[str]:
    root = os.open(directory, files.DIR)
    try:
        unpacker = _Unpacker(root, is_layer, meter or Budget().meter())
        unpacker.run(Reader(stream))
        sizes.record(root, unpacker.size)
        return list(unpacker.bare)
    finally:
        os.close(root)


class _Unpacker:
    def __init__(self, root: int, is_layer: bool, meter: Meter) -> None:
        self.root = root
        self.meter = meter
        self.is_layer = is_layer
        self.merges = False  # the root is a directory that has been in use
        self.resolve = _IN_ROOT
        self.barred: Collection[int] = ()
        self.time: int | None = None
        self.bare = {".": None}  # the directories that the archive lacks, in the order in which they were made
        self.parent = ""
        self.parent_fd = os.dup(root)
        self.size = 0  # bytes of all files, each counted once
        self.times: dict[str, int] = {}  # of directories: set at the end, as each new entry changes them

    def run(self, reader: Reader, owner: tuple[int, int] | None = None) -> None:
        try:
            if not self.merges:
                os.fchmod(self.root, 0o755)
            for item in entries.items(reader, self.is_layer, self.meter, owner):
                try:
                    self._make_item(reader, item)
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise files.no_space(item.entry.name, error) from None
                    raise entries.refusal(item.entry, error) from None
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

    def _make_item(self, reader: Reader, item: Item) -> None:
        entry, kind, above, name = item.entry, item.kind, item.above, item.name
        if kind == entries.WHITEOUT:
            self._whiteout(self._directory(above), item.target)
        elif kind == tar.DIR:
            if not (self.merges and item.path == "."):
                self._make_directory(above, name, item.path, entry)
        elif kind == tar.FILE:
            self._make(above, name, lambda directory: _make_file(directory, name, reader, entry))
            self.size += entry.size
        elif kind == tar.SYMLINK:
            self._make(above, name, lambda directory: os.symlink(entry.target, name, dir_fd=directory))
            self.size += len(os.fsencode(entry.target))
            os.chown(name, entry.uid, entry.gid, dir_fd=self.parent_fd, follow_symlinks=False)
            os.utime(name, ns=(entry.time, entry.time), dir_fd=self.parent_fd, follow_symlinks=False)
        elif kind == tar.LINK:
            self._make_link(item)
        else:
            self._make(above, name, lambda directory: _make_special(directory, name, entry))
            _set_metadata(self.parent_fd, name, entry)

    def _make(self, above: str, name: str, make: Callable[[int], None]) -> None:
        """Make a file of any type in the directory `above`. Of two of one name, the last wins; a directory is never
        replaced."""
        directory = self._directory(above)
        try:
            make(directory)
        except FileExistsError:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False)
            os.unlink(name, dir_fd=directory)
            if there.st_nlink == 1:
                self.size -= there.st_size
            make(directory)
            self.parent = _UNKNOWN  # the old file may have been a link in the parent's path

    def _make_directory(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        directory = self._directory(above)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if files.is_whiteout(there):  # the layer removes the directory below and has one of its own
                os.unlink(name, dir_fd=directory)
                os.mkdir(name, 0o700, dir_fd=directory)
                _set_opaque(directory, name)
            elif not stat.S_ISDIR(there.st_mode):
                raise entries.refused(entry.name, "a directory over an earlier entry that is not a directory") from None
        _set_metadata(directory, name, entry)
        _set_attributes(f"/proc/self/fd/{directory}/{name}", entry)
        self.times[path] = entry.time
        self.bare.pop(path, None)

    def _make_link(self, item: Item) -> None:
        """Make a hard link to an earlier entry. If that is a symbolic link, it is not followed."""
        entry, name = item.entry, item.name
        target_above, _, target_name = item.target.rpartition("/")
        try:
            source = self._open(target_above, _PARENT)
            try:
                if stat.S_ISDIR(os.stat(target_name, dir_fd=source, follow_symlinks=False).st_mode):
                    raise entries.refused(entry.name, f"a hard link to a directory: {entry.target}")
                self._make(
                    item.above,
                    name,
                    lambda directory: os.link(
                        target_name, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False
                    ),
                )
            finally:
                os.close(source)
        except FileNotFoundError:
            what = f"a hard link to a file that is not in the archive: {entry.target}"
            raise entries.refused(entry.name, what) from None

    def _whiteout(self, directory: int, hidden: str) -> None:
        """hidden: a name, or "" for all that is below."""
        if not hidden:
            _set_opaque(directory, ".")
            return
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=directory)
        except FileExistsError:
            # The layer has its own file of that name, which hides the one below; a directory would be merged with it.
            if stat.S_ISDIR(os.stat(hidden, dir_fd=directory, follow_symlinks=False).st_mode):
                _set_opaque(directory, hidden)

    def _open(self, path: str, flags: int) -> int:
        descriptor = files.open_in_root(self.root, path or ".", flags, resolve=self.resolve)
        if self.barred and os.fstat(descriptor).st_dev in self.barred:
            os.close(descriptor)
            raise entries.refused(path, "it is a directory of the kernel's")
        return descriptor

    def _directory(self, path: str) -> int:
        """Return a descriptor of a directory in the archive's tree, valid until the next call. Makes the directory if
        it is missing.

        The descriptor is kept for the entries that follow: a directory is never replaced."""
        if path != self.parent:
            try:
                descriptor = self._open(path, _PARENT)
            except FileNotFoundError:
                self._make_missing(path)
                descriptor = self._open(path, _PARENT)
            os.close(self.parent_fd)
            self.parent, self.parent_fd = path, descriptor
            while self.time is not None and path:
                self.times.setdefault(path, self.time)
                path = path.rpartition("/")[0]
        return self.parent_fd

    def _make_missing(self, path: str) -> None:
        """Make the missing directories of a path. Raises FileNotFoundError if one of them is a dangling link."""
        parts = path.split("/")
        for depth, name in enumerate(parts):
            directory = self._open("/".join(parts[:depth]), _PARENT)
            try:
                self.meter.count()
                os.mkdir(name, 0o700, dir_fd=directory)
                os.chmod(name, 0o755, dir_fd=directory)
                self.bare["/".join(parts[: depth + 1])] = None
            except FileExistsError:
                pass
            finally:
                os.close(directory)


def _make_file(directory: int, name: str, reader: Reader, entry: tar.Entry) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        reader.copy_content(entry, descriptor)
        os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
        _set_attributes(descriptor, entry)  # after the chown, which removes capabilities
        os.utime(descriptor, ns=(entry.time, entry.time))
    finally:
        os.close(descriptor)


def _make_special(directory: int, name: str, entry: tar.Entry) -> None:
    if entry.type == tar.FIFO:
        os.mkfifo(name, 0o600, dir_fd=directory)
        return
    kind = stat.S_IFCHR if entry.type == tar.CHARACTER else stat.S_IFBLK
    os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=directory)


def _set_attributes(place: int | str, entry: tar.Entry) -> None:
    """Set the extended attributes that images carry. On a file system without user attributes (an old tmpfs) they are
    lost, as with docker."""
    for name, value in entry.xattrs.items():
        try:
            os.setxattr(place, name, value)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
                raise entries.no_room(entry, name) from None
            if error.errno != errno.ENOTSUP or name == tar.CAPABILITY:
                raise


def _set_metadata(directory: int, name: str, entry: tar.Entry) -> None:
    """Set owner, mode and time of a new directory, FIFO or device. No link can be in its place."""
    os.chown(name, entry.uid, entry.gid, dir_fd=directory)
    os.chmod(name, entry.mode, dir_fd=directory)
    os.utime(name, ns=(entry.time, entry.time), dir_fd=directory)


def _set_opaque(directory: int, name: str) -> None:
    descriptor = files.open_in_root(directory, name, files.DIR, resolve=layer.IN_PLACE)
    try:
        os.setxattr(descriptor, files.OPAQUE, b"y")
    finally:
        os.close(descriptor)


def as_below(layers: list[str], path: str) -> os.stat_result | None:
    """Stat the directory `path` in the uppermost of the layers that have it."""
    for directory in layers:
        root = os.open(directory, files.DIR)
        try:
            descriptor = files.open_in_root(root, path, files.DIR, resolve=layer.IN_PLACE)
        except OSError:
            continue
        finally:
            os.close(root)
        there = os.fstat(descriptor)
        os.close(descriptor)
        return there
    return None
