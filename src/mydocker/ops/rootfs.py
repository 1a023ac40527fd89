"""Steps that build a container's root: mounts, device nodes, links, masked paths, pivot_root."""

from __future__ import annotations

import errno
import os
import stat

from mydocker.kernel import mounts
from mydocker.kernel.files import remove_tree, write_new
from mydocker.kernel.locks import DIRECTORY, Lock
from mydocker.ops.base import Context, Op, operation, quote


@operation
class SetPropagation(Op):
    """Set the propagation of a mount and of all mounts below it. kind: "private" stops it both ways; with "slave" the
    container still sees what the host mounts later."""

    target: str
    kind: str
    root: str = ""
    section = "root"

    def do(self, context: Context) -> None:
        flags = mounts.FLAGS[self.kind] | mounts.FLAGS["rec"]
        if not self.root:
            mounts.mount("none", self.target, flags=flags)
            return
        point = mounts.open_point(self.root, self.target)
        try:
            mounts.mount("none", f"/proc/self/fd/{point}", flags=flags)
        finally:
            os.close(point)

    def describe(self) -> str:
        which = f"the mounts of {self.target}" if self.root else "all mounts"
        return f"make {which} private" if self.kind == "private" else f"make {which} slaves of the host's"

    def shell(self) -> str:
        return f"mount --make-r{self.kind} {quote(self.root + self.target)}"


_MAX_FSCONFIG = 255
# A link in the image must not redirect a mount to these: an exec that enters the container would read a forged /proc.
_OURS = ("/proc", "/sys", "/dev")


@operation
class Mount(Op):
    """Call mount(2).

    flags: as in mounts.FLAGS. root: if set, `target` is resolved inside that directory, links included, and a missing
    mount point is created: a file for the bind mount of a file. follow: follow links inside the root, or refuse them;
    no link may lead to the root itself or below _OURS. readonly: make a bind mount read-only; below: all mounts below
    it, too. inside: a path in `source`, which is mounted in its place; no link in there leads out of `source`.
    directory: what relative paths in `data` start from.
    """

    source: str
    target: str
    fstype: str = ""
    flags: int = 0
    data: str = ""
    root: str = ""
    follow: bool = True
    readonly: bool = False
    directory: str = ""
    below: bool = True
    inside: str = ""
    section = "mounts"

    def do(self, context: Context) -> None:
        if self.directory:
            os.chdir(self.directory)
        if not self.root:
            mounts.mount(self.source, self.target, self.fstype, self.flags, self.data)
            return
        held = mounts.open_beneath(self.source, self.inside) if self.inside else -1
        try:
            self._attach(f"/proc/self/fd/{held}" if self.inside else self.source)
        finally:
            if self.inside:
                os.close(held)

    def _attach(self, source: str) -> None:
        bind_file = bool(self.flags & mounts.FLAGS["bind"]) and not os.path.isdir(source)
        point = mounts.open_point(self.root, self.target, "file" if bind_file else "directory", self.follow)
        try:
            place = mounts.place(self.root, point)
            if place != self.target and (place == "/" or place.startswith(_OURS)):
                raise OSError(errno.EPERM, f"the image redirects it to {place}", self.target)
            if self.readonly:
                mounts.bind_readonly(source, point, bool(self.flags & mounts.FLAGS["rec"]), self.below)
            else:
                mounts.mount(source, f"/proc/self/fd/{point}", self.fstype, self.flags, self.data)
        finally:
            os.close(point)

    def _whole_source(self) -> str:
        return f"{self.source}/{self.inside}" if self.inside else self.source

    def describe(self) -> str:
        if not self.root:
            return f"mount {self.fstype or 'the copy'} as the container's root"
        verb = "bind" if self.flags & mounts.FLAGS["bind"] else "mount"
        return f"{verb} {self.fstype or self._whole_source()} on {self.target}"

    def shell(self) -> str:
        names = [name for name, bit in mounts.FLAGS.items() if self.flags & bit and name not in ("bind", "rec")]
        options = ",".join([*names, *(["ro"] if self.readonly else []), *([self.data] if self.data else [])])
        target = self.root + self.target if self.root else self.target
        if self.flags & mounts.FLAGS["bind"]:
            kind = "--rbind" if self.flags & mounts.FLAGS["rec"] else "--bind"
        else:
            kind = f"-t {self.fstype}"
        # mount(8) from 2.39 on uses fsconfig(2), which takes 255 bytes a value: too few for many layers.
        mount = "LIBMOUNT_FORCE_MOUNT2=always mount" if len(options) > _MAX_FSCONFIG else "mount"
        words = [mount, kind, *(["-o", quote(options)] if options else []), quote(self._whole_source()), quote(target)]
        return " ".join([*(["cd", quote(self.directory), "&&"] if self.directory else []), *words])


