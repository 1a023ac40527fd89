"""A layer's files in memory, while its index is made: attributes, and where in the data the content is."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512  # bytes; a tar's unit is the file system's, so that each file's content begins with a block


class Node:
    """A file of any type. Two names of one file (hard links) are one node.

    mode: with the type's bits. time: nanoseconds. xattrs: those that images carry. target: of a symbolic link.
    device: of a device node, as os.makedev() packs it. size: of a regular file. extents: where its data lies, as
    (offset in the file, length, data, offset there); holes are between them. data: 0 for the layer's own, 1 for that of
    the layer below it in a merged index, and so on. children: of a directory, else None. opaque: the directory hides
    what the layers below have in it. implied: the path of a directory that is not in the archive, so that it
    looks as it does below; else "".
    """

    __slots__ = (
        "children",
        "device",
        "extents",
        "gid",
        "implied",
        "links",
        "mode",
        "opaque",
        "place",
        "size",
        "target",
        "time",
        "uid",
        "xattrs",
    )

    def __init__(self, mode: int, uid: int = 0, gid: int = 0, time: int = 0) -> None:
        self.mode, self.uid, self.gid, self.time = mode, uid, gid, time
        self.xattrs: dict[str, bytes] = {}
        self.target = ""
        self.device = 0
        self.size = 0
        self.extents: list[tuple[int, int, int, int]] = []
        self.children: dict[str, Node] | None = {} if stat.S_ISDIR(mode) else None
        self.opaque = False
        self.implied = ""
        self.links = 1
        self.place = -1  # where the writer has put it


def whiteout() -> Node:
    return Node(stat.S_IFCHR)


def is_whiteout(node: Node) -> bool:
    """True for overlay's mark of a removal, a character device 0:0."""
    return stat.S_ISCHR(node.mode) and not node.device


def walk(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield (path, node) for everything below the root, each directory before its content; "" is the root."""
    todo = [("", root)]
    while todo:
        path, node = todo.pop()
        yield path, node
        if node.children:
            above = f"{path}/" if path else ""
            todo += [(above + name, child) for name, child in node.children.items()]


def files(root: Node) -> Iterator[Node]:
    """Yield each node once, however many names it has."""
    seen = set()
    for _, node in walk(root):
        if id(node) not in seen:
            seen.add(id(node))
            yield node


def put_on(lower: Node, upper: Node) -> Node:
    """Merge two layers as overlay would show them, whiteouts included: others may lie below. Both trees are used up."""
    todo = [(lower, upper)]
    while todo:
        below, above = todo.pop()
        assert below.children is not None
        assert above.children is not None
        for name, node in above.children.items():
            there = below.children.get(name)
            if there is None or node.children is None or node.opaque:
                continue
            if there.children is None:
                node.opaque = True  # overlay does not look below a file
            else:
                node.opaque = there.opaque
                todo.append((there, node))
        above.children = {**below.children, **above.children}
    return upper


def finish(root: Node) -> None:
    """Remove the whiteouts and marks of a tree under which there is no layer."""
    for _, node in walk(root):
        node.opaque = False
        if node.children:
            node.children = {name: child for name, child in node.children.items() if not is_whiteout(child)}
