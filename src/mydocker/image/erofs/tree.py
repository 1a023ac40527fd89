"""Read a layer's archive, that may come from anybody, into the tree of files that unpacking.py would make of it.

Nothing is written. Each rule has its twin there: which entries are refused, that a link of the archive on the way is
followed as it would be in the container, that of two files of one name the last wins and a directory stays.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mydocker.image import layer, tar
from mydocker.image.erofs.nodes import BLOCK, Node, is_whiteout, whiteout
from mydocker.image.limits import Budget
from mydocker.image.unpacking import (
    LARGEST_DEVICE,
    NO_OWNER,
    REASONS,
    STANDARD_DEVICES,
    refused,
    safe_path,
)

if TYPE_CHECKING:
    from mydocker.image.limits import Meter
    from mydocker.image.tar_reader import Reader

_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, as in the kernel
_MOST_LINKS = 40  # on the way to a file, as in the kernel
_LARGEST_FILE = 1 << 44  # bytes, as on ext4
_LARGEST_VALUE, _LARGEST_VALUES = 65535, 200_000  # bytes of a file's extended attributes: an inode can hold no more
_CAPABILITIES = (20, 2), (24, 3)  # a value's length in bytes, and its revision: <linux/capability.h>
_MODES = {
    tar.FILE: stat.S_IFREG,
    tar.SYMLINK: stat.S_IFLNK,
    tar.FIFO: stat.S_IFIFO,
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
}


def read(reader: Reader, is_layer: bool = True, meter: Meter | None = None) -> Node:
    """Return the root of an archive's files. is_layer: False for a root file system, without whiteouts. meter: counts
    the entries, if not only this archive's count.

    Raises InvalidArgument, which names the entry, for an archive that is not to be trusted."""
    tree = _Tree(is_layer, meter or Budget().meter())
    for entry in reader:
        try:
            tree.add(entry, reader.position)
        except OSError as error:
            why = REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
            raise refused(entry.name, why) from None
    tree.meter.finish()
    return tree.root


class _Tree:
    def __init__(self, is_layer: bool, meter: Meter) -> None:
        self.root = _implied(".")
        self.meter = meter
        self._is_layer = is_layer
        self._parent, self._parent_node = "", self.root

    def add(self, entry: tar.Entry, position: int) -> None:
        """Add an entry. position: where its content begins in the archive, in bytes."""
        path = safe_path(entry.name)
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, "")
        self.meter.take(path, entry, position)
        above, _, name = path.rpartition("/")
        if not (0 <= entry.uid < NO_OWNER and 0 <= entry.gid < NO_OWNER):
            raise refused(entry.name, f"an invalid owner, {entry.uid}:{entry.gid}")
        if not -1 << 63 <= entry.time // 1_000_000_000 < 1 << 63:
            raise refused(entry.name, "a number is out of range")
        hidden = [part for part in path.split("/") if part.startswith(layer.WHITEOUT)]
        if hidden:
            if not self._is_layer or hidden != [name]:
                raise refused(entry.name, "names that start with .wh. are whiteouts, which only a layer may have")
            self._whiteout(self._directory(above), above, name)
        elif entry.type == tar.DIR:
            self._make_directory(self._directory(above), name, entry)
        elif path == ".":
            raise refused(entry.name, "the root is a directory")
        elif entry.type == tar.LINK:
            self._make_link(above, name, path, entry)
        elif entry.type not in _MODES:
            raise refused(entry.name, f"an entry of the unknown type {entry.type!r}")
        elif entry.type != tar.CHARACTER or STANDARD_DEVICES.get(path) != (entry.major, entry.minor):
            self._make(self._directory(above), name, _node(entry, position))

    def _make(self, directory: Node, name: str, node: Node) -> None:
        """Put a file of any type into a directory. Of two of one name, the last wins; a directory is never replaced."""
        children = _children(directory)
        there = children.pop(_checked(name), None)
        if there is not None:
            if there.children is not None:
                children[name] = there
                raise OSError(errno.EISDIR, "")
            there.links -= 1
            self._parent = _UNKNOWN  # the old file may have been a link in the parent's path
        children[name] = node

    def _make_directory(self, directory: Node, name: str, entry: tar.Entry) -> None:
        children = _children(directory)
        there = self.root if name == "." else children.get(_checked(name))
        if there is None or is_whiteout(there):
            node = children[name] = Node(stat.S_IFDIR)
            node.opaque = there is not None  # the layer removes the directory below and has one of its own
        elif there.children is None:
            raise refused(entry.name, "a directory over an earlier entry that is not a directory")
        else:
            node = there
        node.implied = ""
        node.mode = stat.S_IFDIR | entry.mode
        node.uid, node.gid, node.time = entry.uid, entry.gid, entry.time
        node.xattrs.update(_attributes(entry))

    def _make_link(self, above: str, name: str, path: str, entry: tar.Entry) -> None:
        """Make a hard link to an earlier entry. If that is a symbolic link, it is not followed."""
        target = safe_path(entry.target, entry.name)
        if target == path:
            raise refused(entry.name, "a hard link to itself")
        target_above, _, target_name = target.rpartition("/")
        try:
            source = self._resolve(target_above)
            node = source if target_name == "." else _children(source).get(target_name)
            if node is None:
                raise FileNotFoundError
            if node.children is not None:
                raise refused(entry.name, f"a hard link to a directory: {entry.target}")
            self._make(self._directory(above), name, node)
            if _children(source).get(target_name) is not node:
                raise FileNotFoundError
            node.links += 1
        except FileNotFoundError:
            raise refused(entry.name, f"a hard link to a file that is not in the archive: {entry.target}") from None

    def _whiteout(self, directory: Node, above: str, name: str) -> None:
        if name == layer.OPAQUE_MARK:
            directory.opaque = True
            return
        hidden = name[len(layer.WHITEOUT) :]
        if hidden in ("", ".", "..") or hidden.startswith(layer.WHITEOUT):
            raise refused(f"{above}/{name}", "a whiteout without a name")
        there = _children(directory).setdefault(_checked(hidden), whiteout())
        # The layer may have its own file of that name, which hides the one below; a directory would be merged with it.
        there.opaque = there.children is not None

    def _directory(self, path: str) -> Node:
        """Return a directory of the tree, and make it if it is missing."""
        if path != self._parent:
            try:
                node = self._resolve(path)
            except FileNotFoundError:
                self._make_missing(path)
                node = self._resolve(path)
            self._parent, self._parent_node = path, node
        return self._parent_node

    def _make_missing(self, path: str) -> None:
        """Make the missing directories of a path. Raises FileNotFoundError if one of them is a dangling link."""
        parts = path.split("/")
        for depth, name in enumerate(parts):
            children = _children(self._resolve("/".join(parts[:depth])))
            if _checked(name) not in children:
                children[name] = _implied("/".join(parts[: depth + 1]))

    def _resolve(self, path: str) -> Node:
        """Return the directory at a path, with links followed as in a container whose root the tree is."""
        stack, parts, links = [self.root], path.split("/"), 0
        parts.reverse()
        while parts:
            part = parts.pop()
            if part == "..":
                stack = stack[:-1] or stack
            if part in ("", ".", ".."):
                continue
            node = _children(stack[-1]).get(_checked(part))
            if node is None:
                raise FileNotFoundError(errno.ENOENT, "")
            if stat.S_ISLNK(node.mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, "")
                if node.target.startswith("/"):
                    stack = [self.root]
                parts += reversed(node.target.split("/"))
            elif node.children is None:
                raise NotADirectoryError(errno.ENOTDIR, "")
            else:
                stack.append(node)
        return stack[-1]


_UNKNOWN = "/"  # never the path of a directory in the archive: those are relative


def _implied(path: str) -> Node:
    node = Node(stat.S_IFDIR | 0o755)
    node.implied = path
    return node


def _children(directory: Node) -> dict[str, Node]:
    if directory.children is None:
        raise NotADirectoryError(errno.ENOTDIR, "")
    return directory.children


def _checked(name: str) -> str:
    if len(name) > 63 and len(os.fsencode(name)) > _LONGEST_NAME:  # a character has four bytes at most
        raise OSError(errno.ENAMETOOLONG, "")
    return name


def _node(entry: tar.Entry, position: int) -> Node:
    """Make the node of an entry that is neither a directory nor a hard link."""
    kind = _MODES[entry.type]
    node = Node(kind | entry.mode, entry.uid, entry.gid, entry.time)
    if kind == stat.S_IFREG:
        _set_content(node, entry, position)
        node.xattrs = _attributes(entry)
    elif kind == stat.S_IFLNK:
        if not entry.target or "\0" in entry.target:
            raise refused(entry.name, "a link without a target")
        if len(os.fsencode(entry.target)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, "")
        node.mode, node.target = kind | 0o777, entry.target
    elif kind != stat.S_IFIFO:
        if not (0 <= entry.major <= LARGEST_DEVICE[0] and 0 <= entry.minor <= LARGEST_DEVICE[1]):
            raise refused(entry.name, f"an invalid device number, {entry.major}:{entry.minor}")
        node.device = os.makedev(entry.major, entry.minor)
    return node


def _set_content(node: Node, entry: tar.Entry, position: int) -> None:
    assert position % BLOCK == 0, "a tar's content begins with a block"
    node.size = entry.size
    if node.size > _LARGEST_FILE:
        raise OSError(errno.EFBIG, "")
    if entry.data is not None:
        for offset, length in entry.data:
            node.extents.append((offset, length, 0, position))
            position += length
    elif node.size:
        node.extents = [(0, node.size, 0, position)]


def _attributes(entry: tar.Entry) -> dict[str, bytes]:
    carried = {name: value for name, value in entry.xattrs.items() if tar.is_carried(name)}
    room = _LARGEST_VALUES
    for name, value in carried.items():
        suffix = len(os.fsencode(name.partition(".")[2]))
        room -= suffix + len(value) + 8
        if not 0 < suffix <= _LONGEST_NAME or len(value) > _LARGEST_VALUE or room < 0:
            raise refused(entry.name, f"no room for the extended attribute {name[:50]} of {len(value)} bytes")
    capability = carried.get(tar.CAPABILITY)
    if capability is not None and (len(capability), *capability[3:4]) not in _CAPABILITIES:
        raise OSError(errno.EINVAL, "")  # as the kernel says
    return carried
