"""Compare what the kernel has with what the records say, for `network check`. Pure.

Links and rules of other programs, or of another mydocker store, are ignored.
"""

from __future__ import annotations

from mydocker.engine.network import forwarding, zones
from mydocker.kernel import firewalld, iptables
from mydocker.model.attachments import recorded
from mydocker.model.options.addresses import cidr, parse
from mydocker.network import bridge_plan, firewall, leases, plan
from mydocker.network.ops.bridges import JoinZone
from mydocker.network.ops.veths import AttachVeth
from mydocker.ops.base import Op
from mydocker.ops.namespaces import NETNS, ShowNamespace
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.engine.network.survey import Facts
    from mydocker.kernel.bridge import Bridge
    from mydocker.model.attachments import Attachments
    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint, Network
    from mydocker.network.leases import Lease


@record
class Finding:
    """A difference between the kernel and the records.

    about: "network web", "container db" or "this host". wrong: the difference. remedy: the result of a repair, such as
    "recreated", or, if nothing here can be repaired, the command that helps.

    steps: ops to run for the repair. leftovers: ops to undo. missing, stale: leases to take and to release, each with
    its network's name. container: the repair is skipped if this record has changed meanwhile.
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
    def repairable(self) -> bool:
        return bool(self.steps or self.leftovers or self.missing or self.stale)

    @property
    def key(self) -> tuple[str, str]:
        return self.about, self.wrong


def compare(facts: Facts) -> list[Finding]:
    """Find what is wrong. Networks come before their containers, because repairs are done in this order."""
    findings: list[Finding] = []
    active = [each for each in facts.networks if each.name in facts.was_up | _in_use(facts)]
    findings += _host(facts, active)
    for network in active:
        findings += _network(facts, network)
    for container in facts.running:
        findings += _running(facts, container)
    for container in facts.stopped:
        findings += _stopped(facts, container)
    findings += _unknown_containers(facts)
    for op in facts.old_rules:
        wrong = f"mydocker's rules are also in iptables-{op.flavour} (IPv{op.version}), which is no longer in use"
        findings.append(Finding("this host", wrong, "removed", [op]))
    for network in facts.networks:
        findings += _leases(facts, network)
    return findings


def _in_use(facts: Facts) -> set[str]:
    return {endpoint.network for container in facts.running for endpoint in container.endpoints}


def _guard(facts: Facts, network: Network) -> firewall.Guard:
    return forwarding.network_guard(network, facts.off, facts.turned_on, facts.links)


def _host(facts: Facts, active: list[Network]) -> list[Finding]:
    """Check forwarding, and the guard that restricts it to containers.

    The steps of any network that is not internal repair both; the first one's are used.
    """
    findings: list[Finding] = []
    for version in (4, 6):
        network = next((each for each in active if not each.internal and version in each.versions), None)
        if not network:
            findings += _left_forwarding(facts, version)
            continue
        guard = _guard(facts, network)
        steps: list[Op] = [bridge_plan.rules(network, guard)]
        if version in facts.off:
            wrong = f"IPv{version}: it does not forward, so no container gets out"
            findings.append(Finding("this host", wrong, "turned on again, for containers only", steps))
        elif version in facts.turned_on.versions and firewall.unnameable(guard.links):
            wrong = f"IPv{version}: {_wrong_guard(facts.saved[version], guard)}"
            findings.append(Finding("this host", wrong, forwarding.RENAME))
        elif version in facts.turned_on.versions:
            wrong = _wrong_guard(facts.saved[version], guard)
            if wrong:
                wrong = f"IPv{version}: mydocker has turned forwarding on, and {wrong}"
                findings.append(Finding("this host", wrong, "recreated", steps))
    return findings


def _left_forwarding(facts: Facts, version: int) -> Iterator[Finding]:
    """Check the guard of a version of IP whose forwarding was left on for others, though no network needs it."""
    if version in facts.turned_on.versions:
        guard = forwarding.versions_guard([version], facts.turned_on, facts.links)
        wrong = _wrong_guard(facts.saved[version], guard)
        if wrong:
            wrong = f"IPv{version}: mydocker has left forwarding on, and {wrong}"
            yield Finding("this host", wrong, f"'sysctl -w {firewall.FORWARDING[version]}=0', or a network")


def _wrong_guard(saved: str, guard: firewall.Guard) -> str:
    """Describe what is wrong with the guard's rules; "" if nothing is."""
    strange = " and ".join(map(repr, firewall.unnameable(guard.links)))
    if strange:
        return f"no firewall rule can name {strange}, to keep it apart from the host's other links"
    if not firewall.has_guard(saved):
        return "the rules that restrict it to containers are gone"
    if firewall.guard_is(saved, firewall.guard_rules(guard)):
        return ""
    known = {word for rule in firewall.parse(saved)[0] if rule.owner == firewall.GUARD for word in rule.spec.split()}
    new = [link for link in guard.links if link not in known]
    if new:
        return f"the rules that restrict it to containers do not know {' and '.join(new)}"
    return "the rules that restrict it to containers have been changed"


