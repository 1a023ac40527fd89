"""Write and read an erofs file system of metadata alone: the content of its files lies in other files, its devices.

The format is the kernel's, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. Of it we use: blocks of 512
bytes, as in a tar; extended inodes; chunks with indexes for files; a table of devices; extended attributes and the ends
of directories and links behind the inode. Device 1 is the layer's own data, device 2 that of the layer below…

    0      empty              1024   the super block        1152   the table of devices
    then   inodes, each with its extended attributes and, if it fits into the block, the end of its content
    then   the full blocks of directories and long links
"""

from __future__ import annotations

import os
import stat
from struct import Struct
from typing import TYPE_CHECKING

from mydocker.image.erofs.nodes import BLOCK, Node, is_whiteout
from mydocker.kernel.files import OPAQUE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

SUPER = 1024
_DEVICES = 1152
MAGIC = 0xE0F5E1E2
_MTIME = 0x2  # feature_compat: an inode's time is its mtime
_CHUNKED, _DEVICE_TABLE = 0x4, 0x8  # feature_incompat
_BLOCK_BITS = 9
# magic, checksum, feature_compat, block bits, slots, root, inodes, seconds, nanoseconds, blocks, metadata's block,
# shared attributes' block, uuid, name, feature_incompat, algorithms, devices, their slot
_SUPER = Struct("<IIIBBHQQIIII16s16sIHHH38x")
_DEVICE = Struct("<64sII56x")  # tag, blocks, address
# format, attributes, mode, -, size, what depends on the type, number, uid, gid, seconds, nanoseconds, links
_INODE = Struct("<HHHHQIIIIqII16x")
_ATTRIBUTES = Struct("<IB7x")  # filter, number of shared ones
_ATTRIBUTE = Struct("<BBH")  # length of the name, prefix, length of the value
_ENTRY = Struct("<QHBx")  # inode, offset of the name, type
_CHUNK = Struct("<HHI")  # -, device, block
_PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
_EXTENDED, _PLAIN, _INLINE, _CHUNKS = 1, 0 << 1, 2 << 1, 4 << 1
_INDEXES = 0x20  # a file's chunks have _CHUNK, not only a block
_LARGEST_CHUNK = 31  # bits above a block's
_HOLE = 0xFFFFFFFF
_SLOT = 32  # bytes: an inode's number is its place in these
_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFLNK: 7,
}
_FEWEST_CHUNKS, _BYTES_A_CHUNK = 512, 1024  # a map of holes has the former, or one for each … bytes of data


# --- writing ----------------------------------------------------------------------------------------------------------


