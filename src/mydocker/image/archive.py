"""Make images of a root file system's tar or a container's changes."""

from __future__ import annotations

from time import time_ns

from mydocker.image import intake, store, writer
from mydocker.image.streams import decompressed
from mydocker.model.timestamp import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from mydocker.image.streams import Stream


def import_image(source: Stream, name: str, config: dict[str, Any], message: str) -> store.Image:
    """Make an image with one layer of a tar, plain or compressed. name: normalised, or "" for none. config: the OCI
    config's "config". Raises InvalidArgument for an archive that is not to be trusted; nothing of it is left then."""
    with decompressed(source) as plain, writer.Workspace() as work:
        descriptor = intake.store_plain(plain, work)
        created = rfc3339(time_ns())
        document = {
            "created": created,
            "architecture": store.architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"]]},
            "history": [{"created": created, "comment": message or "Imported from -"}],
        }
        config_data, manifest = writer.documents(document, [descriptor])
        with writer.lock(work):
            return writer.add(work, config_data, manifest, [name] if name else [])


def commit(
    write_changes: Callable[[BinaryIO], object],
    parent: store.Image,
    name: str,
    config: dict[str, Any],
    created_by: str,
    author: str = "",
    message: str = "",
) -> store.Image:
    """Make an image of `parent` with another layer. write_changes: writes the layer's tar (a storage driver's
    `changes`), which is stored and unpacked meanwhile. config: the OCI config's "config". created_by: the command that
    made the changes. A layer without changes is left out, as with docker."""
    with writer.Workspace() as work:
        descriptor, chain_id = intake.make(work, write_changes, parent.layers)
        diff_ids = list(parent.config["rootfs"]["diff_ids"])
        descriptors = store.layer_descriptors(parent.manifest)
        created = rfc3339(time_ns())
        history: dict[str, Any] = {"created": created, "created_by": created_by}
        if author:
            history["author"] = author
        if message:
            history["comment"] = message
        if chain_id:
            diff_ids.append(descriptor["digest"])
            descriptors.append(descriptor)
        else:
            history["empty_layer"] = True
        document = {
            **parent.config,
            "created": created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [*(parent.config.get("history") or []), history],
        }
        document.pop("author", None)
        if author:
            document["author"] = author
        config_data, manifest = writer.documents(document, descriptors)
        with writer.lock(work):
            store.look(parent.id)  # raises NotFound if the parent has been removed, and its layers with it
            return writer.add(work, config_data, manifest, [name] if name else [])
