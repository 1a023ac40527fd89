"""Compare what the kernel has with what the records say, for `network check`. Pure.

Links and rules of other programs, or of another mydocker store, are ignored.
"""

from __future__ import annotations

from mydocker.engine.network import forwarding, zones
from mydocker.kernel import firewalld
from mydocker.model.network import Attachments
from mydocker.model.options.addresses import cidr, parse
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall, leases, plan
from mydocker.network.ops import AttachVeth, JoinZone, PublishPorts, RemoveLink, RemovePorts
from mydocker.ops.base import Op
from mydocker.ops.namespaces import NETNS, ShowNamespace
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.engine.network.survey import Facts
    from mydocker.kernel.bridge import Bridge
    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint, Network
    from mydocker.network.leases import Lease


@record
class Finding:
    """about: "network web", "container db" or "this host". wrong: what is. remedy: what repair() makes of it, "made
    again", or, if there is nothing to be done here, the command that helps.

    steps, leftovers: ops that mend it, and those to be taken back. missing, stale: leases, each with its network's
    name. container: left alone if it has changed meanwhile.
    """

    about: str
    wrong: str
    remedy: str
    steps: list[Op] = []
    leftovers: list[Op] = []
    missing: list[tuple[str, Lease]] = []
    stale: list[tuple[str, Lease]] = []
    container: Container | None = None

    @property
    def mendable(self) -> bool:
        return bool(self.steps or self.leftovers or self.missing or self.stale)

    @property
    def key(self) -> tuple[str, str]:
        return self.about, self.wrong


def compare(facts: Facts) -> list[Finding]:
    """Networks before the containers that are plugged into them: that is the order in which they are mended."""
    found = []
    active = [each for each in facts.networks if each.name in facts.was_up | _in_use(facts)]
    found += _host(facts, active)
    for network in active:
        found += _network(facts, network)
    for container in facts.running:
        found += _running(facts, container)
    for container in facts.gone:
        found += _gone(facts, container)
    found += _strangers(facts)
    for op in facts.old:
        wrong = f"it has rules of mydocker's in iptables-{op.flavour} (IPv{op.version}), which it does not use any more"
        found.append(Finding("this host", wrong, "removed", [op]))
    for network in facts.networks:
        found += _leases(facts, network)
    return found


def _in_use(facts: Facts) -> set[str]:
    return {endpoint.network for container in facts.running for endpoint in container.endpoints}


def _guard(facts: Facts, network: Network) -> firewall.Guard:
    return forwarding.guard_of(network, facts.off, facts.noted, facts.links)


def _host(facts: Facts, active: list[Network]) -> list[Finding]:
    """Forwarding, and the guard that keeps it to containers; of all networks with a way out, the first can mend it."""
    found = []
    for version in (4, 6):
        network = next((each for each in active if not each.internal and version in each.versions), None)
        if not network:
            wrong = version in facts.noted.versions and _guarding(
                facts.saved[version], forwarding.guard_for([version], facts.noted, facts.links)
            )
            if wrong:
                wrong = f"IPv{version}: mydocker has left forwarding on, and {wrong}"
                found.append(Finding("this host", wrong, f"'sysctl -w {firewall.FORWARDING[version]}=0', or a network"))
            continue
        guard = _guard(facts, network)
        mend: list[Op] = [plan.rules(network, guard)]
        if version in facts.off:
            wrong, remedy = "does not forward", "turned on again, for containers only"
            found.append(Finding("this host", f"IPv{version}: it {wrong}, so no container gets out", remedy, mend))
        elif version in facts.noted.versions and firewall.strange(guard.links):
            wrong = f"IPv{version}: {_guarding(facts.saved[version], guard)}"
            found.append(Finding("this host", wrong, forwarding.RENAME))
        elif version in facts.noted.versions:
            wrong = _guarding(facts.saved[version], guard)
            if wrong:
                wrong = f"IPv{version}: mydocker has turned forwarding on, and {wrong}"
                found.append(Finding("this host", wrong, "made again", mend))
    return found


def _guarding(saved: str, guard: firewall.Guard) -> str:
    """Describe what is wrong with the guard's rules; "" if nothing is."""
    strange = " and ".join(map(repr, firewall.strange(guard.links)))
    if strange:
        return f"no firewall rule can name {strange}, to keep it apart from the host's other links"
    if not firewall.guarded(saved):
        return "the rules that keep it to containers are gone"
    if firewall.guard_is(saved, firewall.guard_rules(guard)):
        return ""
    known = {word for rule in firewall.parse(saved)[0] if rule.owner == firewall.GUARD for word in rule.spec.split()}
    new = [link for link in guard.links if link not in known]
    if new:
        return f"the rules that keep it to containers do not know {' and '.join(new)}"
    return "the rules that keep it to containers are not as they were made"


