"""The firewall rules of networks and published ports, and the changes that add or remove them. Pure functions.

A network's rules are made with its bridge. A container has one rule for each published port and no others. Our rules
are identified by the ID in their comment, "mydocker: network NAME ID" or "mydocker: container NAME ID".

    mangle  PREROUTING ─> MYDOCKER-ISOLATE      isolation, before anybody's ACCEPT and anybody's DNAT
    filter  FORWARD ─> MYDOCKER-USER            the administrator's own, never touched
                    ─> MYDOCKER-FORWARD         packets that pass isolation: to our bridges, or ─> MYDOCKER-OUT
                       MYDOCKER-OUT             from our bridges to anywhere but the containers of other runtimes
    nat     PREROUTING, OUTPUT ─> MYDOCKER-PORTS    published ports
            POSTROUTING                         one MASQUERADE a network, and ─> MYDOCKER-POSTROUTING

Where mydocker has turned forwarding on, a guard stands at the end of FORWARD: ─> MYDOCKER-GUARD, which drops.

All isolation is in mangle, which sees packets before nat does: a packet that begins a connection to a container's
address from anywhere but its own bridge is dropped. There, packets for published ports are still addressed to the host,
as are replies to masqueraded packets; both get their new destination later. Packets of established connections skip
these rules, so their cost does not grow with the number of networks.

The functions turn the text of iptables-save into one for iptables-restore. The words of a rule stand in the order in
which iptables-save prints them, so that existing rules are recognised.
"""

from __future__ import annotations

from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.model.options.ports import Port

TABLES = {
    "mangle": ("MYDOCKER-ISOLATE",),
    "filter": ("MYDOCKER-USER", "MYDOCKER-FORWARD", "MYDOCKER-OUT"),
    "nat": ("MYDOCKER-PORTS", "MYDOCKER-POSTROUTING"),
}
FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}  # sysctls, by version of IP
SHARED = "mydocker: all networks"
GUARD = "mydocker: forwards for containers only"  # also records that mydocker turned forwarding on
TAG = "mydocker: network "  # the start of the comment of a network's rules, and of its bridge's alias
_GUARD_CHAIN = "MYDOCKER-GUARD"
# Bridges of docker, libvirt, podman, CNI, LXC, LXD and Incus, whose own rules decide what reaches them.
OTHERS = ("docker+", "br-+", "virbr+", "podman+", "cni+", "lxcbr+", "lxdbr+", "incusbr+")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:/[]")
_LINK = _PLAIN | frozenset("#,=@^~")  # not as the first character; without +, which at the end is a wildcard
_LONGEST_NAME = 200  # a comment has 255 bytes


@record
class Rule:
    """A rule of ours. match: the part before the comment. target: the part after -j. first: insert it, not append."""

    table: str
    chain: str
    match: str
    target: str
    owner: str
    first: bool = False

    @property
    def spec(self) -> str:
        """The rule as iptables-save prints it after -A.

        The comment costs a packet 25 ns, so it is the last match. With a port it comes before the port, so that
        `iptables -nL` shows the port next to its target, dpt:80 to:10.0.0.2:80.
        """
        comment = f'-m comment --comment "{self.owner}"'
        head, port, tail = self.match.partition(" -m ") if "-p " in self.match else (self.match, "", "")
        return " ".join(filter(None, (self.chain, head, comment, f"-m {tail}" if port else "", "-j", self.target)))

    @property
    def line(self) -> str:
        return f"{'-I' if self.first else '-A'} {self.spec}"


def network_owner(name: str, network_id: str) -> str:
    return f"{TAG}{_plain(name)[:_LONGEST_NAME]} {_plain(network_id)[:12]}"


def container_owner(name: str, container_id: str) -> str:
    return f"mydocker: container {_plain(name)[:_LONGEST_NAME]} {_plain(container_id)[:12]}"


def _plain(word: str) -> str:
    """Check that a word needs no quotes; the model lets no others through. Raises ValueError.

    Quotes and newlines are rejected: they could inject rules.
    """
    if not word or not _PLAIN.issuperset(word):
        raise ValueError(f"{word!r} can't be part of a firewall rule")
    return word


