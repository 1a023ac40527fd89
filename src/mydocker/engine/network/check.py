"""`network check`: whether the kernel has what the records say; and how it gets that back, without a restart.

survey() looks, compare() is pure: it tells what is wrong, each with the steps that mend it, if there are any. Others'
links and rules are none of its business, a second store's of mydocker neither: what is ours is known by its ID.
"""

from __future__ import annotations

import os
from time import sleep

from mydocker import paths, state
from mydocker.engine.network import flavours, forwarding, networks, zones
from mydocker.errors import CorruptRecord, MydockerError, NotFound
from mydocker.kernel import bridge, firewalld, iptables
from mydocker.model.network import Wires
from mydocker.model.options.addresses import cidr, parse
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall, leases, plan
from mydocker.network.ops import (
    AddNetworkRules,
    JoinZone,
    PlugLink,
    PublishPorts,
    RemoveLink,
    RemoveOldFlavour,
    RemovePorts,
)
from mydocker.ops.base import Op
from mydocker.ops.namespaces import NETNS, ShowNamespace
from mydocker.record import record
from mydocker.trace import Trace, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.kernel.bridge import Bridge, Plug
    from mydocker.model.network import Endpoint, Network
    from mydocker.network.leases import Lease

_SETTLED = 0.3  # seconds in which a start or an end that is under way gets on
_ROUNDS = 3


@record
class Facts:
    """running, gone: the containers of this store whose state is certain; one that starts, ends or is changed just now
    is busy, by its ID. was_up: the names of networks that have been up since the boot. bridges: by device. unset: a
    device's settings that are not as they were made. saved: iptables-save's text, by the version of IP. off: versions
    that the host does not forward. noted: what mydocker has turned that on for. zones: of
    firewalld, by link; None if it does not run or answer; rejects: its rules are there all the same. old: what takes
    our rules from the flavour of iptables that the host used before. shown: what is in
    the directory of ip netns -> where the link leads, "" if it is none. broken: the names of
    networks whose record can't be read; of them nothing is said here."""

    networks: list[Network]
    was_up: set[str]
    bridges: dict[str, Bridge | None]
    plugs: dict[str, Plug]
    unset: dict[str, list[str]]
    saved: dict[int, str]
    off: list[int]
    noted: firewall.Guard
    zones: dict[str, str] | None
    rejects: bool
    old: list[RemoveOldFlavour]
    running: list[state.Record]
    unwatched: list[str]
    gone: list[state.Record]
    busy: list[str]
    leases: dict[str, list[Lease]]
    shown: dict[str, str]
    broken: list[str] = []


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
    container: state.Record | None = None

    @property
    def mendable(self) -> bool:
        return bool(self.steps or self.leftovers or self.missing or self.stale)

    @property
    def key(self) -> tuple[str, str]:
        return self.about, self.wrong


def check() -> list[Finding]:
    """What is wrong. A start or an end that is under way looks like damage, too: what counts is still there after a
    moment. Raises HostError without iptables."""
    before = {each.key for each in compare(survey())}
    if not before:
        return []
    sleep(_SETTLED)
    return [each for each in compare(survey()) if each.key in before]


def repair() -> tuple[list[Finding], list[tuple[Finding, str]]]:
    """Mend what can be mended. What was wrong, and what still is, with the error if there was one."""
    tried: dict[tuple[str, str], Finding] = {}
    errors: dict[tuple[str, str], str] = {}
    found = check()
    for _ in range(_ROUNDS):  # a container may have ended while its links and rules were being made
        todo = [each for each in found if each.mendable and each.key not in errors]
        if not todo:
            break
        for each in todo:
            try:
                _mend(each)
                tried[each.key] = each
            except (OSError, MydockerError) as error:
                errors[each.key] = str(error)
        found = check()
    left = {each.key: each for each in found}
    return [each for key, each in tried.items() if key not in left], [
        (each, errors.get(key, "")) for key, each in left.items()
    ]


# --- what is there ----------------------------------------------------------------------------------------------------