def _network(facts: Facts, network: Network) -> list[Finding]:
    about, tag = f"network {network.name}", firewall.network_owner(network.name, network.id)
    findings = []
    for version in network.versions:
        subnet = network.subnet_of(version)
        rules = firewall.network_rules(version, tag, network.device, subnet, network.internal)
        wrong = _wrong_rules(facts, version, tag, rules)
        if wrong:
            findings.append(Finding(about, wrong, "recreated", [bridge_plan.rules(network, _guard(facts, network))]))
    steps = bridge_plan.bridge_up(network, _guard(facts, network))
    changed = facts.changed_settings.get(network.device, [])
    wrong, remedy = _wrong_bridge(facts.bridges[network.device], network, tag, changed)
    if wrong:
        findings.append(Finding(about, wrong, remedy or "recreated", [] if remedy else steps))
    return [*findings, *_zone(facts, network)]


def _zone(facts: Facts, network: Network) -> Iterator[Finding]:
    if network.internal or not facts.bridges[network.device]:
        return
    about, wrong = f"network {network.name}", zones.not_in_zone(network.device)
    if facts.firewalld_is_silent:
        remedy = f"start firewalld, or '{firewalld.trust_command(network.device)}'"
        yield Finding(about, f"{wrong}, and firewalld does not answer", remedy)
    elif facts.zones is not None and network.device not in facts.zones:
        yield Finding(about, wrong, f"put into the zone {firewalld.ZONE}", [JoinZone(network.device)])


def _wrong_rules(facts: Facts, version: int, owner: str, rules: list[firewall.Rule]) -> str:
    """Describe what is wrong with an owner's rules; "" if nothing is."""
    if not firewall.replace(facts.saved[version], version, owner, rules):
        return ""
    present = [rule.spec for rule in firewall.parse(facts.saved[version])[0] if rule.owner]
    expected = [rule.spec for rule in [*firewall.shared_rules(version), *rules]]
    missing = [spec for spec in expected if spec not in present]
    family = iptables.PROGRAMS[version]
    if missing:
        return f"{len(missing)} of its {len(expected)} rules in {family} are gone"
    return f"its rules in {family} have been changed"


def _wrong_bridge(bridge: Bridge | None, network: Network, tag: str, changed: list[str]) -> tuple[str, str]:
    """Describe what is wrong with a network's bridge, and the remedy if only a person can repair it."""
    device = network.device
    if not bridge:
        return f"its bridge {device} is gone", ""
    if not bridge.is_ours(tag):
        remedy = f"rename the link, 'ip link set {device} name …', then 'mydocker network check --repair'"
        return f"the link {device} is not its bridge, but somebody else's", remedy
    missing = [address for address in bridge_plan.bridge_addresses(network) if address not in bridge.addresses]
    if missing:
        return f"its bridge {device} lacks the address {' and '.join(missing)}", ""
    if not bridge.up:
        return f"its bridge {device} is down", ""
    if bridge.mtu != network.mtu:
        return f"its bridge {device} has an MTU of {bridge.mtu}, not {network.mtu}", ""
    if changed:
        return f"settings of its bridge {device} have been changed: {', '.join(changed)}", ""
    return "", ""


# --- running containers -----------------------------------------------------------------------------------------------


