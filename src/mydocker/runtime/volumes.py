"""Plan the mounts of volumes that have options."""

from __future__ import annotations

from mydocker import paths
from mydocker.kernel.mounts import FLAGS
from mydocker.ops.volumes import BindVolume, MountTmpfsVolume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.options.volumes import VolumeMount
    from mydocker.ops.base import Op


def fillable(volumes: list[VolumeMount]) -> dict[str, bool]:
    """Return {the volume's directory: True if it is filled with the image's files while it is empty}: no tmpfs, as with
    docker."""
    return {_directory(each): each["type"] == "bind" and "ro" not in each["options"] for each in volumes}


def _directory(volume: VolumeMount) -> str:
    return f"{paths.volume(volume['volume'])}/_data"


def plan(volumes: list[VolumeMount]) -> list[Op]:
    """Plan them; in a mount namespace whose mounts do not propagate."""
    steps: list[Op] = []
    for each in volumes:
        device, target, name, words = each["device"], _directory(each), each["volume"], each["options"]
        if each["type"] == "bind":
            steps.append(BindVolume(device, target, name, "rbind" in words, "ro" in words))
        else:
            flags = sum(FLAGS[word] for word in words if word in FLAGS)
            data = ",".join(word for word in words if word not in FLAGS)
            steps.append(MountTmpfsVolume(device, target, name, flags, data))
    return steps
