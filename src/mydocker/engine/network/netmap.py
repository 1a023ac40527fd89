"""Map the networks as they are now: bridges, links, containers and firewall rules.

The map is JSON:

    {"networks": [{"name", "id", "driver", "subnet", "subnet6", "internal",
                   "bridge": {"device", "state": up, down, missing or foreign, "addresses": [], "mtu"},
                   "rules": [text], "strays": [links on the bridge that belong to no running container],
                   "containers": [{"name", "id", "device", "link", "attached": true if the link is on the bridge,
                                   "address", "address6", "mac", "aliases": [],
                                   "ports": [text], "rules": [text]}]}],
     "others": {mode: [names of the running containers on none of these networks]}}
"""

from __future__ import annotations

from mydocker.engine import listing
from mydocker.engine.network import networks
from mydocker.kernel import bridge, iptables
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mydocker.kernel.bridge import Bridge
    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint, Network
    from mydocker.network.firewall import SavedRule

    Rule = tuple[int, SavedRule]


def survey() -> dict[str, Any]:
    """Make the map of this host, with the running containers. Raises HostError without iptables."""
    known = networks.networks()
    running, _ = listing.containers(False, [])
    versions = [4, 6] if any(each.subnet6 for each in known) else [4] if known else []
    rules = [
        (version, rule) for version in versions for rule in firewall.parse(iptables.save(version))[0] if rule.owner
    ]
    return draw(known, {each.device: bridge.describe(each.device) for each in known}, running, rules)


def draw(
    known: Sequence[Network], bridges: dict[str, Bridge | None], running: Sequence[Container], rules: Sequence[Rule]
) -> dict[str, Any]:
    """Draw the map. bridges: by device, None if there is no such link. rules: ours, each with its version of IP."""
    endpoints: dict[str, list[tuple[Container, Endpoint]]] = {each.name: [] for each in known}
    others: dict[str, list[str]] = {}
    for container in running:
        mapped = [endpoint for endpoint in container.endpoints if endpoint.network in endpoints]
        for endpoint in mapped:
            endpoints[endpoint.network].append((container, endpoint))
        if not mapped:
            others.setdefault(container.network, []).append(container.name)
    internal = {each.name for each in known if each.internal}
    return {
        "networks": [_network(each, bridges[each.device], endpoints[each.name], internal, rules) for each in known],
        "others": {mode: sorted(names) for mode, names in sorted(others.items())},
    }


def _network(
    network: Network,
    bridge: Bridge | None,
    endpoints: list[tuple[Container, Endpoint]],
    internal: set[str],
    rules: Sequence[Rule],
) -> dict[str, Any]:
    owner = firewall.network_owner(network.name, network.id)
    ports = bridge.ports if bridge and bridge.is_ours(owner) else []
    containers = [_endpoint(container, endpoint, ports, internal, rules) for container, endpoint in endpoints]
    links = {each["link"] for each in containers}
    return {
        "name": network.name,
        "id": network.id,
        "driver": network.driver,
        "subnet": network.subnet,
        "subnet6": network.subnet6,
        "internal": network.internal,
        "bridge": {
            "device": network.device,
            "state": _state(bridge, owner),
            "addresses": bridge.addresses if bridge else [],
            "mtu": bridge.mtu if bridge else network.mtu,
        },
        "rules": _rules_of(rules, owner),
        "strays": [link for link in ports if link not in links],
        "containers": sorted(containers, key=lambda each: str(each["name"])),
    }


def _state(bridge: Bridge | None, owner: str) -> str:
    if not bridge:
        return "missing"
    if not bridge.is_ours(owner):
        return "foreign"
    return "up" if bridge.up else "down"


def _endpoint(
    container: Container, endpoint: Endpoint, attached: list[str], internal: set[str], rules: Sequence[Rule]
) -> dict[str, Any]:
    # Ports are published on the first network that is not internal.
    egress = next((each.network for each in container.endpoints if each.network not in internal), None)
    published = endpoint.network == egress
    ports = parse_published(container.bound_ports) if published else []
    return {
        "name": container.name,
        "id": container.id,
        "device": endpoint.device,
        "link": endpoint.veth,
        "attached": endpoint.veth in attached,
        "address": endpoint.address,
        "address6": endpoint.address6,
        "mac": endpoint.mac,
        "aliases": endpoint.aliases,
        "ports": [f"{port.source} -> {port.target}" for port in ports],
        "rules": _rules_of(rules, firewall.container_owner(container.name, container.id)) if published else [],
    }


def _rules_of(rules: Sequence[Rule], owner: str) -> list[str]:
    """An owner's rules, without the comment that names the owner: `nat POSTROUTING -s 10.1.0.0/16 …`."""
    comment = f' -m comment --comment "{owner}"'
    return [
        f"{'ip6 ' if version == 6 else ''}{rule.table} {rule.spec}".replace(comment, "")
        for version, rule in rules
        if rule.owner == owner
    ]