def write(root: Node, sizes: list[int], uuid: bytes, out: BinaryIO) -> None:
    """Write the file system of a tree. sizes: of the devices, in bytes, the layer's own first. uuid: 16 bytes.

    The places of all nodes are set anew. Raises ValueError for a file as find_chunk() does."""
    places = _Places(root, _DEVICES + _DEVICE.size * len(sizes))
    out.write(bytes(SUPER))
    out.write(
        _SUPER.pack(
            MAGIC,
            0,
            _MTIME,
            _BLOCK_BITS,
            0,
            root.place // _SLOT,
            len(places.rows),
            0,
            0,
            -(-places.end // BLOCK),
            0,
            0,
            uuid,
            b"",
            _CHUNKED | _DEVICE_TABLE,
            0,
            len(sizes),
            _DEVICES // _DEVICE.size,
        )
    )
    for size in sizes:
        out.write(_DEVICE.pack(b"", -(-size // BLOCK), 0))
    at = _DEVICES + _DEVICE.size * len(sizes)
    block = places.blocks
    for node, parent in places.rows:
        inode, used = _inode(node, parent, block)
        block += used
        out.write(inode.rjust(len(inode) + node.place - at, b"\0"))
        at = node.place + len(inode)
    out.write(bytes(places.blocks * BLOCK - at))
    for node, parent in places.rows:
        content = _content(node, parent)
        if content:
            blocks = content[: len(content) // BLOCK * BLOCK] if _is_inline(node, len(content)) else content
            out.write(blocks.ljust(-(-len(blocks) // BLOCK) * BLOCK, b"\0"))


class _Places:
    """Gives each inode its place. rows: (node, its directory), in the order of their places. blocks: the number of the
    first block behind the inodes. end: bytes of the whole."""

    def __init__(self, root: Node, start: int) -> None:
        self.rows: list[tuple[Node, Node]] = []
        self._at, full = start, 0
        todo = [(root, root)]
        while todo:
            node, parent = todo.pop()
            if node.place >= 0:
                continue  # another name of a file
            full += self._put(node)
            self.rows.append((node, parent))
            if node.children:
                todo += [(child, node) for child in node.children.values()]
        self.blocks = -(-self._at // BLOCK)
        self.end = (self.blocks + full) * BLOCK

    def _put(self, node: Node) -> int:
        """Set the node's place. Returns the number of its blocks elsewhere."""
        head = _INODE.size + _attributes_length(node)
        length = _content_length(node)
        at = -(-self._at // _SLOT) * _SLOT
        tail = 0
        if stat.S_ISREG(node.mode):
            head += -head % _CHUNK.size + _CHUNK.size * _count_chunks(node)
        elif _is_inline(node, length):
            tail = length % BLOCK
            if (at + head) % BLOCK + tail > BLOCK:
                at = -(-at // BLOCK) * BLOCK
        node.place = at
        self._at = at + head + tail
        return length // BLOCK if tail else -(-length // BLOCK)


def _is_inline(node: Node, length: int) -> bool:
    """True if the end of the content, of `length` bytes, is behind the inode: it must lie in one block with that."""
    return 0 < length % BLOCK <= BLOCK - _INODE.size - _attributes_length(node)


def _inode(node: Node, parent: Node, block: int) -> tuple[bytes, int]:
    """Return (the bytes of an inode with all that is behind it, the number of its blocks elsewhere). block: the first
    of those."""
    kind = stat.S_IFMT(node.mode)
    attributes = _pack_attributes(node)
    layout, size, place, tail, used = _PLAIN, 0, 0, b"", 0
    links = node.links
    if kind == stat.S_IFREG:
        size = node.size
        if size:
            layout, place = _CHUNKS, _INDEXES | find_chunk(node)
            tail = bytes(-len(attributes) % _CHUNK.size) + _pack_chunks(node)
    elif kind in (stat.S_IFDIR, stat.S_IFLNK):
        content = _content(node, parent)
        size, place = len(content), block
        if _is_inline(node, size):
            layout, used = _INLINE, size // BLOCK
            tail = content[used * BLOCK :]
        else:
            used = -(-size // BLOCK)
        if node.children is not None:
            links = 2 + sum(child.children is not None for child in node.children.values())
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        major, minor = os.major(node.device), os.minor(node.device)
        place = minor & 0xFF | major << 8 | (minor & ~0xFF) << 12
    seconds, nanoseconds = divmod(node.time, 1_000_000_000)
    count = (len(attributes) - _ATTRIBUTES.size) // 4 + 1 if attributes else 0
    number = node.place // _SLOT
    inode = _INODE.pack(
        _EXTENDED | layout,
        count,
        node.mode,
        0,
        size,
        place,
        number & 0xFFFFFFFF,
        node.uid,
        node.gid,
        seconds,
        nanoseconds,
        links,
    )
    return inode + attributes + tail, used


def _content_length(node: Node) -> int:
    if node.children is not None:
        length = 0
        for names in _split(node, node):
            length += BLOCK
            last = names
        return length - BLOCK + sum(_ENTRY.size + len(name) for name, _ in last)
    return len(os.fsencode(node.target)) if node.target else 0


def _content(node: Node, parent: Node) -> bytes:
    """Return the content of a directory or symbolic link."""
    if node.children is None:
        return os.fsencode(node.target)
    blocks: list[bytes] = []
    for names in _split(node, parent):
        at = _ENTRY.size * len(names)
        table = bytearray(at)
        for row, (name, child) in enumerate(names):
            _ENTRY.pack_into(table, row * _ENTRY.size, child.place // _SLOT, at, _TYPES[stat.S_IFMT(child.mode)])
            at += len(name)
        if blocks:
            blocks[-1] = blocks[-1].ljust(BLOCK, b"\0")
        blocks.append(bytes(table) + b"".join([name for name, _ in names]))
    return b"".join(blocks)


def _split(node: Node, parent: Node) -> Iterator[list[tuple[bytes, Node]]]:
    """Yield a directory's entries block by block, in the order of their names."""
    rows = [(os.fsencode(name), child) for name, child in (node.children or {}).items()]
    rows += [(b".", node), (b"..", parent)]
    rows.sort(key=_first)
    first, length = 0, 0
    for at, (name, _) in enumerate(rows):
        length += _ENTRY.size + len(name)
        if length > BLOCK:
            yield rows[first:at]
            first, length = at, _ENTRY.size + len(name)
    yield rows[first:]


def _first(row: tuple[bytes, Node]) -> bytes:
    return row[0]


def _attributes_length(node: Node) -> int:
    if not node.xattrs and not node.opaque:
        return 0
    return len(_pack_attributes(node))


def _pack_attributes(node: Node) -> bytes:
    """Return a node's extended attributes as they follow its inode, b"" if it has none."""
    rows = dict(node.xattrs)
    if node.opaque:
        rows[OPAQUE] = b"y"
    if not rows:
        return b""
    packed = [_ATTRIBUTES.pack(0, 0)]
    for name, value in sorted(rows.items()):
        prefix, dot, suffix = name.partition(".")
        key = os.fsencode(suffix)
        row = _ATTRIBUTE.pack(len(key), _PREFIXES[prefix + dot], len(value)) + key + value
        packed.append(row + bytes(-len(row) % 4))
    return b"".join(packed)


# --- the content of files ---------------------------------------------------------------------------------------------


def find_chunk(node: Node) -> int:
    """Return the length of a file's chunks, as the number of bits above a block's: a chunk lies in one piece in the
    data, or is a hole. Raises ValueError if there is no such length, or only one with too many chunks.
    """
    bounds = 0
    for offset, length, _, place in node.extents:
        if place % BLOCK:
            raise ValueError("a piece of a file does not begin with a block")
        bounds |= offset | (offset + length if offset + length < node.size else 0)
    if bounds:
        bits = (bounds & -bounds).bit_length() - 1 - _BLOCK_BITS
        if bits < 0:
            raise ValueError("a piece of a file does not end with a block")
    else:
        bits = max(0, (node.size - 1).bit_length() - _BLOCK_BITS)
    bits = min(bits, _LARGEST_CHUNK)
    if bounds and -(-node.size // (BLOCK << bits)) > most_chunks(node):
        raise ValueError("a file has too many chunks")
    return bits


def most_chunks(node: Node) -> int:
    """Return how many chunks the map of a file with holes may have, so that no index is large beside its data."""
    return max(_FEWEST_CHUNKS, sum(length for _, length, _, _ in node.extents) // _BYTES_A_CHUNK)


def _count_chunks(node: Node) -> int:
    return -(-node.size // (BLOCK << find_chunk(node))) if node.size else 0


def _pack_chunks(node: Node) -> bytes:
    chunk = BLOCK << find_chunk(node)
    table = bytearray(_CHUNK.pack(0, 0, _HOLE) * -(-node.size // chunk))
    for offset, length, data, place in node.extents:
        for step in range(0, length, chunk):
            _CHUNK.pack_into(table, (offset + step) // chunk * _CHUNK.size, 0, data + 1, (place + step) // BLOCK)
    return bytes(table)


def set_metadata(file: BinaryIO, place: int, like: Node) -> None:
    """Give the inode at a place in a file system the permissions, owner and time of another directory."""
    file.seek(place)
    fields = list(_INODE.unpack(file.read(_INODE.size)))
    fields[2] = stat.S_IFDIR | stat.S_IMODE(like.mode)
    fields[7:11] = like.uid, like.gid, *divmod(like.time, 1_000_000_000)
    file.seek(place)
    file.write(_INODE.pack(*fields))


# --- reading ----------------------------------------------------------------------------------------------------------


class Image:
    """A file system that write() has made, in memory. It is trusted: its digest has been checked."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        header = _SUPER.unpack_from(data, SUPER)
        if header[0] != MAGIC:
            raise ValueError("it is not an erofs file system")
        self._root: int = header[5] * _SLOT
        self.devices: int = header[16]

    def tree(self) -> Node:
        """Return the root of all files."""
        nodes: dict[int, Node] = {}
        root = self._node(self._root)
        todo = [(root, self._root)]
        while todo:
            directory, place = todo.pop()
            assert directory.children is not None
            for name, at in self._entries(place):
                node = nodes.get(at)
                if node is None:
                    node = self._node(at)
                    if node.children is not None:
                        todo.append((node, at))
                    else:
                        nodes[at] = node
                directory.children[os.fsdecode(name)] = node
        return root

    def find(self, path: str) -> Node | None:
        """Return the directory at a path, "." for the root, without its content; links are not followed. None if there
        is none."""
        at = self._place(path)
        return self._node(at) if at and self._is_directory(at) else None

    def has(self, path: str) -> bool:
        """True if there is a file of any type at a path; links on the way are not followed."""
        return bool(self._place(path))

    def look(self, path: str) -> tuple[int, int, int] | None:
        """Return (mode, uid, gid) of a file of any type; None if there is none."""
        at = self._place(path)
        if not at:
            return None
        node = self._node(at)
        return node.mode, node.uid, node.gid

    def is_removal(self, path: str) -> bool:
        return is_whiteout(self._node(self._place(path)))

    def is_opaque(self, path: str) -> bool:
        return self._node(self._place(path)).opaque

    def names(self, path: str) -> list[str]:
        """List the directory at a path."""
        return [os.fsdecode(name) for name, _ in self._entries(self._place(path))]

    def _place(self, path: str) -> int:
        at: int = self._root
        for part in path.split("/"):
            if part not in ("", "."):
                at = dict(self._entries(at)).get(os.fsencode(part), 0) if self._is_directory(at) else 0
            if not at:
                break
        return at

    def _is_directory(self, at: int) -> bool:
        return stat.S_ISDIR(_INODE.unpack_from(self._data, at)[2])

    def _entries(self, at: int) -> list[tuple[bytes, int]]:
        """List a directory's entries as (name, place), without "." and ".."."""
        content = self._content(at)
        rows = []
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK]
            count = _ENTRY.unpack_from(block)[1] // _ENTRY.size
            entries = [_ENTRY.unpack_from(block, row * _ENTRY.size) for row in range(count)]
            stops = [offset for _, offset, _ in entries[1:]] + [len(block)]
            for (number, offset, _), end in zip(entries, stops):
                rows.append((block[offset:end].rstrip(b"\0"), number * _SLOT))
        return [row for row in rows if row[0] not in (b".", b"..")]

    def _content(self, at: int) -> bytes:
        layout, count, _, _, size, place, *_ = _INODE.unpack_from(self._data, at)
        if layout & ~_EXTENDED != _INLINE:
            return self._data[place * BLOCK : place * BLOCK + size]
        full = size // BLOCK * BLOCK
        tail = at + _INODE.size + _attributes_size(count)
        return self._data[place * BLOCK : place * BLOCK + full] + self._data[tail : tail + size - full]

    def _node(self, at: int) -> Node:
        _, count, mode, _, size, place, _, uid, gid, seconds, nanoseconds, links = _INODE.unpack_from(self._data, at)
        node = Node(mode, uid, gid, seconds * 1_000_000_000 + nanoseconds)
        node.links = links
        if count:
            node.xattrs = self._attributes(at + _INODE.size, at + _INODE.size + _attributes_size(count))
            node.opaque = node.xattrs.pop(OPAQUE, b"") == b"y"
        if stat.S_ISREG(mode):
            node.size = size
            if size:
                start = at + _INODE.size + _attributes_size(count)
                node.extents = self._extents(start + -start % _CHUNK.size, size, BLOCK << (place & ~_INDEXES))
        elif stat.S_ISLNK(mode):
            node.target = os.fsdecode(self._content(at))
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            node.device = os.makedev(place >> 8 & 0xFFF, place & 0xFF | place >> 12 & 0xFFF00)
        return node

    def _extents(self, at: int, size: int, chunk: int) -> list[tuple[int, int, int, int]]:
        extents: list[tuple[int, int, int, int]] = []
        for offset in range(0, size, chunk):
            _, device, block = _CHUNK.unpack_from(self._data, at + offset // chunk * _CHUNK.size)
            if block == _HOLE:
                continue
            length, place = min(chunk, size - offset), block * BLOCK
            if extents:
                before, so_far, data, start = extents[-1]
                if before + so_far == offset and data + 1 == device and start + so_far == place:
                    extents[-1] = before, so_far + length, data, start
                    continue
            extents.append((offset, length, device - 1, place))
        return extents

    def _attributes(self, at: int, end: int) -> dict[str, bytes]:
        prefixes = {number: prefix for prefix, number in _PREFIXES.items()}
        rows: dict[str, bytes] = {}
        at += _ATTRIBUTES.size
        while at < end:
            name, prefix, value = _ATTRIBUTE.unpack_from(self._data, at)
            start = at + _ATTRIBUTE.size
            key = prefixes[prefix] + os.fsdecode(self._data[start : start + name])
            rows[key] = self._data[start + name : start + name + value]
            length = _ATTRIBUTE.size + name + value
            at += length + -length % 4
        return rows


def _attributes_size(count: int) -> int:
    return _ATTRIBUTES.size + 4 * (count - 1) if count else 0
