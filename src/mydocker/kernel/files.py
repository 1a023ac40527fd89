"""Files that a hostile container may have written: opened below a directory, copied and removed, without ever following
a link out of it; and the atomic write behind every record.
"""

from __future__ import annotations

import errno
import os
import stat
from _struct import pack

from mydocker.errors import Conflict, HostError
from mydocker.kernel.libc import syscall

# <linux/openat2.h>
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS  # never out, never through a link: an error instead

REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
HIDDEN = ".new."  # what the name of a directory begins with that is being made or removed
# What comes of reading a file that is damaged, or what is none. Other errors are the host's matter.
DAMAGE = (errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.ELOOP, errno.EIO, errno.EISDIR, errno.ENOTDIR)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OPAQUE = "trusted.overlay.opaque"  # the extended attribute of a directory that hides those of the layers below


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """openat2(2): a descriptor of `path`, resolved with `root_fd` as the root (or as `resolve` says).

    Raises OSError: ELOOP for a link that RESOLVE_NO_SYMLINKS refuses, EXDEV for a way out or over a mount.
    """
    if "\0" in path:
        raise ValueError(f"a path with a NUL byte: {path!r}")
    how = pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(64):
        try:
            return syscall("openat2", root_fd, path, how, len(how), about=path)
        except BlockingIOError:  # something was renamed under a `..` meanwhile: the kernel wants to be asked again
            continue
    raise OSError(errno.EAGAIN, "directories keep moving", path)


def open_regular(dir_fd: int, name: str) -> int:
    """A regular file for reading, and nothing else: a FIFO would block, a device would act on being opened."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", name)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def read_regular(path: str) -> bytes:
    """The content of a regular file of our own store. Anything else in its place is an error at once: a FIFO would
    never answer, a device might act. Raises OSError, which names the path."""
    descriptor = os.open(path, REGULAR)
    try:
        return os.pread(descriptor, size_of(descriptor, path), 0)
    finally:
        os.close(descriptor)


def size_of(descriptor: int, path: str) -> int:
    """The size of an open file, in bytes. Raises OSError if it is no regular file."""
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return info.st_size


def is_whiteout(info: os.stat_result) -> bool:
    """Overlay's mark for "deleted here": a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


# --- removal ----------------------------------------------------------------------------------------------------------


def remove_tree(path: str, last: str = "") -> None:
    """Remove whatever is at `path`; nothing there is fine. Its own links are removed, never followed. last: the name of
    a file in it that goes when all else is gone.

    Any depth, without recursion: every directory's directories are moved up into the top one, until it is flat.
    Raises Conflict where a file system is still mounted in it: a mount is never entered.
    """
    try:
        top = os.open(path, DIR)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(path)
        return
    try:
        _flatten(top, last)
        if last:
            _unlink(top, last)
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass  # somebody else has finished it
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EBUSY):
            raise Conflict(f"cannot remove {path}: something is still mounted in it", "see 'findmnt'") from None
        raise
    finally:
        os.close(top)


def _flatten(top: int, last: str = "") -> None:
    number = 0
    while directories := _clear(top, last):
        for name in directories:
            directory = open_in_root(top, name, DIR, resolve=STRICT | RESOLVE_NO_XDEV)
            try:
                for child in _clear(directory):
                    try:
                        number = _move_up(directory, child, top, number)
                    except OSError as error:
                        if error.errno not in NO_SPACE:
                            raise
                        _remove_in_place(directory, child)  # a full disk: `top` can't grow by another name
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)


def _remove_in_place(directory: int, name: str) -> None:
    """Remove a directory without a move out of it. This recurses, but only as deep as no name fits anywhere."""
    child = open_in_root(directory, name, DIR, resolve=STRICT | RESOLVE_NO_XDEV)
    try:
        _flatten(child)
    finally:
        os.close(child)
    os.rmdir(name, dir_fd=directory)


