"""Steps that mount what a volume's options name; loaded only where a volume has some."""

from __future__ import annotations

import os

from mydocker.kernel import borrowing, mounts, process
from mydocker.kernel.files import write_atomic
from mydocker.kernel.locks import DIRECTORY, Lock
from mydocker.ops.base import Context, Op, operation, quote


@operation
class BindVolume(Op):
    """Bind a volume's device on its directory, in the container's mount namespace: the host never sees it. The
    directory is bound into the container later, as that of any volume.

    volume: its name, for people. recursive: with the mounts below it.
    """

    source: str
    target: str
    volume: str
    recursive: bool = False
    readonly: bool = False
    section = "mounts"

    def do(self, context: Context) -> None:
        flags = mounts.FLAGS["bind"]
        try:
            mounts.mount(self.source, self.target, flags=flags | (mounts.FLAGS["rec"] if self.recursive else 0))
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.source) from None
        if self.readonly:
            mounts.mount("none", self.target, flags=flags | mounts.FLAGS["remount"] | mounts.FLAGS["ro"])

    def describe(self) -> str:
        return f"bind {self.source} as volume {self.volume}"

    def shell(self) -> str:
        kind = ("--rbind" if self.recursive else "--bind") + (" -o ro" if self.readonly else "")
        return f"mount {kind} {quote(self.source)} {quote(self.target)}"


@operation
class MountTmpfsVolume(Op):
    """Mount a volume's tmpfs on its directory, as BindVolume does. Containers that run at the same time share it: the
    next one takes it out of the mount namespace of one that has it. It is gone with the last.

    The file `mounted` beside the directory has the boot's ID, the tmpfs's device and inode, and then the PID and start
    time of each container's first process. It is written under the lock of the volume.
    flags: as in mounts.FLAGS. data: tmpfs's own options. volume: its name, for people.
    """

    source: str
    target: str
    volume: str
    flags: int
    data: str
    section = "mounts"

    def do(self, context: Context) -> None:
        directory = os.path.dirname(self.target)
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            boot = file.read().strip()
        with Lock(directory, DIRECTORY, wait=None):
            identity, users = _mounted(f"{directory}/mounted", boot)
            tree = next((tree for tree in (borrowing.take(*user, *identity) for user in users) if tree >= 0), -1)
            if tree < 0:
                users = []
                mounts.mount(self.source, self.target, "tmpfs", self.flags, self.data)
            else:
                point = os.open(self.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                mounts.attach(tree, point, self.target)
                os.close(point)
                os.close(tree)
            own = int(os.readlink("/proc/self"))  # by the host's /proc: its own PID may be 1
            info = os.stat(self.target)
            rows = [(info.st_dev, info.st_ino), *users, (own, process.start_time(own))]
            lines = [b"%d %d" % row for row in rows]
            write_atomic(f"{directory}/mounted", b"\n".join([boot, *lines, b""]))

    def describe(self) -> str:
        return f"mount volume {self.volume}, a tmpfs that running containers share"

    def shell(self) -> str:
        names = [name for name, bit in mounts.FLAGS.items() if self.flags & bit]
        options = ",".join([*names, *([self.data] if self.data else [])])
        option = f" -o {quote(options)}" if options else ""
        return f"mount -t tmpfs{option} {quote(self.source)} {quote(self.target)}"


def _mounted(path: str, boot: bytes) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Read the file `mounted`: the device and inode, and the processes that are still there. Nothing of another boot,
    or of a damaged file."""
    try:
        with open(path, "rb") as file:
            first, *lines = file.read().splitlines()
        rows = [(int(one), int(two)) for one, two in (line.split() for line in lines)]
    except (FileNotFoundError, ValueError):
        return (0, 0), []
    if first != boot or not rows:
        return (0, 0), []
    return rows[0], [row for row in rows[1:] if process.start_time(row[0]) == row[1]]