def shared_rules(version: int) -> list[Rule]:
    """The rules that all networks share. version: of IP, 4 or 6."""
    local = "-m addrtype --dst-type LOCAL"
    # With route_localnet, a packet forged by a container would pass as part of a connection of the host's own.
    loopback = [f"{end} 127.0.0.0/8 ! -i lo" for end in ("-s", "-d")] if version == 4 else []
    begins = [*loopback, "-m conntrack ! --ctstate ESTABLISHED"]
    rows = [
        *(("mangle", "PREROUTING", match, "MYDOCKER-ISOLATE", True) for match in begins),
        ("mangle", "MYDOCKER-ISOLATE", "-i lo", "RETURN", True),  # from the host to one of its gateway addresses
        ("filter", "FORWARD", "", "MYDOCKER-FORWARD", True),
        ("filter", "FORWARD", "", "MYDOCKER-USER", True),  # inserted later, so it precedes the one above
        *(("filter", "MYDOCKER-OUT", f"-o {device}", "RETURN", False) for device in OTHERS),
        ("filter", "MYDOCKER-OUT", "", "ACCEPT", False),
        ("nat", "PREROUTING", local, "MYDOCKER-PORTS", False),
        # Unlike 127.0.0.1, ::1 can never leave the host, so a connection to it is refused.
        ("nat", "OUTPUT", local if version == 4 else f"! -d ::1/128 {local}", "MYDOCKER-PORTS", False),
        ("nat", "POSTROUTING", "", "MYDOCKER-POSTROUTING", False),
    ]
    return [Rule(table, chain, match, target, SHARED, first) for table, chain, match, target, first in rows]


@record
class Guard:
    """The guard that goes with forwarding turned on by mydocker. versions: of IP. links: the host's own, between which
    nothing is forwarded. bridges: the links among them that are bridges."""

    versions: list[int] = []
    links: list[str] = []
    bridges: list[str] = []


def guard_rules(guard: Guard) -> list[Rule]:
    """Rules by which nothing is forwarded from one of the host's own links to another, so that the host is not a
    router.

    They drop nothing else: a packet is accepted only if every table accepts it, so other runtimes would lose what their
    own tables accept. From a bridge to itself packets pass, because with br_netfilter the traffic between its ports
    looks like that. Packets whose destination was translated on this host belong to a published port. The guard
    consists of rules because a chain's policy is the administrator's; they stand at the end, so that an ACCEPT of the
    administrator's still counts.
    """
    links = guard.links
    if unnameable(links):
        raise ValueError(f"{unnameable(links)[0]!r} can't be part of a firewall rule")
    ways_in = [f"-i {link} ! -o {link}" if link in guard.bridges else f"-i {link}" for link in links]
    return [
        *(Rule("filter", "FORWARD", way, _GUARD_CHAIN, GUARD) for way in ways_in),
        Rule("filter", _GUARD_CHAIN, "-m conntrack --ctstate DNAT", "RETURN", GUARD),
        *(Rule("filter", _GUARD_CHAIN, f"-o {link}", "DROP", GUARD) for link in links),
    ]


def unnameable(links: list[str]) -> list[str]:
    """The links whose names can't be written in a rule. The kernel allows every name without blanks and slashes."""
    return [link for link in links if not (_PLAIN.issuperset(link[:1]) and _LINK.issuperset(link))]


