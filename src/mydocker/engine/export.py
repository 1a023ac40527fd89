"""export: a container's root file system as a tar."""

from __future__ import annotations

import sys

from mydocker import state
from mydocker.engine.output_file import OutputFile
from mydocker.engine.private_mounts import mount_privately
from mydocker.image import packing
from mydocker.image.drivers import choice
from mydocker.kernel.child import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_CHUNK = 1 << 20


def export(container: str, output: str) -> list[str]:
    """Write a running or stopped container's root file system as a tar, without what is mounted in it. output: a file,
    replaced when the tar is complete; "" for stdout. Returns a sentence for each file that was left out."""
    source = state.find(container)
    if not output:
        sys.stdout.flush()
        return _export(source, 1)
    with OutputFile(output) as descriptor:
        return _export(source, descriptor)


def _export(container: Container, descriptor: int) -> list[str]:
    """Write the tar in a child with its own mount namespace, so that the root's mount always ends with the child."""
    driver = choice.named(container.driver)
    driver.prepare(container.directory, container.layers)

    def write() -> list[str]:
        mount_privately(driver.view_ops(container.directory, container.layers))
        with open(descriptor, "wb", _CHUNK, closefd=False) as out:
            return packing.pack(f"{container.directory}/rootfs", out)

    return in_child(write, "export")
