"""The steps on networks, each as in ops/base.py: data, do(), undo(), shell(), describe(). Only a container that has a
network imports them. pyroute2 is imported inside of what needs it.
"""

from __future__ import annotations

import errno
import os

from mydocker.kernel import cgroups, conntrack, iptables, rtnetlink
from mydocker.kernel.rtnetlink import Netlink
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall
from mydocker.ops.base import Context, Op, operation, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# --- links ------------------------------------------------------------------------------------------------------------


@operation
class MakeVeth(Op):
    """A pair of Ethernet links: `link` is a port of the host's bridge, `peer` is in the container. mtu: bytes.

    pid: the process in whose namespace the peer is; if 0, the context's.
    """

    veth: str
    bridge: str
    mtu: int
    peer: str
    mac: str
    pid: int = 0
    section = "network"

    def do(self, context: Context) -> None:
        self.pid = self.pid or context.pid
        pair = rtnetlink.new_veth(self.veth, rtnetlink.index(self.bridge), self.mtu, self.peer, self.mac, self.pid)
        with Netlink() as kernel:
            try:
                kernel.request(pair)
            except FileExistsError as taken:
                # A container that was stopped this moment: its last namespace is still going, with a pair of this name.
                try:
                    kernel.request(rtnetlink.delete_link(self.veth))
                except OSError:
                    raise taken from None
                kernel.request(pair)

    def undo(self) -> None:
        """The pair itself goes with the container's namespace, in which no process is left; whatever keeps that (a
        shell of `ip netns exec`), the address can be another container's from now on."""
        _unless_gone(rtnetlink.detach_port(self.veth))

    def describe(self) -> str:
        return f"attach its {self.peer} to {self.bridge}"

    def shell(self) -> str:
        ours = f"ip link add {quote(self.veth)} mtu {self.mtu} master {quote(self.bridge)} up type veth"
        return f"{ours} peer name {quote(self.peer)} mtu {self.mtu} address {self.mac} netns {_process(self.pid)}"


@operation
class AttachVeth(Op):
    """A container's link that is there, back into its bridge. hairpin: whether the container has published ports."""

    veth: str
    bridge: str
    hairpin: bool = False
    section = "network"

    def do(self, context: Context) -> None:
        messages = [rtnetlink.attach_port(self.veth, rtnetlink.index(self.bridge))]
        messages += [rtnetlink.hairpin(self.veth)] if self.hairpin else []
        with Netlink() as kernel:
            kernel.request(*messages)

    def undo(self) -> None:
        _unless_gone(rtnetlink.detach_port(self.veth))

    def describe(self) -> str:
        return f"attach {self.veth} to {self.bridge}"

    def shell(self) -> str:
        line = f"ip link set {quote(self.veth)} master {quote(self.bridge)} up"
        return f"{line} && {_hairpin(self.veth)}" if self.hairpin else line


def _hairpin(link: str) -> str:
    return f"ip link set {quote(link)} type bridge_slave hairpin on"


def _process(pid: int) -> str:
    """A process in shell; before it is there, by a variable."""
    return str(pid) if pid else '"$PID"'


def _unless_gone(message: rtnetlink.Message) -> None:
    try:
        with Netlink() as kernel:
            kernel.request(message)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@operation
class RemoveLink(Op):
    """A pair, by its end on the host; its other end, with its addresses and routes, goes at once."""

    veth: str
    section = "network"

    def do(self, context: Context) -> None:
        _unless_gone(rtnetlink.delete_link(self.veth))

    def describe(self) -> str:
        return f"remove the link {self.veth}"

    def shell(self) -> str:
        return f"ip link delete {quote(self.veth)}"


