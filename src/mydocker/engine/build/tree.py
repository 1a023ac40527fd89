"""Read the tree that files are copied from: the build context, or the root of another stage or image.

Paths are resolved here, part by part: a link leads to where it would with the tree as the root, and what .dockerignore
leaves out can't be reached through a link either. The result is opened by openat2 without following any link, so a file
that is replaced by one meanwhile is an error, never a way out of the tree.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker import paths
from mydocker.build.globs import Glob, has_wildcards
from mydocker.image.layer import Entry
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Callable

    from mydocker.build.ignore import Ignore

_MAX_LINKS = 40  # the kernel's own limit
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
TAKE, ENTER, SKIP = range(3)  # a directory that is entered is taken only with something in it


def resolve(root: int, path: str, missing: bool = False) -> str:
    """Follow the links of a path as a process with that root would. Returns the path without links, "" for the root.
    missing: parts that do not exist stay as they are, as in the path of a file that will be made.

    Raises FileNotFoundError, NotADirectoryError, or OSError with ELOOP.
    """
    todo = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        try:
            handle = files.open_in_root(root, "/".join(done), _HANDLE, resolve=files.STRICT)
        except FileNotFoundError:
            if not missing:
                raise
            continue
        try:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink("", dir_fd=handle)
                done = [] if target.startswith("/") else done[:-1]
                todo += target.split("/")[::-1]
        finally:
            os.close(handle)
    return "/".join(done)


def stamp(info: os.stat_result) -> tuple[int, ...]:
    """Return the part of a stat that no writer of the file leaves as it was; of a directory, only its mode: its content
    has stamps of its own."""
    if stat.S_ISDIR(info.st_mode):
        return info.st_dev, info.st_ino, info.st_mode
    return info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns


class Opened:
    """`with Opened(descriptor) as descriptor:` closes it at the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def open_directory(path: str) -> Opened:
    """Open a directory of the host, such as a root or the build context."""
    return Opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _inode(path: str) -> tuple[int, int] | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def open_file(entry: Entry) -> int:
    """Open a regular file. Raises OSError for a link or another file that has taken its place."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(entry.name, flags, dir_fd=entry.parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ESTALE, "is not a regular file any longer", entry.path)
    return descriptor


class Tree:
    """An open tree. name: for messages, such as "the build context". ignore: the rules of what it does not have. The
    store of mydocker is never entered: a copy of it would grow while it is copied."""

    def __init__(self, root: int, name: str, ignore: Ignore | None = None) -> None:
        self.root = root
        self._store = _inode(paths.ROOT)
        self.name = name
        self.ignore = ignore

    def open(self, path: str, flags: int) -> int:
        """Open a resolved path."""
        return files.open_in_root(self.root, path or ".", flags, resolve=files.STRICT)

    def stat(self, path: str) -> os.stat_result:
        with Opened(self.open(path, _HANDLE)) as handle:
            return os.fstat(handle)

    def parent_of(self, path: str) -> Opened:
        """Open the directory that holds a resolved path."""
        return Opened(self.open(path.rpartition("/")[0], files.DIR))

    def locate(self, path: str) -> str:
        """Resolve a path. Raises FileNotFoundError if it does not exist, or if it is ignored with all below it."""
        try:
            resolved = resolve(self.root, path)
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        if resolved and self.ignore and self._verdict(resolved, stat.S_ISDIR(self.stat(resolved).st_mode)) == SKIP:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return resolved

    def match(self, pattern: str) -> list[str]:
        """List the paths that match a pattern, in the order of their names; a pattern without wildcards is returned as
        it is. Links to directories on the way are followed only before the first wildcard, as with docker. Raises
        ValueError for a malformed pattern."""
        parts = [part for part in os.path.normpath(f"/{pattern}").split("/") if part]
        first = next((at for at, part in enumerate(parts) if has_wildcards(part)), len(parts))
        if first == len(parts):
            return ["/".join(parts)]
        patterns = [Glob(part, double_stars=False) for part in parts[first:]]
        try:
            paths = [self.locate("/".join(parts[:first]))]
        except FileNotFoundError:
            return []
        for depth, each in enumerate(patterns):
            is_last = depth == len(patterns) - 1
            paths = [
                child
                for path in paths
                for child, is_directory in self._children(path)
                if each.matches(os.path.basename(child)) and (is_last or is_directory)
            ]
        return paths

    def _children(self, path: str) -> list[tuple[str, bool]]:
        """List (path, True for a directory) for what is in a directory and is not ignored; nothing for a file."""
        try:
            opened = Opened(self.open(path, files.DIR))
        except NotADirectoryError:
            return []
        children = []
        with opened as directory:
            for name in sorted(os.listdir(directory)):
                child = f"{path}/{name}" if path else name
                is_directory = stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
                if self._verdict(child, is_directory) != SKIP:
                    children.append((child, is_directory))
        return children

    def _verdict(self, path: str, is_directory: bool) -> int:
        if self.ignore is None or not self.ignore.matches(path):
            return TAKE
        return ENTER if is_directory and self.ignore.may_contain(path) else SKIP

    def walk(self, top: str, select: Callable[[str, bool], int]) -> Iterator[Entry]:
        """Yield everything below the directory `top`, which is resolved, each directory before its content. A
        directory's entry has the name ".", in itself. select: from (path below `top`, True for a directory) to TAKE,
        ENTER or SKIP, besides the tree's own rules."""
        stack = [(top, TAKE)]
        withheld: set[str] = set()  # directories that were entered, with nothing taken in them so far
        while stack:
            path, verdict = stack.pop()
            with Opened(self.open(path, files.DIR)) as directory:
                if verdict == ENTER:
                    withheld.add(path)
                elif path != top:
                    yield from self._release(withheld, path)
                    yield Entry(directory, ".", path, os.fstat(directory))
                below = []
                for name in sorted(os.listdir(directory)):
                    child = f"{path}/{name}" if path else name
                    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    is_directory = stat.S_ISDIR(info.st_mode)
                    below_top = child[len(top) :].lstrip("/")
                    verdict = max(self._verdict(child, is_directory), select(below_top, is_directory))
                    if verdict == SKIP or (is_directory and (info.st_dev, info.st_ino) == self._store):
                        continue
                    if is_directory:
                        below.append((child, verdict))
                    elif verdict == TAKE:
                        yield from self._release(withheld, child)
                        yield Entry(directory, name, child, info)
            stack += reversed(below)

    def _release(self, withheld: set[str], path: str) -> Iterator[Entry]:
        """Yield the directories above the path that were withheld."""
        if not withheld:
            return
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above in withheld:
                withheld.discard(above)
                with Opened(self.open(above, files.DIR)) as directory:
                    yield Entry(directory, ".", above, os.fstat(directory))
