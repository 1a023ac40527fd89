"""commit: an image of a container's changes."""

from __future__ import annotations

from contextlib import nullcontext

from mydocker import state
from mydocker.build.changes import apply_changes
from mydocker.engine import bundle, export
from mydocker.engine.images import new_name
from mydocker.engine.pausing import paused
from mydocker.errors import Conflict, NotFound
from mydocker.image import archive, store
from mydocker.image.drivers import choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def commit(
    container: str, name: str | None, changes: list[str], message: str, author: str, output: str, pause: bool
) -> tuple[str, list[str]]:
    """Make an image of a container's changes. Returns its ID, and warnings for the user, as on files that were left out
    because a layer can't hold them. output: a file that also gets the root file system as a tar. pause: a running
    container is paused meanwhile.

    Without `name`, `container` is a container, whose image gets no name; or, if only one container is running, the name
    for its image.
    """
    source, target = _to_commit(container, name)
    try:
        parent = store.resolve(source.image_id)
    except NotFound:
        hint = f"'mydocker export {source.name} | mydocker import -' keeps its files"
        raise Conflict(f"the image of container {source.name} has been removed", hint) from None
    driver = choice.named(source.driver)
    config = apply_changes(_config(source, parent), changes)
    warnings: list[str] = []
    with paused(source) if pause else nullcontext():
        image = archive.commit(
            lambda out: warnings.extend(driver.changes(source.directory, source.layers, out)),
            parent,
            target,
            config,
            " ".join(source.command),
            author,
            message,
        )
        if output:
            warnings += export.export(source.id, output)
    return image.id, warnings


def _to_commit(container: str, name: str | None) -> tuple[Container, str]:
    """Return (the container, the image's name) for commit's arguments."""
    try:
        return state.find(container), new_name(name) if name else ""
    except NotFound:
        running = [each for each in state.readable() if state.is_running(each)]
        if name or len(running) != 1:
            raise
        return running[0], new_name(container)


def _config(container: Container, parent: store.Image) -> dict[str, Any]:
    """Make the image config for more containers like this one: as docker's, without the triggers for a build."""
    request = bundle.load_request(container)
    own: dict[str, Any] = {
        "Env": [row for row in request.env if "=" in row],
        "Entrypoint": request.entrypoint,
        "Cmd": request.command,
        "User": request.user,
        "WorkingDir": request.workdir,
        "Labels": request.labels,
        "ExposedPorts": {port: {} for port in request.exposed_ports},
        "StopSignal": request.stop_signal,
    }
    config = {**(parent.config.get("config") or {}), **own}
    return {key: value for key, value in config.items() if value and key != "OnBuild"}