@operation
class ConfigureLink(Op):
    """In the container: the loopback link and `device` up, with its addresses (with /PREFIX) and its way out.

    gateway, gateway6: "" if the network leads nowhere. address6: "" without IPv6. metric: of several networks the one
    with the smallest is the way out; when that is gone, the next.
    """

    device: str
    address: str
    gateway: str
    address6: str = ""
    gateway6: str = ""
    metric: int = 0
    section = "network"

    def do(self, context: Context) -> None:
        link = rtnetlink.index(self.device)
        messages = [rtnetlink.link_up("lo"), rtnetlink.link_up(self.device)]
        messages += [rtnetlink.new_address(link, address) for address in (self.address, self.address6) if address]
        messages += [rtnetlink.new_default_route(gateway, link, metric) for gateway, metric in self._ways_out()]
        if self.address6:  # a neighbour may call itself a router, and would be the way out
            cgroups.write(self._advertisements(), "0")
        with Netlink() as kernel:
            kernel.request(*messages)

    def _advertisements(self) -> str:
        return f"/proc/sys/net/ipv6/conf/{self.device}/accept_ra"

    def _ways_out(self) -> list[tuple[str, int]]:
        # For IPv6, 0 is not the smallest metric but means 1024.
        ways = [(self.gateway, self.metric), (self.gateway6, 1024 + self.metric)]
        return [(gateway, metric) for gateway, metric in ways if gateway]

    def describe(self) -> str:
        return f"{self.device} is {' and '.join(filter(None, (self.address, self.address6)))}"

    def shell(self) -> str:
        device = quote(self.device)
        steps = [f"echo 0 > {self._advertisements()}"] if self.address6 else []
        steps += [f"ip link set {link} up" for link in ("lo", device)]
        steps.append(f"ip address add {self.address} broadcast + dev {device}")
        if self.address6:
            steps.append(f"ip address add {self.address6} dev {device} nodad")
        for gateway, metric in self._ways_out():
            steps.append(f"ip route add default via {gateway} dev {device}" + (f" metric {metric}" if metric else ""))
        return " && ".join(steps)


@operation
class DisableIPv6(Op):
    """In a container whose networks have none. Nothing is done on a host without IPv6."""

    section = "network"

    def do(self, context: Context) -> None:
        try:
            cgroups.write(_IPV6_OFF, "1")
        except FileNotFoundError:
            pass

    def describe(self) -> str:
        return "turn IPv6 off"

    def shell(self) -> str:
        return f"echo 1 > {_IPV6_OFF}"


@operation
class EnableIPv6(Op):
    """On one link of a container that began without."""

    device: str
    section = "network"

    def do(self, context: Context) -> None:
        cgroups.write(self._path(), "0")

    def _path(self) -> str:
        return f"/proc/sys/net/ipv6/conf/{self.device}/disable_ipv6"

    def describe(self) -> str:
        return f"turn IPv6 on for {self.device}"

    def shell(self) -> str:
        return f"echo 0 > {self._path()}"


_IPV6_OFF = "/proc/sys/net/ipv6/conf/all/disable_ipv6"


# --- bridges ----------------------------------------------------------------------------------------------------------


@operation
class MakeBridge(Op):
    """addresses: the host's own on that network, with /PREFIX. mtu: bytes. tag: what tells it from others' (bridge.py).

    One of ours that is there gets what it lacks. Its rules have to be there before it: they guard 127.0.0.0/8.
    """

    device: str
    addresses: list[str]
    mtu: int
    mac: str
    tag: str
    section = "network"
    was_there = False  # before do()

    def do(self, context: Context) -> None:
        from mydocker.kernel import bridge

        try:
            self.was_there = rtnetlink.index(self.device) > 0
        except OSError:
            pass
        bridge.make(self.device, self.addresses, self.mtu, self.mac, self.tag)

    def undo(self) -> None:
        from mydocker.kernel import bridge

        if not self.was_there:
            bridge.delete(self.device, self.tag, self.mac)

    def describe(self) -> str:
        return f"make the bridge {self.device}, {' and '.join(self.addresses)}"

    def shell(self) -> str:
        from mydocker.kernel import bridge

        device = quote(self.device)
        ipv6 = any(":" in address for address in self.addresses)
        steps = [
            f"ip link add {device} address {self.mac} type bridge",
            f"ip link set {device} mtu {self.mtu}",
            *(f"echo {value} > {path}" for path, value in bridge.settings(self.device, ipv6).items()),
        ]
        for address in self.addresses:
            steps.append(f"ip address add {address} dev {device} {'nodad' if ':' in address else 'broadcast +'}")
        return " && ".join([*steps, f"ip link set {device} up alias {quote(self.tag)}"])


