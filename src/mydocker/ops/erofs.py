"""The steps that show layers which are not unpacked: see image/erofs/layers.py.

Two mounts of one index are two file systems, each with a page cache of its own. So containers share one, in the host's
mount namespace:

    /run/mydocker/_layers/<chain id>/root         the mount
                                     of           a link that leads nowhere: its text tells which index is mounted
                                     users/<id>   a container that uses it; the last one unmounts it

A container has copies of these mounts, below its overlay. So an early unmount, or a mount that another mount namespace
does not see, costs memory and nothing else. All changes are made under a lock on _layers.
"""

from __future__ import annotations

import errno
import os

from mydocker.kernel import mounts
from mydocker.kernel.files import make_private, write_new
from mydocker.kernel.filesystems import mount_readonly
from mydocker.kernel.locks import DIRECTORY, Lock
from mydocker.ops.base import Context, Op, operation, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@operation
class MountIndex(Op):
    """Mount an erofs file system of metadata. data: the files with the content, as the index counts them. No loop
    device is needed: the kernel reads the files. mount(8) does without one from 2.39 on (X-mount.noloop)."""

    index: str
    data: list[str]
    target: str
    section = "mounts"

    def do(self, context: Context) -> None:
        _mount(self.index, self.data, self.target)

    def describe(self) -> str:
        return _described(self.data)

    def shell(self) -> str:
        return _shell(self.index, self.data, self.target)


@operation
class ShareIndexes(Op):
    """Mount indexes for all containers that use them, unless they are mounted already.

    indexes: [its directory below _layers, index, data], the latter two as in MountIndex. user: the container's ID."""

    indexes: list[list[Any]]
    user: str
    section = "mounts"

    def do(self, context: Context) -> None:
        with _lock(os.path.dirname(self.indexes[0][0])):
            for place, index, data in self.indexes:
                self._share(place, index, data)

    def _share(self, place: str, index: str, data: list[str]) -> None:
        target, user = f"{place}/root", f"{place}/users/{self.user}"
        try:
            write_new(user, b"")
            is_new = False
        except FileNotFoundError:
            make_private(f"{place}/users")
            make_private(target)
            write_new(user, b"")
            is_new = True
        except FileExistsError:  # of an earlier start
            is_new = False
        # Of a layer that was damaged, and made again, containers that run may still use the old index.
        info = os.stat(index)
        identity = f"{info.st_dev}:{info.st_ino}:{info.st_mtime_ns}"
        if not is_new and is_mounted(target):
            if _link_target(f"{place}/of") == identity:
                return
            mounts.unmount(target)
        _mount(index, data, target)
        _link(identity, f"{place}/of")

    def undo(self) -> None:
        try:
            lock = Lock(os.path.dirname(self.indexes[0][0]), DIRECTORY)
        except FileNotFoundError:
            return
        with lock:
            for place, *_ in reversed(self.indexes):
                self._leave(place)

    def _leave(self, place: str) -> None:
        try:
            _unlink(f"{place}/users/{self.user}")
            _rmdir(f"{place}/users")
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return  # other containers use it
            raise
        try:
            mounts.unmount(f"{place}/root")
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # it is not mounted
                raise
        _rmdir(f"{place}/root")
        _unlink(f"{place}/of")
        _rmdir(place)

    def describe(self) -> str:
        return f"{_described([path for _, _, data in self.indexes for path in data])}, to all containers"

    def shell(self) -> str:
        lines = []
        for place, index, data in self.indexes:
            target = f"{place}/root"
            lines.append(
                f"mkdir -p {quote(target)} {quote(f'{place}/users')} && touch {quote(f'{place}/users/{self.user}')}"
            )
            lines.append(f"mountpoint -q {quote(target)} || {_shell(index, data, target)}")
        return "\n".join(lines)


@operation
class CheckMounted(Op):
    """Fail unless something is mounted on each of the targets: empty directories are not the layers."""

    targets: list[str]
    section = "mounts"

    def do(self, context: Context) -> None:
        for target in self.targets:
            if not is_mounted(target):
                raise OSError(errno.ENXIO, "the layer is not mounted", target)

    def describe(self) -> str:
        return "see that the layers are mounted"

    def shell(self) -> str:
        return " && ".join(f"mountpoint -q {quote(target)}" for target in self.targets)


def is_mounted(target: str) -> bool:
    try:
        return os.stat(target).st_dev != os.stat(os.path.dirname(target)).st_dev
    except FileNotFoundError:
        return False


def _mount(index: str, data: list[str], target: str) -> None:
    """Mount an index. Not with the option directio: the page cache would then have a file once, not a second time in
    the tar that it lies in, but what a container has read would have to come from the disk again for the next one, as
    the last one unmounts the index. The tar's copy stays, and is the first to go when memory is short."""
    mount_readonly("erofs", index, [("device", path) for path in data], target)


def _described(data: list[str]) -> str:
    layers = "a layer" if len(data) == 1 else f"{len(data)} layers"
    return f"show the files of {layers}, which stay in their tars"


def _shell(index: str, data: list[str], target: str) -> str:
    options = ",".join(["X-mount.noloop", "ro", "nosuid", "nodev", *(f"device={path}" for path in data)])
    return f"mount -t erofs -o {quote(options)} {quote(index)} {quote(target)}"


def _lock(top: str) -> Lock:
    try:
        return Lock(top, DIRECTORY)
    except FileNotFoundError:
        make_private(top)
        return Lock(top, DIRECTORY)


def _link_target(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _link(target: str, path: str) -> None:
    try:
        os.symlink(target, path)
    except FileExistsError:
        os.unlink(path)
        os.symlink(target, path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
