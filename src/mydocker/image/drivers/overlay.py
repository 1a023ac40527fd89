"""overlay: containers share the image's layers, which stay unchanged; a container's changes go to its directory upper/.

mount -t overlay overlay -o lowerdir=TOP:…:BOTTOM,upperdir=UPPER,workdir=WORK ROOTFS
"""

from __future__ import annotations

import os

from mydocker import paths
from mydocker.errors import Conflict, CorruptRecord
from mydocker.image.drivers import probe
from mydocker.kernel.files import open_in_root
from mydocker.kernel.mounts import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from mydocker.image.comparison import Change
    from mydocker.ops.base import Op
    from mydocker.ops.rootfs import Mount

name = "overlay"
form = ""

_PAGE = os.sysconf("SC_PAGE_SIZE") - 1  # bytes of options that mount(2) takes, less the closing NUL
_MOST = 500  # layers that the kernel stacks
_SHORT = 6  # characters of a short name, 36 bits of the chain ID: _MOST of them fit into a page
# Kernels differ in their defaults. A renamed directory must be copied, not noted in an extended attribute that a layer
# can't carry; an image's own attributes of that kind have no effect.
_PLAIN = "redirect_dir=nofollow,metacopy=off,index=off"


def why_not(try_it: bool = True) -> str:
    return probe.overlay(try_it)


def missing(layers: list[str]) -> list[int]:
    return [at for at, chain_id in enumerate(layers) if not os.path.isdir(paths.layer(chain_id))]


def holds(layers: list[str], candidates: list[str]) -> bool:
    for chain_id in layers:
        root = os.open(paths.layer(chain_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for candidate in candidates:
                try:
                    os.close(open_in_root(root, candidate, os.O_PATH))
                    return True
                except OSError:
                    continue
        finally:
            os.close(root)
    return False


def prepare(directory: str, layers: list[str]) -> None:
    top = os.stat(paths.layer(layers[-1])) if layers else None
    make_upper(directory, *((top.st_mode & 0o7777, top.st_uid, top.st_gid) if top else (0o755, 0, 0)))
    if not _fit(directory, layers):
        for layer in layers:
            _link(f"{paths.LAYERS}/{_short(layer)}", os.path.basename(paths.layer(layer)))


def make_upper(directory: str, mode: int, uid: int, gid: int) -> None:
    """Make the directories of an overlay, once; the root has the mode and owner of the top layer's."""
    for path in ("upper", "work", "rootfs"):
        try:
            os.mkdir(f"{directory}/{path}", 0o755)
        except FileExistsError:
            if path == "upper":
                break
    else:
        os.chown(f"{directory}/upper", uid, gid)
        os.chmod(f"{directory}/upper", mode)


def host_ops(directory: str, layers: list[str]) -> list[Op]:
    return []


def root_ops(directory: str, layers: list[str], shared: bool = False) -> list[Op]:
    return [writable(directory, *_lowers(directory, layers))]


def writable(directory: str, lowers: list[str], start: str = "", more: str = "") -> Mount:
    """Plan the mount of a root on the directories `lowers`, bottom first. start: where relative ones begin. more:
    another option."""
    from mydocker.ops.rootfs import Mount

    options = _checked(f"{_stack(lowers)},{_writable(directory)}{more and ','}{more}", lowers)
    return Mount("overlay", f"{directory}/rootfs", "overlay", 0, options, directory=start)


def view_ops(directory: str, layers: list[str]) -> list[Op]:
    return [view(directory, *_lowers(directory, layers))]


def view(directory: str, lowers: list[str], start: str = "", more: str = "") -> Mount:
    """Plan the mount of the same root that writes nothing."""
    from mydocker.ops.rootfs import Mount

    flags = FLAGS["ro"] | FLAGS["nodev"] | FLAGS["nosuid"] | FLAGS["noexec"]
    options = _checked(f"{_stack([*lowers, f'{directory}/upper'])},{_PLAIN}{more and ','}{more}", lowers)
    return Mount("overlay", f"{directory}/rootfs", "overlay", flags, options, directory=start)


def differences(directory: str, layers: list[str]) -> list[Change]:
    from mydocker.image import comparison
    from mydocker.image.stack import Directory, Stack

    return comparison.changes(f"{directory}/upper", Stack([Directory(paths.layer(layer)) for layer in layers]))


def upper(directory: str) -> str:
    return f"{directory}/upper"


def changes(directory: str, layers: list[str], out: BinaryIO) -> list[str]:
    from mydocker.image import packing

    return packing.pack_changes(f"{directory}/upper", out)


def _stack(lowers: list[str]) -> str:
    return "lowerdir=" + ":".join(escape(lower) for lower in reversed(lowers))


def _writable(directory: str) -> str:
    return f"upperdir={escape(f'{directory}/upper')},workdir={escape(f'{directory}/work')},{_PLAIN}"


def _lowers(directory: str, layers: list[str]) -> tuple[list[str], str]:
    """Return the layers' directories and "" or, if their paths don't fit into a page, the short links to them that
    prepare() has made, and the directory in which those are."""
    if _fit(directory, layers):
        return [paths.layer(layer) for layer in layers], ""
    return [_short(layer) for layer in layers], paths.LAYERS


def _fit(directory: str, layers: list[str]) -> bool:
    lowers = [paths.layer(layer) for layer in layers]
    return len(os.fsencode(f"{_stack(lowers)},{_writable(directory)}")) <= _PAGE


def _short(chain_id: str) -> str:
    from binascii import b2a_base64

    return b2a_base64(bytes.fromhex(chain_id[-64:-52])).decode()[:_SHORT].translate(_IN_NAMES)


_IN_NAMES = {ord("+"): "-", ord("/"): "_"}


def _link(alias: str, target: str) -> None:
    try:
        os.symlink(target, alias)
    except FileExistsError:
        if os.readlink(alias) != target:
            raise CorruptRecord(f"{alias} does not point to {target}", "remove the link") from None


def _checked(options: str, layers: list[str]) -> str:
    if not layers:
        raise Conflict("the image has no layers", "overlay needs one; import a root file system")
    if len(layers) > _MOST or len(os.fsencode(options)) > _PAGE:
        raise Conflict(
            f"the image has too many layers for overlay: {len(layers)}",
            f"the kernel stacks {_MOST}, whose names fit into {_PAGE} bytes; export a container of it and import that",
        )
    return options


def escape(path: str) -> str:
    """Escape a path for overlay's options, in which `:` separates layers and `,` options."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