def survey() -> Facts:
    known = networks.networks()
    running, gone, busy = _containers()
    noted = forwarding.turned_on()
    versions = sorted({*noted.versions, *(version for each in known for version in each.versions)})
    bridges = {each.device: bridge.describe(each.device) for each in known}
    zones = firewalld.zones() if known else None
    return Facts(
        known,
        {each.name for each in known if networks.was_up(each)},
        bridges,
        bridge.plugs(),
        {each.device: _unset(each) for each in known if bridges[each.device]},
        {version: iptables.save(version) for version in versions},
        sorted({version for each in known for version in forwarding.not_forwarded(each)}),
        noted,
        zones,
        zones is None and firewalld.rules_are_loaded(),
        flavours.removals(),
        running,
        [each.id for each in running if not each.watched()],
        gone,
        busy,
        {each.name: leases.read(each.name) for each in known},
        dict(_shown()),
        list(networks.broken()),
    )


def _containers() -> tuple[list[state.Record], list[state.Record], list[str]]:
    """Those that run, those that do not, and the IDs of those that are being changed: somebody holds their lock."""
    running, gone, busy = [], [], []
    for container_id in state.ids():
        try:
            with state.Lock(f"{paths.container(container_id)}/lock", wait=False):
                found = state.load(container_id)
            if found.alive():
                running.append(found)
            elif found.watched():
                busy.append(container_id)  # its monitor clears up
            else:
                gone.append(found)
        except NotFound:
            continue
        except (BlockingIOError, CorruptRecord):
            busy.append(container_id)
    return running, gone, busy


def _unset(network: Network) -> list[str]:
    wrong = []
    for path, wanted in bridge.settings(network.device, bool(network.subnet6)).items():
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() != wanted:
                    wrong.append(os.path.basename(path))
        except FileNotFoundError:
            pass  # no IPv6 on this host
    return wrong


def _shown() -> Iterator[tuple[str, str]]:
    try:
        entries = os.listdir(NETNS)
    except FileNotFoundError:
        return
    for name in entries:
        try:
            yield name, os.readlink(f"{NETNS}/{name}")
        except OSError:
            yield name, ""


# --- what is wrong ----------------------------------------------------------------------------------------------------


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
    return {end.network for container in facts.running for end in container.endpoints}


def _guard(facts: Facts, network: Network) -> firewall.Guard:
    return forwarding.guard_of(network, facts.off, facts.noted, facts.plugs)


