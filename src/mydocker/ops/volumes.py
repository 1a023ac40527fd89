"""Steps that mount what a volume's options name; loaded only where a volume has some."""

from __future__ import annotations

from mydocker.kernel import mounts
from mydocker.ops.base import Context, Op, operation, quote


@operation
class MountVolume(Op):
    """Mount a volume's device on its directory, in the container's mount namespace: the host never sees it. The
    directory is bound into the container later, as that of any volume.

    flags: as in mounts.FLAGS. volume: its name, for people. readonly: of a bind mount, which needs a second call.
    """

    source: str
    target: str
    fstype: str
    flags: int
    data: str
    volume: str
    readonly: bool = False
    section = "mounts"

    def do(self, context: Context) -> None:
        try:
            mounts.mount(self.source, self.target, self.fstype, self.flags, self.data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.source) from None
        if self.readonly:
            flags = mounts.FLAGS["remount"] | mounts.FLAGS["bind"] | mounts.FLAGS["ro"]
            mounts.mount("none", self.target, flags=flags)

    def describe(self) -> str:
        return f"{'mount' if self.fstype else 'bind'} {self.source} as volume {self.volume}"

    def shell(self) -> str:
        if self.fstype:
            names = [name for name, bit in mounts.FLAGS.items() if self.flags & bit]
            options = ",".join([*names, *([self.data] if self.data else [])])
            kind = f"-t {self.fstype}" + (f" -o {quote(options)}" if options else "")
        else:
            kind = "--rbind" if self.flags & mounts.FLAGS["rec"] else "--bind"
            kind += " -o ro" if self.readonly else ""
        return f"mount {kind} {quote(self.source)} {quote(self.target)}"
