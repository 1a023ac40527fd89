"""Which firewall rules a network and a published port have, and what has to change for them to be there or gone.

A network's rules are made with its bridge; a container has none but one for each published port. Ours are known by
their comment, "mydocker: network NAME ID" and "mydocker: container NAME ID": its ID decides.

    mangle  PREROUTING ─> MYDOCKER-ISOLATE      isolation, before anybody's ACCEPT and anybody's DNAT
    filter  FORWARD ─> MYDOCKER-USER            the administrator's own, never touched
                    ─> MYDOCKER-FORWARD         what comes this far may pass: to a bridge of ours, or ─> MYDOCKER-OUT
                       MYDOCKER-OUT             from a bridge of ours: anywhere but to the containers of other runtimes
    nat     PREROUTING, OUTPUT ─> MYDOCKER-PORTS    published ports
            POSTROUTING                         one MASQUERADE a network, and ─> MYDOCKER-POSTROUTING

Where mydocker has turned forwarding on, a guard stands at FORWARD's end: ─> MYDOCKER-GUARD, which drops.

All isolation is in mangle, which sees a packet before nat does: one that begins a connection to a container's address
from anywhere but its own bridge is dropped. Published ports are addressed to the host there, as are replies to what was
masqueraded: both get their new destination later. What belongs to a connection is not looked at again: so the cost of
its packets does not grow with the number of networks.

Pure functions, from the text of iptables-save to that of iptables-restore. A rule's words stand in the order in which
iptables-save prints them, so that what is there already is recognised.
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
GUARD = "mydocker: forwards for containers only"  # it also says that it was us who turned forwarding on
TAG = "mydocker: network "  # how the comment of a network's rules begins, and its bridge's alias
_GUARD_CHAIN = "MYDOCKER-GUARD"
# Bridges of docker, libvirt, podman, CNI, LXC, LXD and Incus: their own rules decide who gets in.
OTHERS = ("docker+", "br-+", "virbr+", "podman+", "cni+", "lxcbr+", "lxdbr+", "incusbr+")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:/[]")
_LINK = _PLAIN | frozenset("#,=@^~")  # not first; a + at the end would be any link that begins so
_LONGEST_NAME = 200  # a comment has 255 bytes


@record
class Rule:
    """match: what stands before the comment; target: what follows -j. first: before the chain's other rules."""

    table: str
    chain: str
    match: str
    target: str
    owner: str
    first: bool = False

    @property
    def spec(self) -> str:
        """The rule as iptables-save prints it after -A. To read a comment costs a packet 25 ns, so it is the last thing
        to match; but with a port it stands before it, as `iptables -nL` then shows a port beside where it leads,
        dpt:80 to:10.0.0.2:80."""
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
    """A word that needs no quotes; what the model let through is one. Raises ValueError: a file of rules is no place to
    try what a quote or a line's end would do."""
    if not word or not _PLAIN.issuperset(word):
        raise ValueError(f"{word!r} can't stand in a firewall rule")
    return word


def shared_rules(version: int) -> list[Rule]:
    """What all networks have in common; version: of IP, 4 or 6."""
    local = "-m addrtype --dst-type LOCAL"
    # With route_localnet, a packet that a container has faked would pass for one of a connection of the host's own.
    loopback = [f"{end} 127.0.0.0/8 ! -i lo" for end in ("-s", "-d")] if version == 4 else []
    begins = [*loopback, "-m conntrack ! --ctstate ESTABLISHED"]
    rows = [
        *(("mangle", "PREROUTING", match, "MYDOCKER-ISOLATE", True) for match in begins),
        ("mangle", "MYDOCKER-ISOLATE", "-i lo", "RETURN", True),  # the host, to one of its gateway addresses
        ("filter", "FORWARD", "", "MYDOCKER-FORWARD", True),
        ("filter", "FORWARD", "", "MYDOCKER-USER", True),  # each comes before the one above
        *(("filter", "MYDOCKER-OUT", f"-o {device}", "RETURN", False) for device in OTHERS),
        ("filter", "MYDOCKER-OUT", "", "ACCEPT", False),
        ("nat", "PREROUTING", local, "MYDOCKER-PORTS", False),
        # Unlike 127.0.0.1, ::1 can't leave the host by any sysctl: a connection to it is refused.
        ("nat", "OUTPUT", local if version == 4 else f"! -d ::1/128 {local}", "MYDOCKER-PORTS", False),
        ("nat", "POSTROUTING", "", "MYDOCKER-POSTROUTING", False),
    ]
    return [Rule(table, chain, match, target, SHARED, first) for table, chain, match, target, first in rows]


