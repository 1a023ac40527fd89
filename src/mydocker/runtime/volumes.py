"""Plan the mounts of volumes that have options."""

from __future__ import annotations

from mydocker import paths
from mydocker.kernel.mounts import FLAGS
from mydocker.ops.volumes import MountVolume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.options.volumes import VolumeMount
    from mydocker.ops.base import Op


def fillable(volumes: list[VolumeMount]) -> dict[str, bool]:
    """Return {the volume's directory: True if it is filled with the image's files while it is empty}."""
    return {_directory(each): "ro" not in each["options"] for each in volumes}


def _directory(volume: VolumeMount) -> str:
    return f"{paths.volume(volume['volume'])}/_data"


def plan(volumes: list[VolumeMount]) -> list[Op]:
    """Plan them; in a mount namespace whose mounts do not propagate."""
    steps: list[Op] = []
    for each in volumes:
        words, target = each["options"], _directory(each)
        flags = FLAGS["bind"] | (FLAGS["rec"] if "rbind" in words else 0)
        readonly = "ro" in words
        steps.append(MountVolume(each["device"], target, "", flags, "", each["volume"], readonly))
    return steps