@operation
class RemountReadOnly(Op):
    """Make a mount inside `root`, and all mounts below it, read-only."""

    root: str
    target: str
    section = "mounts"

    def do(self, context: Context) -> None:
        point = mounts.open_point(self.root, self.target)
        try:
            mounts.make_readonly(f"/proc/self/fd/{point}")
        finally:
            os.close(point)

    def describe(self) -> str:
        return f"make {self.target} read-only"

    def shell(self) -> str:
        return f"mount -o remount,bind,ro {quote((self.root + self.target).rstrip('/'))}"


@operation
class RootReadOnly(Op):
    """Make the root read-only, but not the mounts in it: volumes, /dev and /proc stay as they are."""

    root: str
    section = "root"

    def do(self, context: Context) -> None:
        flags = mounts.FLAGS["remount"] | mounts.FLAGS["bind"] | mounts.FLAGS["ro"]
        mounts.mount("none", self.root, flags=flags)

    def describe(self) -> str:
        return "make the root read-only"

    def shell(self) -> str:
        return f"mount -o remount,bind,ro {quote(self.root)}"


@operation
class FillVolume(Op):
    """Copy the image's files at the mount point to a named volume that is still empty, as docker does.

    volume: its directory _data. The copy is made beside it, out of every container's reach, and then moved in: another
    container with the same volume could otherwise replace a directory by a link while its owner and mode are being set.
    mounted: a host directory is bound there, so that nothing can be moved in; copy_tree() follows no link either.
    inside: the path in the volume that is filled instead, if that is an empty directory.
    """

    root: str
    target: str
    volume: str
    mounted: bool = False
    inside: str = ""
    section = "mounts"

    def do(self, context: Context) -> None:
        from mydocker.kernel.copying import copy_tree, move_into  # loaded by the planner: imports are closed

        try:
            point = mounts.open_point(self.root, self.target)
        except FileNotFoundError:
            return
        directory, held = os.path.realpath(os.path.dirname(self.volume)), -1
        try:
            with Lock(directory, DIRECTORY, wait=None):  # one container fills it; others wait, then see that it is full
                if self.inside:
                    held = mounts.open_beneath(self.volume, self.inside)
                volume = f"/proc/self/fd/{held}" if self.inside else self.volume
                if not stat.S_ISDIR(os.fstat(point).st_mode) or not os.path.isdir(volume) or os.listdir(volume):
                    return
                source, copy = f"/proc/self/fd/{point}", f"{directory}/copy"
                if self.mounted or self.inside:
                    copy_tree(source, volume)
                    return
                remove_tree(copy)  # left by a start that was interrupted
                copy_tree(source, copy)
                move_into(copy, volume)
        finally:
            os.close(point)
            if held >= 0:
                os.close(held)

    def describe(self) -> str:
        return f"fill the empty volume with the image's {self.target}"

    def shell(self) -> str:
        return f"cp -a {quote(self.root + self.target)}/. {quote(self.volume + (self.inside and '/' + self.inside))}"


@operation
class MakeDevice(Op):
    """Create a device node or a FIFO inside `root`. kind: c, b or p."""

    root: str
    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    section = "devices"

    def do(self, context: Context) -> None:
        parent = mounts.open_point(self.root, os.path.dirname(self.path), "directory")
        try:
            name = os.path.basename(self.path)
            kind = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO, "u": stat.S_IFCHR}[self.kind]
            device = os.makedev(self.major, self.minor)
            try:
                os.mknod(name, self.mode | kind, device, dir_fd=parent)
            except FileExistsError:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_IFMT(status.st_mode) != kind or status.st_rdev != device:
                    raise
                return  # it belongs to a volume over /dev, so it stays as it is
            os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
            # mknod obeys the umask, which is 022 here.
            os.chmod(f"/proc/self/fd/{parent}/{name}", self.mode)
        finally:
            os.close(parent)

    def describe(self) -> str:
        return f"make {self.path}"

    def shell(self) -> str:
        numbers = "" if self.kind == "p" else f" {self.major} {self.minor}"
        owner = f" && chown {self.uid}:{self.gid} {quote(self.root + self.path)}" if self.uid or self.gid else ""
        return f"mknod -m {self.mode:04o} {quote(self.root + self.path)} {self.kind}{numbers}{owner}"


@operation
class MakeLink(Op):
    """Create a symbolic link inside `root`."""

    root: str
    target: str
    path: str
    section = "devices"

    def do(self, context: Context) -> None:
        parent = mounts.open_point(self.root, os.path.dirname(self.path), "directory")
        try:
            os.symlink(self.target, os.path.basename(self.path), dir_fd=parent)
        finally:
            os.close(parent)

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def shell(self) -> str:
        return f"ln -s {quote(self.target)} {quote(self.root + self.path)}"