@operation
class RemoveBridge(Op):
    """Only if it is ours, by its tag or, before it had one, its address."""

    device: str
    tag: str
    mac: str = ""
    section = "network"

    def do(self, context: Context) -> None:
        from mydocker.kernel import bridge

        bridge.delete(self.device, self.tag, self.mac)

    def describe(self) -> str:
        return f"remove the bridge {self.device}"

    def shell(self) -> str:
        return f"ip link delete {quote(self.device)}"


@operation
class JoinZone(Op):
    """Put the bridge into mydocker's zone of firewalld, which would reject what the bridge forwards."""

    device: str
    section = "network"

    def do(self, context: Context) -> None:
        from mydocker.kernel import firewalld

        firewalld.join(self.device)

    def undo(self) -> None:
        from mydocker.kernel import firewalld

        firewalld.leave(self.device)

    def describe(self) -> str:
        return f"put {self.device} into firewalld's zone mydocker"

    def shell(self) -> str:
        from mydocker.kernel import firewalld

        return "\n".join(firewalld.join_commands(self.device))


@operation
class LeaveZone(Op):
    """Take the bridge out of mydocker's zone. Harmless if the bridge is not in it."""

    device: str
    section = "network"

    def do(self, context: Context) -> None:
        from mydocker.kernel import firewalld

        firewalld.leave(self.device)

    def describe(self) -> str:
        return f"take {self.device} out of firewalld's zone mydocker"

    def shell(self) -> str:
        from mydocker.kernel import firewalld

        return firewalld.leave_command(self.device)


# --- rules ------------------------------------------------------------------------------------------------------------


def _each(subnet6: str) -> tuple[int, ...]:
    """The versions of IP that a network has."""
    return (4, 6) if subnet6 else (4,)


def _forwarding(version: int) -> str:
    """The file of the sysctl."""
    return "/proc/sys/" + firewall.FORWARDING[version].replace(".", "/")


def _turn_on_forwarding(version: int) -> None:
    """A host that forwards IPv6 hears no router advertisements, and loses its own way out, but with accept_ra=2."""
    links = "/proc/sys/net/ipv6/conf"
    for link in os.listdir(links) if version == 6 else ():
        if link not in ("all", "default") and cgroups.read(f"{links}/{link}/accept_ra") == "1":
            cgroups.write(f"{links}/{link}/accept_ra", "2")
    cgroups.write(_forwarding(version), "1")


def _commands(version: int, rules: list[firewall.Rule]) -> list[str]:
    program = iptables.PROGRAMS[version]
    return [f"{program} -w -t {rule.table} {rule.line}" for rule in rules]


def _deletion(owner_id: str, subnet6: str = "") -> list[str]:
    programs = [iptables.PROGRAMS[version] for version in _each(subnet6)]
    return [_delete_with(program, f'"mydocker: .* {owner_id[:12]}"') for program in programs]


def _delete_with(program: str, pattern: str) -> str:
    """The rules in which sed finds the pattern."""
    return (
        f"{program}-save | sed -n '/^\\*/h; /{pattern}/{{G;s/^-A\\(.*\\)\\n.\\(.*\\)/"
        f"{program} -w -t \\2 -D\\1/p}}' | sh"
    )


def _remove_network(network_id: str, subnet6: str, forwarding_guards: Iterable[int], stays: Iterable[int]) -> None:
    for version in {*_each(subnet6), *forwarding_guards}:
        _remove_rules(version, network_id, version in forwarding_guards, version in stays)


def _remove_rules(version: int, network_id: str, guarded: bool, stays: bool) -> None:
    def plan(saved: str) -> str:
        if not stays and (guarded or firewall.has_guard(saved)):
            # Off before what keeps the host from being a router goes; and on again, should a new network have come.
            cgroups.write(_forwarding(version), "0" if firewall.is_last(saved, network_id) else "1")
        return firewall.remove_network(saved, network_id, keep_guard=stays)

    for _ in range(2):  # two that go at once each saw the other: who looks again is the last
        iptables.change(version, plan)