def _network(facts: Facts, network: Network) -> list[Finding]:
    about, tag = f"network {network.name}", firewall.network_owner(network.name, network.id)
    found = []
    for version in network.versions:
        rules = firewall.network_rules(
            version, tag, network.device, network.subnet if version == 4 else network.subnet6, network.internal
        )
        wrong = _rules(facts, version, tag, rules)
        if wrong:
            found.append(Finding(about, wrong, "made again", [plan.rules(network, _guard(facts, network))]))
    made = plan.bridge_up(network, _guard(facts, network))
    wrong, remedy = _bridge(facts.bridges[network.device], network, tag, facts.unset.get(network.device, []))
    if wrong:
        found.append(Finding(about, wrong, remedy or "made again", [] if remedy else made))
    return [*found, *_zone(facts, network)]


def _zone(facts: Facts, network: Network) -> Iterator[Finding]:
    if network.internal or not facts.bridges[network.device]:
        return
    about, wrong = f"network {network.name}", zones.not_in_zone(network.device)
    if facts.rejects:
        remedy = f"start firewalld, or '{firewalld.trust_command(network.device)}'"
        yield Finding(about, f"{wrong}, and firewalld does not answer", remedy)
    elif facts.zones is not None and network.device not in facts.zones:
        join: list[Op] = [JoinZone(network.device)]
        yield Finding(about, wrong, f"put into the zone {firewalld.ZONE}", join)


def _rules(facts: Facts, version: int, owner: str, rules: list[firewall.Rule]) -> str:
    """What is wrong with an owner's rules, in words, or ""."""
    if not firewall.replace(facts.saved[version], version, owner, rules):
        return ""
    there = [rule.spec for rule in firewall.parse(facts.saved[version])[0] if rule.owner]
    wanted = [rule.spec for rule in [*firewall.shared_rules(version), *rules]]
    missing = [spec for spec in wanted if spec not in there]
    family = "iptables" if version == 4 else "ip6tables"
    if missing:
        return f"{len(missing)} of its {len(wanted)} rules in {family} are gone"
    return f"its rules in {family} are not as they were made"


def _bridge(found: Bridge | None, network: Network, tag: str, unset: list[str]) -> tuple[str, str]:
    """What is wrong with a network's bridge, and what a person has to do if only a person can."""
    device = network.device
    if not found:
        return f"its bridge {device} is gone", ""
    if not found.is_ours(tag):
        there = f"the link {device} is not its bridge, but somebody else's"
        return there, f"rename that, 'ip link set {device} name …', then 'mydocker network check --repair'"
    own = [(network.subnet, network.gateway), (network.subnet6, network.gateway6)]
    lacks = [cidr(subnet).with_prefix(gateway) for subnet, gateway in own if subnet]
    lacks = [address for address in lacks if address not in found.addresses]
    if lacks:
        return f"its bridge {device} lacks the address {' and '.join(lacks)}", ""
    if not found.up:
        return f"its bridge {device} is down", ""
    if found.mtu != network.mtu:
        return f"its bridge {device} has an MTU of {found.mtu}, not {network.mtu}", ""
    if unset:
        return f"of its bridge {device}, {' and '.join(unset)} is changed", ""
    return "", ""


# --- a container that runs --------------------------------------------------------------------------------------------


def _running(facts: Facts, container: Container) -> list[Finding]:
    about = f"container {container.name}"
    found = []
    if container.id in facts.unwatched:
        wrong = "it has outlived its monitor, so nobody holds its ports, answers for names or keeps its log"
        found.append(Finding(about, wrong, f"'mydocker restart {container.name}'"))
    known = {each.name: each for each in facts.networks}
    attachments = [(known[endpoint.network], endpoint) for endpoint in container.endpoints if endpoint.network in known]
    for endpoint in container.endpoints:
        if endpoint.network not in known and endpoint.network not in facts.broken:
            remedy = f"'mydocker network disconnect -f {endpoint.network} {container.name}'"
            found.append(Finding(about, f"its network {endpoint.network} is gone", remedy))
    wanted = plan.publish(Attachments(container.id, container.name, attachments, container.bound_ports))
    published = {op.veth: op for op in wanted if isinstance(op, PublishPorts)}
    for network, endpoint in attachments:
        found += _veth(facts, container, network, endpoint, endpoint.veth in published)
        found += _lease(facts, container, network, endpoint)
    found += _ports(facts, container, next(iter(published.values()), None))
    if _has_namespace(container) and container.name not in facts.shown:
        show: list[Op] = [ShowNamespace(container.name, container.pid)]
        found.append(Finding(about, "'ip netns' does not know it", "shown again", show, container=container))
    return found