def _unlink(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


def _clear(directory: int, last: str = "") -> list[str]:
    """Remove everything in it but directories and `last`; the directories' names."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif entry.name != last:
                os.unlink(entry.name, dir_fd=directory)
    return directories


def _move_up(directory: int, name: str, top: int, number: int) -> int:
    """Move a directory into `top` under a new name, the next free number. Returns the one to try next."""
    while True:
        try:
            os.rename(name, str(number), src_dir_fd=directory, dst_dir_fd=top)
            return number + 1
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            number += 1


def discard(path: str) -> None:
    """Remove a directory that others find by its name: it is there whole or not at all. Nothing there is fine.

    It is hidden by a rename first. If this is interrupted, cleanup_hidden() finishes it.
    """
    hidden = hidden_beside(path)
    try:
        held = hold(path)
    except (FileNotFoundError, BlockingIOError):
        return  # gone, or somebody else is removing it
    except NotADirectoryError:
        os.unlink(path)
        return
    try:
        try:
            os.rename(path, hidden)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            hidden = path  # a full disk has no room for one more name
        remove_tree(hidden)
    finally:
        os.close(held)


def hidden_beside(path: str) -> str:
    """A name in the same directory for what is being made or removed."""
    return f"{os.path.dirname(path)}/{HIDDEN}{os.urandom(6).hex()}"


def hold(path: str) -> int:
    """A descriptor of the directory with a flock: whoever sweeps leaves it alone. Raises BlockingIOError if it is
    held."""
    import fcntl

    descriptor = os.open(path, DIR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def cleanup_hidden(directory: str) -> None:
    """Remove the hidden entries of a directory that no process holds: leftovers of a crash."""
    for entry in os.listdir(directory):
        if entry.startswith(HIDDEN):
            try:
                held = hold(f"{directory}/{entry}")
            except (FileNotFoundError, BlockingIOError):
                continue
            try:
                remove_tree(f"{directory}/{entry}")
            finally:
                os.close(held)


# --- copying ----------------------------------------------------------------------------------------------------------


def copy_tree(source: str, destination: str, flatten: bool = False) -> None:
    """Copy what is in the directory `source` into the directory `destination`, which is made if missing. The source may
    be hostile; the destination must be out of everybody's reach while this runs: what was made there is named again.

    Everything comes along: owners, modes, times, hard links, extended attributes, holes, devices, FIFOs, sockets.
    What is mounted below `source` stays out. flatten: `source` is an overlay layer to be laid on top of what is in
    `destination`, so its whiteouts remove and its opaque directories replace. Otherwise a name must not be taken.
    Raises OSError naming the path; ENAMETOOLONG for a tree of more than 4096 bytes' depth.
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
        # A directory's times are set when nothing is made in it any more.
        for path, info in self.directories:
            directory = open_in_root(self.roots[1], path or ".", DIR, resolve=STRICT)
            try:
                os.utime(directory, ns=(info.st_atime_ns, info.st_mtime_ns))
            finally:
                os.close(directory)

    def _directory(self, path: str) -> None:
        try:
            source = open_in_root(self.roots[0], path or ".", DIR, resolve=STRICT | RESOLVE_NO_XDEV)
        except OSError as error:
            if error.errno == errno.EXDEV:  # a mount point
                return
            raise
        destination = -1
        try:
            destination = open_in_root(self.roots[1], path or ".", DIR, resolve=STRICT)
            if not path:
                _dress(source, destination, ".", os.fstat(source), self.flatten)
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
        _dress(source, destination, name, info, self.flatten)
        if kind != stat.S_IFDIR and info.st_nlink > 1:
            self.links[info.st_dev, info.st_ino] = path

    def _make_way(self, source: int, destination: int, name: str, info: os.stat_result) -> bool:
        """Clear the name in the destination, as the layer asks. True if its directory stays and is merged into."""
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
    """Rename what is in the directory `source` into the empty directory `destination`, which gets its owner and mode,
    too; then `source` is gone. The destination may be in a container's hands: no name in it is followed."""
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


def is_opaque(path: str) -> bool:
    """Whether the directory, in an overlay's upper or layer, hides what the layers below have in it."""
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return False


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
            if copied == 0:  # it was cut short meanwhile, or its size is made up, as in /sys
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


def _dress(source: int, destination: int, name: str, info: os.stat_result, flatten: bool) -> None:
    """Give the copy its owner, mode, extended attributes and times, in the order in which the kernel keeps them."""
    old, new = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{destination}/{name}"
    os.chown(new, info.st_uid, info.st_gid, follow_symlinks=False)  # takes setuid bits and capabilities away
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(new, stat.S_IMODE(info.st_mode))
    for attribute in _attributes(old):
        if not (flatten and attribute == OPAQUE):
            os.setxattr(new, attribute, os.getxattr(old, attribute, follow_symlinks=False), follow_symlinks=False)
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


# --- records ----------------------------------------------------------------------------------------------------------


def write_atomic(path: str, data: bytes, mode: int = 0o600, durable: bool = False) -> None:
    """Replace the file `path`: a reader sees the old content or the new, never a part. durable: a power cut neither.

    Raises HostError where there is no space, OSError otherwise; the temporary file is gone in any case.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.urandom(6).hex()}")
    try:
        write_new(temporary, data, mode, durable, about=path)
        os.rename(temporary, path)
    except BaseException as error:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        if isinstance(error, OSError) and error.errno in NO_SPACE:  # for the name
            raise no_space(path, error) from None
        raise
    if durable:
        sync(directory or ".")


def write_new(path: str, data: bytes, mode: int = 0o600, durable: bool = False, about: str = "") -> None:
    """Write a file that is not there yet, where nobody looks. durable: its content is on the disk then, if not its
    name. about: what an error shall name, if not `path`.

    Raises HostError where there is no space, OSError otherwise; a part of it may be there then.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # whatever the umask is
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space(about or path, error) from None
        raise


def make_private(path: str) -> None:
    """The directory and those above it that are missing, for root alone; what is there stays as it is."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_private(os.path.dirname(path))
        make_private(path)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync(path: str) -> None:
    """Make a file's content, or a directory's names, new and renamed ones, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(path: str, other: str) -> None:
    """Have two files swap their names, at one moment."""
    syscall("renameat2", _AT_FDCWD, path, _AT_FDCWD, other, _RENAME_EXCHANGE, about=path)


def no_space(path: str, error: OSError) -> HostError:
    return HostError(f"cannot write {path}: {os.strerror(error.errno or 0).lower()}", "free some space and try again")
