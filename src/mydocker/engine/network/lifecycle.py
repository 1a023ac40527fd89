"""Create, bring up, take down and remove networks: the record together with its bridge and its rules."""

from __future__ import annotations

import os

from mydocker import paths
from mydocker.engine.network import forwarding, networks, zones
from mydocker.errors import Conflict, CorruptRecord
from mydocker.kernel import bridge, firewalld
from mydocker.kernel.files import remove_tree
from mydocker.model.network import Network
from mydocker.model.options import network_request
from mydocker.model.options.addresses import cidr
from mydocker.network import bridge_plan, firewall, leases
from mydocker.trace import run_or_undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.ops.base import Op

_UNKNOWN = "unknown"  # stands for an ID or a device's name; no ID and no device is named so


def create(params: dict[str, Any]) -> tuple[Network, list[str]]:
    """Create a network and bring it up. Returns the network and remarks for stderr.

    Raises MydockerError; then nothing is left.
    """
    network_request.name(params["network"])
    with networks.lock():
        if os.path.lexists(f"{paths.network(params['network'])}/network.json"):
            raise Conflict(f"network {params['network']} already exists", "see 'mydocker network ls'")
        network = networks.reserve(params)
    # The addresses of networks with a broken record are unknown, so they can't be avoided.
    remarks = [f"warning: {error}" for error in networks.broken().values()]
    try:
        return network, remarks + bring_up(network)
    except BaseException:
        remove_tree(paths.network(network.name))
        remove_tree(paths.leases(network.name))
        raise


def bring_up(network: Network) -> list[str]:
    """Make the bridge and the rules if they are missing. Returns remarks for stderr.

    Raises MydockerError; then nothing is left of them.
    """
    with leases.lock(network.name):
        leases.check_exists(network)
        if networks.is_up(network):
            return []
        _check_free(network)
        with networks.lock():
            off = forwarding.not_forwarded(network)
            guard = forwarding.current_guard(network, off)
            run_or_undo(bridge_plan.bridge_up(network, guard))
            forwarding.note_turned_on(guard)
    remarks = [
        f"turned on forwarding of IPv{version} on this host, for containers only ({firewall.FORWARDING[version]})"
        for version in guard.versions
        if version in off
    ]
    return [*remarks, *zones.join(network)]


def bring_up_plan(network: Network) -> list[Op]:
    """Plan what bring_up() would do now. Raises Conflict as bring_up() does."""
    if networks.is_up(network):
        return []
    _check_free(network)
    guard = forwarding.current_guard(network, forwarding.not_forwarded(network))
    return [*bridge_plan.bridge_up(network, guard), *zones.plan(network, firewalld.zones())]


def _check_free(network: Network) -> None:
    """Raises Conflict if the host, or another store's network, uses the addresses by now."""
    own = [cidr(text) for text in network.subnets]
    for text, device in bridge.host_subnets().items():
        taken = cidr(text)
        if device != network.device and taken.prefix > 1 and any(subnet.overlaps(taken) for subnet in own):
            raise Conflict(
                f"the subnet of network {network.name} is in use by the host's {device or 'routes'}, {text}",
                f"'mydocker network rm {network.name}', then create it with another subnet",
            )


# --- taking down ------------------------------------------------------------------------------------------------------


def remove(network: Network) -> list[str]:
    """Remove a network. Returns remarks for stderr.

    Raises Conflict while a container on it runs. A stopped container on it can't start until a network has that name.
    """
    with leases.lock(network.name):
        return _take_down(_load_or_guess(network.name), with_record=True)


def take_down(network: Network) -> list[str]:
    """Remove all of a network but its record; the next use brings it up. Returns and raises as remove() does."""
    if networks.was_up(network) or networks.is_up(network):
        with leases.lock(network.name):
            return _take_down(networks.load(network.name), with_record=False)
    return []


def find_for_removal(reference: str) -> Network:
    """Like networks.find(), but describe a network with a broken record by its remains on the host."""
    try:
        return networks.find(reference)
    except CorruptRecord:
        return _load_or_guess(reference)


def _load_or_guess(name: str) -> Network:
    """Load a network or, if its record can't be read, learn from its bridge what its removal needs."""
    try:
        return networks.load(name)
    except CorruptRecord:
        pass
    # It may have rules for IPv6, too; with a subnet6 they are removed.
    network = Network(name, _UNKNOWN, "", _UNKNOWN, "", "0.0.0.0", subnet6="::/0")
    try:
        tag = firewall.network_owner(name, _UNKNOWN).removesuffix(_UNKNOWN)
    except ValueError:  # the tag of a bridge can't hold this name
        return network
    for device in os.listdir("/sys/class/net"):
        alias = networks.alias_of(device)
        if alias.startswith(tag):
            network.device, network.id = device, alias[len(tag) :]
    return network


def _take_down(network: Network, with_record: bool) -> list[str]:
    containers = networks.users(network.name)
    if containers:
        raise Conflict(f"network {network.name} is in use by {', '.join(containers)}", "stop the containers first")
    with networks.lock():
        turned_on = forwarding.turned_on().versions
        unneeded = [
            version
            for version in forwarding.unneeded(network)
            if version in turned_on or forwarding.is_guarded(version)
        ]
        others = forwarding.others_in_need() if unneeded else ""
        stays = unneeded if others else []
        run_or_undo(bridge_plan.bridge_down(network, stays))
        if with_record:
            remove_tree(paths.network(network.name))
        remove_tree(paths.leases(network.name))
        if not stays:
            forwarding.turn_off(network)
        remarks = zones.leave(network)
    return remarks + [
        f"left forwarding of IPv{version} on until a reboot, as {others} may need it ({firewall.FORWARDING[version]})"
        for version in stays
    ]
