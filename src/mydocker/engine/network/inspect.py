"""docker's JSON of a network."""

from __future__ import annotations

from mydocker import state
from mydocker.errors import CorruptRecord, NotFound
from mydocker.model.network import DEFAULT, endpoint_id
from mydocker.model.options.addresses import cidr, mac_of
from mydocker.network import ipam, leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.network import Network


def describe(network: Network) -> dict[str, Any]:
    """docker's JSON of a network, with the containers that run on it."""
    families = [(network.subnet, network.ip_range, network.gateway), (network.subnet6, "", network.gateway6)]
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {
            "Driver": "default",
            "Options": None if network.name == DEFAULT else {},
            "Config": [
                {"Subnet": subnet, **({"IPRange": ip_range} if ip_range else {}), "Gateway": gateway}
                for subnet, ip_range, gateway in families
                if subnet
            ],
        },
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {lease.container_id: _endpoint(network, lease) for lease in leases.active(network.name)},
        "Options": {
            **network.options,
            "com.docker.network.bridge.name": network.device,
            "com.docker.network.driver.mtu": str(network.mtu),
        },
        "Labels": network.labels,
    }


def _endpoint(network: Network, lease: leases.Lease) -> dict[str, str]:
    """docker's JSON of a container's endpoint."""
    address6 = ipam.address6(network, lease.address)
    try:
        endpoints = state.load(lease.container_id).endpoints
    except (NotFound, CorruptRecord):
        endpoints = []
    macs = [endpoint.mac for endpoint in endpoints if endpoint.network == network.name and endpoint.mac]
    return {
        "Name": lease.names[0],
        "EndpointID": endpoint_id(network.id, lease.container_id),
        "MacAddress": macs[0] if macs else mac_of(lease.address),
        "IPv4Address": cidr(network.subnet).with_prefix(lease.address),
        "IPv6Address": address6 and cidr(network.subnet6).with_prefix(address6),
    }
