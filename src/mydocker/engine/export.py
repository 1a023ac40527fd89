"""export: a container's root file system as a tar."""

from __future__ import annotations

import os
import sys

from mydocker import state
from mydocker.engine.child import in_child, mount_privately
from mydocker.errors import HostError
from mydocker.image import packing
from mydocker.image.drivers import choice

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
    # The tar is written into a device or FIFO; a file is replaced at the end.
    special = os.path.exists(output) and not os.path.isfile(output)
    path = output if special else f"{output}.{os.urandom(6).hex()}"
    try:
        descriptor = os.open(path, os.O_WRONLY | (0 if special else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC, 0o600)
        try:
            left_out = _export(source, descriptor)
        finally:
            os.close(descriptor)
        if not special:
            os.rename(path, output)
        return left_out
    except OSError as error:
        raise HostError(f"can't write {output}: {error.strerror}", "give another -o FILE") from None
    finally:
        if not special and os.path.lexists(path):
            os.unlink(path)


def _export(container: Container, descriptor: int) -> list[str]:
    """Write the tar in a child with its own mount namespace, so that the root's mount always ends with the child."""
    driver = choice.named(container.driver)
    driver.prepare(container.directory, container.layers)

    def write() -> list[str]:
        mount_privately(driver.view_ops(container.directory, container.layers))
        with open(descriptor, "wb", _CHUNK, closefd=False) as out:
            return packing.pack(f"{container.directory}/rootfs", out)

    return in_child(write, "export")