@record
class Guard:
    """What goes with forwarding that mydocker turns on, or has turned on. versions: of IP. links: the host's own,
    between which nothing is forwarded. bridges: those of them that are bridges."""

    versions: list[int] = []
    links: list[str] = []
    bridges: list[str] = []


def guard_rules(guard: Guard) -> list[Rule]:
    """Where forwarding was off, it is turned on for containers: from one of the host's own links to another, nothing is
    forwarded.

    A packet is accepted only if every table accepts it, so a rule that drops more than that would take from other
    runtimes what their own tables accept. Nor is a bridge a way from itself to itself: with br_netfilter, what it
    carries between its ports looks like that. What was given another destination on this host is somebody's published
    port. Rules, as a chain's policy is not ours; at the end, so that an ACCEPT of the administrator's still counts."""
    links = guard.links
    if strange(links):
        raise ValueError(f"{strange(links)[0]!r} can't stand in a firewall rule")
    ways_in = [f"-i {link} ! -o {link}" if link in guard.bridges else f"-i {link}" for link in links]
    return [
        *(Rule("filter", "FORWARD", way, _GUARD_CHAIN, GUARD) for way in ways_in),
        Rule("filter", _GUARD_CHAIN, "-m conntrack --ctstate DNAT", "RETURN", GUARD),
        *(Rule("filter", _GUARD_CHAIN, f"-o {link}", "DROP", GUARD) for link in links),
    ]


def strange(links: list[str]) -> list[str]:
    """Those links whose names no rule can hold. The kernel takes every name without blanks and slashes."""
    return [link for link in links if not (_PLAIN.issuperset(link[:1]) and _LINK.issuperset(link))]


def network_rules(version: int, owner: str, device: str, subnet: str, internal: bool = False) -> list[Rule]:
    """A network's own. subnet: of that version, without host bits. internal: nothing gets out of it or in."""
    device, subnet = _plain(device), _plain(subnet)
    rows = [("mangle", "MYDOCKER-ISOLATE", f"-d {subnet} ! -i {device}", "DROP", False)]
    if version == 4:
        # route_localnet lets the host's own connections to 127.0.0.1 out by the bridge, and must let nobody's in.
        rows += [
            ("mangle", "MYDOCKER-ISOLATE", f"{end} 127.0.0.0/8 -i {device}", "DROP", False) for end in ("-s", "-d")
        ]
    if internal and version == 4:
        beyond = f"! -d {subnet} -i {device} -m addrtype ! --dst-type BROADCAST,MULTICAST"
        rows += [("mangle", "MYDOCKER-ISOLATE", beyond, "DROP", False)]
    elif internal:
        beyond = f"! -d {subnet} -i {device} -m addrtype ! --dst-type MULTICAST"
        # Neighbours are found by link-local addresses, which nobody forwards.
        rows += [("mangle", "MYDOCKER-ISOLATE", f"-d fe80::/10 -i {device}", "RETURN", False)]
        rows += [("mangle", "MYDOCKER-ISOLATE", beyond, "DROP", False)]
    if internal:  # no port of it is reached from outside: isolation lets the replies of a connection through
        rows += [("filter", "MYDOCKER-FORWARD", f"-o {device}", "DROP", True)]
        rows += [("filter", "MYDOCKER-FORWARD", f"-i {device} -o {device}", "ACCEPT", True)]
    else:
        rows += [("filter", "MYDOCKER-FORWARD", f"-o {device}", "ACCEPT", True)]
        known = f"-i {device} -m conntrack --ctstate RELATED,ESTABLISHED"
        rows += [("filter", "MYDOCKER-FORWARD", known, "ACCEPT", False)]
        rows += [("filter", "MYDOCKER-FORWARD", f"-i {device}", "MYDOCKER-OUT", False)]
        rows += [("nat", "POSTROUTING", f"-s {subnet} ! -o {device}", "MASQUERADE", False)]
    # A container that comes to a port of its own network by the host's address shall get its replies from there.
    hairpin = f"-s {subnet} -d {subnet} -m conntrack --ctstate DNAT"
    rows += [("nat", "MYDOCKER-POSTROUTING", hairpin, "MASQUERADE", False)]
    if version == 4:
        rows += [("nat", "MYDOCKER-POSTROUTING", f"-s 127.0.0.0/8 -o {device}", "MASQUERADE", False)]
    return [Rule(table, chain, match, target, owner, first) for table, chain, match, target, first in rows]


