"""Write copied files into the root of an image that is being built.

The root may be hostile: its links are followed only as a process in it would follow them, and only in the destination
that the Dockerfile names. Below that, a link is a file like any other. Every call acts on a last name in a descriptor
of its directory.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.engine.build.failures import refused
from mydocker.engine.build.ownership import Owner
from mydocker.engine.build.tree import resolve, stamp
from mydocker.image import layer, tar
from mydocker.kernel import files
from mydocker.kernel.copying import copy_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from mydocker.engine.build.ownership import Mode

_SMALL = 128 << 10  # bytes; a larger file is copied inside the kernel
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Target:
    """The root to write into. owner, mode: of everything that is copied or made; without them files keep theirs, and
    directories that are made on the way are root's, 0755. time: in nanoseconds, for what has no time of its own, None
    for now. replace: a link in the way of a directory is replaced (--link), not followed.

    Paths are resolved: relative to the root, without links."""

    for_layer = True  # a layer can't hold everything, and must have each file as it was when it was hashed
    barred: Collection[int] = ()  # devices in which nothing is written

    def __init__(
        self, root: int, owner: Owner | None, mode: Mode | None, time: int | None = None, replace: bool = False
    ) -> None:
        self.root = root
        self.owner = owner
        self.mode = mode
        self.time = time
        self.replace = replace
        self._times: dict[str, int | None] = {"": time}  # of directories, set at the end: new entries change them
        self._copied: set[str] = set()  # directories of the current source, which keep their times
        self._parent, self._parent_fd = "", os.dup(root)

    def begin(self) -> None:
        """Begin another source: it changes the times of directories that an earlier one has brought."""
        self._copied.clear()

    def close(self) -> None:
        os.close(self._parent_fd)

    # --- paths --------------------------------------------------------------------------------------------------------

    def resolve(self, path: str) -> str:
        """Resolve a destination, which need not exist."""
        if self.replace:
            return os.path.normpath(f"/{path}").lstrip("/")
        try:
            return resolve(self.root, path, missing=True)
        except NotADirectoryError:
            raise refused(f"cannot copy to /{path.strip('/')}: a part of the path is not a directory") from None

    def is_directory(self, path: str) -> bool:
        info = self._stat(path)
        return info is not None and stat.S_ISDIR(info.st_mode)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            handle = files.open_in_root(self.root, path or ".", os.O_PATH | os.O_NOFOLLOW, resolve=files.STRICT)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP) or not self.replace:
                raise
            return None
        try:
            return os.fstat(handle)
        finally:
            os.close(handle)

    def _directory_of(self, path: str) -> tuple[int, str]:
        """Return (a descriptor of the directory that holds `path`, valid until the next call; the last name)."""
        above, _, name = path.rpartition("/")
        if self.for_layer and name.startswith(layer.WHITEOUT):
            raise refused(f"cannot copy to /{path}: in a layer, a name that begins with .wh. marks a removal")
        if above != self._parent:
            descriptor = files.open_in_root(self.root, above or ".", files.DIR, resolve=files.STRICT)
            if self.barred and os.fstat(descriptor).st_dev in self.barred:
                os.close(descriptor)
                raise refused(f"cannot copy to /{path}: it is in a directory of the kernel's")
            os.close(self._parent_fd)
            self._parent, self._parent_fd = above, descriptor
        if above not in self._copied:
            self._times[above] = self.time
        return self._parent_fd, name

    # --- directories --------------------------------------------------------------------------------------------------

    def make_directories(self, path: str, mode: Mode | None = None) -> None:
        """Make the missing directories of a path. mode: instead of the one of everything else."""
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            if self._make_directory(here):
                directory, name = self._directory_of(here)
                self._set_metadata(directory, name, 0o755, self.owner or Owner(0, 0), mode or self.mode)
                self._times[here] = self.time

    def put_directory(self, path: str, place: int | str, info: os.stat_result, overwrite: bool) -> None:
        """Copy a directory, without its content. place: a descriptor of it, or a path whose last part is not followed.
        overwrite: an existing one gets its owner, mode, attributes and time."""
        if self._make_directory(path) or overwrite:
            directory, name = self._directory_of(path)
            self._set_metadata(directory, name, stat.S_IMODE(info.st_mode), self.owner or _owner_of(info), self.mode)
            _set_attributes(f"/proc/self/fd/{directory}/{name}", layer.attributes(place), path)
            self._times[path] = info.st_mtime_ns
            self._copied.add(path)

    def open_directory(self, path: str) -> int:
        """Open a directory whose content will be changed."""
        self._times[path] = self.time
        return files.open_in_root(self.root, path or ".", files.DIR, resolve=files.STRICT)

    def set_time(self, path: str, time: int) -> None:
        """Set the time of an existing directory, at the end."""
        self._times[path] = time

    def _make_directory(self, path: str) -> bool:
        """Make a directory if it is missing. Returns True if it was."""
        directory, name = self._directory_of(path)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            if stat.S_ISDIR(there):
                return False
            if not (self.replace and stat.S_ISLNK(there)):
                raise refused(f"cannot copy to non-directory: /{path}") from None
            os.unlink(name, dir_fd=directory)
            os.mkdir(name, 0o700, dir_fd=directory)
        return True

    # --- files --------------------------------------------------------------------------------------------------------

    def put_file(self, path: str, content: int, info: os.stat_result) -> None:
        """Copy a regular file. content: a descriptor of it. info: its fstat; the file must stay as that says."""
        descriptor = self._create(path)
        try:
            if info.st_size <= _SMALL and info.st_blocks * 512 >= info.st_size:
                data = _read(content, info.st_size)
                files.write_all(descriptor, data)
                size = len(data)
            else:
                copy_data(content, descriptor, info.st_size)
                size = os.fstat(descriptor).st_size
            if self.for_layer and (stamp(os.fstat(content)) != stamp(info) or size != info.st_size):
                raise OSError(errno.ESTALE, "it changed while it was copied")
            owner = self.owner or _owner_of(info)
            os.fchown(descriptor, owner.uid, owner.gid)
            os.fchmod(descriptor, self._mode_of(stat.S_IMODE(info.st_mode)))
            _set_attributes(descriptor, layer.attributes(content), path)  # after the chown, which removes capabilities
            os.utime(descriptor, ns=(info.st_mtime_ns, info.st_mtime_ns))
        finally:
            os.close(descriptor)

    def put_content(self, path: str, content: bytes) -> None:
        """Make a file of a heredoc."""
        descriptor = self._create(path)
        try:
            files.write_all(descriptor, content)
            if self.owner:
                os.fchown(descriptor, self.owner.uid, self.owner.gid)
            os.fchmod(descriptor, self._mode_of(0o644))
            if self.time is not None:
                os.utime(descriptor, ns=(self.time, self.time))
        finally:
            os.close(descriptor)

    def put_link(self, path: str, first: str) -> None:
        """Make a hard link to the copy at `first`."""
        above, _, last = first.rpartition("/")
        source = files.open_in_root(self.root, above or ".", files.DIR, resolve=files.STRICT)
        try:
            directory, name = self._make_way(path)
            os.link(last, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)

    def put_special(self, path: str, entry: layer.Entry) -> None:
        """Copy a symbolic link, FIFO or device."""
        info = entry.info
        directory, name = self._make_way(path)
        owner = self.owner or _owner_of(info)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(entry.name, dir_fd=entry.parent), name, dir_fd=directory)
            os.chown(name, owner.uid, owner.gid, dir_fd=directory, follow_symlinks=False)
        else:
            if self.for_layer and files.is_whiteout(info):
                raise refused(f"cannot copy to /{path}: in a layer, a device 0:0 marks a removal")
            os.mknod(name, stat.S_IFMT(info.st_mode) | 0o600, info.st_rdev, dir_fd=directory)
            self._set_metadata(directory, name, stat.S_IMODE(info.st_mode), owner, self.mode)
        os.utime(name, ns=(info.st_mtime_ns, info.st_mtime_ns), dir_fd=directory, follow_symlinks=False)

    def _create(self, path: str) -> int:
        """Make a new, empty file. Returns its descriptor."""
        directory, name = self._directory_of(path)
        try:
            return os.open(name, _NEW, 0o600, dir_fd=directory)
        except FileExistsError:
            self._make_way(path)
            return os.open(name, _NEW, 0o600, dir_fd=directory)

    def _make_way(self, path: str) -> tuple[int, str]:
        """Remove the file that a new one replaces. Returns the directory's descriptor and the name."""
        directory, name = self._directory_of(path)
        try:
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return directory, name
        if stat.S_ISDIR(info.st_mode):
            raise refused(f"cannot replace directory /{path} with a file")
        os.unlink(name, dir_fd=directory)
        return directory, name

    # --- metadata -----------------------------------------------------------------------------------------------------

    def _mode_of(self, mode: int) -> int:
        return self.mode(mode, False) if self.mode else mode

    def _set_metadata(self, directory: int, name: str, mode: int, owner: Owner, change: Mode | None) -> None:
        """Set owner and mode of a directory, FIFO or device. No link can be in its place."""
        is_directory = stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
        os.chown(name, owner.uid, owner.gid, dir_fd=directory, follow_symlinks=False)
        os.chmod(name, change(mode, is_directory) if change else mode, dir_fd=directory)

    def finish(self) -> None:
        """Set the directories' times."""
        for path, time in self._times.items():
            if time is None:
                continue
            try:
                directory = files.open_in_root(self.root, path or ".", files.DIR, resolve=files.STRICT)
            except OSError:
                continue  # replaced by a later source
            try:
                os.utime(directory, ns=(time, time))
            finally:
                os.close(directory)


def _owner_of(info: os.stat_result) -> Owner:
    return Owner(info.st_uid, info.st_gid)


def _read(content: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.pread(content, size - len(data), len(data))):
        data += piece
    return data


def _set_attributes(place: int | str, attributes: dict[str, bytes] | None, path: str) -> None:
    """Set the extended attributes that images carry."""
    if attributes is None:
        raise refused(f"cannot copy to /{path}: it has more extended attributes than the kernel lists")
    for name, value in attributes.items():
        try:
            os.setxattr(place, name, value, follow_symlinks=isinstance(place, int))
        except OSError as error:
            if error.errno != errno.ENOTSUP or name == tar.CAPABILITY:
                raise