def _remove_ports(container_id: str, address6: str) -> None:
    for version in _each(address6):
        iptables.change(version, lambda saved: firewall.remove(saved, container_id), "nat")


@operation
class AddNetworkRules(Op):
    """Add the rules of a network's bridge, and the shared rules where they are missing; each once, however often.

    forwarding_guards: the versions of IP for which forwarding was off; it is turned on, for containers only.
    own_links, own_bridges: links and bridges of firewall.Guard.
    """

    name: str
    id: str
    device: str
    subnet: str
    subnet6: str = ""
    internal: bool = False
    forwarding_guards: list[int] = []
    own_links: list[str] = []
    own_bridges: list[str] = []
    section = "network"
    turned_on = tuple[int, ...]()  # by do()

    def do(self, context: Context) -> None:
        for version in _each(self.subnet6):
            self._add(version)

    def _add(self, version: int) -> None:
        owner, rules = self._owner(), self._rules(version)
        guard = self._guard() if version in self.forwarding_guards else None
        iptables.change(version, lambda saved: firewall.replace(saved, version, owner, rules, guard))
        # SELinux may keep a program from reading what it is given, and then it says that all is well.
        there = {rule.spec for rule in firewall.parse(iptables.save(version))[0]}
        if not all(rule.spec in there for rule in rules + (guard or [])):
            raise OSError(errno.EIO, "iptables has not done what it was told, and did not say so")
        if guard is not None:
            if cgroups.read(_forwarding(version)) == "0":
                self.turned_on = (*self.turned_on, version)
            _turn_on_forwarding(version)  # also where it is on: a link may have come that hears no advertisements now

    def undo(self) -> None:
        """What was on before stays on: somebody may have come to need it."""
        stays = [version for version in _each(self.subnet6) if version not in self.turned_on]
        _remove_network(self.id, self.subnet6, self.turned_on, stays)

    def _owner(self) -> str:
        return firewall.network_owner(self.name, self.id)

    def _rules(self, version: int) -> list[firewall.Rule]:
        subnet = self.subnet if version == 4 else self.subnet6
        return firewall.network_rules(version, self._owner(), self.device, subnet, self.internal)

    def _guard(self) -> list[firewall.Rule]:
        return firewall.guard_rules(firewall.Guard(self.forwarding_guards, self.own_links, self.own_bridges))

    def describe(self) -> str:
        return f"let {self.device} out, and nobody in" if not self.internal else f"cut {self.device} off"

    def shell(self) -> str:
        lines = []
        for version in _each(self.subnet6):
            program = iptables.PROGRAMS[version]
            guard = self._guard() if version in self.forwarding_guards else []
            chains = [
                *((table, chain) for table, names in firewall.TABLES.items() for chain in names),
                *(("filter", chain) for chain in dict.fromkeys(rule.chain for rule in guard) if chain != "FORWARD"),
            ]
            lines += [f"{program} -w -t {table} -N {chain} 2>/dev/null" for table, chain in chains]
            shared = firewall.shared_rules(version) + guard
            for rule, line in zip(shared, _commands(version, shared)):
                lines.append(f"{program} -w -t {rule.table} -C {rule.spec} 2>/dev/null || {line}")
            lines += _commands(version, self._rules(version))
            if version in self.forwarding_guards:
                lines.append(f"echo 1 > {_forwarding(version)}")
        return "\n".join(lines)


@operation
class RemoveNetworkRules(Op):
    """Remove a network's rules, by its ID, and after the last network the shared rules. Harmless if there are none.

    forwarding_guards: the versions of IP for which mydocker turned forwarding on, in case the guard rules are gone; it
    is turned off after the last network. stays: the versions that others need; for these the guard stays, too.
    """

    name: str
    id: str
    subnet6: str = ""
    forwarding_guards: list[int] = []
    stays: list[int] = []
    section = "network"

    def do(self, context: Context) -> None:
        _remove_network(self.id, self.subnet6, self.forwarding_guards, self.stays)

    def describe(self) -> str:
        return f"remove the firewall rules of network {self.name}"

    def shell(self) -> str:
        return "\n".join(_deletion(self.id, self.subnet6))


