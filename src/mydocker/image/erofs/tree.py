"""Read a layer's archive, that may come from anybody, into the tree of files that unpacking.py would make of it.

Nothing is written. Which entries are refused is in entries.py. Three rules have their twins there: a link of the
archive on the way is followed as it would be in the container; of two files of one name the last wins; a directory
stays.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mydocker.image import entries, tar
from mydocker.image.erofs.nodes import BLOCK, Node, is_whiteout, whiteout
from mydocker.image.limits import Budget

if TYPE_CHECKING:
    from mydocker.image.entries import Item
    from mydocker.image.limits import Meter
    from mydocker.image.tar_reader import Reader

_MOST_LINKS = 40  # on the way to a file, as in the kernel
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
    tree = _Tree(meter or Budget().meter())
    for item in entries.items(reader, is_layer, tree.meter):
        try:
            tree.add(item, reader.position)
        except OSError as error:
            raise entries.refusal(item.entry, error) from None
    return tree.root


class _Tree:
    def __init__(self, meter: Meter) -> None:
        self.root = _implied(".")
        self.meter = meter
        self._parent, self._parent_node = "", self.root

    def add(self, item: Item, position: int) -> None:
        """Add an entry. position: where its content begins in the archive, in bytes."""
        if item.kind == tar.LINK:
            self._make_link(item)
            return
        directory = self._directory(item.above)
        if item.kind == entries.WHITEOUT:
            _white_out(directory, item.target)
        elif item.kind == tar.DIR:
            self._make_directory(directory, item.name, item.entry)
        else:
            self._make(directory, item.name, _node(item.entry, position))

    def _make(self, directory: Node, name: str, node: Node) -> None:
        """Put a file of any type into a directory. Of two of one name, the last wins; a directory is never replaced."""
        children = _children(directory)
        there = children.pop(entries.check_name(name), None)
        if there is not None:
            if there.children is not None:
                children[name] = there
                raise OSError(errno.EISDIR, "")
            there.links -= 1
            self._parent = _UNKNOWN  # the old file may have been a link in the parent's path
        children[name] = node

    def _make_directory(self, directory: Node, name: str, entry: tar.Entry) -> None:
        children = _children(directory)
        there = self.root if name == "." else children.get(entries.check_name(name))
        if there is None or is_whiteout(there):
            node = children[name] = Node(stat.S_IFDIR)
            node.opaque = there is not None  # the layer removes the directory below and has one of its own
        elif there.children is None:
            raise entries.refused(entry.name, "a directory over an earlier entry that is not a directory")
        else:
            node = there
        node.implied = ""
        node.mode = stat.S_IFDIR | entry.mode
        node.uid, node.gid, node.time = entry.uid, entry.gid, entry.time
        node.xattrs.update(entry.xattrs)

    def _make_link(self, item: Item) -> None:
        """Make a hard link to an earlier entry. If that is a symbolic link, it is not followed."""
        target_above, _, target_name = item.target.rpartition("/")
        try:
            source = self._resolve(target_above)
            node = source if target_name == "." else _children(source).get(target_name)
            if node is None:
                raise FileNotFoundError
            if node.children is not None:
                raise entries.refused(item.entry.name, f"a hard link to a directory: {item.entry.target}")
            self._make(self._directory(item.above), item.name, node)
            if _children(source).get(target_name) is not node:
                raise FileNotFoundError
            node.links += 1
        except FileNotFoundError:
            what = f"a hard link to a file that is not in the archive: {item.entry.target}"
            raise entries.refused(item.entry.name, what) from None

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
            if entries.check_name(name) not in children:
                self.meter.count()
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
            node = _children(stack[-1]).get(entries.check_name(part))
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


def _white_out(directory: Node, hidden: str) -> None:
    """hidden: a name, or "" for all that is below."""
    if not hidden:
        directory.opaque = True
        return
    there = _children(directory).setdefault(entries.check_name(hidden), whiteout())
    # The layer may have its own file of that name, which hides the one below; a directory would be merged with it.
    there.opaque = there.children is not None


def _implied(path: str) -> Node:
    node = Node(stat.S_IFDIR | 0o755)
    node.implied = path
    return node


def _children(directory: Node) -> dict[str, Node]:
    if directory.children is None:
        raise NotADirectoryError(errno.ENOTDIR, "")
    return directory.children


def _node(entry: tar.Entry, position: int) -> Node:
    """Make the node of an entry that is neither a directory nor a hard link."""
    kind = _MODES[entry.type]
    node = Node(kind | entry.mode, entry.uid, entry.gid, entry.time)
    if kind == stat.S_IFREG:
        _set_content(node, entry, position)
        node.xattrs = entry.xattrs
    elif kind == stat.S_IFLNK:
        node.mode, node.target = kind | 0o777, entry.target
    elif kind != stat.S_IFIFO:
        node.device = os.makedev(entry.major, entry.minor)
    return node


def _set_content(node: Node, entry: tar.Entry, position: int) -> None:
    assert position % BLOCK == 0, "a tar's content begins with a block"
    node.size = entry.size
    if entry.data is not None:
        for offset, length in entry.data:
            node.extents.append((offset, length, 0, position))
            position += length
    elif node.size:
        node.extents = [(0, node.size, 0, position)]
