"""Layers that are never unpacked: the plain tar as it is, and an index that shows its files.

    layers/<chain id>.erofs/data         the layer's plain tar: another name of its blob, where that is not compressed
                            index        an erofs file system (filesystem.py), whose files' content lies in data
                            about.json   size and time of index and data, which show a change of them
                            root/        empty: here a container mounts the index, in its own mount namespace

An index shows its own layer alone or, so that a start does not depend on the number of layers, the layers below, too:
each fourth shows four layers, each sixteenth sixteen, and so on. A hundred layers take four mounts.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING

from mydocker import jsontext
from mydocker.errors import CorruptRecord
from mydocker.image import sizes
from mydocker.image.erofs import filesystem, nodes, tree
from mydocker.image.erofs.nodes import BLOCK, Node
from mydocker.image.erofs.places import UNWRITTEN, spans, stamp
from mydocker.image.tar_reader import Reader
from mydocker.kernel import files
from mydocker.kernel.copying import copy_data

if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.limits import Meter

_LARGEST_DATA = BLOCK << 32  # bytes that a chunk's number can reach
_COPY = 1 << 20
_AHEAD = 8 << 10  # bytes: of most of the tar only the headers are read


# --- a layer that comes -----------------------------------------------------------------------------------------------


def index(tar: str, place: str, is_layer: bool = True, meter: Meter | None = None) -> list[Any]:
    """Fill the directory of a layer, named by its chain id. tar: the path of the plain tar, which gets another name.
    is_layer: False for a root file system, without whiteouts. meter: as tree.read() takes it.

    Returns the directories that the archive lacks, for complete(), as [place in the index, path]. Raises
    InvalidArgument, which names the entry, for an archive that is not to be trusted."""
    with io.BufferedReader(io.FileIO(tar), _AHEAD) as stream:
        root = tree.read(Reader(stream), is_layer, meter)
    os.mkdir(f"{place}/root", 0o755)
    total = 0
    scattered = []
    for node in nodes.files(root):
        total += node.size or len(os.fsencode(node.target))
        if node.extents:
            try:
                filesystem.find_chunk(node)
            except ValueError:
                scattered.append(node)
    data = f"{place}/data"
    if scattered:
        _gather(scattered, tar, data)
    else:
        os.link(tar, data)
    with open(f"{place}/index", "xb") as out:
        filesystem.write(root, [os.stat(data).st_size], _uuid(place), out)
    descriptor = os.open(place, files.DIR)
    try:
        sizes.record(descriptor, total)
    finally:
        os.close(descriptor)
    return [[node.place, node.implied] for node in nodes.files(root) if node.implied]


def _gather(scattered: list[Node], tar: str, data: str) -> None:
    """Make a layer's data of its tar and, behind that, files with holes whose pieces do not lie in it as blocks."""
    source = os.open(tar, files.REGULAR)
    target = os.open(data, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        copy_data(source, target, os.fstat(source).st_size)
        end = -(-os.fstat(target).st_size // BLOCK) * BLOCK
        for node in scattered:
            end = _lay_out(node, target, end)
        os.ftruncate(target, end)
    finally:
        os.close(source)
        os.close(target)


def _lay_out(node: Node, data: int, end: int) -> int:
    """Copy a file with its holes to the end of the data, in chunks; those without data are left out. Returns the new
    end."""
    chunk = 8 * BLOCK
    while -(-node.size // chunk) > filesystem.most_chunks(node):
        chunk *= 2
    places: dict[int, int] = {}
    for offset, length, _, place in node.extents:
        while length:
            number = offset // chunk
            if number not in places:
                places[number] = end
                end += chunk
                if end > _LARGEST_DATA:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            piece = os.pread(data, min(length, (number + 1) * chunk - offset, _COPY), place)
            os.pwrite(data, piece, places[number] + offset % chunk)
            offset, length, place = offset + len(piece), length - len(piece), place + len(piece)
    node.extents = [
        (number * chunk, min(chunk, node.size - number * chunk), 0, place) for number, place in sorted(places.items())
    ]
    return end


def complete(bare: list[Any], where: list[str]) -> None:
    """Finish a layer, when those below are finished. bare: as write() returned it. where: the layers' directories,
    bottom first, its own last.

    Directories that the archive lacks get the owner, mode and time that they have below; then the index is merged with
    those below that it takes in."""
    place = where[-1]
    below = spans(len(where) - 1)
    index = f"{place}/index"
    if bare and below:
        images = [open_index(where[last]) for _, last in reversed(below)]
        with open(index, "r+b") as file:
            for at, path in bare:
                there = next(filter(None, (image.find(path) for image in images)), None)
                if there:
                    filesystem.set_metadata(file, at, there)
    first, _ = spans(len(where))[-1]
    devices = where[first:][::-1]
    if len(devices) > 1:
        root = open_index(place).tree()
        for _, last in reversed([span for span in below if span[0] >= first]):
            lower = open_index(where[last])
            before = len(where) - 1 - last
            lower_root = lower.tree()
            for node in nodes.files(lower_root):
                node.extents = [(offset, length, data + before, at) for offset, length, data, at in node.extents]
            root = nodes.put_on(lower_root, root)
        if not first:
            nodes.finish(root)
        os.unlink(index)
        with open(index, "xb") as out:
            lengths = [os.stat(f"{each}/data").st_size for each in devices]
            filesystem.write(root, lengths, _uuid(place), out)
    root_info = open_index(place).find(".")
    assert root_info
    for path in (index, f"{place}/data"):
        os.utime(path, ns=(UNWRITTEN, UNWRITTEN))
    about = {
        "root": [stat.S_IMODE(root_info.mode), root_info.uid, root_info.gid],
        "files": [stamp(index), *(stamp(f"{each}/data") for each in devices)],
    }
    files.write_atomic(f"{place}/about.json", jsontext.dumps(about).encode())


def _uuid(place: str) -> bytes:
    """Return an identifier for the file system of a layer: overlay takes files with equal ones for each other's."""
    return hashlib.sha256(os.fsencode(place)).digest()[:16]


def open_index(place: str) -> filesystem.Image:
    """Read the index of a layer. place: its directory. Raises CorruptRecord."""
    path = f"{place}/index"
    try:
        return filesystem.Image(files.read_regular(path))
    except (OSError, ValueError, ArithmeticError) as error:
        raise CorruptRecord(f"corrupt image store: {path}: {error}", "remove it, and import the image again") from None