@operation
class PublishPorts(Op):
    """The rules of a container's ports, one each. ports: in effect (model/options/ports.py's text). address, address6:
    the container's, without prefix. before: the ports in effect before, which undo() brings back: none at a start.
    link: the host's end of its pair. With bridge-nf-call-iptables=1, which docker sets, a packet that the container
    sends to its own port gets its new destination inside of the bridge, and has to go back by the link that it came by.

    A start adds its rules without a look at what is there: 1.5 ms instead of 5 beside 200 others."""

    name: str
    id: str
    ports: list[str]
    address: str
    address6: str = ""
    before: list[str] = []
    veth: str = ""
    section = "network"

    def do(self, context: Context) -> None:
        if self.veth:
            _unless_gone(rtnetlink.hairpin(self.veth))
        for version in _each(self.address6):
            rules = self._rules(version, self.ports)
            try:
                if self.before:
                    self._replace(version, rules)
                elif rules:
                    iptables.restore(version, firewall.restore_text(rules))
            except OSError:
                self._replace(version, rules)  # somebody has taken our chains away
            self._forget(version)

    def undo(self) -> None:
        if not self.before:
            _remove_ports(self.id, self.address6)
        for version in _each(self.address6):
            if self.before:
                self._replace(version, self._rules(version, self.before))
            self._forget(version)

    def _forget(self, version: int) -> None:
        """What is on its way already would not notice that there are other rules now."""
        ports = {
            port.host for port in parse_published(self.ports) + parse_published(self.before) if port.protocol == "udp"
        }
        if ports:
            conntrack.forget_udp(version, sorted(ports))

    def _replace(self, version: int, rules: list[firewall.Rule]) -> None:
        owner = firewall.container_owner(self.name, self.id)
        iptables.change(version, lambda saved: firewall.replace(saved, version, owner, rules))

    def _rules(self, version: int, texts: list[str]) -> list[firewall.Rule]:
        owner = firewall.container_owner(self.name, self.id)
        address = self.address if version == 4 else self.address6
        return firewall.port_rules(version, owner, parse_published(texts), address)

    def describe(self) -> str:
        return "publish " + (
            ", ".join(f"{port.source} as {port.target}" for port in parse_published(self.ports)) or "no port"
        )

    def shell(self) -> str:
        lines = [_hairpin(self.veth)] if self.veth else []
        lines += _deletion(self.id, self.address6) if self.before else []
        for version in _each(self.address6):
            lines += _commands(version, self._rules(version, self.ports))
        return "\n".join(lines)


@operation
class RemovePorts(Op):
    """Every rule of a container's ports, by its ID, `port add`'s too. Harmless where there is none."""

    name: str
    id: str
    address6: str = ""
    section = "network"

    def do(self, context: Context) -> None:
        _remove_ports(self.id, self.address6)

    def describe(self) -> str:
        return f"withdraw the ports of {self.name}"

    def shell(self) -> str:
        return "\n".join(_deletion(self.id, self.address6))


@operation
class RemoveOldFlavour(Op):
    """What the host's firewall has of ours in the flavour of iptables that it used before. owner_ids: of these alone,
    as another store's networks have theirs there; none: all of it. The guard stays until the other flavour has it."""

    version: int
    flavour: str
    owner_ids: list[str]
    section = "network"

    def do(self, context: Context) -> None:
        def plan(saved: str) -> str:
            if self.owner_ids:
                return firewall.remove_owners(saved, self.owner_ids)
            return firewall.remove_all(saved, firewall.has_guard(saved) and not firewall.has_guard(now))

        now = iptables.save(self.version, "filter")
        iptables.change(self.version, plan, flavour=self.flavour)

    def describe(self) -> str:
        return f"remove mydocker's rules from {self._program()}"

    def _program(self) -> str:
        return f"{iptables.PROGRAMS[self.version]}-{self.flavour}"

    def shell(self) -> str:
        patterns = [f'"mydocker: .* {owner_id[:12]}"' for owner_id in self.owner_ids] or ['"mydocker: ']
        return "\n".join(_delete_with(self._program(), pattern) for pattern in patterns)
