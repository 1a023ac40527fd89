"""Steps that join namespaces of another container (--pid, --ipc container:NAME); loaded only where there is one.

descriptor: a pidfd of that container's first process, opened while it was known to run; -1 in a plan that only undoes.
"""

from __future__ import annotations

import os

from mydocker.kernel import mounts, process
from mydocker.ops.base import Context, Op, operation, quote


@operation
class EnterProcesses(Op):
    """Have the next child of this process born in the PID namespace of another container. undo() goes back."""

    descriptor: int
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.setns(self.descriptor, process.NAMESPACES["pid"])

    def undo(self) -> None:
        _own_processes()

    def describe(self) -> str:
        return "enter the PID namespace of the other container, for the clone"

    def shell(self) -> str:
        return "nsenter --target PID --pid  # for its children"


@operation
class LeaveProcesses(Op):
    """Go back to this process's own PID namespace, after the clone."""

    section = "namespaces"

    def do(self, context: Context) -> None:
        _own_processes()

    def describe(self) -> str:
        return "go back to the host's PID namespace"

    def shell(self) -> str:
        return "nsenter --pid=/proc/self/ns/pid  # for its children"


def _own_processes() -> None:
    descriptor = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        process.setns(descriptor, process.NAMESPACES["pid"])
    finally:
        os.close(descriptor)


@operation
class JoinIpc(Op):
    """Join the IPC namespace of another container, and take a copy of its mount of /dev/shm as descriptor `target`.

    A mount of another mount namespace can only be copied in there."""

    descriptor: int
    target: int
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.setns(self.descriptor, process.NAMESPACES["ipc"])
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            process.setns(self.descriptor, process.NAMESPACES["mount"])
            try:
                tree = mounts.copy_mount("/dev/shm")
            finally:
                process.setns(own, process.NAMESPACES["mount"])
        finally:
            os.close(own)
        if tree != self.target:
            os.dup2(tree, self.target, inheritable=False)
            os.close(tree)

    def describe(self) -> str:
        return "join the other container's IPC namespace and take its /dev/shm"

    def shell(self) -> str:
        return "nsenter --target PID --ipc; mount --bind /proc/PID/root/dev/shm …  # open_tree(2) in there"


@operation
class AttachSharedMemory(Op):
    """Attach the mount that JoinIpc has taken. tree: its descriptor, which is closed."""

    root: str
    target: str
    tree: int
    section = "mounts"

    def do(self, context: Context) -> None:
        point = mounts.open_point(self.root, self.target, "directory", follow=False)
        try:
            mounts.attach(self.tree, point, self.target)
        finally:
            os.close(point)
            os.close(self.tree)

    def describe(self) -> str:
        return f"mount the other container's shared memory on {self.target}"

    def shell(self) -> str:
        return f"mount --move … {quote(self.root + self.target)}  # move_mount(2)"
