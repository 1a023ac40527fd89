"""Find an image that a container can start from: in the store, with its layers unpacked. The code that makes or unpacks
images is imported only when it is needed."""

from __future__ import annotations

from mydocker import config
from mydocker.errors import NotFound
from mydocker.image import store
from mydocker.image.drivers import choice
from mydocker.model.options.references import BUSYBOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.image.drivers.base import Driver


def find(reference: str, make: bool = True, driver: Driver | None = None) -> store.Image:
    """Look up an image by store.resolve(); busybox is made on first use. make: if False, nothing is written, and the
    storage driver may still lack layers. driver: for which the layers are, if the caller knows it. Raises NotFound,
    Conflict, CorruptRecord or, for busybox, HostError."""
    try:
        image = store.resolve(reference)
    except NotFound:
        if store.normalise(reference) != BUSYBOX:
            raise
        from mydocker.image import busybox

        return busybox.ensure() if make else busybox.build().image
    if make and (driver or choice.choose(config.load()["storage_driver"])[0]).missing(image.layers):
        from mydocker.image import intake

        intake.complete(image)
    return image