def port_rules(version: int, owner: str, ports: Iterable[Port], address: str) -> list[Rule]:
    """One for each port, if it is reached by that version of IP. ports: in effect, with the host's number. address: the
    container's, of that version, without its prefix."""
    rules = []
    for port in ports:
        if version not in versions(port.host_ip):
            continue
        match = f"-p {_plain(port.protocol)} -m {port.protocol} --dport {int(port.host)}"
        if port.host_ip.startswith("127."):
            # Only the host's own connections leave by lo: a packet from outside has no way out yet at this point.
            match = f"-d {_plain(port.host_ip)}/32 -o lo {match}"
        elif port.host_ip not in ("", "0.0.0.0", "::"):
            match = f"-d {_plain(port.host_ip)}/{32 if version == 4 else 128} {match}"
        to = f"[{_plain(address)}]" if version == 6 else _plain(address)
        # First, so that the rule of a container that was killed with its monitor does not count any more.
        rules.append(
            Rule("nat", "MYDOCKER-PORTS", match, f"DNAT --to-destination {to}:{int(port.container)}", owner, True)
        )
    return rules


def versions(host_ip: str) -> tuple[int, ...]:
    """The versions of IP that a published port is reached by: "" is all of the host's addresses."""
    if not host_ip:
        return (4, 6)
    return (6,) if ":" in host_ip else (4,)


# --- what is there ----------------------------------------------------------------------------------------------------


@record
class Found:
    """A rule of iptables-save. spec: what follows -A, as printed. owner: its comment if the rule is ours, or ""."""

    table: str
    chain: str
    spec: str
    owner: str


def parse(saved: str) -> tuple[list[Found], set[str]]:
    """The rules of iptables-save's text, and all chains as TABLE/CHAIN."""
    rules, chains, table = [], set(), ""
    for line in saved.split("\n"):
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains.add(f"{table}/{line[1:].split(' ', 1)[0]}")
        elif line.startswith("-A "):
            spec = line[3:]
            rules.append(Found(table, spec.split(" ", 1)[0], spec, _owner(spec)))
    return rules, chains


def _owner(spec: str) -> str:
    """Its comment, if that is one of ours; what looks like it inside of another's has backslashes before quotes."""
    _, found, rest = spec.partition(' --comment "mydocker: ')
    comment = "mydocker: " + rest.partition('"')[0] if found else ""
    return comment if comment in (SHARED, GUARD) or _owner_id(comment) else ""


def _owner_id(owner: str) -> str:
    """The ID in a network's or container's comment, else ""."""
    parts = owner.split(" ")
    return parts[3] if len(parts) == 4 and parts[0] == "mydocker:" and parts[1] in ("network", "container") else ""


# --- what has to change -----------------------------------------------------------------------------------------------


def replace(saved: str, version: int, owner: str, rules: list[Rule], guard: list[Rule] | None = None) -> str:
    """The text for iptables-restore after which the owner has exactly these rules, each once, and our chains and the
    jumps to them are there; "" if that is so. guard: guard_rules(), if there are to be these, too."""
    there, chains = parse(saved)
    change = _Change()
    for table, names in TABLES.items():
        change.add(table, (f"-N {name}" for name in names if f"{table}/{name}" not in chains))
    if guard is not None and f"filter/{_GUARD_CHAIN}" not in chains:
        change.add("filter", [f"-N {_GUARD_CHAIN}"])
    groups = [(SHARED, shared_rules(version)), (owner, rules)]
    for name, wanted in groups if guard is None else [*groups, (GUARD, guard)]:
        present = [rule for rule in there if rule.owner and _same(rule.owner, name)]
        if sorted((rule.table, rule.spec) for rule in present) != sorted((rule.table, rule.spec) for rule in wanted):
            change.delete(present)
            for rule in wanted:
                change.add(rule.table, [rule.line])
    return change.text()


