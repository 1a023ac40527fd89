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
    from mydocker.model.network import Endpoint, Network, Wires


def links(wires: Wires) -> list[Op]:
    """The host's side, after the clone: the monitor tells them the PID."""
    return [plug(network, end) for network, end in wires.joined]


def plug(network: Network, end: Endpoint) -> steps.MakeVeth:
    return steps.MakeVeth(end.link, network.device, network.mtu, end.device, end.mac)


def publish(wires: Wires) -> list[Op]:
    """What makes it reachable, while it builds its root."""
    if not wires.ports or not wires.outward:
        return []
    _, end = wires.outward
    address6 = end.address6.partition("/")[0]
    address = end.address.partition("/")[0]
    return [steps.PublishPorts(wires.name, wires.id, wires.ports, address, address6, link=end.link)]


def inside(wires: Wires) -> list[Op]:
    """The container's side, once its links are there."""
    found: list[Op] = []
    if not any(end.address6 for _, end in wires.joined):
        found.append(steps.DisableIPv6())
    for metric, (network, end) in enumerate(wires.joined):
        found.append(configure(network, end, metric))
    if wires.named:
        found.append(OpenResolver(RESOLVER))
    return found


def configure(network: Network, end: Endpoint, metric: int) -> steps.ConfigureLink:
    gateway, gateway6 = ("", "") if network.internal else (end.gateway, end.gateway6)
    return steps.ConfigureLink(end.device, end.address, gateway, end.address6, gateway6, metric)


def bridge_up(network: Network, guard: Guard) -> list[Op]:
    """guard: of the versions of IP that the host does not forward yet, or does because of mydocker. The rules come
    first: there is no moment at which the bridge is open."""
    own = [(network.subnet, network.gateway), (network.subnet6, network.gateway6)]
    addresses = [cidr(subnet).with_prefix(gateway) for subnet, gateway in own if subnet]
    tag = network_owner(network.name, network.id)
    return [
        rules(network, guard),
        steps.MakeBridge(network.device, addresses, network.mtu, mac_of(network.gateway), tag),
    ]


def rules(network: Network, guard: Guard) -> steps.AddNetworkRules:
    of_network = (network.name, network.id, network.device, network.subnet, network.subnet6, network.internal)
    return steps.AddNetworkRules(*of_network, guard.versions, guard.links, guard.bridges)


def bridge_down(network: Network, stays: list[int]) -> list[Op]:
    """stays: the versions of IP that others need forwarding of."""
    return [
        steps.RemoveBridge(network.device, network_owner(network.name, network.id), mac_of(network.gateway)),
        steps.RemoveNetworkRules(network.name, network.id, network.subnet6, [], stays),
    ]
