"""COPY, ADD and WORKDIR: what they put into the root of the image that is built.

The root is that of a container directory, prepared by the storage driver on the stage's layers; the driver's changes()
are the step's layer. Everything happens in a child with mounts of its own, and by descriptors: no link leads out of the
context, or out of an image, to a file of the host. Errors name paths of the context and of the image.

Where docker's builders differ, BuildKit is the model, except where it would hide a mistake: see docs/dockerfile.md.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.engine.build import adding, ownership, sources
from mydocker.engine.build.failures import failed, refused
from mydocker.engine.build.ownership import Owner
from mydocker.engine.build.placing import Target
from mydocker.engine.build.steps import Document, Download
from mydocker.engine.build.tree import Opened, Tree, open_directory, open_file, stamp
from mydocker.engine.private_mounts import mount_privately
from mydocker.image.layer import Entry
from mydocker.kernel.child import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from mydocker.engine.build.roots import Root
    from mydocker.engine.build.steps import Step
    from mydocker.errors import MydockerError

    _Source = Union[sources.Match, sources.Branch, Document, Download]


def apply(step: Step, root: Root) -> list[str]:
    """Make the step's changes in a root. Returns a sentence for each file that was left out.

    Raises InvalidArgument for a source that does not exist and the like. After digest(), every file must still be as it
    was when it was hashed.
    """
    origin = step.origin
    root.prepare()
    ops = root.ops()
    if origin.root:
        origin.root.prepare()
        ops += origin.root.view_ops()

    def work() -> list[str]:
        mount_privately(ops)
        with open_directory(root.path) as target:
            if not any(isinstance(source, str) for source in step.sources):
                return _Copier(step, None, target).run()
            with sources.open_origin(origin) as tree:
                return _Copier(step, Tree(tree, origin.name, origin.ignore), target).run()

    return in_child(work, "copying files")


def make_directory(path: str, user: str, root: Root, time: int | None = None) -> None:
    """Make the directories of WORKDIR that are missing. path: absolute. user: as USER has it, or "" for root. time: of
    the new directories, in nanoseconds, or None for now."""
    root.prepare()

    def work() -> list[str]:
        mount_privately(root.ops())
        with open_directory(root.path) as descriptor:
            owner = ownership.owner(user, descriptor) if user else None
            target = Target(descriptor, owner, None, time)
            try:
                target.make_directories(target.resolve(path))
                target.finish()
            except OSError as error:
                raise failed(f"make the directory {path}", error) from None
            finally:
                target.close()
        return []

    in_child(work, "making a directory")


class _Copier:
    def __init__(self, step: Step, tree: Tree | None, root: int) -> None:
        self.step = step
        self.tree = tree
        owner = None if step.origin.root else Owner(0, 0)
        if step.chown:
            owner = ownership.owner(step.chown, root)
        mode = ownership.mode(step.chmod) if step.chmod else None
        self.target = Target(root, owner, mode, step.time, step.link)
        text = step.destination
        self.into = step.parents or text.endswith(("/", "/.", "/..")) or text in ("", ".", "..")
        # As in docker, `..` removes the part before it, even if that is a link.
        self.destination = os.path.normpath(os.path.join("/", step.workdir, text))
        self.unread = set(step.seen or ())
        self.count = 0  # sources that had something to copy
        self.notes: list[str] = []

    def run(self) -> list[str]:
        try:
            listed = self._sources()
            if len(listed) > 1 and not self.into and not self.target.is_directory(self._resolved()):
                raise refused(
                    f"{len(listed)} sources, but the destination {self.step.destination} is not a directory",
                    "end it with a slash",
                )
            for source in listed:
                self.target.begin()
                if isinstance(source, sources.Branch):
                    self._put_branch(source)
                else:
                    self._put(source)
            if not self.count:
                raise self._nothing()
            self.target.finish()
        except OSError as error:
            raise failed(f"copy to {self.destination}", error) from None
        finally:
            self.target.close()
        if self.unread:
            raise failed(f"copy '/{self.unread.pop()}'", OSError(errno.ESTALE, ""))
        return self.notes

    def _sources(self) -> list[_Source]:
        listed: list[_Source] = []
        for source in self.step.sources:
            if not isinstance(source, str):
                listed.append(source)
            elif self.step.parents:
                assert self.tree
                listed.append(sources.branch(self.step, source, self.tree))
            else:
                assert self.tree
                listed += sources.matches(self.step, source, self.tree)
        return listed

    def _nothing(self) -> MydockerError:
        origin = self.step.origin
        patterns = " ".join(source for source in self.step.sources if isinstance(source, str))
        return refused(f"no file in {origin.name} matches {patterns}", "see .dockerignore" if origin.ignore else "")

    def _resolved(self) -> str:
        return self.target.resolve(self.destination)

    def _put(self, source: sources.Match | Document | Download) -> None:
        self.count += 1
        name = source.name.rpartition("/")[2]
        place = self._resolved()
        if isinstance(source, sources.Match) and stat.S_ISDIR(source.info.st_mode):
            self._put_directory(source, place)
            return
        if self._unpacked(source, place):
            return
        if self.into:
            self.target.make_directories(place)
        if self.into or self.target.is_directory(place):
            if isinstance(source, Download) and not name:
                raise refused(f"{source.url} has no file name", "name the file in the destination")
            place = f"{place}/{name}".lstrip("/")
        else:
            self.target.make_directories(place.rpartition("/")[0])
        if isinstance(source, Document):
            self.target.put_content(place, source.content)
        elif isinstance(source, Download):
            with Opened(os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)) as content:
                self.target.put_file(place, content, os.fstat(content))
        else:
            assert self.tree
            with self.tree.parent_of(source.path) as parent:
                self._put_entry(Entry(parent, source.file_name, source.path, source.info), place, {})

    def _unpacked(self, source: sources.Match | Document | Download, place: str) -> bool:
        """Unpack a source if ADD does that with it, and it is an archive. Returns True if it was."""
        if isinstance(source, Document):
            return False
        if isinstance(source, Download):
            if not self.step.unpack_downloads:
                return False
            content = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        elif self.step.unpack and stat.S_ISREG(source.info.st_mode):
            assert self.tree
            with self.tree.parent_of(source.path) as parent:
                content = open_file(Entry(parent, source.file_name, source.path, source.info))
        else:
            return False
        with Opened(content):
            before = os.fstat(content)
            if not adding.is_archive(content):
                return False
            if isinstance(source, sources.Match):
                self._check(source.path, before)
            adding.unpack(content, self.target, place, bool(self.step.chown))
            if stamp(os.fstat(content)) != stamp(before):
                raise failed(f"unpack '/{source.name}'", OSError(errno.ESTALE, ""))
        return True

    def _check(self, path: str, info: os.stat_result) -> None:
        """Raise OSError if a file of the context is not as it was when it was hashed."""
        if self.step.seen is not None and self.step.seen.get(path) != stamp(info):
            raise OSError(errno.ESTALE, "it changed", path)
        self.unread.discard(path)

    def _put_directory(self, source: sources.Match, place: str) -> None:
        """Copy the content of a directory, and its time, but not its mode and owner."""
        assert self.tree
        self.target.make_directories(place)
        links: dict[tuple[int, int], str] = {}
        for entry in self.tree.walk(source.path, sources.selection(self.step)):
            below = entry.path[len(source.path) :].lstrip("/")
            self._put_entry(entry, f"{place}/{below}".lstrip("/"), links)
        self.target.set_time(place, source.info.st_mtime_ns)

    def _put_branch(self, branch: sources.Branch) -> None:
        """Copy files with the directories above them, which keep their own owner, mode and time where they exist."""
        assert self.tree
        place = self._resolved()
        self.target.make_directories(place)
        links: dict[tuple[int, int], str] = {}
        before = self.count
        for entry in self.tree.walk(branch.top, branch.select):
            below = entry.path[len(branch.top) :].lstrip("/")
            self._put_entry(entry, f"{place}/{below}".lstrip("/"), links, overwrite=False)
            self.count += 1
        if self.count == before and branch.is_path:
            raise refused(f"'{branch.name}' not found in {self.tree.name}")

    def _put_entry(self, entry: Entry, place: str, links: dict[tuple[int, int], str], overwrite: bool = True) -> None:
        """Copy a file of any type. links: of files with several names, (device, inode) -> the first copy. overwrite: an
        existing directory gets the owner, mode and time of this one."""
        try:
            info = entry.info
            self._check(entry.path, info)
            if stat.S_ISDIR(info.st_mode):
                self.target.put_directory(place, entry.parent, info, overwrite)
            elif stat.S_ISSOCK(info.st_mode):
                self.notes.append(f"/{entry.path}: left out: a layer can't hold a socket")
            elif not stat.S_ISREG(info.st_mode):
                self.target.put_special(place, entry)
            else:
                first = links.setdefault((info.st_dev, info.st_ino), place) if info.st_nlink > 1 else place
                if first != place:
                    self.target.put_link(place, first)
                    return
                with Opened(open_file(entry)) as content:
                    current = os.fstat(content)
                    if stamp(current) != stamp(info):
                        raise OSError(errno.ESTALE, "")
                    self.target.put_file(place, content, current)
        except OSError as error:
            raise failed(f"copy '/{entry.path}' to '/{place}'", error) from None
