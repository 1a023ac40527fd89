"""The step that shows layers which are not unpacked: see image/erofs/layers.py."""

from __future__ import annotations

from mydocker.kernel.filesystems import mount_readonly
from mydocker.ops.base import Context, Op, operation, quote


@operation
class MountIndex(Op):
    """Mount an erofs file system of metadata. data: the files with the content, as the index counts them. No loop
    device is needed: the kernel reads the files. mount(8) does without one from 2.39 on (X-mount.noloop)."""

    index: str
    data: list[str]
    target: str
    section = "mounts"

    def do(self, context: Context) -> None:
        mount_readonly("erofs", self.index, [("device", path) for path in self.data], self.target)

    def describe(self) -> str:
        layers = "a layer" if len(self.data) == 1 else f"{len(self.data)} layers"
        return f"show the files of {layers}, which stay in their tars"

    def shell(self) -> str:
        options = ",".join(["X-mount.noloop", "ro", "nosuid", "nodev", *(f"device={path}" for path in self.data)])
        return f"mount -t erofs -o {quote(options)} {quote(self.index)} {quote(self.target)}"
