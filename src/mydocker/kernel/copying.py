"""Copy a tree of files that a hostile container may have written: completely, and without following its links."""

from __future__ import annotations

import errno
import os
import stat

from mydocker.kernel.files import (
    DIR,
    OPAQUE,
    RESOLVE_NO_XDEV,
    SIZE,
    STRICT,
    is_opaque,
    is_whiteout,
    open_in_root,
    open_regular,
    remove_tree,
)

_IN_PLACE = STRICT | RESOLVE_NO_XDEV  # neither through a link nor into a mount
_PIECE, _BUFFER = 16 << 20, 1 << 20  # bytes that one call copies, in the kernel and through a buffer


def copy_tree(source: str, destination: str, flatten: bool = False) -> None:
    """Copy the content of the directory `source` into the directory `destination`, which is made if missing. The source
    may be hostile. If somebody else can reach the destination meanwhile, they can spoil the copy, but no link of theirs
    is followed; not so with `flatten`.

    Owners, modes, times, hard links, extended attributes, holes, devices, FIFOs and sockets are copied, too; what is
    mounted below `source` is not. flatten: `source` is an overlay layer that goes on top of the content of
    `destination`: its whiteouts remove, its opaque directories replace. Otherwise each name must be free.
    Raises OSError, which names the path; ENAMETOOLONG where a path has more than 4096 bytes.
    """
    try:
        os.mkdir(destination, 0o700)
    except FileExistsError:
        pass
    source_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        destination_fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _Copy(source_fd, destination_fd, flatten).run()
        finally:
            os.close(destination_fd)
    finally:
        os.close(source_fd)


class _Copy:
    def __init__(self, source: int, destination: int, flatten: bool) -> None:
        self.roots = source, destination
        self.flatten = flatten
        self.links: dict[tuple[int, int], str] = {}  # (device, inode) of a file with several names -> the first copy
        self.directories: list[tuple[str, os.stat_result]] = [("", os.fstat(source))]

    def run(self) -> None:
        at = 0
        while at < len(self.directories):
            self._directory(self.directories[at][0])
            at += 1
        # Each new entry changes a directory's times, so they are set at the end.
        for path, info in self.directories:
            directory = open_in_root(self.roots[1], path or ".", DIR, resolve=STRICT)
            try:
                os.utime(directory, ns=(info.st_atime_ns, info.st_mtime_ns))
            finally:
                os.close(directory)

    def _directory(self, path: str) -> None:
        try:
            source = open_in_root(self.roots[0], path or ".", DIR, resolve=_IN_PLACE)
        except OSError as error:
            if error.errno == errno.EXDEV:  # a mount point
                return
            raise
        destination = -1
        try:
            destination = open_in_root(self.roots[1], path or ".", DIR, resolve=STRICT)
            if not path:
                _set_metadata(source, destination, ".", os.fstat(source), self.flatten)
            for name in os.listdir(source):
                self._entry(source, destination, name, f"{path}/{name}" if path else name)
        finally:
            os.close(source)
            if destination >= 0:
                os.close(destination)

    def _entry(self, source: int, destination: int, name: str, path: str) -> None:
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(info.st_mode)
        kept = self.flatten and self._make_way(source, destination, name, info)
        if self.flatten and is_whiteout(info):
            return
        first = self.links.get((info.st_dev, info.st_ino)) if kind != stat.S_IFDIR and info.st_nlink > 1 else None
        if first is not None:
            above, _, last = first.rpartition("/")
            directory = open_in_root(self.roots[1], above or ".", DIR, resolve=STRICT)
            try:
                os.link(last, name, src_dir_fd=directory, dst_dir_fd=destination, follow_symlinks=False)
            finally:
                os.close(directory)
            return
        if kind == stat.S_IFDIR:
            self.directories.append((path, info))
            if not kept:
                os.mkdir(name, 0o700, dir_fd=destination)
        elif kind == stat.S_IFREG:
            _copy_file(source, destination, name)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=destination)
        else:
            os.mknod(name, kind | 0o600, info.st_rdev, dir_fd=destination)
        _set_metadata(source, destination, name, info, self.flatten)
        if kind != stat.S_IFDIR and info.st_nlink > 1:
            self.links[info.st_dev, info.st_ino] = path

    def _make_way(self, source: int, destination: int, name: str, info: os.stat_result) -> bool:
        """Remove what the layer's entry replaces in the destination. Returns True if a directory stays, as both are
        merged."""
        try:
            there = os.stat(name, dir_fd=destination, follow_symlinks=False)
        except FileNotFoundError:
            return False
        merges = stat.S_ISDIR(info.st_mode) and stat.S_ISDIR(there.st_mode)
        if merges and not is_opaque(f"/proc/self/fd/{source}/{name}"):
            return True
        remove_tree(f"/proc/self/fd/{destination}/{name}")
        return False


