"""mount(2) and its family. A path inside a container's root is opened with openat2 first and then named as
/proc/self/fd/N, so that no link in a hostile image can move a mount elsewhere."""

from __future__ import annotations

import errno
import os

from mydocker.kernel.files import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    open_in_root,
)
from mydocker.kernel.libc import syscall

# <linux/mount.h>: the flags of mount(2), by the names that mount(8) gives them.
FLAGS = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "remount": 32,
    "noatime": 1024,
    "nodiratime": 2048,
    "bind": 4096,
    "rec": 16384,
    "silent": 32768,
    "unbindable": 1 << 17,
    "private": 1 << 18,
    "slave": 1 << 19,
    "shared": 1 << 20,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
}
_CLONE_NEWNS = 0x00020000
_MNT_DETACH = 2
_MAX_LINKS = 40  # the kernel's own limit
_AT_RECURSIVE = 0x8000
_AT_EMPTY_PATH = 0x1000
_MOUNT_ATTR_RDONLY = 1
_AT_SYMLINK_NOFOLLOW = 0x100
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40  # from and to are descriptors

made: list[str] = []  # the mount points that this process has made, in order, as paths inside their roots


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    syscall("mount", source, target, fstype or None, flags, data or None, about=target)


def unmount(target: str, detach: bool = True) -> None:
    syscall("umount2", target, _MNT_DETACH if detach else 0, about=target)


def pivot_root(root: str) -> None:
    """Make `root`, a mount point, the root of this mount namespace, and detach the old one.

    pivot_root(".", ".") stacks the old root on the new one (pivot_root(2)), so that no directory for it is needed.

    Raises OSError (EPERM) where the caller itself is in a chroot. There the call exchanges only that root: the
    namespace keeps the host's, which a process would see that enters with setns(2).
    """
    old = os.open("/", os.O_PATH | os.O_CLOEXEC)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.chdir(root)
        syscall("pivot_root", ".", ".", about=root)
        os.fchdir(old)
        # The upper mount of the stack is the old root: unmount it from inside, then step into the new one below.
        unmount(".")
        before = os.stat("/")
        syscall("setns", namespace, _CLONE_NEWNS, about="setns")  # to the namespace's own root, as an exec would
        if not os.path.samestat(before, os.stat("/")):
            raise OSError(errno.EPERM, "mydocker itself runs in a chroot, which can't be left", root)
    finally:
        os.close(old)
        os.close(namespace)
    os.chdir("/")


def open_point(root: str, path: str, make: str = "", follow: bool = True) -> int:
    """Return an O_PATH descriptor of `path` inside `root`. make: "directory" or "file" to make it if it is missing.

    Raises OSError: ELOOP if follow is False and the path has a link, ENOENT if it is missing and make is "".
    """
    resolve = RESOLVE_IN_ROOT if follow else RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            return open_in_root(root_fd, path, os.O_PATH, 0, resolve)
        except FileNotFoundError:
            if not make:
                raise
        return _make_point(root_fd, path, make, resolve)
    finally:
        os.close(root_fd)


def open_beneath(directory: str, path: str) -> int:
    """Return an O_PATH descriptor of `path` in a directory; links in there are followed, but none that is absolute or
    leads out. Raises OSError."""
    top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_in_root(top, path, os.O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, "a link leads out of the volume", path) from None
        raise
    finally:
        os.close(top)


