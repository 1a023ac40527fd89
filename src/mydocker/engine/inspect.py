"""inspect: a container, an image, a volume or a network as docker's JSON."""

from __future__ import annotations

from mydocker import state
from mydocker.engine import bundle
from mydocker.errors import FAILED, InvalidArgument, NotFound
from mydocker.model import docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from mydocker.model.container import Container


def anything(name: str) -> tuple[str, dict[str, Any]]:
    """Describe the first object of that name or ID, and return its kind too: a container, else an image, a volume, a
    network. Raises NotFound."""
    for kind, describe in _describers().items():
        try:
            return kind, describe(name)
        except (NotFound, InvalidArgument):
            continue
    raise NotFound(f"no such object: {name}", "no container, image, volume or network has that name or ID")


def of_kind(kind: str) -> Callable[[str], tuple[str, dict[str, Any]]]:
    """Return what describes objects of one kind only, as anything() does. Raises InvalidArgument for an unknown
    kind."""
    describers = _describers()
    if kind not in describers:
        raise InvalidArgument(f"invalid type '{kind}'", f"one of {', '.join(describers)}", FAILED)
    return lambda name: (kind, describers[kind](name))


def with_sizes(look: Callable[[str], tuple[str, dict[str, Any]]]) -> Callable[[str], tuple[str, dict[str, Any]]]:
    """Return what describes objects as `look` does, and containers with docker's SizeRw and SizeRootFs."""
    from mydocker.engine import sizes

    def sized(name: str) -> tuple[str, dict[str, Any]]:
        kind, document = look(name)
        if kind == "container":
            written, image = sizes.of(state.load(document["Id"]))
            document.update(SizeRw=written, SizeRootFs=written + image)
        return kind, document

    return sized


def _describers() -> dict[str, Callable[[str], dict[str, Any]]]:
    return {"container": container, "image": image, "volume": volume, "network": network}


def container(name: str) -> dict[str, Any]:
    record = state.find(name)
    return docker.container(record, bundle.load_request(record), bundle.load_spec(record), _network_ids(record))


def _network_ids(record: Container) -> dict[str, str]:
    """Return the IDs of the container's networks; deleted networks are left out."""
    if not record.networks:
        return {}
    from mydocker.engine.network import networks

    ids = {}
    for endpoint in record.endpoints:
        try:
            ids[endpoint.network] = networks.load(endpoint.network).id
        except NotFound:
            continue
    return ids


def image(name: str) -> dict[str, Any]:
    from mydocker.image import lookup, sizes

    image = lookup.find(name, make=False)
    return docker.image(
        image.id, image.config, image.layers, [*image.names, *image.repo_digests], sizes.of_image(image)
    )


def volume(name: str) -> dict[str, Any]:
    from mydocker.engine import volumes

    volume = volumes.load(name)
    return docker.volume(volume.name, volume.created, volume.labels, volume.options)


def network(name: str) -> dict[str, Any]:
    from mydocker.engine import builtin

    return builtin.describe(builtin.find(name))
