"""Find an image that a container can start from: in the store, with its layers unpacked. The code that makes or unpacks
images is imported only when it is needed."""

from __future__ import annotations

import os

from mydocker import paths
from mydocker.errors import NotFound
from mydocker.image import store
from mydocker.model.options.references import BUSYBOX


def find(reference: str, make: bool = True) -> store.Image:
    """Look up an image by store.resolve(); busybox is made on first use. make: if False, nothing is written, and layers
    may still be packed. Raises NotFound, Conflict, CorruptRecord or, for busybox, HostError."""
    try:
        image = store.resolve(reference)
    except NotFound:
        if store.normalise(reference) != BUSYBOX:
            raise
        from mydocker.image import busybox

        return busybox.ensure() if make else busybox.build().image
    if make and not all(os.path.isdir(paths.layer(chain_id)) for chain_id in image.layers):
        from mydocker.image import intake

        intake.complete(image)
    return image