@operation
class MarkRoot(Op):
    """Create the files that programs expect, unless the image has them: /.dockerenv, which tells them that they are in
    a container, and /etc/mtab."""

    root: str
    section = "root"

    def do(self, context: Context) -> None:
        top = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(".dockerenv", flags, 0o755, dir_fd=top))
        except FileExistsError:
            pass
        finally:
            os.close(top)
        directory = mounts.open_point(self.root, "/etc", "directory")
        try:
            os.symlink("/proc/mounts", "mtab", dir_fd=directory)
        except FileExistsError:
            pass
        finally:
            os.close(directory)

    def describe(self) -> str:
        return "create /.dockerenv and /etc/mtab"

    def shell(self) -> str:
        root = quote(self.root)
        return f"touch {root}/.dockerenv; ln -s /proc/mounts {root}/etc/mtab"


@operation
class MakeDirectory(Op):
    """Create a directory inside `root`, and its parents, where they are missing."""

    root: str
    path: str
    section = "root"

    def do(self, context: Context) -> None:
        os.close(mounts.open_point(self.root, self.path, "directory"))

    def describe(self) -> str:
        return f"create the directory {self.path}"

    def shell(self) -> str:
        return f"mkdir -p {quote(self.root + self.path)}"


@operation
class NoteMade(Op):
    """Write down which mount points were made in `root`, for a build, which leaves them out of its layers.

    file: the new file, a path a line; a line's end in a path is written as \\012."""

    root: str
    file: str
    section = "root"

    def do(self, context: Context) -> None:
        paths = []
        for path in mounts.made:
            try:
                parent = mounts.open_point(self.root, os.path.dirname(path) or "/")
            except OSError:
                continue  # its directory is hidden under a mount
            try:
                paths.append(f"{mounts.place(self.root, parent).rstrip('/')}/{os.path.basename(path)}")
            finally:
                os.close(parent)
        lines = "".join(path.replace("\n", "\\012") + "\n" for path in paths)
        write_new(self.file, lines.encode("utf-8", "surrogateescape"))

    def describe(self) -> str:
        return "note which mount points were made"

    def shell(self) -> str:
        return f"find {quote(self.root)} -newer {quote(self.root)} >{quote(self.file)}"


@operation
class PivotRoot(Op):
    root: str
    section = "root"

    def do(self, context: Context) -> None:
        mounts.pivot_root(self.root)

    def describe(self) -> str:
        return "make it the root, unmount the host's"

    def shell(self) -> str:
        return f"cd {quote(self.root)} && pivot_root . . && umount -l . && cd /"


@operation
class MaskPath(Op):
    """Hide a file under /dev/null, or a directory under an empty read-only tmpfs. A missing path needs no mask."""

    root: str
    path: str
    section = "security"

    def do(self, context: Context) -> None:
        try:
            point = mounts.open_point(self.root, self.path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if stat.S_ISDIR(os.fstat(point).st_mode):
                flags = sum(mounts.FLAGS[name] for name in ("ro", "nosuid", "nodev", "noexec"))
                mounts.mount("tmpfs", f"/proc/self/fd/{point}", "tmpfs", flags, "nr_inodes=1,mode=0555")
            else:
                null = _null_device(self.root)
                mounts.mount(f"/proc/self/fd/{null}", f"/proc/self/fd/{point}", flags=mounts.FLAGS["bind"])
                os.close(null)
        finally:
            os.close(point)

    def describe(self) -> str:
        return f"hide {self.path}"

    def shell(self) -> str:
        return f"mount --bind /dev/null {quote(self.root + self.path)}"


def _null_device(root: str) -> int:
    """Open the container's own /dev/null, so that `mount` in the container shows nothing of the host's /dev; the host's
    if a volume over /dev has no such device."""
    try:
        null = mounts.open_point(root, "/dev/null", follow=False)
        status = os.fstat(null)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
            return null
        os.close(null)
    except OSError:
        pass
    return os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)


@operation
class ReadOnlyPath(Op):
    root: str
    path: str
    section = "security"

    def do(self, context: Context) -> None:
        try:
            point = mounts.open_point(self.root, self.path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            here = f"/proc/self/fd/{point}"
            mounts.mount(here, here, flags=mounts.FLAGS["bind"] | mounts.FLAGS["rec"])
        finally:
            os.close(point)
        # The descriptor refers to the file below the new mount, so the mount itself has to be opened.
        point = mounts.open_point(self.root, self.path, follow=False)
        try:
            mounts.make_readonly(f"/proc/self/fd/{point}")
        finally:
            os.close(point)

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def shell(self) -> str:
        path = quote(self.root + self.path)
        return f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"
