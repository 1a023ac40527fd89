"""cp: copy files between a container and the host, by docker's rules of paths.

Both sides are trees that are opened by descriptors of their roots, the container's and "/". A path is resolved part by
part, in its own tree; then openat2(2) opens the result without following any link. So a link that the container changes
meanwhile is an error at worst, and no byte is read or written outside of it.
"""

from __future__ import annotations

import io
import os
import stat

from mydocker import state
from mydocker.engine import container_root
from mydocker.engine.build.failures import failed, refused
from mydocker.engine.build.placing import Target
from mydocker.engine.build.tree import Opened, open_file, resolve
from mydocker.errors import FAILED, InvalidArgument, NotFound
from mydocker.image import layer, packing, unpacking
from mydocker.image.streams import CHUNK, decompressed
from mydocker.kernel import files
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mydocker.engine.container_root import Root

STREAM = "-"
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_ROOT = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS  # such a link is /proc/1/root


@record
class Place:
    """A path as the user typed it. container: "" for the host."""

    container: str
    path: str

    @property
    def text(self) -> str:
        return f"{self.container}:{self.path}" if self.container else self.path

    @property
    def names_directory(self) -> bool:
        """True if only a directory can be meant: `a/`, `a/.`, `..`"""
        return self.path.rpartition("/")[2] in ("", ".", "..")

    @property
    def is_content(self) -> bool:
        """True if the content of a directory is meant, as by `a/.`, and not the directory itself."""
        return self.path.rpartition("/")[2] == "." or not self.clean.strip("/")

    @property
    def clean(self) -> str:
        """The absolute path. As in docker, `..` removes the part before it, even if that is a link."""
        start = "/" if self.container else os.getcwd()
        return "/" + os.path.normpath(os.path.join(start, self.path)).lstrip("/")


def parse(source: str, destination: str) -> tuple[Place, Place]:
    """Parse the two arguments. Raises InvalidArgument unless one of them is in a container."""
    places = _parse(source), _parse(destination)
    if all(place.container for place in places):
        hint = f"'mydocker cp {source} - | mydocker cp - {destination}', where that is a directory"
        raise InvalidArgument("copying between containers is not supported", hint, FAILED)
    if not any(place.container for place in places):
        hint = "one of the two paths is CONTAINER:PATH; a file with a colon in its name is ./NAME"
        raise InvalidArgument("neither path is in a container", hint, FAILED)
    return places


def _parse(text: str) -> Place:
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        container, path = "", text
    elif not container:
        raise refused(f"no container in '{text}'", "CONTAINER:PATH")
    if not path:
        raise refused(f"the path is empty: '{text}'")
    return Place(container, path)


