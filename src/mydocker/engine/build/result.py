"""The result of a stage, as JSON from one process to another; and from the last stage an image, or files."""

from __future__ import annotations

import os
import sys
from time import time_ns

from mydocker.build import config
from mydocker.build.failure import BuildWarning
from mydocker.build.instructions import Instruction, Run, Transfer, Workdir
from mydocker.engine.build.layers import Layer, stack
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Origin, Step
from mydocker.errors import HostError
from mydocker.image import build_cache, store, writer
from mydocker.model.timestamp import rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from mydocker.engine.build.stage import Builder, Shared
    from mydocker.ops.base import Op

    Json = dict[str, Any]

_OURS = ("created", "architecture", "os", "config", "rootfs", "history", "author")
_LOST = ("container", "container_config", "docker_version", "id", "parent", "throwaway")  # docker's classic builder's


def makes_layer(one: Instruction) -> bool:
    """True for an instruction that is a numbered step."""
    return isinstance(one, (Run, Transfer, Workdir))


def extra_of(document: Json) -> Json:
    """Return the fields of a base's config that the new image keeps: its variant, say."""
    return {key: value for key, value in document.items() if key not in _OURS + _LOST}


def result_of(builder: Builder, extra: Json) -> Json:
    state = builder.state
    return {
        "state": {key: value for key, value in state.__dict__.items() if key != "warnings"},
        "warnings": [warning.__dict__ for warning in state.warnings],
        "layers": [layer.__dict__ for layer in builder.layers],
        "created": builder.created,
        "extra": extra,
    }


def state_of(result: Json) -> config.State:
    return config.State(**result["state"])


def layers_of(result: Json) -> list[Layer]:
    return [Layer(**fields) for fields in result["layers"]]


def warning(fields: Json) -> BuildWarning:
    return BuildWarning(**fields)


# --- an image ---------------------------------------------------------------------------------------------------------


def store_image(result: Json, shared: Shared) -> store.Image:
    """Put the image into the store, under the names of the request."""
    made = layers_of(result)
    document = _document(result, made, shared)
    data, manifest = writer.documents(document, [layer.descriptor for layer in made])
    image = writer.known(manifest, shared.request.tags)
    if image and not shared.driver.missing(image.layers):
        return image
    from mydocker.image import intake

    layers = [intake.Layer(layer.descriptor, layer.diff_id, _absent) for layer in made]
    began = time_ns()
    image = intake.take(data, layers, shared.request.tags)
    build_cache.note_sync(began)
    return image


def _absent() -> BinaryIO:
    raise HostError("a layer of the build has been removed meanwhile", "build again")


def _document(result: Json, made: list[Layer], shared: Shared) -> Json:
    state = state_of(result)
    if shared.request.labels:
        state.config["Labels"] = {**(state.config.get("Labels") or {}), **shared.request.labels}
    created = result["created"]
    if shared.epoch is not None:
        created = rfc3339(shared.epoch * 10**9)
    document = {
        **({"created": created} if created else {}),
        **({"author": state.author} if state.author else {}),
        "architecture": store.architecture(),
        "os": "linux",
        **result["extra"],
        "config": config.image_config(state),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
        "history": state.history,
    }
    return document


# --- files ------------------------------------------------------------------------------------------------------------


@record
class _Folder:
    """A directory of the host in the place of a root that copying.apply() writes into."""

    path: str

    def prepare(self) -> None:
        os.makedirs(self.path, 0o755, exist_ok=True)

    def ops(self) -> list[Op]:
        return []


def write_files(result: Json, shared: Shared) -> None:
    """Write the files of the last stage's root: into a directory, where they become the caller's, or as a tar."""
    from mydocker.engine.build import copying
    from mydocker.engine.output_file import OutputFile

    output = shared.request.output
    chain = stack(store.chain_ids([layer.diff_id for layer in layers_of(result)]), shared.driver)
    with writer.Workspace() as work:
        directory = f"{work.path}/root"
        os.mkdir(directory, 0o700)
        root = Root(shared.driver, directory, chain)
        try:
            if output.kind == "local":
                step = Step(Origin("the image", root=root), ["."], "/", chown=f"{os.geteuid()}:{os.getegid()}")
                copying.apply(step, _Folder(os.path.abspath(output.destination)))  # type: ignore[arg-type]
            elif output.destination == "-":
                sys.stdout.flush()
                _write_tar(root, 1)
            else:
                with OutputFile(output.destination, 0o644, "give another --output") as descriptor:
                    _write_tar(root, descriptor)
        except OSError as error:
            raise HostError(f"can't write {output.destination}: {error.strerror}", "give another --output") from None


def _write_tar(root: Root, descriptor: int) -> None:
    from mydocker.engine.private_mounts import mount_privately
    from mydocker.image import packing
    from mydocker.kernel.child import in_child

    root.prepare()

    def write() -> list[str]:
        mount_privately(root.view_ops())
        with open(descriptor, "wb", closefd=False) as out:
            return packing.pack(root.path, out)

    in_child(write, "writing the files")
