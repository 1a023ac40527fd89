"""Files that a hostile container may have written, opened and removed without following a link out of their directory;
and the atomic write behind every record."""

from __future__ import annotations

import errno
import os
import stat
from _struct import pack

from mydocker.errors import Conflict, HostError
from mydocker.kernel.libc import syscall
from mydocker.kernel.locks import DIRECTORY, Lock

# <linux/openat2.h>
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS  # an error for a path that leads out or through a link

REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
HIDDEN = ".new."  # prefix of a directory that is being made or removed
# Errors from reading a file that is damaged or is not a regular file. All others are the host's.
DAMAGE = (errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.ELOOP, errno.EIO, errno.EISDIR, errno.ENOTDIR)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OPAQUE = "trusted.overlay.opaque"  # the extended attribute of a directory that hides those of the layers below
SIZE = "trusted.mydocker.size"  # the one of an unpacked layer's root: bytes of its files, in decimal


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open `path` by openat2(2), resolved with `root_fd` as the root (or as `resolve` says).

    Raises OSError: ELOOP for a link that RESOLVE_NO_SYMLINKS refuses, EXDEV for a way out or over a mount.
    """
    if "\0" in path:
        raise ValueError(f"a path with a NUL byte: {path!r}")
    how = pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(64):
        try:
            return syscall("openat2", root_fd, path, how, len(how), about=path)
        except BlockingIOError:  # a directory above a `..` was renamed meanwhile: the kernel asks for another try
            continue
    raise OSError(errno.EAGAIN, "directories keep moving", path)


def open_regular(dir_fd: int, name: str) -> int:
    """Open a regular file for reading. Any other is refused: a FIFO would block, a device would act on being opened."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", name)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def read_regular(path: str) -> bytes:
    """Read a regular file of our own store. Any other is refused: a FIFO would never answer, a device might act. Raises
    OSError, which names the path."""
    descriptor = os.open(path, REGULAR)
    try:
        return os.pread(descriptor, size_of(descriptor, path), 0)
    finally:
        os.close(descriptor)


def size_of(descriptor: int, path: str) -> int:
    """Return the size of an open file, in bytes. Raises OSError if it is not a regular file."""
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return info.st_size


def is_whiteout(info: os.stat_result) -> bool:
    """True for overlay's mark of a removal, a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: str) -> bool:
    """True if a directory in a layer or upper directory hides the content that the layers below have in it."""
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return False


# --- removal ----------------------------------------------------------------------------------------------------------


def remove_tree(path: str, last: str = "") -> None:
    """Remove the file or tree at `path`, if there is one. Links are removed, never followed. last: the name of a file
    in it that is removed last.

    Any depth is possible without recursion: the directories in a directory are moved up into the top one, until that
    is flat. Raises Conflict where a file system is still mounted in the tree: a mount is never entered.
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
            pass  # another process has finished the removal
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
                        _remove_in_place(directory, child)  # the disk is full: no name can be added to `top`
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)


def _remove_in_place(directory: int, name: str) -> None:
    """Remove a directory without moving out its directories. This recurses only as long as no name can be added."""
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
    """Remove everything in a directory but directories and `last`. Returns the directories' names."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif entry.name != last:
                os.unlink(entry.name, dir_fd=directory)
    return directories


def _move_up(directory: int, name: str, top: int, number: int) -> int:
    """Move a directory into `top` under the next free number. Returns the number to try next."""
    while True:
        try:
            os.rename(name, str(number), src_dir_fd=directory, dst_dir_fd=top)
            return number + 1
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            number += 1


def discard(path: str) -> None:
    """Remove the directory at `path`, if there is one, so that nobody sees a part of it.

    A rename hides it first. If the removal is interrupted, cleanup_hidden() finishes it.
    """
    hidden = hidden_beside(path)
    try:
        lock = Lock(path, DIRECTORY, wait=0)
    except (FileNotFoundError, BlockingIOError):
        return  # gone, or another process is removing it
    except NotADirectoryError:
        os.unlink(path)
        return
    with lock:
        try:
            os.rename(path, hidden)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            hidden = path  # a full disk has no room for another name
        remove_tree(hidden)


def hidden_beside(path: str) -> str:
    """Return a name in the same directory for a directory that is being made or removed."""
    return f"{os.path.dirname(path)}/{HIDDEN}{os.urandom(6).hex()}"


def cleanup_hidden(directory: str) -> None:
    """Remove the hidden entries of a directory that no process holds: leftovers of a crash."""
    for entry in os.listdir(directory):
        if entry.startswith(HIDDEN):
            try:
                lock = Lock(f"{directory}/{entry}", DIRECTORY, wait=0)
            except (FileNotFoundError, BlockingIOError):
                continue
            with lock:
                remove_tree(f"{directory}/{entry}")


# --- records ----------------------------------------------------------------------------------------------------------


def write_atomic(path: str, data: bytes, mode: int = 0o600, durable: bool = False) -> None:
    """Replace the file `path`: a reader sees the old content or the new, never a part. durable: so does the next boot
    after a power cut.

    Raises HostError if the disk is full, else OSError; the temporary file is removed in any case.
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


def cleanup_unfinished(directory: str) -> None:
    """Remove the temporary files of write_atomic() that a crash has left, where no other process writes now."""
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.startswith(".") and not entry.startswith(HIDDEN):
            os.unlink(f"{directory}/{entry}")


def write_new(path: str, data: bytes, mode: int = 0o600, durable: bool = False, about: str = "") -> None:
    """Write a new file where no reader looks. durable: sync its content, but not its name. about: the path that an
    error names, if not `path`.

    Raises HostError if the disk is full, else OSError; a part of the file may be left.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # the umask has no effect here
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
    """Make a directory, and those above it that are missing, for root alone. Existing ones stay as they are."""
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
    """fsync a file's content, or a directory's names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: str) -> None:
    """Write all that is cached of the file system that `path` is on: for many files, faster than fsync on each."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall("syncfs", descriptor, about=path)
    finally:
        os.close(descriptor)


def exchange(path: str, other: str) -> None:
    """Exchange the names of two files atomically."""
    syscall("renameat2", _AT_FDCWD, path, _AT_FDCWD, other, _RENAME_EXCHANGE, about=path)


def no_space(path: str, error: OSError) -> HostError:
    return HostError(f"cannot write {path}: {os.strerror(error.errno or 0).lower()}", "free some space and try again")
