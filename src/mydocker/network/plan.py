"""Plan every change of what a container is attached to. Pure: leased addresses and bound ports come in.

A start is one such change:

host                                        container
 bridge, rules (with the first container)
 ── clone ─────────────────────────────────▶
 attach: veth pair, its peer in the namespace
 ── NETWORK_READY ─────────────────────────▶ waits for it
 publish: rules of published ports           inside: addresses, routes, the resolver's sockets
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
    ports that move or end, whose sockets are still bound. detach: the veths of networks that the container leaves.
    publish: add the rules of new ports, when a monitor has their sockets."""

    attach: list[Op]
    inside: list[Op]
    redirect: list[Op]
    detach: list[Op]
    publish: list[Op]


def transition(before: Attachments | None, after: Attachments | None) -> Steps:
    """Plan the steps from one value to the other. None: before the container's start, or after its end.

    After its end the veths are only detached: the kernel removes them with the network namespace. Steps that remove
    something are harmless if it does not exist, so a clean-up need not know how far a transition came."""
    old, new = before.endpoints if before else [], after.endpoints if after else []
    kept = {endpoint.veth for endpoint in old} & {endpoint.veth for endpoint in new}
    added = [endpoint for endpoint in new if endpoint.veth not in kept]
    left = [endpoint.veth for endpoint in old if endpoint.veth not in kept]
    redirect, publish = _rules(before, after)
    return Steps(
        attach=[_veth(after.networks[endpoint.network], endpoint) for endpoint in added] if after else [],
        inside=_inside(before, after, added) if after else [],
        redirect=redirect,
        detach=[veths.RemoveVeth(veth) if after else veths.DetachVeth(veth) for veth in left],
        publish=publish,
    )


def _veth(network: Network, endpoint: Endpoint) -> veths.MakeVeth:
    return veths.MakeVeth(endpoint.veth, network.device, network.mtu, endpoint.device, endpoint.mac)


def _inside(before: Attachments | None, after: Attachments, added: list[Endpoint]) -> list[Op]:
    steps: list[Op] = []
    if not before and not any(endpoint.address6 for endpoint in added):
        steps.append(veths.DisableIPv6())
    for endpoint in added:
        if before and endpoint.address6:
            steps.append(veths.EnableIPv6(endpoint.device))  # off since the start, if no network had IPv6 then
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
    """The steps while the ports of `before` are bound, and the steps when those of `after` are."""
    if not (before and before.bindings):
        return [], _publish(after, [] if before else None) if after else []
    if not (after and after.bindings):
        return [_remove(before)], []
    was, now = before.egress, after.egress
    kept = after.with_ports([port for port in after.bindings if port in before.bindings])
    redirect: list[Op] = []
    if was and was.address6 and not (now and now.address6):
        redirect.append(remove_ports(before.name, before.id, [6], before.ports))
    if was != now or kept.bindings != before.bindings:
        redirect += _publish(kept, before.ports) or [_remove(before)]
    return redirect, _publish(after, kept.ports) if after.bindings != kept.bindings else []


def _publish(attachments: Attachments, before: list[str] | None) -> list[Op]:
    """Publish all ports, if a network leads out."""
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
    """Remove the rules of a container of which nothing more is known. ports: in effect so far, if they are known."""
    from mydocker.network.ops.ports import RemovePorts

    return RemovePorts(name, container_id, versions, ports or [])
