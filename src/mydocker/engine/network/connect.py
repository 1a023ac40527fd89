"""network connect and disconnect: a container's ends of networks, also while it runs."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine import builtin, bundle
from mydocker.engine.network import endpoints, etc, lifecycle, networks
from mydocker.engine.process import open_pidfd
from mydocker.errors import Conflict, NotFound
from mydocker.kernel import process, rtnetlink
from mydocker.model.network import DEFAULT, Attachments, Endpoint, Network, with_hostname
from mydocker.model.options import net
from mydocker.model.options.netmode import is_mode
from mydocker.network import ipam, leases, plan, resolvconf
from mydocker.network import ops as steps
from mydocker.network.resolver_op import OpenResolver
from mydocker.ops.base import Op
from mydocker.runtime import control
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.model.container import Container

_LAST = 999  # of a container's links: a name has 15 bytes at most
_LARGEST = 1 << 20  # bytes of a file of /etc that the container may have written


def connect(network: str, container: str, ip: str, aliases: list[str]) -> list[str]:
    """Put a container on a network; lines that a person should see. One that does not run is on it from its next start.

    Raises MydockerError; then everything is as before.
    """
    builtin.check_joinable(network)
    target = endpoints.asked_for(network)
    _, (asked,) = net.parse([target.name], ip, "", aliases)
    if asked.wanted_ip:
        ipam.check(target, asked.wanted_ip)
    found = state.find(container)
    with state.lock(found):
        found = state.load(found.id)
        _check_joinable(found)
        if any(end.network == target.name for end in found.endpoints):
            raise Conflict(f"container {found.name} is on network {target.name} already", "")
        hostname = bundle.load_request(found).hostname
        asked.aliases = with_hostname(target.name, asked.aliases, hostname)
        pidfd = open_pidfd(found)
        try:
            if pidfd < 0:
                found.networks.append(asked.to_json())
                state.save(found, durable=True)
                return []
            notes = lifecycle.bring_up(target)
            _connect_running(found, target, asked, pidfd)
            return notes
        finally:
            if pidfd >= 0:
                os.close(pidfd)


def _check_joinable(found: Container) -> None:
    if is_mode(found.network):
        raise Conflict(
            f"container {found.name} was made with --net {found.network}", "only one that began on a network can join"
        )


def _connect_running(found: Container, target: Network, asked: Endpoint, pidfd: int) -> None:
    before, joined = (found.networks, found.bound_ports), _joined(found)
    # Above all others: by the lowest go its default route and its ports, in the order in which it has joined.
    number = 1 + max((int(end.device.removeprefix("eth")) for end in found.endpoints), default=-1)
    if number > _LAST:
        raise Conflict(f"container {found.name} has left networks too often", f"'mydocker restart {found.name}'")
    end = endpoints.take(found, target, asked, number)
    trace, resolver = Trace("host"), []
    held: dict[str, list[int]] = {}
    had_dns = Attachments(found.id, found.name, joined, []).has_dns
    joined.append((target, end))
    found.networks = [*found.networks, end.to_json()]
    try:
        if (
            found.requested_ports and not found.bound_ports and not target.internal
        ):  # it was on no network that leads out
            held = endpoints.hold(found.requested_ports, bool(target.subnet6))
            found.bound_ports = list(held)
        state.save(found)  # first: whoever kills us now leaves what `disconnect` and the monitor know of
        trace.pid = found.pid
        trace.run([plan.veth(target, end)])
        inside: list[Op] = [steps.EnableIPv6(end.device)] if end.address6 else []
        inside.append(plan.configure(target, end, number))
        if target.name != DEFAULT and not had_dns:
            inside.append(OpenResolver(resolvconf.RESOLVER))
        resolver = _within(pidfd, inside)
        rtnetlink.flush_linkwatch(end.veth)
        if held:
            trace.run(plan.publish(Attachments(found.id, found.name, joined, found.bound_ports)))
        control.tell(found, [network for network, _ in joined], held, resolver)
    except BaseException:
        trace.undo_all()
        leases.release_all(found.id, [end])
        found.networks, found.bound_ports = before
        state.save(found)
        trace.run([steps.RemoveLink(end.veth)])  # with the address and routes at its other end
        raise
    finally:
        endpoints.close(held)
        for descriptor in resolver:
            os.close(descriptor)
    _rewrite_etc(found, joined, added=[end], has_dns=(had_dns, had_dns or target.name != DEFAULT))


def disconnect(network: str, container: str, force: bool) -> None:
    """Take a container off a network. force: also off one whose record is gone."""
    builtin.check_joinable(network)
    found = state.find(container)
    name = network
    try:
        name = networks.find(network).name
    except NotFound:
        if not force:
            raise
    with state.lock(found):
        found = state.load(found.id)
        end = next((end for end in found.endpoints if end.network == name), None)
        if not end:
            raise NotFound(f"container {found.name} is not on network {name}", f"see 'mydocker inspect {found.name}'")
        rest = [each.to_json() for each in found.endpoints if each.network != name]
        if not state.is_running(found):
            endpoints.cleanup(found)  # one that was killed with its monitor still has a lease
            found.networks = rest
            state.save(found, durable=True)
            return
        _disconnect_running(found, end, rest)


def _disconnect_running(found: Container, end: Endpoint, rest: list[dict[str, object]]) -> None:
    """The record is first. Should the monitor of one that lives on not answer, it is off the network all the same, and
    the monitor undoes at the end what it knows of; whatever else goes wrong, the record is as before."""
    joined, off = found.networks, False
    before = Attachments(found.id, found.name, _joined(found), found.bound_ports)
    found.networks = rest
    after = Attachments(found.id, found.name, _joined(found), found.bound_ports)
    if after.egress and found.requested_ports:
        endpoints.check_ports(found.requested_ports, [network for network, _ in after.endpoints])
    move, held = _move_ports(before, after)
    if not after.egress:
        found.bound_ports = []
    try:
        state.save(found)
        Trace("host").run([*move, steps.RemoveLink(end.veth)])
        off = True
        leases.release_all(found.id, [end])
        control.tell(found, [network for network, _ in after.endpoints], held, [])
    except BaseException:
        if not (off and state.is_running(found)):
            found.networks, found.bound_ports = joined, before.ports
            state.save(found)
        raise
    finally:
        endpoints.close(held)
        if not state.is_running(found):  # its monitor may have withdrawn its ports before they were moved
            Trace("host").run([_withdraw(before), _withdraw(after)])
    _rewrite_etc(found, after.endpoints, removed=[end], has_dns=(before.has_dns, after.has_dns))


def _move_ports(before: Attachments, after: Attachments) -> tuple[list[Op], dict[str, list[int]]]:
    """Its ports lead to an address: to that of the next network from now on, or nowhere. The sockets that hold them at
    IPv6, too, where only the next network has that; where only the last one had it, the monitor closes them."""
    move = plan.publish(after)
    had, has = (bool(attachments.egress and attachments.egress[1].address6) for attachments in (before, after))
    if not move or (had and not has):
        return ([_withdraw(before)] if before.ports else []) + move, {}
    for op in move:
        assert isinstance(op, steps.PublishPorts)
        op.before = before.ports
    return move, endpoints.hold_ipv6(before.ports) if has and not had else {}


def _withdraw(attachments: Attachments) -> steps.RemovePorts:
    return steps.RemovePorts(
        attachments.name, attachments.id, attachments.egress[1].address6 if attachments.egress else ""
    )


def _joined(found: Container) -> list[tuple[Network, Endpoint]]:
    """Its endpoints that are in effect; one of a network whose record is gone leads nowhere."""
    pairs = []
    for end in found.endpoints:
        try:
            pairs.append((networks.load(end.network), end))
        except NotFound:
            continue
    return pairs


def _within(pidfd: int, inside: Iterable[Op]) -> list[int]:
    """Run the steps in the container's network namespace; the descriptors that they have opened there."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    opened: list[int] = []
    try:
        process.setns(pidfd, process.NAMESPACES["network"])
        try:
            for op in inside:
                Trace("container").run([op])
                opened += op.descriptors
        finally:
            process.setns(home, process.NAMESPACES["network"])
    finally:
        os.close(home)
    return opened


def _rewrite_etc(
    found: Container,
    joined: list[tuple[Network, Endpoint]],
    added: Iterable[Endpoint] = (),
    removed: Iterable[Endpoint] = (),
    has_dns: tuple[bool, bool] = (False, False),
) -> None:
    """Its own lines of /etc/hosts, and resolv.conf where names begin or end to be resolved (has_dns: before, now).

    In place: the container has these very files mounted. What it has written itself stays.
    """
    hostname = bundle.load_spec(found).get("hostname", "")
    own, gone = (resolvconf.own_lines(hostname, _addresses(ends)) for ends in (added, removed))
    lines = etc.text_of(f"{found.directory}/hosts").splitlines(keepends=True)
    _write_in_place(f"{found.directory}/hosts", "".join([line for line in lines if line not in gone] + own))
    if has_dns[0] != has_dns[1]:
        ipv6 = any(end.address6 for _, end in joined)
        _write_in_place(f"{found.directory}/resolv.conf", etc.resolv_conf(bundle.load_request(found), ipv6, has_dns[1]))


def _addresses(ends: Iterable[Endpoint]) -> list[str]:
    return [address.partition("/")[0] for end in ends for address in (end.address, end.address6) if address]


def _write_in_place(path: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")[:_LARGEST]
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()
