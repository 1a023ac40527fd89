"""inspect: a container, an image, a volume or a network as docker's JSON."""

from __future__ import annotations

from mydocker import state
from mydocker.engine import bundle
from mydocker.errors import InvalidArgument, NotFound
from mydocker.model import docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def anything(name: str) -> tuple[str, dict[str, Any]]:
    """Find the thing of that name or ID, and its kind: a container, else an image, a volume, a network. Raises
    NotFound if nothing does."""
    looks = {"container": container, "image": image, "volume": volume, "network": network}
    for kind, look in looks.items():
        try:
            return kind, look(name)
        except (NotFound, InvalidArgument):
            continue
    raise NotFound(f"no such object: {name}", "no container, image, volume or network has that name or ID")


def container(name: str) -> dict[str, Any]:
    found = state.find(name)
    return docker.container(found, bundle.load_request(found), bundle.load_spec(found), _network_ids(found))


def _network_ids(found: Container) -> dict[str, str]:
    """Of the networks that it is on; one that is gone has none."""
    if not found.networks:
        return {}
    from mydocker.engine.network import networks

    ids = {}
    for endpoint in found.endpoints:
        try:
            ids[endpoint.network] = networks.load(endpoint.network).id
        except NotFound:
            continue
    return ids


def image(name: str) -> dict[str, Any]:
    from mydocker.image import lookup

    found = lookup.find(name, make=False)
    return docker.image(found.id, found.config, found.layers, found.names, found.size)


def volume(name: str) -> dict[str, Any]:
    from mydocker.engine import volumes

    found = volumes.load(name)
    return docker.volume(found.name, found.created, found.labels)


def network(name: str) -> dict[str, Any]:
    from mydocker.engine import builtin

    return builtin.described(builtin.find(name))