def move_into(source: str, destination: str) -> None:
    """Move the content of the directory `source` into the empty directory `destination`, with its owner and mode, and
    remove `source`. A container may have the destination open: no name in it is followed."""
    source_fd, destination_fd = os.open(source, DIR), os.open(destination, DIR)
    try:
        for name in os.listdir(source_fd):
            os.rename(name, name, src_dir_fd=source_fd, dst_dir_fd=destination_fd)
        info = os.fstat(source_fd)
        os.fchown(destination_fd, info.st_uid, info.st_gid)
        os.fchmod(destination_fd, stat.S_IMODE(info.st_mode))
    finally:
        os.close(source_fd)
        os.close(destination_fd)
    os.rmdir(source)


def _copy_file(source: int, destination: int, name: str) -> None:
    reader = open_regular(source, name)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=destination)
        try:
            copy_data(reader, writer, os.fstat(reader).st_size)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def copy_data(reader: int, writer: int, size: int) -> None:
    """Copy `size` bytes of a file into an empty one, inside the kernel; holes stay holes."""
    at = 0
    while at < size:
        try:
            at = os.lseek(reader, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                break
            raise
        end = min(os.lseek(reader, at, os.SEEK_HOLE), size)
        while at < end:
            copied = _copy_range(reader, writer, at, end - at)
            if copied == 0:  # the file was cut short meanwhile, or its size is not real, as in /sys
                os.ftruncate(writer, at)
                return
            at += copied
    os.ftruncate(writer, size)


def _copy_range(reader: int, writer: int, at: int, count: int) -> int:
    try:
        return os.copy_file_range(reader, writer, count, at, at)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    os.lseek(writer, at, os.SEEK_SET)
    return os.sendfile(writer, reader, at, count)


def send(reader: int, writer: int, size: int) -> None:
    """Copy the first `size` bytes of a file to an open file or pipe, at its position. Raises OSError, EIO if the file
    is shorter."""
    at = 0
    while at < size:
        try:
            count = os.sendfile(writer, reader, at, min(size - at, _PIECE))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # a writer opened for appending, some devices
                raise
            data = os.pread(reader, min(size - at, _BUFFER), at)
            count = os.write(writer, data) if data else 0
        if not count:
            raise OSError(errno.EIO, "it has become shorter")
        at += count


def _set_metadata(source: int, destination: int, name: str, info: os.stat_result, flatten: bool) -> None:
    """Set the copy's owner, mode, extended attributes and times, in an order in which no call undoes an earlier one."""
    old, new = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{destination}/{name}"
    os.chown(new, info.st_uid, info.st_gid, follow_symlinks=False)  # removes setuid bits and capabilities
    if not stat.S_ISLNK(info.st_mode):
        _chmod(destination, name, stat.S_IMODE(info.st_mode))
    for attribute in _attributes(old):
        if not (flatten and attribute in (OPAQUE, SIZE)):
            os.setxattr(new, attribute, os.getxattr(old, attribute, follow_symlinks=False), follow_symlinks=False)
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _chmod(directory: int, name: str, mode: int) -> None:
    """Set the mode of an entry, never that of what a link leads to: fchmodat(2) would follow it. Raises OSError for a
    link."""
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.chmod(f"/proc/self/fd/{entry}", mode)
    finally:
        os.close(entry)


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []
