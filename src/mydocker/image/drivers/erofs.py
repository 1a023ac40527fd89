"""erofs: layers are never unpacked. The kernel shows the files in a layer's tar by an index of them, and overlay stacks
the layers; a container's changes go to its directory upper/.

    mount -t erofs -o ro,device=TAR… INDEX LAYER        once for all containers: ops/erofs.py
    mount -t overlay overlay -o lowerdir=TOP:…:BOTTOM,upperdir=UPPER,workdir=WORK ROOTFS
"""

from __future__ import annotations

import os

from mydocker import paths, shortcut
from mydocker.errors import CorruptRecord
from mydocker.image.drivers import overlay, probe
from mydocker.image.erofs import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from mydocker.image.comparison import Change
    from mydocker.image.limits import Meter
    from mydocker.ops.base import Op

name = "erofs"
form = places.FORM

_XINO = "xino=auto"  # files of all layers are on one device, as with layers that are directories


def why_not(try_it: bool = True) -> str:
    return probe.erofs(try_it)


missing = places.missing


def holds(layers: list[str], candidates: list[str]) -> bool:
    from mydocker.image.erofs.layers import open_index

    images = [open_index(place) for place, _ in places.stack(layers)]
    return any(image.has(path) for image in images for path in candidates)


def index_layer(tar: str, directory: str, is_layer: bool = True, meter: Meter | None = None) -> list[Any]:
    from mydocker.image.erofs import layers

    return layers.index(tar, directory, is_layer, meter)


def complete_layer(directory: str, bare: list[Any], below: list[str]) -> None:
    from mydocker.image.erofs import layers

    layers.complete(bare, [*reversed(below), directory])


def prepare(directory: str, layers: list[str]) -> None:
    damage, top = places.examine(layers)
    if damage:
        hint = "a new container of the image makes it again from the image's blobs"
        raise CorruptRecord(f"corrupt image store: {damage}", hint)
    if layers:
        overlay.make_upper(directory, *top["root"])


def host_ops(directory: str, layers: list[str]) -> list[Op]:
    shortcut.bring("mydocker.ops.erofs")
    from mydocker.ops.erofs import ShareIndexes

    if not layers:
        return []
    rows = [[place, f"{where}/index", data] for place, (where, data) in zip(_shared(layers), places.stack(layers))]
    return [ShareIndexes(rows, os.path.basename(directory))]


def root_ops(directory: str, layers: list[str], shared: bool = False) -> list[Op]:
    if not shared:
        return [*_indexes(layers), overlay.writable(directory, _lowers(layers), more=_XINO)]
    from mydocker.ops.erofs import CheckMounted

    lowers = [f"{place}/root" for place in _shared(layers)]
    return [CheckMounted(lowers), overlay.writable(directory, lowers, more=_XINO)]


def view_ops(directory: str, layers: list[str]) -> list[Op]:
    return [*_indexes(layers), overlay.view(directory, _lowers(layers), more=_XINO)]


def differences(directory: str, layers: list[str]) -> list[Change]:
    from mydocker.image import comparison
    from mydocker.image.erofs.layers import open_index
    from mydocker.image.stack import Stack

    return comparison.changes(f"{directory}/upper", Stack([open_index(place) for place, _ in places.stack(layers)]))


upper = overlay.upper


def changes(directory: str, layers: list[str], out: BinaryIO) -> list[str]:
    return overlay.changes(directory, layers, out)


def _indexes(layers: list[str]) -> list[Op]:
    from mydocker.ops.erofs import MountIndex

    return [MountIndex(f"{place}/index", data, f"{place}/root") for place, data in places.stack(layers)]


def _shared(layers: list[str]) -> list[str]:
    return [paths.shared_layer(layers[last]) for _, last in places.spans(len(layers))]


def _lowers(layers: list[str]) -> list[str]:
    return [f"{place}/root" for place, _ in places.stack(layers)]
