"""Plan every change of what a container is attached to. Pure: addresses are leased and ports bound before.

A start is one such change, from nothing to a value:

    host                                        container
     bridge, rules (with the first container)
     ── clone ─────────────────────────────────▶
     attach: veth pair, its peer in the namespace
     ── NETWORK_READY ─────────────────────────▶ waits for it
     publish: rules of published ports           inside: addresses, routes, the resolver's sockets

A published port is a DNAT rule for each version of IP, from a number of the host to the address of the egress endpoint.
When the container leaves that network, the port moves: its rule is replaced by one to the next endpoint. A socket
reserves the number. It is bound before the rule is there and closed after the rule is gone, so rules change in two
steps: `redirect` before the monitor closes old sockets, `publish` when it has the new ones.
"""

from __future__ import annotations

from mydocker.network.ops import veths
from mydocker.network.ops.resolver import OpenResolver
from mydocker.network.resolvconf import RESOLVER
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.attachments import Attachments
    from mydocker.model.network import Endpoint, Network
    from mydocker.network.ops.ports import RemovePorts
    from mydocker.ops.base import Op


@record
class Steps:
    """The steps of a transition, in the order in which they are done.

    attach: make veth pairs. inside: configure them, in the container's network namespace. redirect: change the rules of
    ports that move to another endpoint or are no longer published; their sockets are still bound. detach: take away the
    veths of networks that the container leaves. publish: add the rules of new ports, once the monitor has their
    sockets."""

    attach: list[Op]
    inside: list[Op]
    redirect: list[Op]
    detach: list[Op]
    publish: list[Op]


def transition(before: Attachments | None, after: Attachments | None) -> Steps:
    """Plan the steps from one value to the other. None: before the container's start, or after its end.

    After its end the veths are only detached: the kernel removes them with the network namespace. Steps that remove
    something are harmless if it does not exist, so a clean-up need not know how far a transition came.

    An endpoint whose network is gone cannot be attached again. An endpoint of a stopped container has no veth yet."""
    added = [each for each in after.endpoints_beyond(before) if each.network in after.networks] if after else []
    left = [each.veth for each in before.endpoints_beyond(after) if each.veth] if before else []
    redirect, publish = _rules(before, after)
    return Steps(
        attach=[_make_veth(after.networks[endpoint.network], endpoint) for endpoint in added] if after else [],
        inside=_inside(before, after, added) if after else [],
        redirect=redirect,
        detach=[veths.RemoveVeth(veth) if after else veths.DetachVeth(veth) for veth in left],
        publish=publish,
    )


def _make_veth(network: Network, endpoint: Endpoint) -> veths.MakeVeth:
    return veths.MakeVeth(endpoint.veth, network.device, network.mtu, endpoint.device, endpoint.mac)


def _inside(before: Attachments | None, after: Attachments, added: list[Endpoint]) -> list[Op]:
    steps: list[Op] = []
    if not before and not any(endpoint.address6 for endpoint in added):
        steps.append(veths.DisableIPv6())
    for endpoint in added:
        if before and endpoint.address6:
            steps.append(veths.EnableIPv6(endpoint.device))  # a start without IPv6 has turned it off
        steps.append(_configure(after.networks[endpoint.network], endpoint))
    if after.has_dns and not (before and before.has_dns):
        steps.append(OpenResolver(RESOLVER))
    return steps


def _configure(network: Network, endpoint: Endpoint) -> veths.ConfigureLink:
    """The default route is that of the first network: devices are numbered in order of joining."""
    gateway, gateway6 = ("", "") if network.internal else (endpoint.gateway, endpoint.gateway6)
    metric = int(endpoint.device.removeprefix("eth"))
    return veths.ConfigureLink(endpoint.device, endpoint.address, gateway, endpoint.address6, gateway6, metric)


# --- rules of published ports -----------------------------------------------------------------------------------------


def _rules(before: Attachments | None, after: Attachments | None) -> tuple[list[Op], list[Op]]:
    """Plan `redirect` and `publish`. In between, the rules are those of the ports that both values have."""
    if not (before and before.bindings):
        return [], _publish(after, [] if before else None) if after else []
    if not (after and after.bindings):
        return [_remove(before)], []
    was, now = before.egress, after.egress
    kept = after.with_ports([port for port in after.bindings if port in before.bindings])
    redirect: list[Op] = []
    if was and was.address6 and not (now and now.address6):  # PublishPorts would leave the rules of IPv6 as they are
        redirect.append(remove_ports(before.name, before.id, [6], before.ports))
    if was != now or kept.bindings != before.bindings or after.name != before.name:
        redirect += _publish(kept, before.ports) or [_remove(before)]
    return redirect, _publish(after, kept.ports) if after.bindings != kept.bindings else []


def _publish(attachments: Attachments, before: list[str] | None) -> list[Op]:
    """Plan the rules of all ports, in place of those of `before`; none if no network leads out. before: None at a
    start, when there are none to replace."""
    endpoint = attachments.egress
    if not attachments.bindings or not endpoint:
        return []
    from mydocker.network.ops.ports import PublishPorts

    address, address6 = (text.partition("/")[0] for text in (endpoint.address, endpoint.address6))
    about = attachments.name, attachments.id, attachments.ports
    return [PublishPorts(*about, address, address6, endpoint.veth, before)]


def _remove(attachments: Attachments) -> RemovePorts:
    ipv6 = any(endpoint.address6 for endpoint in attachments.endpoints)
    return remove_ports(attachments.name, attachments.id, [4, 6] if ipv6 else [4], attachments.ports)


def remove_ports(name: str, container_id: str, versions: list[int], ports: list[str] | None = None) -> RemovePorts:
    """Plan the removal of the rules of a container's ports, for which its ID is enough. ports: in effect so far, if
    they are known."""
    from mydocker.network.ops.ports import RemovePorts

    return RemovePorts(name, container_id, versions, ports or [])