def remove(saved: str, owner_id: str) -> str:
    """The text after which none of the owner's rules is there; "" if that is so. owner_id: its first 12 characters
    count."""
    change = _Change()
    change.delete(rule for rule in parse(saved)[0] if _owner_id(rule.owner) == owner_id[:12])
    return change.text()


def remove_network(saved: str, network_id: str, keep_guard: bool = False) -> str:
    """As remove(); and with the last rule of any owner goes what networks share. keep_guard: as of remove_all()."""
    return remove_all(saved, keep_guard) if is_last(saved, network_id) else remove(saved, network_id)


def remove_all(saved: str, keep_guard: bool = False) -> str:
    """The text after which no rule of anybody's is there: neither the jumps, nor a chain in which nobody else has a
    rule. keep_guard: but the guard stays, as forwarding does."""
    there, chains = parse(saved)
    gone = [rule for rule in there if rule.owner and not (keep_guard and rule.owner == GUARD)]
    change = _Change()
    change.delete(gone)
    for table, names in {**TABLES, "filter": (*TABLES["filter"], _GUARD_CHAIN)}.items():
        in_use = {word for rule in there if rule.table == table and rule not in gone for word in rule.spec.split(" ")}
        change.add(table, (f"-X {name}" for name in names if f"{table}/{name}" in chains and name not in in_use))
    return change.text()


def remove_owners(saved: str, ids: Iterable[str]) -> str:
    """As remove(), of several."""
    change = _Change()
    known = {owner_id[:12] for owner_id in ids}
    change.delete(rule for rule in parse(saved)[0] if _owner_id(rule.owner) in known)
    return change.text()


def owners(saved: str) -> set[str]:
    """The first 12 digits of the IDs of all whose rules are there, and "" for what they share."""
    return {_owner_id(rule.owner) for rule in parse(saved)[0] if rule.owner}


def is_last(saved: str, network_id: str) -> bool:
    """Whether no other network and no container has a rule."""
    return all(_owner_id(rule.owner) in ("", network_id[:12]) for rule in parse(saved)[0])


def guarded(saved: str) -> bool:
    """Whether it was mydocker who turned forwarding on."""
    return any(rule.owner == GUARD for rule in parse(saved)[0])


def guard_is(saved: str, guard: list[Rule]) -> bool:
    """Whether these are the guard's rules."""
    there = sorted(rule.spec for rule in parse(saved)[0] if rule.owner == GUARD)
    return there == sorted(rule.spec for rule in guard)


def foreign_nat(saved: str) -> bool:
    """Whether somebody else's rule gives packets another address, which is for packets that are forwarded."""
    targets = {rule.spec.rpartition(" -j ")[2].split(" ")[0] for rule in parse(saved)[0] if not rule.owner}
    return not targets.isdisjoint(("MASQUERADE", "SNAT", "DNAT", "NETMAP"))


def _same(owner: str, other: str) -> bool:
    """Whether two comments name one owner: a network may have been given the name of one that is gone."""
    return owner == other or (bool(_owner_id(owner)) and _owner_id(owner) == _owner_id(other))


class _Change:
    """Lines for iptables-restore, by table."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {table: [] for table in TABLES}

    def add(self, table: str, lines: Iterable[str]) -> None:
        self._lines[table].extend(lines)

    def delete(self, rules: Iterable[Found]) -> None:
        for rule in rules:
            self._lines.setdefault(rule.table, []).append(f"-D {rule.spec}")

    def text(self) -> str:
        return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in self._lines.items() if lines)


def restore_text(rules: Iterable[Rule]) -> str:
    """Rules that are known not to be there, in chains that are."""
    change = _Change()
    for rule in rules:
        change.add(rule.table, [rule.line])
    return change.text()