def _running(facts: Facts, container: Container) -> list[Finding]:
    about = f"container {container.name}"
    findings = []
    if container.id in facts.unmonitored:
        wrong = "its monitor is gone, so nothing holds its ports, answers its DNS queries or writes its log"
        findings.append(Finding(about, wrong, f"'mydocker restart {container.name}'"))
    known = {each.name: each for each in facts.networks}
    attachments = recorded(container, facts.networks)
    for endpoint in attachments.endpoints:
        if endpoint.network not in known and endpoint.network not in facts.broken:
            remedy = f"'mydocker network disconnect -f {endpoint.network} {container.name}'"
            findings.append(Finding(about, f"its network {endpoint.network} is gone", remedy))
        if endpoint.network in attachments.networks:
            network = attachments.networks[endpoint.network]
            published = bool(attachments.bindings) and endpoint == attachments.egress
            findings += _veth(facts, container, network, endpoint, published)
            findings += _lease(facts, container, network, endpoint)
    findings += _ports(facts, container, attachments)
    if _has_namespace(container) and container.name not in facts.netns:
        show: list[Op] = [ShowNamespace(container.name, container.pid)]
        findings.append(Finding(about, "'ip netns' does not list it", "listed", show, container=container))
    return findings


def _veth(
    facts: Facts, container: Container, network: Network, endpoint: Endpoint, published: bool
) -> Iterator[Finding]:
    about, link = f"container {container.name}", facts.links.get(endpoint.veth)
    if not link:
        disconnect, connect = (
            f"'mydocker network {verb} {network.name} {container.name}'" for verb in ("disconnect", "connect")
        )
        wrong = f"its link {endpoint.veth} ({endpoint.device}) is gone"
        yield Finding(about, wrong, f"'mydocker restart {container.name}', or {disconnect} and {connect}")
        return
    steps: list[Op] = [AttachVeth(endpoint.veth, network.device, published)]
    if link.bridge != network.device:
        wrong = f"its link {endpoint.veth} ({endpoint.device}) is not attached to {network.device}"
        remedy = "attached"
    elif not link.up:
        wrong, remedy = f"its link {endpoint.veth} ({endpoint.device}) is down", "set up"
    elif published and not link.hairpin:
        wrong, remedy = f"its link {endpoint.veth} has no hairpin, so it may not reach its own ports", "set"
    else:
        return
    bridge = facts.bridges[network.device]
    if bridge and not bridge.is_ours(firewall.network_owner(network.name, network.id)):
        steps, remedy = [], f"once {network.device} is its network's: 'mydocker network check --repair'"
    yield Finding(about, wrong, remedy, steps, container=container)


def _lease(facts: Facts, container: Container, network: Network, endpoint: Endpoint) -> Iterator[Finding]:
    about, address = f"container {container.name}", endpoint.address.partition("/")[0]
    expected = leases.Lease(address, container.id, [container.name, *endpoint.aliases])
    lease = next((each for each in facts.leases[network.name] if each.address == address), None)
    missing = [(network.name, expected)]
    if not lease:
        wrong = f"its address {address} on network {network.name} has no lease"
        yield Finding(about, wrong, "leased", missing=missing, container=container)
    elif lease.container_id != container.id:
        runs = any(each.id == lease.container_id for each in facts.running)
        if runs or lease.container_id in facts.changing:
            wrong = f"its address {address} on network {network.name} is also that of container {lease.names[0]}"
            yield Finding(about, wrong, f"'mydocker restart {container.name}'")
        else:
            wrong = f"its address {address} on network {network.name} is leased to another container"
            yield Finding(about, wrong, "leased", missing=missing, container=container)
    elif lease.names != expected.names:
        wrong = f"its lease on network {network.name} does not have the names {', '.join(expected.names)}"
        yield Finding(about, wrong, "rewritten", missing=missing, container=container)


def _ports(facts: Facts, container: Container, attachments: Attachments) -> Iterator[Finding]:
    """Check the rules of published ports. There are none for a version of IP by which no network leads out."""
    about, owner = f"container {container.name}", firewall.container_owner(container.name, container.id)
    publish = plan.transition(attachments.with_ports([]), attachments).publish
    bindings, egress = (attachments.bindings, attachments.egress) if publish else ([], None)
    addresses = {4: egress.address, 6: egress.address6} if egress else {}
    for version, saved in facts.saved.items():
        address, rules = addresses.get(version, "").partition("/")[0], firewall.parse(saved)[0]
        present = sorted(rule.spec for rule in rules if _container(rule.owner)[1] == container.id[:12])
        expected = firewall.port_rules(version, owner, bindings, address) if address else []
        if present == sorted(rule.spec for rule in expected):
            continue
        family = iptables.PROGRAMS[version]
        missing = [rule for rule in expected if rule.spec not in present]
        if missing:
            wrong = f"{len(missing)} of its {len(expected)} published ports have no rule in {family}"
            remedy = "recreated"
        else:
            wrong, remedy = f"it has rules in {family} for more than its published ports", "removed"
        remove: list[Op] = [] if address else [plan.remove_ports(container.name, container.id, [version])]
        yield Finding(about, wrong, remedy, [*remove, *publish], container=container)