def _host(facts: Facts, active: list[Network]) -> list[Finding]:
    """Forwarding, and the guard that keeps it to containers; of all networks with a way out, the first can mend it."""
    found = []
    for version in (4, 6):
        network = next((each for each in active if not each.internal and version in each.versions), None)
        if not network:
            wrong = version in facts.noted.versions and _guarding(
                facts.saved[version], forwarding.guard_for([version], facts.noted, facts.plugs)
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


def _running(facts: Facts, container: state.Record) -> list[Finding]:
    about = f"container {container.name}"
    found = []
    if container.id in facts.unwatched:
        wrong = "it has outlived its monitor, so nobody holds its ports, answers for names or keeps its log"
        found.append(Finding(about, wrong, f"'mydocker restart {container.name}'"))
    known = {each.name: each for each in facts.networks}
    joined = [(known[end.network], end) for end in container.endpoints if end.network in known]
    for end in container.endpoints:
        if end.network not in known and end.network not in facts.broken:
            remedy = f"'mydocker network disconnect -f {end.network} {container.name}'"
            found.append(Finding(about, f"its network {end.network} is gone", remedy))
    wanted = plan.publish(Wires(container.id, container.name, joined, container.ports))
    published = {op.link: op for op in wanted if isinstance(op, PublishPorts)}
    for network, end in joined:
        found += _plug(facts, container, network, end, end.link in published)
        found += _lease(facts, container, network, end)
    found += _ports(facts, container, next(iter(published.values()), None))
    if _has_namespace(container) and container.name not in facts.shown:
        show: list[Op] = [ShowNamespace(container.name, container.pid)]
        found.append(Finding(about, "'ip netns' does not know it", "shown again", show, container=container))
    return found


def _plug(facts: Facts, container: state.Record, network: Network, end: Endpoint, published: bool) -> Iterator[Finding]:
    about, plug = f"container {container.name}", facts.plugs.get(end.link)
    if not plug:
        again = f"'mydocker restart {container.name}', or 'mydocker network disconnect {network.name} {container.name}'"
        wrong = f"its link {end.link} ({end.device}) is gone"
        yield Finding(about, wrong, f"{again} and 'mydocker network connect {network.name} {container.name}'")
        return
    mend: list[Op] = [PlugLink(end.link, network.device, published)]
    if plug.bridge != network.device:
        wrong, remedy = f"its link {end.link} ({end.device}) is not plugged into {network.device}", "plugged in again"
    elif not plug.up:
        wrong, remedy = f"its link {end.link} ({end.device}) is down", "up again"
    elif published and not plug.hairpin:
        wrong, remedy = f"its link {end.link} has no hairpin, so it may not reach its own ports", "set again"
    else:
        return
    bridge = facts.bridges[network.device]
    if bridge and not bridge.is_ours(firewall.network_owner(network.name, network.id)):
        mend, remedy = [], f"once {network.device} is its network's: 'mydocker network check --repair'"
    yield Finding(about, wrong, remedy, mend, container=container)


def _lease(facts: Facts, container: state.Record, network: Network, end: Endpoint) -> Iterator[Finding]:
    about, address = f"container {container.name}", end.address.partition("/")[0]
    lease = leases.Lease(address, container.id, [container.name, *end.aliases])
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


def _ports(facts: Facts, container: state.Record, op: PublishPorts | None) -> Iterator[Finding]:
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


def _has_namespace(container: state.Record) -> bool:
    return container.network != "host" and not container.network.startswith("container:")


# --- what is left of one that does not run ----------------------------------------------------------------------------


def _gone(facts: Facts, container: state.Record) -> Iterator[Finding]:
    """What its monitor has left: it was killed, or could not do it."""
    about = f"container {container.name}"
    versions = _versions_with(facts, container.id)
    if versions:
        withdraw: list[Op] = [RemovePorts(container.name, container.id, "::" if 6 in versions else "")]
        yield Finding(
            about, "it does not run, and there are still rules for its ports", "removed", withdraw, container=container
        )
    devices = {each.name: each.device for each in facts.networks}
    for end in container.endpoints:
        plug = facts.plugs.get(end.link)
        if plug and plug.bridge and plug.bridge == devices.get(end.network):
            wrong = f"it does not run, and its link {end.link} is still in {plug.bridge}"
            yield Finding(about, wrong, "removed", [RemoveLink(end.link)], container=container)
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
    ends = [(each.id, end) for each in facts.running for end in each.endpoints if end.network == network.name]
    owners = {end.address.partition("/")[0]: container_id for container_id, end in ends}
    known = {each.id: each for each in [*facts.running, *facts.gone]}
    for lease in facts.leases[network.name]:
        # That another's address is on its record is told of who has it.
        if lease.container_id not in facts.busy and lease.address not in owners:
            wrong = f"the address {lease.address} is on record as that of {lease.names[0]}, which does not have it"
            stale, container = [(network.name, lease)], known.get(lease.container_id)
            yield Finding(f"network {network.name}", wrong, "given back", stale=stale, container=container)


# --- mending ----------------------------------------------------------------------------------------------------------


def _mend(finding: Finding) -> None:
    """Raises MydockerError, OSError."""
    seen = finding.container
    if not seen:
        _apply(finding)
        return
    try:
        with state.lock(seen):  # nobody starts it, connects it or changes its ports meanwhile
            now = state.load(seen.id)
            if now == seen and now.alive() == (seen.status == "running"):
                _apply(finding)
    except NotFound:
        pass  # it has been removed; what is left then is seen by the next look


def _apply(finding: Finding) -> None:
    with networks.lock():
        Trace("host").run(finding.steps)
        for op in finding.steps:
            if isinstance(op, AddNetworkRules):
                forwarding.note_turned_on(firewall.Guard(op.forwarding_guards, op.own_links))
    undo_all(finding.leftovers)
    for name, lease in finding.missing:
        leases.take(networks.load(name), lease.container_id, lease.names, lease.address)
    for name, lease in finding.stale:
        leases.release(name, lease.address, lease.container_id)
