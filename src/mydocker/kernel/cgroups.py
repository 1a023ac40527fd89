"""The host's cgroup hierarchies, and operations on a cgroup's directory."""

from __future__ import annotations

import errno
import os
import time

from mydocker.kernel.mounts import unescape
from mydocker.record import record


@record
class Layout:
    """The hierarchies. version: 1 or 2, 0 for none. mounts: controller -> mount point, for v1 with "name=…" and, on a
    hybrid host, "unified".

    On v2 the only key is "unified", and controllers lists those of its root. swap: the kernel accounts for it.
    """

    version: int
    mounts: dict[str, str]
    controllers: list[str]
    swap: bool = True

    def directory(self, controller: str) -> str:
        """Return the mount point of the hierarchy that has a controller; without one, that of another hierarchy."""
        return self.mounts.get("unified" if self.version == 2 else controller) or self.directories()[0]

    def directories(self) -> list[str]:
        """List every hierarchy's mount point once, in a fixed order (cpu and cpuacct often share one)."""
        return sorted(set(self.mounts.values()))


_known: list[Layout] = []


def freezer(layout: Layout, path: str) -> str:
    """Return the file that freezes and thaws the cgroup `path` (relative to the hierarchies' roots), "" if the host has
    no freezer. A hybrid host has it in one of two hierarchies."""
    if "freezer" in layout.mounts:
        return f"{layout.mounts['freezer']}{path}/freezer.state"
    return f"{layout.mounts['unified']}{path}/cgroup.freeze" if "unified" in layout.mounts else ""


def layout() -> Layout:
    """Return this host's hierarchies, which are read once."""
    if not _known:
        _known.append(_read_layout())
    return _known[0]


def _read_layout() -> Layout:
    """Read /proc/self/mountinfo. A host counts as v2 if no v1 controller is mounted."""
    mounts: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            if " - cgroup" not in line:
                continue
            before, _, after = line.rstrip("\n").partition(" - ")
            fields, (fstype, _, options) = before.split(" "), after.split(" ", 2)
            point = unescape(fields[4])
            if fields[3] != "/" and fields[3].startswith("/.."):
                continue  # a mount of another cgroup namespace
            if fstype == "cgroup2":
                mounts.setdefault("unified", point)
            elif fstype == "cgroup":
                for option in options.split(","):
                    if (
                        option not in ("rw", "ro", "xattr", "noprefix", "clone_children")
                        and "release_agent" not in option
                    ):
                        mounts.setdefault(option, point)
    controllers = [name for name in mounts if name != "unified" and not name.startswith("name=")]
    if controllers:
        swap = os.path.exists(f"{mounts.get('memory', '')}/memory.memsw.limit_in_bytes")
        return Layout(1, mounts, controllers, swap)
    if "unified" in mounts:
        return Layout(2, mounts, read(f"{mounts['unified']}/cgroup.controllers").split())
    return Layout(0, {}, [])


def read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536).decode().strip()
    finally:
        os.close(descriptor)


def write(path: str, value: str) -> None:
    """Write a value by one write(2), as the kernel wants it for a cgroup file. Raises OSError with the path."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)} for '{value}'", path) from None


def make(path: str) -> None:
    """Make a cgroup and those above it, which the end of another container may remove at any moment."""
    for _ in range(100):
        try:
            os.mkdir(path)
            return
        except FileExistsError:
            return
        except FileNotFoundError:
            try:
                make(os.path.dirname(path))
            except FileNotFoundError:
                pass
    raise OSError(errno.EAGAIN, "the parent cgroup keeps vanishing", path)


def remove(path: str) -> None:
    """Kill the processes in the cgroup, then remove it and, if no other container is there, its parent. Only one that
    is mydocker's own: another that a user has made may have limits, which later containers must not lose."""
    deadline = time.monotonic() + 10
    while True:
        try:
            os.rmdir(path)
            break
        except FileNotFoundError:
            break
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        _empty(path)
        time.sleep(0.001)
    parent = os.path.dirname(path)
    if not is_own_parent(parent):
        return
    try:
        os.rmdir(parent)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT):
            raise


def is_own_parent(path: str) -> bool:
    """True if model.oci.spec.cgroup_parent() makes up the last part of a container's parent: no user has named it."""
    above, _, name = path.rpartition("/")
    return name == "mydocker" or (name == "containers" and above.endswith(".slice"))


def _empty(path: str) -> None:
    """Kill all processes in the cgroup and below it; remove the cgroups below, as a privileged container makes them."""
    directories = [path]
    for directory in directories:  # the list grows meanwhile. No recursion: the container chooses the depth
        kill(directory)
        try:
            directories += [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            pass
    for directory in reversed(directories[1:]):
        try:
            os.rmdir(directory)
        except OSError:
            pass  # a killed process is still there: the caller tries again


def processes(path: str) -> list[int]:
    try:
        return [int(word) for word in read(f"{path}/cgroup.procs").split()]
    except OSError:
        return []


def all_processes(path: str) -> list[int]:
    """List the processes in the cgroup and in those below it."""
    directories, pids = [path], []
    for directory in directories:  # the list grows meanwhile. No recursion: the container chooses the depth
        pids += processes(directory)
        try:
            directories += [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            pass
    return pids


def kill(path: str) -> None:
    """Send SIGKILL to all processes in the cgroup: at once on v2 (Linux 5.14); else one by one, after forks are
    stopped."""
    try:
        write(f"{path}/cgroup.kill", "1")
        return
    except OSError:
        pass
    for file, value in (("pids.max", "0"), ("freezer.state", "THAWED")):  # v1: a frozen process does not end
        try:
            write(f"{path}/{file}", value)
        except OSError:
            pass
    for pid in processes(path):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def oom_kills(layout: Layout, path: str) -> int:
    """Count the kills by the kernel's OOM killer in the cgroup `path` (relative to the hierarchies' roots)."""
    try:
        if layout.version == 2:
            text = read(f"{layout.mounts['unified']}{path}/memory.events")
        else:
            text = read(f"{layout.mounts['memory']}{path}/memory.oom_control")
    except (OSError, KeyError):
        return 0
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0