def _has_namespace(container: Container) -> bool:
    return container.network != "host" and not container.network.startswith("container:")


# --- leftovers --------------------------------------------------------------------------------------------------------


def _stopped(facts: Facts, container: Container) -> Iterator[Finding]:
    """Check for leftovers of a stopped container, whose monitor was killed or failed to clean up."""
    about = f"container {container.name}"
    versions = _versions_with(facts, container.id)
    if versions:
        wrong = "it is not running, but rules for its ports remain"
        remove: list[Op] = [plan.remove_ports(container.name, container.id, versions)]
        yield Finding(about, wrong, "removed", remove, container=container)
    attachments = recorded(container, facts.networks)
    for endpoint in attachments.endpoints:
        link, network = facts.links.get(endpoint.veth), attachments.networks.get(endpoint.network)
        if link and network and link.bridge == network.device:
            wrong = f"it is not running, but its link {endpoint.veth} is still attached to {link.bridge}"
            steps = plan.transition(attachments, attachments.without(network.name)).detach
            yield Finding(about, wrong, "removed", steps, container=container)
    target = facts.netns.get(container.name, "")
    if container.pid and target == f"/proc/{container.pid}/ns/net":
        shown: list[Op] = [ShowNamespace(container.name, container.pid)]
        wrong = f"it is not running, but 'ip netns' still lists it ({NETNS}/{container.name})"
        yield Finding(about, wrong, "removed", leftovers=shown, container=container)


def _versions_with(facts: Facts, owner_id: str) -> list[int]:
    return [version for version, saved in facts.saved.items() if firewall.remove(saved, owner_id)]


def _unknown_containers(facts: Facts) -> Iterator[Finding]:
    """Check for rules of containers without a record. They are this store's if they lead to a network of its own."""
    known = {each.id[:12] for each in [*facts.running, *facts.stopped]} | {each[:12] for each in facts.changing}
    mine = {firewall.network_owner(each.name, each.id) for each in facts.networks}
    owners: dict[str, tuple[str, list[int]]] = {}
    for version, saved in facts.saved.items():
        rules = [rule for rule in firewall.parse(saved)[0] if rule.owner]
        others = " ".join(rule.spec for rule in rules if " network " in rule.owner and rule.owner not in mine).split()
        for rule in rules:
            name, owner_id = _container(rule.owner)
            network = _network_at(facts, version, rule.spec)
            if owner_id and owner_id not in known and network:
                subnet = network.subnet_of(version)
                if subnet not in others:
                    owners.setdefault(owner_id, (name, []))[1].append(version)
    for owner_id, (name, versions) in owners.items():
        remove: list[Op] = [plan.remove_ports(name, owner_id, versions)]
        wrong = f"{owner_id} does not exist, but rules for its ports do"
        yield Finding(f"container {name}", wrong, "removed", remove)


def _container(owner: str) -> tuple[str, str]:
    """The name and ID in the comment of a container's rule, else ("", "")."""
    _, kind, *words = owner.split(" ") if owner else ("", "")
    return (words[0], words[1]) if kind == "container" else ("", "")


def _network_at(facts: Facts, version: int, spec: str) -> Network | None:
    """The network to which a port's rule redirects."""
    target = spec.partition(" --to-destination ")[2].rpartition(":")[0].strip("[]")
    if not target:
        return None
    for network in facts.networks:
        subnet = network.subnet_of(version)
        if subnet and cidr(subnet).holds(parse(target)):
            return network
    return None


def _leases(facts: Facts, network: Network) -> Iterator[Finding]:
    """Check for leases of addresses that no running container has."""
    endpoints = [
        (each.id, endpoint) for each in facts.running for endpoint in each.endpoints if endpoint.network == network.name
    ]
    owners = {endpoint.address.partition("/")[0]: container_id for container_id, endpoint in endpoints}
    known = {each.id: each for each in [*facts.running, *facts.stopped]}
    for lease in facts.leases[network.name]:
        # An address recorded for the wrong container is reported with its real owner.
        if lease.container_id not in facts.changing and lease.address not in owners:
            wrong = f"the address {lease.address} is leased to {lease.names[0]}, which does not have it"
            stale, container = [(network.name, lease)], known.get(lease.container_id)
            yield Finding(f"network {network.name}", wrong, "released", stale=stale, container=container)
