"""Plans a network's bridge, and a container's ends of its networks. Pure: what is taken and what is there comes in.

host                                        container
 bridge, rules (with the first container)
 ── clone ─────────────────────────────────▶
 veth pair, its other end in the namespace
 ── "wired" ───────────────────────────────▶ waits for it
 rules of published ports                    addresses, routes, the resolver's sockets
"""

from __future__ import annotations

from mydocker.model.options.addresses import cidr, mac_of
from mydocker.network import ops as steps
from mydocker.network.firewall import Guard, network_owner
from mydocker.network.resolvconf import RESOLVER
from mydocker.network.resolver_op import OpenResolver
from mydocker.ops.base import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Attachments, Endpoint, Network


def links(attachments: Attachments) -> list[Op]:
    """The host's side, after the clone: the monitor tells them the PID."""
    return [veth(network, endpoint) for network, endpoint in attachments.endpoints]


def veth(network: Network, endpoint: Endpoint) -> steps.MakeVeth:
    return steps.MakeVeth(endpoint.veth, network.device, network.mtu, endpoint.device, endpoint.mac)


def publish(attachments: Attachments) -> list[Op]:
    """What makes it reachable, while it builds its root."""
    if not attachments.ports or not attachments.egress:
        return []
    _, endpoint = attachments.egress
    address6 = endpoint.address6.partition("/")[0]
    address = endpoint.address.partition("/")[0]
    return [
        steps.PublishPorts(attachments.name, attachments.id, attachments.ports, address, address6, veth=endpoint.veth)
    ]


def inside(attachments: Attachments) -> list[Op]:
    """The container's side, once its links are there."""
    found: list[Op] = []
    if not any(endpoint.address6 for _, endpoint in attachments.endpoints):
        found.append(steps.DisableIPv6())
    for metric, (network, endpoint) in enumerate(attachments.endpoints):
        found.append(configure(network, endpoint, metric))
    if attachments.has_dns:
        found.append(OpenResolver(RESOLVER))
    return found


def configure(network: Network, endpoint: Endpoint, metric: int) -> steps.ConfigureLink:
    gateway, gateway6 = ("", "") if network.internal else (endpoint.gateway, endpoint.gateway6)
    return steps.ConfigureLink(endpoint.device, endpoint.address, gateway, endpoint.address6, gateway6, metric)


def bridge_up(network: Network, guard: Guard) -> list[Op]:
    """guard: of the versions of IP that the host does not forward yet, or does because of mydocker. The rules come
    first: there is no moment at which the bridge is open."""
    tag = network_owner(network.name, network.id)
    return [
        rules(network, guard),
        steps.MakeBridge(network.device, bridge_addresses(network), network.mtu, mac_of(network.gateway), tag),
    ]


def bridge_addresses(network: Network) -> list[str]:
    """The addresses that the bridge has, with /PREFIX."""
    gateways = ((network.subnet, network.gateway), (network.subnet6, network.gateway6))
    return [cidr(subnet).with_prefix(gateway) for subnet, gateway in gateways if subnet]


def rules(network: Network, guard: Guard) -> steps.AddNetworkRules:
    of_network = (network.name, network.id, network.device, network.subnet, network.subnet6, network.internal)
    return steps.AddNetworkRules(*of_network, guard.versions, guard.links, guard.bridges)


def bridge_down(network: Network, stays: list[int]) -> list[Op]:
    """stays: the versions of IP that others need forwarding of."""
    return [
        steps.RemoveBridge(network.device, network_owner(network.name, network.id), mac_of(network.gateway)),
        steps.RemoveNetworkRules(network.name, network.id, network.subnet6, [], stays),
    ]
