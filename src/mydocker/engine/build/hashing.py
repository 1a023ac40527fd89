"""The cache key of a COPY or ADD: what its sources are, and what is done with them.

It has the sources' names, types, modes, contents, link targets and extended attributes; of another stage or image the
owners, too. Times are not in it, nor the owners of files in the context: a fresh checkout has the same key. Contents
are always read. A file's size and times would be quicker to compare, but a writer can keep them (BuildKit builds the
old content in that case), and a write through a mapping changes none of them for a while.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.engine.build import sources
from mydocker.engine.build.failures import failed
from mydocker.engine.build.steps import DOWNLOADED, Document, Download
from mydocker.engine.build.tree import Opened, Tree, open_file, stamp
from mydocker.engine.private_mounts import mount_privately
from mydocker.image import layer, store
from mydocker.kernel.child import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.engine.build.steps import Step

_CHUNK = 1 << 20
_LARGE = 1 << 20  # bytes of a file for which OpenSSL, which is faster, is worth loading
_HEAD = "mydocker copy 1"  # another text makes all older keys invalid


def digest(step: Step) -> str:
    """Return the key, `sha256:…`, and note in the step what was read. It covers the whole step: the builder has to add
    no more than what the step begins with."""
    origin = step.origin
    if not any(isinstance(source, str) for source in step.sources):
        return _Hash(step, None).run()
    if origin.root is None:
        with sources.open_origin(origin) as root:
            return _Hash(step, Tree(root, origin.name, origin.ignore)).run()
    root_view = origin.root
    root_view.prepare()

    def work() -> list[str]:
        mount_privately(root_view.view_ops())
        with sources.open_origin(origin) as root:
            return [_Hash(step, Tree(root, origin.name, origin.ignore)).run()]

    return in_child(work, f"reading {origin.name}")[0]


class _Hash:
    def __init__(self, step: Step, tree: Tree | None) -> None:
        self.step = step
        self.tree = tree
        self.keeps_owner = step.origin.root is not None and not step.chown
        self.hash = store.sha256()
        self.seen: dict[str, tuple[int, ...]] = {}
        self.buffer = memoryview(bytearray(_CHUNK))

    def run(self) -> str:
        step = self.step
        self._add(_HEAD, step.destination, step.workdir, step.chown, step.chmod, *map(str, step.excludes))
        self._add(*map(str, (step.link, step.parents, step.unpack, step.unpack_downloads)))
        for source in step.sources:
            if isinstance(source, Document):
                self._add("document", source.name, source.content)
            elif isinstance(source, Download):
                self._add_download(source)
            elif step.parents:
                assert self.tree
                self._add_branch(sources.branch(step, source, self.tree))
            else:
                assert self.tree
                for match in sources.matches(step, source, self.tree):
                    self._add_match(match)
        if step.origin.root is None:
            step.seen = self.seen
        return f"sha256:{self.hash.hexdigest()}"

    def _add(self, *fields: str | bytes) -> None:
        """Add fields so that no others give the same bytes."""
        for field in fields:
            data = field if isinstance(field, bytes) else os.fsencode(field)
            self.hash.update(b"%d:" % len(data) + data)
        self.hash.update(b"\n")

    def _add_match(self, match: sources.Match) -> None:
        assert self.tree
        try:
            if stat.S_ISDIR(match.info.st_mode):
                self._add("directory", match.name)
                links: dict[tuple[int, int], str] = {}
                for entry in self.tree.walk(match.path, sources.selection(self.step)):
                    self._add_entry(entry.path[len(match.path) :], entry, links)
            else:
                with self.tree.parent_of(match.path) as parent:
                    self._add_entry(match.name, layer.Entry(parent, match.file_name, match.path, match.info), {})
        except OSError as error:
            raise failed(f"read '/{match.name}' in {self.tree.name}", error) from None

    def _add_branch(self, branch: sources.Branch) -> None:
        assert self.tree
        try:
            self._add("branch", branch.name)
            links: dict[tuple[int, int], str] = {}
            for entry in self.tree.walk(branch.top, branch.select):
                self._add_entry(entry.path[len(branch.top) :], entry, links)
        except OSError as error:
            raise failed(f"read '/{branch.name}' in {self.tree.name}", error) from None

    def _add_entry(self, name: str, entry: layer.Entry, links: dict[tuple[int, int], str]) -> None:
        info = entry.info
        self.seen[entry.path] = stamp(info)
        kind = stat.S_IFMT(info.st_mode)
        self._add(name, oct(info.st_mode), f"{info.st_uid}:{info.st_gid}" if self.keeps_owner else "")
        if kind == stat.S_IFLNK:
            self._add(os.readlink(entry.name, dir_fd=entry.parent))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            self._add(str(info.st_rdev))
        elif kind == stat.S_IFDIR:
            self._add_attributes(layer.attributes(entry.parent))
        elif kind == stat.S_IFREG:
            first = links.setdefault((info.st_dev, info.st_ino), name) if info.st_nlink > 1 else name
            if first != name:
                self._add("link", first)
                return
            with Opened(open_file(entry)) as content:
                self._add_attributes(layer.attributes(content))
                self._add(_content(content, info, self.buffer))

    def _add_attributes(self, attributes: dict[str, bytes] | None) -> None:
        for key, value in (attributes or {}).items():
            self._add(key, value)

    def _add_download(self, download: Download) -> None:
        download.content = download.content or content_of(download.path)
        self._add("download", download.name, oct(stat.S_IFREG | DOWNLOADED), bytes.fromhex(download.content))


def content_of(path: str) -> str:
    """Return the hash of a file's content."""
    with Opened(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as content:
        return _content(content, os.fstat(content), memoryview(bytearray(_CHUNK))).hex()


def _content(content: int, info: os.stat_result, buffer: memoryview) -> bytes:
    """Hash a file's data; of one with holes, the data between them and where it is."""
    total = store.sha256() if info.st_size < _LARGE else _fast_sha256()
    at = 0
    while at < info.st_size:
        if info.st_blocks * 512 < info.st_size:
            try:
                data = os.lseek(content, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but a hole is left
                    raise
                break
            if data > at:
                total.update(b"hole to %d" % data)
                at = data
        count = os.preadv(content, [buffer], at)
        if not count:
            break
        total.update(buffer[:count])
        at += count
    total.update(b"size %d" % info.st_size)
    digest: bytes = total.digest()
    return digest


def _fast_sha256() -> Any:
    import hashlib

    return hashlib.sha256()
