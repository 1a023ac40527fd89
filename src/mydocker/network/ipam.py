"""Choose the address of a container. Pure."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.addresses import IPV4, IPV6, cidr, parse, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from mydocker.model.network import Network


def lowest_free(network: Network, taken: Container[int]) -> str:
    """The lowest free address, within the ip_range if there is one; "" if none is free. taken: as numbers."""
    pool, reserved = cidr(network.ip_range or network.subnet), _reserved(network)
    number = pool.base
    while number <= pool.last:  # stops at the first gap, so the network's size does not matter
        if number not in taken and number not in reserved:
            return show(number)
        number += 1
    return ""


def check(network: Network, requested: str) -> str:
    """Check an address given by --ip, and return it in canonical form. As in docker, it may be outside the ip_range."""
    number, bits = parse(requested)
    subnet = cidr(network.subnet)
    if bits != IPV4:
        raise InvalidArgument(
            f"'{requested}' is not an IPv4 address", "a container's IPv6 address follows from its IPv4 address"
        )
    if not subnet.holds((number, bits)):
        raise InvalidArgument(
            f"address {requested} is not in network {network.name}", f"its subnet is {network.subnet}"
        )
    if number in _reserved(network):
        raise InvalidArgument(
            f"address {requested} of network {network.name} is reserved",
            f"no container gets the gateway {network.gateway}, the network address or the broadcast address",
        )
    return show(number)


def _reserved(network: Network) -> tuple[int, int, int]:
    """The network address, the broadcast address and the gateway."""
    subnet = cidr(network.subnet)
    return subnet.base, subnet.last, parse(network.gateway)[0]


def address6(network: Network, address: str) -> str:
    """The IPv6 address for an IPv4 address: at the same offset in its subnet; "" if the network has no IPv6."""
    if not network.subnet6:
        return ""
    return show(cidr(network.subnet6).base + parse(address)[0] - cidr(network.subnet).base, IPV6)