def _veth(
    facts: Facts, container: Container, network: Network, endpoint: Endpoint, published: bool
) -> Iterator[Finding]:
    about, link = f"container {container.name}", facts.links.get(endpoint.veth)
    if not link:
        again = f"'mydocker restart {container.name}', or 'mydocker network disconnect {network.name} {container.name}'"
        wrong = f"its link {endpoint.veth} ({endpoint.device}) is gone"
        yield Finding(about, wrong, f"{again} and 'mydocker network connect {network.name} {container.name}'")
        return
    mend: list[Op] = [AttachVeth(endpoint.veth, network.device, published)]
    if link.bridge != network.device:
        wrong, remedy = (
            f"its link {endpoint.veth} ({endpoint.device}) is not plugged into {network.device}",
            "plugged in again",
        )
    elif not link.up:
        wrong, remedy = f"its link {endpoint.veth} ({endpoint.device}) is down", "up again"
    elif published and not link.hairpin:
        wrong, remedy = f"its link {endpoint.veth} has no hairpin, so it may not reach its own ports", "set again"
    else:
        return
    bridge = facts.bridges[network.device]
    if bridge and not bridge.is_ours(firewall.network_owner(network.name, network.id)):
        mend, remedy = [], f"once {network.device} is its network's: 'mydocker network check --repair'"
    yield Finding(about, wrong, remedy, mend, container=container)


def _lease(facts: Facts, container: Container, network: Network, endpoint: Endpoint) -> Iterator[Finding]:
    about, address = f"container {container.name}", endpoint.address.partition("/")[0]
    lease = leases.Lease(address, container.id, [container.name, *endpoint.aliases])
    there = next((each for each in facts.leases[network.name] if each.address == address), None)
    if not there:
        wrong = f"its address {address} on network {network.name} is not on record as taken"
        yield Finding(about, wrong, "taken again", missing=[(network.name, lease)], container=container)
    elif there.container_id != container.id:
        runs = [each.name for each in facts.running if each.id == there.container_id]
        if runs or there.container_id in facts.busy:
            wrong = f"its address {address} on network {network.name} is also that of container {there.names[0]}"
            yield Finding(about, wrong, f"'mydocker restart {container.name}'")
        else:
            wrong = f"its address {address} on network {network.name} is on record as another's"
            yield Finding(about, wrong, "taken again", missing=[(network.name, lease)], container=container)
    elif there.names != lease.names:
        wrong = f"its names on network {network.name} are not on record as {', '.join(lease.names)}"
        yield Finding(about, wrong, "written again", missing=[(network.name, lease)], container=container)


def _ports(facts: Facts, container: Container, op: PublishPorts | None) -> Iterator[Finding]:
    """op: what publishes its ports, if it has any. A version of IP that it is not reached by is to have no rule."""
    about, owner = f"container {container.name}", firewall.container_owner(container.name, container.id)
    publishing: list[Op] = []
    if op:
        op.before = op.ports  # it has these, or should: they are replaced, not added
        publishing = [op]
    addresses = {4: op.address, 6: op.address6} if op else {}
    for version, saved in facts.saved.items():
        address, rules = addresses.get(version, ""), firewall.parse(saved)[0]
        there = sorted(rule.spec for rule in rules if _container(rule.owner)[1] == container.id[:12])
        wanted = firewall.port_rules(version, owner, parse_published(op.ports), address) if op and address else []
        if there == sorted(rule.spec for rule in wanted):
            continue
        family = "iptables" if version == 4 else "ip6tables"
        gone = [rule for rule in wanted if rule.spec not in there]
        if gone:
            wrong, remedy = f"{len(gone)} of its {len(wanted)} published ports have no rule in {family}", "made again"
        else:
            wrong, remedy = f"it has rules in {family} for more than its published ports", "removed"
        versions = "::" if version == 6 else ""
        withdraw: list[Op] = [] if address else [RemovePorts(container.name, container.id, versions)]
        yield Finding(about, wrong, remedy, [*withdraw, *publishing], container=container)


