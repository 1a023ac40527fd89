"""Work in the root of a container, from outside, as cp does.

A running container is seen as its processes see it, with its volumes and mounts. Of a stopped one, the root is mounted
by its storage driver, with volumes and bind mounts, in a child with mounts of its own. Either way the work gets a
descriptor of the root; it opens everything below by openat2(2) without following a link, so that no link leads outside,
also if the container changes its links meanwhile.
"""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine.bundle import load_request, load_spec
from mydocker.engine.private_mounts import mount_privately
from mydocker.engine.process import open_pidfd
from mydocker.errors import Conflict
from mydocker.image.drivers import choice
from mydocker.kernel import cgroups, mounts, process
from mydocker.kernel.child import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from mydocker.model.container import Container
    from mydocker.ops.base import Op

# File systems of the kernel's own: what is copied from there is not the container's, and a write may act on the host.
_KERNEL = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs", "securityfs", "debugfs", "tracefs")


class Root:
    """descriptor: of the container's root. barred: the devices of file systems that are not to be entered."""

    def __init__(self, descriptor: int, barred: frozenset[int]) -> None:
        self.descriptor, self.barred = descriptor, barred


def within(container: Container, work: Callable[[Root], list[str]], about: str) -> list[str]:
    """Call `work` in a child process, and return its result. about: what it does, for messages. A stopped container
    cannot be started meanwhile."""
    pidfd = open_pidfd(container)
    if pidfd >= 0:
        try:
            return in_child(lambda: work(_enter(container, pidfd)), about)
        finally:
            os.close(pidfd)
    with state.lock(container):
        container = state.load(container.id)
        if state.is_running(container):
            raise Conflict(f"container {container.name} has just been started", "try again")
        driver = choice.named(container.driver)
        driver.prepare(container.directory, container.layers)
        return in_child(lambda: work(_mount(container)), about)


def _enter(container: Container, pidfd: int) -> Root:
    """Open the root of the container's mount namespace, and come back. It is not /proc/PID/root: a container's first
    process may have changed that."""
    outside, directory = os.open("/", os.O_PATH | os.O_CLOEXEC), os.open(".", os.O_PATH | os.O_CLOEXEC)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with open(f"/proc/{container.pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            barred = frozenset(filter(None, map(_kernel_device, table)))
        process.setns(pidfd, process.NAMESPACES["mount"])
        try:  # nothing is imported here: it would be the container's file
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            process.setns(namespace, process.NAMESPACES["mount"])
        os.fchdir(outside)  # setns(2) has set the root to the namespace's
        os.chroot(".")
        os.fchdir(directory)
    except (ProcessLookupError, FileNotFoundError):
        raise Conflict(f"container {container.name} has just ended", "try again") from None
    for descriptor in (outside, directory, namespace):
        os.close(descriptor)
    return Root(root, barred)


def _kernel_device(row: str) -> int:
    """Return the device of a row of mountinfo if it is barred, else 0."""
    fields = row.split(" ")
    kind = row.partition(" - ")[2].split(" ")[0]
    if kind not in _KERNEL and mounts.unescape(fields[4]) != "/dev":
        return 0
    major, _, minor = fields[2].partition(":")
    return os.makedev(int(major), int(minor))


def _mount(container: Container) -> Root:
    """Mount the root of a stopped container, in this process, a child."""
    from mydocker.ops.rootfs import FillVolume, Mount, RootReadOnly
    from mydocker.ops.volumes import BindVolume, MountTmpfsVolume
    from mydocker.runtime import rootfs

    path = f"{container.directory}/rootfs"
    own = choice.named(container.driver).root_ops(container.directory, container.layers)

    def is_needed(op: Op) -> bool:
        if isinstance(op, Mount) and op not in own:
            return bool(op.flags & mounts.FLAGS["bind"]) and os.path.exists(op.source)
        # Without a volume's device, files would be copied to the directory below it.
        return op in own or isinstance(op, (FillVolume, BindVolume, MountTmpfsVolume))

    steps = [op for op in rootfs.plan(load_spec(container), path, own, cgroups.layout()) if is_needed(op)]
    if load_request(container).read_only:
        steps.append(RootReadOnly(path))
    mount_privately(steps)
    return Root(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), frozenset())
