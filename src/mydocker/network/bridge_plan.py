"""Plan a network's bridge and its rules. Pure."""

from __future__ import annotations

from mydocker.model.options.addresses import cidr, mac_of
from mydocker.network.firewall import Guard, network_owner
from mydocker.network.ops.bridges import MakeBridge, RemoveBridge
from mydocker.network.ops.rules import AddNetworkRules, RemoveNetworkRules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Network
    from mydocker.ops.base import Op


def bridge_up(network: Network, guard: Guard) -> list[Op]:
    """Plan the rules and the bridge. The rules come first, so that the bridge is never without them.

    guard: for the versions of IP that the host does not forward yet, or forwards because of mydocker.
    """
    tag = network_owner(network.name, network.id)
    return [
        rules(network, guard),
        MakeBridge(network.device, bridge_addresses(network), network.mtu, mac_of(network.gateway), tag),
    ]


def bridge_addresses(network: Network) -> list[str]:
    """The addresses that the bridge has, with /PREFIX."""
    gateways = ((network.subnet, network.gateway), (network.subnet6, network.gateway6))
    return [cidr(subnet).with_prefix(gateway) for subnet, gateway in gateways if subnet]


def rules(network: Network, guard: Guard) -> AddNetworkRules:
    """Plan the rules of a network. guard: as in bridge_up()."""
    of_network = (network.name, network.id, network.device, network.subnet, network.subnet6, network.internal)
    return AddNetworkRules(*of_network, guard.versions, guard.links, guard.bridges)


def bridge_down(network: Network, stays: list[int]) -> list[Op]:
    """Plan the removal of bridge and rules. stays: the versions of IP that others need to be forwarded."""
    return [
        RemoveBridge(network.device, network_owner(network.name, network.id), mac_of(network.gateway)),
        RemoveNetworkRules(network.name, network.id, network.subnet6, [], stays),
    ]