def network_rules(version: int, owner: str, device: str, subnet: str, internal: bool = False) -> list[Rule]:
    """A network's own rules. subnet: of that version, without host bits. internal: nothing gets in or out."""
    device, subnet = _plain(device), _plain(subnet)
    rows = [("mangle", "MYDOCKER-ISOLATE", f"-d {subnet} ! -i {device}", "DROP", False)]
    if version == 4:
        # route_localnet lets the host's own connections to 127.0.0.1 out by the bridge; nothing may come in for it.
        rows += [
            ("mangle", "MYDOCKER-ISOLATE", f"{end} 127.0.0.0/8 -i {device}", "DROP", False) for end in ("-s", "-d")
        ]
    if internal and version == 4:
        beyond = f"! -d {subnet} -i {device} -m addrtype ! --dst-type BROADCAST,MULTICAST"
        rows += [("mangle", "MYDOCKER-ISOLATE", beyond, "DROP", False)]
    elif internal:
        beyond = f"! -d {subnet} -i {device} -m addrtype ! --dst-type MULTICAST"
        # Neighbour discovery uses link-local addresses, which are never forwarded.
        rows += [("mangle", "MYDOCKER-ISOLATE", f"-d fe80::/10 -i {device}", "RETURN", False)]
        rows += [("mangle", "MYDOCKER-ISOLATE", beyond, "DROP", False)]
    if internal:  # isolation lets replies through, so drop them here
        rows += [("filter", "MYDOCKER-FORWARD", f"-o {device}", "DROP", True)]
        rows += [("filter", "MYDOCKER-FORWARD", f"-i {device} -o {device}", "ACCEPT", True)]
    else:
        rows += [("filter", "MYDOCKER-FORWARD", f"-o {device}", "ACCEPT", True)]
        known = f"-i {device} -m conntrack --ctstate RELATED,ESTABLISHED"
        rows += [("filter", "MYDOCKER-FORWARD", known, "ACCEPT", False)]
        rows += [("filter", "MYDOCKER-FORWARD", f"-i {device}", "MYDOCKER-OUT", False)]
        rows += [("nat", "POSTROUTING", f"-s {subnet} ! -o {device}", "MASQUERADE", False)]
    # A container that reaches a port of its own network by the host's address must get the replies from the host.
    hairpin = f"-s {subnet} -d {subnet} -m conntrack --ctstate DNAT"
    rows += [("nat", "MYDOCKER-POSTROUTING", hairpin, "MASQUERADE", False)]
    if version == 4:
        rows += [("nat", "MYDOCKER-POSTROUTING", f"-s 127.0.0.0/8 -o {device}", "MASQUERADE", False)]
    return [Rule(table, chain, match, target, owner, first) for table, chain, match, target, first in rows]


def port_rules(version: int, owner: str, ports: Iterable[Port], address: str) -> list[Rule]:
    """One rule for each port that is reached by that version of IP.

    ports: in effect, with the host's number. address: the container's, of that version, without its prefix.
    """
    rules = []
    for port in ports:
        if version not in port.versions:
            continue
        match = f"-p {_plain(port.protocol)} -m {port.protocol} --dport {int(port.host)}"
        if port.host_ip.startswith("127."):
            # Only the host's own connections match -o lo: packets from outside are not routed yet at this point.
            match = f"-d {_plain(port.host_ip)}/32 -o lo {match}"
        elif port.host_ip not in ("", "0.0.0.0", "::"):
            match = f"-d {_plain(port.host_ip)}/{32 if version == 4 else 128} {match}"
        to = f"[{_plain(address)}]" if version == 6 else _plain(address)
        # Inserted first, to precede the stale rule of a container that was killed together with its monitor.
        rules.append(
            Rule("nat", "MYDOCKER-PORTS", match, f"DNAT --to-destination {to}:{int(port.container)}", owner, True)
        )
    return rules


# --- reading ----------------------------------------------------------------------------------------------------------


@record
class SavedRule:
    """A rule that iptables-save printed. spec: the text after -A. owner: the comment if the rule is ours, or ""."""

    table: str
    chain: str
    spec: str
    owner: str


def parse(saved: str) -> tuple[list[SavedRule], set[str]]:
    """Parse the text of iptables-save: (rules, all chains as TABLE/CHAIN)."""
    rules, chains, table = [], set(), ""
    for line in saved.split("\n"):
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains.add(f"{table}/{line[1:].split(' ', 1)[0]}")
        elif line.startswith("-A "):
            spec = line[3:]
            rules.append(SavedRule(table, spec.split(" ", 1)[0], spec, _owner(spec)))
    return rules, chains


def _owner(spec: str) -> str:
    """The comment of a rule if it is one of ours. Others can't imitate it: quotes within a comment are escaped."""
    _, separator, tail = spec.partition(' --comment "mydocker: ')
    comment = "mydocker: " + tail.partition('"')[0] if separator else ""
    return comment if comment in (SHARED, GUARD) or _owner_id(comment) else ""


def _owner_id(owner: str) -> str:
    """The ID in the comment of a network or container, else ""."""
    parts = owner.split(" ")
    return parts[3] if len(parts) == 4 and parts[0] == "mydocker:" and parts[1] in ("network", "container") else ""


# --- changing ---------------------------------------------------------------------------------------------------------


