"""Which address a container gets. Pure."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.addresses import IPV4, IPV6, cidr, parse, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from mydocker.model.network import Network


def lowest_free(network: Network, taken: Container[int]) -> str:
    """The lowest address, of the ip_range if there is one, that is nobody's; "" if there is none. taken: as numbers."""
    pool, never = cidr(network.ip_range or network.subnet), _never(network)
    number = pool.base
    while number <= pool.last:  # as far as the first gap, however large the network is
        if number not in taken and number not in never:
            return show(number)
        number += 1
    return ""


def check(network: Network, wanted: str) -> str:
    """An address that --ip asks for, in its usual spelling. It may lie outside of the ip_range, as docker's may."""
    number, bits = parse(wanted)
    subnet = cidr(network.subnet)
    if bits != IPV4:
        raise InvalidArgument(
            f"'{wanted}' is no IPv4 address", "a container's IPv6 address follows from its IPv4 address"
        )
    if not subnet.holds((number, bits)):
        raise InvalidArgument(f"address {wanted} is not in network {network.name}", f"its subnet is {network.subnet}")
    if number in _never(network):
        raise InvalidArgument(
            f"address {wanted} of network {network.name} is not a container's",
            f"the gateway {network.gateway}, the network's own and the broadcast address are never given",
        )
    return show(number)


def _never(network: Network) -> tuple[int, int, int]:
    """The network's own address, the broadcast address and the gateway."""
    subnet = cidr(network.subnet)
    return subnet.base, subnet.last, parse(network.gateway)[0]


def address6(network: Network, address: str) -> str:
    """The IPv6 address of who has this IPv4 address: as far from the subnet's start; "" where there is no IPv6."""
    if not network.subnet6:
        return ""
    return show(cidr(network.subnet6).base + parse(address)[0] - cidr(network.subnet).base, IPV6)
