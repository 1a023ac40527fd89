"""host and none as docker's `network` commands show them: listed and inspected, but never made, joined or removed."""

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
    """Any network, by name, ID or the beginning of an ID. Raises as networks.find() does."""
    try:
        return networks.find(reference)
    except NotFound:
        for each in both():
            if reference and (each.name == reference or each.id.startswith(reference)):
                return each
        raise


def check_removable(reference: str) -> None:
    """Raises Conflict."""
    name = _named(reference)
    if name:
        raise Conflict(f"{name} is a pre-defined network and cannot be removed")


def check_joinable(reference: str) -> None:
    """Raises Conflict: who is on host or on none is so from its start, for good."""
    name = _named(reference)
    if name:
        raise Conflict(
            f"a running container can't be connected to network {name}, nor disconnected from it",
            f"'mydocker run --net {name}' makes one that is on it",
        )


def _named(reference: str) -> str:
    """Which of the two it names; "" if another network or none, what is told elsewhere."""
    try:
        name = find(reference).name
    except (NotFound, Conflict, CorruptRecord):
        return ""
    return name if name in BUILTIN else ""


def described(found: Network) -> dict[str, Any]:
    """docker's JSON of any network."""
    shown = inspect.describe(found)
    if found.name in BUILTIN:
        shown["IPAM"] = {"Driver": "default", "Options": None, "Config": []}
        shown["Options"] = {}
        shown["Containers"] = {
            each.id: {
                "Name": each.name,
                "EndpointID": endpoint_id(found.id, each.id),
                "MacAddress": "",
                "IPv4Address": "",
                "IPv6Address": "",
            }
            for each in state.containers()
            if each.is_up() and each.network == found.name
        }
    return shown
