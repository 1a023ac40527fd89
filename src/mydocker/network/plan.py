"""Plans a network's bridge, and every change of what a container is attached to. Pure: what is taken comes in.

A start, as one such change:

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
    """In the order in which they are done.

    attach: on the host, veth pairs. inside: in the container's network namespace. redirect: rules of ports that move or
    end, while their sockets are still held. detach: veths of networks that the container leaves. publish: rules of
    ports that are new, once their sockets are held."""

    attach: list[Op]
    inside: list[Op]
    redirect: list[Op]
    detach: list[Op]
    publish: list[Op]


def transition(before: Attachments | None, after: Attachments | None) -> Steps:
    """Plan the change of what a container is attached to. None: before its start, or after its end.

    After its end its namespace goes too, and the kernel removes the veths with it: they are only detached. Steps that
    remove something are harmless where it is not there."""
    old, new = before.endpoints if before else [], after.endpoints if after else []
    kept = {endpoint.veth for endpoint in old} & {endpoint.veth for endpoint in new}
    joined = [endpoint for endpoint in new if endpoint.veth not in kept]
    left = [endpoint.veth for endpoint in old if endpoint.veth not in kept]
    redirect, publish = _rules(before, after)
    return Steps(
        attach=[_veth(after.networks[endpoint.network], endpoint) for endpoint in joined] if after else [],
        inside=_inside(before, after, joined) if after else [],
        redirect=redirect,
        detach=[veths.RemoveVeth(veth) if after else veths.DetachVeth(veth) for veth in left],
        publish=publish,
    )


def _veth(network: Network, endpoint: Endpoint) -> veths.MakeVeth:
    return veths.MakeVeth(endpoint.veth, network.device, network.mtu, endpoint.device, endpoint.mac)


def _inside(before: Attachments | None, after: Attachments, joined: list[Endpoint]) -> list[Op]:
    steps: list[Op] = []
    if not before and not any(endpoint.address6 for endpoint in joined):
        steps.append(veths.DisableIPv6())
    for endpoint in joined:
        if before and endpoint.address6:
            steps.append(veths.EnableIPv6(endpoint.device))  # it may have been off since the start
        steps.append(_configure(after.networks[endpoint.network], endpoint))
    if after.has_dns and not (before and before.has_dns):
        steps.append(OpenResolver(RESOLVER))
    return steps


def _configure(network: Network, endpoint: Endpoint) -> veths.ConfigureLink:
    """The default route is that of the network that was joined first: devices are numbered in that order."""
    gateway, gateway6 = ("", "") if network.internal else (endpoint.gateway, endpoint.gateway6)
    metric = int(endpoint.device.removeprefix("eth"))
    return veths.ConfigureLink(endpoint.device, endpoint.address, gateway, endpoint.address6, gateway6, metric)


# --- rules of published ports -----------------------------------------------------------------------------------------


def _rules(before: Attachments | None, after: Attachments | None) -> tuple[list[Op], list[Op]]:
    """The steps for as long as the ports of `before` are held, and those for when the ports of `after` are."""
    if not (before and before.bindings):
        return [], _publish(after, [] if before else None) if after else []
    if not (after and after.bindings):
        return [_withdraw(before)], []
    was, now = before.egress, after.egress
    kept = after.with_ports([port for port in after.bindings if port in before.bindings])
    redirect: list[Op] = []
    if was and was.address6 and not (now and now.address6):
        redirect.append(withdraw(before.name, before.id, [6], before.ports))
    if was != now or kept.bindings != before.bindings:
        redirect += _publish(kept, before.ports) or [_withdraw(before)]
    return redirect, _publish(after, kept.ports) if after.bindings != kept.bindings else []


def _publish(attachments: Attachments, before: list[str] | None) -> list[Op]:
    """The rules of all ports; none where no network leads out."""
    endpoint = attachments.egress
    if not attachments.bindings or not endpoint:
        return []
    from mydocker.network.ops.ports import PublishPorts

    address, address6 = (text.partition("/")[0] for text in (endpoint.address, endpoint.address6))
    about = attachments.name, attachments.id, attachments.ports
    return [PublishPorts(*about, address, address6, endpoint.veth, before)]


def _withdraw(attachments: Attachments) -> RemovePorts:
    ipv6 = any(endpoint.address6 for endpoint in attachments.endpoints)
    return withdraw(attachments.name, attachments.id, [4, 6] if ipv6 else [4], attachments.ports)


def withdraw(name: str, container_id: str, versions: list[int], ports: list[str] | None = None) -> RemovePorts:
    """Remove the rules of a container of which no more needs to be known. ports: if they are."""
    from mydocker.network.ops.ports import RemovePorts

    return RemovePorts(name, container_id, versions, ports or [])