def _has_namespace(container: Container) -> bool:
    return container.network != "host" and not container.network.startswith("container:")


# --- what is left of one that does not run ----------------------------------------------------------------------------


def _gone(facts: Facts, container: Container) -> Iterator[Finding]:
    """What its monitor has left: it was killed, or could not do it."""
    about = f"container {container.name}"
    versions = _versions_with(facts, container.id)
    if versions:
        withdraw: list[Op] = [RemovePorts(container.name, container.id, "::" if 6 in versions else "")]
        yield Finding(
            about, "it does not run, and there are still rules for its ports", "removed", withdraw, container=container
        )
    devices = {each.name: each.device for each in facts.networks}
    for endpoint in container.endpoints:
        link = facts.links.get(endpoint.veth)
        if link and link.bridge and link.bridge == devices.get(endpoint.network):
            wrong = f"it does not run, and its link {endpoint.veth} is still in {link.bridge}"
            yield Finding(about, wrong, "removed", [RemoveLink(endpoint.veth)], container=container)
    target = facts.shown.get(container.name, "")
    if container.pid and target == f"/proc/{container.pid}/ns/net":
        shown: list[Op] = [ShowNamespace(container.name, container.pid)]
        wrong = f"it does not run, and 'ip netns' still shows it ({NETNS}/{container.name})"
        yield Finding(about, wrong, "removed", leftovers=shown, container=container)


def _versions_with(facts: Facts, owner_id: str) -> list[int]:
    return [version for version, saved in facts.saved.items() if firewall.remove(saved, owner_id)]


def _strangers(facts: Facts) -> Iterator[Finding]:
    """Rules for containers that this store does not know: its own, if they lead into a network that only it has."""
    known = {each.id[:12] for each in [*facts.running, *facts.gone]} | {each[:12] for each in facts.busy}
    mine = {firewall.network_owner(each.name, each.id) for each in facts.networks}
    found: dict[str, tuple[str, list[int]]] = {}
    for version, saved in facts.saved.items():
        rules = [rule for rule in firewall.parse(saved)[0] if rule.owner]
        others = " ".join(rule.spec for rule in rules if " network " in rule.owner and rule.owner not in mine).split()
        for rule in rules:
            name, owner_id = _container(rule.owner)
            network = _network_at(facts, version, rule.spec)
            if owner_id and owner_id not in known and network:
                subnet = network.subnet if version == 4 else network.subnet6
                if subnet not in others:
                    found.setdefault(owner_id, (name, []))[1].append(version)
    for owner_id, (name, versions) in found.items():
        withdraw: list[Op] = [RemovePorts(name, owner_id, "::" if 6 in versions else "")]
        yield Finding(
            f"container {name}", f"there is no {owner_id}, and there are rules for its ports", "removed", withdraw
        )


def _container(owner: str) -> tuple[str, str]:
    """Name and ID in a rule's comment, or twice nothing if it is not a container's."""
    _, kind, *words = owner.split(" ") if owner else ("", "")
    return (words[0], words[1]) if kind == "container" else ("", "")


def _network_at(facts: Facts, version: int, spec: str) -> Network | None:
    """The network that a port's rule leads into."""
    target = spec.partition(" --to-destination ")[2].rpartition(":")[0].strip("[]")
    if not target:
        return None
    for network in facts.networks:
        subnet = network.subnet if version == 4 else network.subnet6
        if subnet and cidr(subnet).holds(parse(target)):
            return network
    return None


def _leases(facts: Facts, network: Network) -> Iterator[Finding]:
    """Leases of nobody."""
    endpoints = [
        (each.id, endpoint) for each in facts.running for endpoint in each.endpoints if endpoint.network == network.name
    ]
    owners = {endpoint.address.partition("/")[0]: container_id for container_id, endpoint in endpoints}
    known = {each.id: each for each in [*facts.running, *facts.gone]}
    for lease in facts.leases[network.name]:
        # That another's address is on its record is told of who has it.
        if lease.container_id not in facts.busy and lease.address not in owners:
            wrong = f"the address {lease.address} is on record as that of {lease.names[0]}, which does not have it"
            stale, container = [(network.name, lease)], known.get(lease.container_id)
            yield Finding(f"network {network.name}", wrong, "given back", stale=stale, container=container)
