"""aufs, as in the book: a writable branch on top of the image's read-only ones. Only patched kernels have it.

    mount -t aufs none -o br:RW=rw:TOP=ro+wh:…:BOTTOM=ro+wh ROOTFS

aufs marks removals by files `.wh.NAME`, as layers' tars do. Overlay's marks, which our unpacked layers have, are plain
device nodes to it. So it can show only images in which no layer removes anything.
"""

from __future__ import annotations

import os
import stat

from mydocker import paths
from mydocker.errors import Conflict
from mydocker.image import layer, packing
from mydocker.image.drivers import overlay
from mydocker.kernel import files
from mydocker.kernel.mounts import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from mydocker.image.comparison import Change
    from mydocker.ops.base import Op
    from mydocker.ops.rootfs import Mount

name = "aufs"
form = ""

_PAGE = os.sysconf("SC_PAGE_SIZE") - 1  # bytes of options that mount(2) takes, less the closing NUL
_OWN = (".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk")  # aufs's own files in the root of a writable branch


def why_not(try_it: bool = True) -> str:
    with open("/proc/filesystems", encoding="ascii") as table:
        return "" if "aufs" in table.read().split() else "the kernel has no aufs"


missing, holds, host_ops = overlay.missing, overlay.holds, overlay.host_ops


def prepare(directory: str, layers: list[str]) -> None:
    for chain_id in layers[1:]:
        root = os.open(paths.layer(chain_id), files.DIR)
        try:
            for entry in layer.walk(root):
                opaque = stat.S_ISDIR(entry.info.st_mode) and files.is_opaque(entry.here)
                if opaque or files.is_whiteout(entry.info):
                    raise Conflict(f"aufs can't use the image: a layer removes '/{entry.path}'", "overlay and copy can")
        finally:
            os.close(root)
    for path in ("rw", "rootfs"):
        os.makedirs(f"{directory}/{path}", 0o755, exist_ok=True)


def root_ops(directory: str, layers: list[str], shared: bool = False) -> list[Op]:
    return [_mount(directory, ["rw", *["ro+wh"] * len(layers)], layers, 0)]


def differences(directory: str, layers: list[str]) -> list[Change]:
    from mydocker.image import comparison
    from mydocker.image.stack import Directory, Stack

    stack = Stack([Directory(paths.layer(chain_id)) for chain_id in layers])
    return comparison.marked_changes(f"{directory}/rw", stack, _OWN)


def view_ops(directory: str, layers: list[str]) -> list[Op]:
    flags = FLAGS["ro"] | FLAGS["nodev"] | FLAGS["nosuid"] | FLAGS["noexec"]
    return [_mount(directory, ["ro+wh"] * (len(layers) + 1), layers, flags)]


def _mount(directory: str, kinds: list[str], layers: list[str], flags: int) -> Mount:
    from mydocker.ops.rootfs import Mount

    branches = [f"{directory}/rw", *map(paths.layer, reversed(layers))]
    options = "br:" + ":".join(f"{branch}={kind}" for branch, kind in zip(branches, kinds))
    if len(os.fsencode(options)) > _PAGE:
        raise Conflict(f"too many layers for aufs: {len(layers)}", "export a container of the image, import that")
    return Mount("none", f"{directory}/rootfs", "aufs", flags, options)


def upper(directory: str) -> str:
    return ""


def changes(directory: str, layers: list[str], out: BinaryIO) -> list[str]:
    """Write the writable branch, which has the marks of a layer's tar. aufs lets no container make a `.wh.NAME`."""
    with packing.Packer(f"{directory}/rw", out) as packer:
        for entry in packer.entries():
            if entry.path.partition("/")[0] in _OWN:
                continue
            if entry.name.startswith(layer.WHITEOUT):
                packer.mark(entry.path)
            elif not files.is_whiteout(entry.info):
                packer.add(entry)
    return packer.left_out
