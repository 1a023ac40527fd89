"""The networks host and none: docker's `network` commands list and inspect them, but never create, join or remove
them."""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import inspect, networks
from mydocker.errors import Conflict, CorruptRecord, NotFound
from mydocker.model.network import BUILTIN, Network, builtin_id, endpoint_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNDATED = "1970-01-01T00:00:00Z"


def both() -> list[Network]:
    return [
        Network(name, builtin_id(name), _UNDATED, device="", subnet="", gateway="", driver=driver)
        for name, driver in BUILTIN.items()
    ]


def find(reference: str) -> Network:
    """Find any network, by name, ID or a prefix of an ID. Raises as networks.find() does."""
    try:
        return networks.find(reference)
    except NotFound:
        for each in both():
            if reference and (each.name == reference or each.id.startswith(reference)):
                return each
        raise


def check_removable(reference: str) -> None:
    """Raises Conflict for host and none."""
    name = _named(reference)
    if name:
        raise Conflict(f"{name} is a pre-defined network and cannot be removed")


def check_joinable(reference: str) -> None:
    """Raises Conflict: a container is on host or none for its whole run."""
    name = _named(reference)
    if name:
        raise Conflict(
            f"a running container can't be connected to or disconnected from network {name}",
            f"'mydocker run --net {name}' creates one on it",
        )


def _named(reference: str) -> str:
    """Return the name if the reference is one of the two, else ""; other callers report unknown networks."""
    try:
        name = find(reference).name
    except (NotFound, Conflict, CorruptRecord):
        return ""
    return name if name in BUILTIN else ""


def describe(network: Network) -> dict[str, Any]:
    """Return docker's JSON of any network."""
    shown = inspect.describe(network)
    if network.name in BUILTIN:
        shown["IPAM"] = {"Driver": "default", "Options": None, "Config": []}
        shown["Options"] = {}
        shown["Containers"] = {
            each.id: {
                "Name": each.name,
                "EndpointID": endpoint_id(network.id, each.id),
                "MacAddress": "",
                "IPv4Address": "",
                "IPv6Address": "",
            }
            for each in state.containers()
            if each.is_up() and each.network == network.name
        }
    return shown