def replace(saved: str, version: int, owner: str, rules: list[Rule], guard: list[Rule] | None = None) -> str:
    """The text for iptables-restore that gives the owner exactly these rules, each once, and adds our chains and the
    jumps to them; "" if nothing has to change. guard: guard_rules() if these are needed, too."""
    existing, chains = parse(saved)
    change = _Change()
    for table, names in TABLES.items():
        change.add(table, (f"-N {name}" for name in names if f"{table}/{name}" not in chains))
    if guard is not None and f"filter/{_GUARD_CHAIN}" not in chains:
        change.add("filter", [f"-N {_GUARD_CHAIN}"])
    groups = [(SHARED, shared_rules(version)), (owner, rules)]
    for name, expected in groups if guard is None else [*groups, (GUARD, guard)]:
        present = [rule for rule in existing if rule.owner and _is_same(rule.owner, name)]
        if sorted((rule.table, rule.spec) for rule in present) != sorted((rule.table, rule.spec) for rule in expected):
            change.delete(present)
            for rule in expected:
                change.add(rule.table, [rule.line])
    return change.text()


def remove(saved: str, owner_id: str) -> str:
    """The text that removes an owner's rules; "" if there are none. owner_id: the first 12 characters count."""
    return remove_owners(saved, [owner_id])


def remove_network(saved: str, network_id: str, keep_guard: bool = False) -> str:
    """As remove(), but if no other owner has rules, also remove the shared ones. keep_guard: as of remove_all()."""
    return remove_all(saved, keep_guard) if is_last(saved, network_id) else remove(saved, network_id)


def remove_all(saved: str, keep_guard: bool = False) -> str:
    """The text that removes all our rules, the jumps, and the chains in which nobody else has a rule. keep_guard: keep
    the guard, because forwarding stays on."""
    existing, chains = parse(saved)
    removed = [rule for rule in existing if rule.owner and not (keep_guard and rule.owner == GUARD)]
    change = _Change()
    change.delete(removed)
    for table, names in {**TABLES, "filter": (*TABLES["filter"], _GUARD_CHAIN)}.items():
        others = [rule for rule in existing if rule.table == table and rule not in removed]
        in_use = {word for rule in others for word in rule.spec.split(" ")}
        change.add(table, (f"-X {name}" for name in names if f"{table}/{name}" in chains and name not in in_use))
    return change.text()


def remove_owners(saved: str, ids: Iterable[str]) -> str:
    """As remove(), for several owners."""
    change = _Change()
    known = {owner_id[:12] for owner_id in ids}
    change.delete(rule for rule in parse(saved)[0] if _owner_id(rule.owner) in known)
    return change.text()


def owners(saved: str) -> set[str]:
    """The first 12 digits of the IDs of all owners of rules, and "" if there are shared rules."""
    return {_owner_id(rule.owner) for rule in parse(saved)[0] if rule.owner}


def is_last(saved: str, network_id: str) -> bool:
    """True if no other network and no container has a rule."""
    return all(_owner_id(rule.owner) in ("", network_id[:12]) for rule in parse(saved)[0])


def has_guard(saved: str) -> bool:
    """True if the guard's rules record that mydocker turned forwarding on."""
    return any(rule.owner == GUARD for rule in parse(saved)[0])


def guard_is(saved: str, guard: list[Rule]) -> bool:
    """True if the guard has exactly these rules."""
    present = sorted(rule.spec for rule in parse(saved)[0] if rule.owner == GUARD)
    return present == sorted(rule.spec for rule in guard)


def has_foreign_nat(saved: str) -> bool:
    """True if a rule of somebody else translates addresses, which suggests that they need forwarding."""
    targets = {rule.spec.rpartition(" -j ")[2].split(" ")[0] for rule in parse(saved)[0] if not rule.owner}
    return not targets.isdisjoint(("MASQUERADE", "SNAT", "DNAT", "NETMAP"))


def _is_same(owner: str, other: str) -> bool:
    """True if two comments have the same ID: a new network may have the name of a removed one."""
    return owner == other or (bool(_owner_id(owner)) and _owner_id(owner) == _owner_id(other))


class _Change:
    """Lines for iptables-restore, by table."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {table: [] for table in TABLES}

    def add(self, table: str, lines: Iterable[str]) -> None:
        self._lines[table].extend(lines)

    def delete(self, rules: Iterable[SavedRule]) -> None:
        for rule in rules:
            self._lines.setdefault(rule.table, []).append(f"-D {rule.spec}")

    def text(self) -> str:
        return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in self._lines.items() if lines)


def restore_text(rules: Iterable[Rule]) -> str:
    """The text that adds rules which are known to be missing, to chains which are known to exist."""
    change = _Change()
    for rule in rules:
        change.add(rule.table, [rule.line])
    return change.text()