def copy(source: Place, destination: Place, follow: bool) -> tuple[int, list[str]]:
    """Copy a file or a tree. A path - of the host's side is a tar on stdin or stdout. follow: if the source is a
    symbolic link, copy what it leads to.

    Returns (bytes of file content, a sentence for each file that was left out).
    """
    container = state.find(source.container or destination.container)

    def work(root: Root) -> list[str]:
        if destination.path == STREAM and source.container:
            return ["0", *_send(_Tree(root.descriptor, root.barred), source, follow)]
        if source.path == STREAM and destination.container:
            _receive(_Tree(root.descriptor, root.barred), destination)
            return ["0"]
        with Opened(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as host:
            trees = _Tree(root.descriptor, root.barred), _Tree(host)
            copier = _Copier(*trees) if source.container else _Copier(*reversed(trees))
            copier.run(source, destination, follow)
            return [str(copier.size), *copier.notes]

    size, *notes = container_root.within(container, work, "cp")
    return int(size), notes


class _Tree:
    def __init__(self, root: int, barred: Collection[int] = ()) -> None:
        self.root, self.barred = root, barred

    def open(self, path: str, flags: int) -> int:
        """Open a resolved path. Raises InvalidArgument for a place in a file system of the kernel's."""
        descriptor = files.open_in_root(self.root, path or ".", flags, resolve=files.STRICT)
        if self.barred and os.fstat(descriptor).st_dev in self.barred:
            os.close(descriptor)
            raise refused(f"/{path} is the kernel's, and not a file of the container", "'mydocker exec' can read it")
        return descriptor

    def stat(self, path: str) -> os.stat_result | None:
        try:
            with Opened(self.open(path, _HANDLE)) as handle:
                return os.fstat(handle)
        except FileNotFoundError:
            return None

    def walk(self, directory: int, too_deep: list[str], copy: os.stat_result | None = None) -> Iterator[layer.Entry]:
        """Walk through a directory. copy: the directory that is written meanwhile, which may be in this one, by a bind
        mount; its content is left out."""

        def is_barred(info: os.stat_result) -> bool:
            return info.st_dev in self.barred or (copy is not None and os.path.samestat(info, copy))

        return layer.walk(directory, too_deep, files.STRICT, is_barred)


def _find(tree: _Tree, place: Place, follow: bool) -> tuple[str, os.stat_result]:
    """Resolve a source. Returns (its path in the tree, its lstat)."""
    try:
        above, _, name = place.clean.strip("/").rpartition("/")
        path = f"{resolve(tree.root, above)}/{name}".strip("/")
        info = tree.stat(path)
        if info and stat.S_ISLNK(info.st_mode) and (follow or place.names_directory):
            path = resolve(tree.root, path)
            info = tree.stat(path)
    except FileNotFoundError:
        info = None
    except OSError as error:
        raise failed(f"open {place.text}", error) from None
    if info is None:
        raise NotFound(f"no such file or directory: {place.text}")
    if place.names_directory and not stat.S_ISDIR(info.st_mode):
        raise refused(f"not a directory: {place.text}")
    return path, info


def _destination(tree: _Tree, place: Place) -> tuple[str, os.stat_result | None]:
    """Resolve a destination, which need not exist, but the directory that holds it must. Returns as _find()."""
    try:
        path = resolve(tree.root, place.clean, missing=True)
        info = tree.stat(path)
        above = info or tree.stat(os.path.dirname(path))
    except OSError as error:
        raise failed(f"copy to {place.text}", error) from None
    if above is None:
        missing = Place(place.container, f"/{os.path.dirname(path)}")
        raise NotFound(f"no such directory: {missing.text}", "make it first")
    return path, info


def target_of(source: Place, is_directory: bool, destination: Place, there: bool | None) -> tuple[bool, bool]:
    """Apply docker's rules. there: what the destination is, True for a directory, None for nothing.

    Returns (True if the source goes into the destination, False if it becomes the destination; True if only its content
    goes there). Raises InvalidArgument.
    """
    if there:
        content = is_directory and source.is_content
        return not content, content
    if there is None and destination.names_directory and not is_directory:
        raise refused(f"no such directory: {destination.text}", "make it first, or leave out the final slash")
    if there is False and is_directory:
        raise refused(f"cannot copy a directory to a file: {destination.text}")
    if there is False and destination.names_directory:
        raise refused(f"not a directory: {destination.text}")
    return False, False


class _Copier:
    """size: bytes of the files' content. notes: on what was left out."""

    def __init__(self, origin: _Tree, end: _Tree) -> None:
        self.origin, self.end = origin, end
        self.size = 0
        self.notes: list[str] = []
        self.links: dict[tuple[int, int], str] = {}  # (device, inode) of a file with several names -> the first copy

    def run(self, source: Place, destination: Place, follow: bool) -> None:
        path, info = _find(self.origin, source, follow)
        place, there = _destination(self.end, destination)
        is_directory = stat.S_ISDIR(info.st_mode)
        into, content = target_of(source, is_directory, destination, there and stat.S_ISDIR(there.st_mode))
        if into:
            place = f"{place}/{os.path.basename(source.clean)}".strip("/")
        self.leaves = bool(source.container)
        self.target = Target(self.end.root, None, None)
        self.target.for_layer, self.target.barred = False, self.end.barred
        try:
            if is_directory:
                self._directory(path, info, place, overwrite=not content)
            else:
                with Opened(self.origin.open(os.path.dirname(path), files.DIR)) as parent:
                    self._entry(layer.Entry(parent, os.path.basename(path), path, info), place)
            self.target.finish()
        except OSError as error:
            raise failed(f"copy {source.text} to {destination.text}", error) from None
        finally:
            self.target.close()

    def _directory(self, path: str, info: os.stat_result, place: str, overwrite: bool) -> None:
        """Copy a directory and all in it. overwrite: an existing one gets its owner, mode and time."""
        too_deep: list[str] = []
        with Opened(self.origin.open(path, files.DIR)) as directory:
            if place:
                self.target.put_directory(place, directory, info, overwrite)
            for entry in self.origin.walk(directory, too_deep, self.end.stat(place)):
                self._entry(entry, f"{place}/{entry.path}".lstrip("/"))
        self.notes += [f"/{path}/{below[:50]}…: left out, its path is too long" for below in too_deep]

    def _entry(self, entry: layer.Entry, place: str) -> None:
        info = entry.info
        try:
            if stat.S_ISDIR(info.st_mode):
                self.target.put_directory(place, entry.here, info, True)
            elif stat.S_ISSOCK(info.st_mode):
                self.notes.append(f"{entry.path}: left out: a socket")
            elif self.leaves and (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
                self.notes.append(f"{entry.path}: left out: a device, which would not be limited to the container")
            elif not stat.S_ISREG(info.st_mode):
                self.target.put_special(place, entry)
            elif info.st_nlink > 1 and self.links.setdefault((info.st_dev, info.st_ino), place) != place:
                self.target.put_link(place, self.links[info.st_dev, info.st_ino])
            else:
                with Opened(open_file(entry)) as content:
                    info = os.fstat(content)
                    self.target.put_file(place, content, info)
                self.size += info.st_size
        except FileNotFoundError:
            if os.path.lexists(entry.here):
                raise
            # a file that the container has just removed
        except OSError as error:
            raise failed(f"copy {entry.path}", error) from None


# --- tars -------------------------------------------------------------------------------------------------------------


def _send(tree: _Tree, source: Place, follow: bool) -> list[str]:
    """Write a file or tree as a tar to stdout. Returns what was left out."""
    path, info = _find(tree, source, follow)
    name = "." if source.is_content else os.path.basename(source.clean)
    too_deep: list[str] = []

    def entries() -> Iterator[layer.Entry]:
        if not stat.S_ISDIR(info.st_mode):
            with Opened(tree.open(os.path.dirname(path), files.DIR)) as parent:
                yield layer.Entry(parent, os.path.basename(path), name, info)
            return
        with Opened(tree.open(path, files.DIR)) as directory:
            yield layer.Entry(directory, ".", name, info)
            for entry in tree.walk(directory, too_deep):
                yield layer.Entry(entry.parent, entry.name, f"{name}/{entry.path}", entry.info)

    try:
        with open(1, "wb", CHUNK, closefd=False) as out:
            notes = packing.pack_entries(entries(), out)
    except OSError as error:
        raise failed(f"write {source.text} to stdout", error) from None
    return notes + [f"{below[:50]}…: left out, its path is too long" for below in too_deep]


def _receive(tree: _Tree, destination: Place) -> None:
    """Unpack a tar from stdin, plain or compressed, into a directory."""
    path, there = _destination(tree, destination)
    if there is None or not stat.S_ISDIR(there.st_mode):
        raise refused(f"not a directory: {destination.text}", "an archive is unpacked into a directory")
    directory = tree.open(path, files.DIR)
    with io.BufferedReader(io.FileIO(0, closefd=False), CHUNK) as packed, decompressed(packed) as plain:
        unpacking.unpack_into(plain, directory, None, None, _IN_ROOT, tree.barred)