def place(root: str, point: int) -> str:
    """Return the path of the open `point` inside `root`, "/" for the root itself, by the real paths of both."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        above = os.readlink(f"/proc/self/fd/{root_fd}")
    finally:
        os.close(root_fd)
    return os.readlink(f"/proc/self/fd/{point}")[len(above) :] or "/"


def _make_point(root_fd: int, path: str, make: str, resolve: int) -> int:
    """Walk the path and make what is missing. A dangling link is followed, and its target made."""
    parts, walked, links = path.split("/"), "", 0
    here = os.dup(root_fd)
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        try:
            there = open_in_root(root_fd, f"{walked}/{part}", os.O_PATH, 0, resolve)
        except FileNotFoundError:
            target = _link_target(here, part)
            if target:
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                parts = target.split("/") + parts
                if target.startswith("/"):
                    os.close(here)
                    here, walked = os.dup(root_fd), ""
                continue
            if make == "file" and not any(parts):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(part, flags, 0o644, dir_fd=here))
            else:
                os.mkdir(part, 0o755, dir_fd=here)
            made.append(f"{walked}/{part}")
            there = open_in_root(root_fd, f"{walked}/{part}", os.O_PATH, 0, resolve)
        os.close(here)
        here, walked = there, f"{walked}/{part}"
    return here


def _link_target(directory: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def make_readonly(target: str) -> None:
    """Make the mount at `target` and every mount below it read-only."""
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attributes = _MOUNT_ATTR_RDONLY.to_bytes(8, "little") + bytes(24)
    try:
        syscall("mount_setattr", -100, target, _AT_RECURSIVE, attributes, len(attributes), about=target)
    except OSError as error:
        if error.errno != errno.ENOSYS:  # before Linux 5.12
            raise
        for point, options in _mounts_below(os.path.realpath(target)):
            flags = FLAGS["remount"] | FLAGS["bind"] | FLAGS["ro"]
            for option in options:
                flags |= FLAGS.get(option, 0)
            mount("none", point, flags=flags)


def bind_readonly(source: str, point: int, recursive: bool, below: bool = True) -> None:
    """Bind `source` on an open mount point, read-only. recursive: with the mounts below it; below: which are read-only,
    too.

    The mount is made read-only before it is attached. A second step by a path could be redirected by another container
    that has the directory around the mount point.
    """
    everything = _AT_RECURSIVE if recursive else 0
    attributes = _MOUNT_ATTR_RDONLY.to_bytes(8, "little") + bytes(24)
    tree = syscall("open_tree", -100, source, _OPEN_TREE_CLONE | os.O_CLOEXEC | everything, about=source)
    try:
        try:
            which = _AT_EMPTY_PATH | (everything if below else 0)
            syscall("mount_setattr", tree, "", which, attributes, len(attributes), about=source)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            raise OSError(errno.ENOSYS, "read-only bind mounts need Linux 5.12", source) from None
        attach(tree, point, source)
    finally:
        os.close(tree)


def copy_mount(path: str) -> int:
    """Return a descriptor of a copy of the mount at `path`, which is attached nowhere."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_SYMLINK_NOFOLLOW
    return syscall("open_tree", -100, path, flags, about=path)


def copy_writable(point: int, about: str) -> int:
    """Return a descriptor of a copy of the mount that `point` is open on, writable, which is attached nowhere."""
    tree = syscall("open_tree", point, "", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH, about=about)
    attributes = bytes(8) + _MOUNT_ATTR_RDONLY.to_bytes(8, "little") + bytes(16)
    try:
        syscall("mount_setattr", tree, "", _AT_EMPTY_PATH, attributes, len(attributes), about=about)
    except BaseException:
        os.close(tree)
        raise
    return tree


def attach(tree: int, point: int, about: str) -> None:
    """Attach a mount that is attached nowhere to an open mount point."""
    syscall("move_mount", tree, "", point, "", _MOVE_MOUNT_EMPTY_PATHS, about=about)


def _mounts_below(directory: str) -> list[tuple[str, list[str]]]:
    """List (mount point, its per-mount options) for `directory` and for all mounts below it, from mountinfo."""
    rows = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            point = unescape(fields[4])
            if point == directory or point.startswith(directory + "/"):
                rows.append((point, fields[5].split(",")))
    return rows


def unescape(path: str) -> str:
    """Decode a path of /proc/self/mountinfo, which has blanks, tabs, newlines and backslashes as \\040 and so on."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
