"""Ops on the firewall rules of networks."""

from __future__ import annotations

import errno
import os

from mydocker.kernel import cgroups, iptables
from mydocker.network import firewall
from mydocker.network.ops.shell import commands, delete_with, deletion
from mydocker.ops.base import Context, Op, operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


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
        for version in _versions(self.subnet6):
            self._add(version)

    def _add(self, version: int) -> None:
        owner, rules = self._owner(), self._rules(version)
        guard = self._guard() if version in self.forwarding_guards else None
        iptables.change(version, lambda saved: firewall.replace(saved, version, owner, rules, guard))
        # SELinux may keep iptables-restore from reading its input; it then reports success.
        there = {rule.spec for rule in firewall.parse(iptables.save(version))[0]}
        if not all(rule.spec in there for rule in rules + (guard or [])):
            raise OSError(errno.EIO, "iptables did not change the rules, but reported success")
        if guard is not None:
            if cgroups.read(_forwarding(version)) == "0":
                self.turned_on = (*self.turned_on, version)
            _turn_on_forwarding(version)  # even if it is on: a link that appeared later needs accept_ra=2, too

    def undo(self) -> None:
        """Leave forwarding on where it was on before: another program may rely on it by now."""
        stays = [version for version in _versions(self.subnet6) if version not in self.turned_on]
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
        for version in _versions(self.subnet6):
            program = iptables.PROGRAMS[version]
            guard = self._guard() if version in self.forwarding_guards else []
            chains = [
                *((table, chain) for table, names in firewall.TABLES.items() for chain in names),
                *(("filter", chain) for chain in dict.fromkeys(rule.chain for rule in guard) if chain != "FORWARD"),
            ]
            lines += [f"{program} -w -t {table} -N {chain} 2>/dev/null" for table, chain in chains]
            shared = firewall.shared_rules(version) + guard
            for rule, line in zip(shared, commands(version, shared)):
                lines.append(f"{program} -w -t {rule.table} -C {rule.spec} 2>/dev/null || {line}")
            lines += commands(version, self._rules(version))
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
        return "\n".join(deletion(self.id, _versions(self.subnet6)))


@operation
class RemoveOldFlavour(Op):
    """Remove our rules from the flavour of iptables that the host used before. owner_ids: only the rules of these, as
    another store may have rules there; none: all rules. The guard stays until the other flavour has it."""

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
        return "\n".join(delete_with(self._program(), pattern) for pattern in patterns)


# --- shared by the ops ------------------------------------------------------------------------------------------------


def _versions(subnet6: str) -> tuple[int, ...]:
    """The versions of IP that a network has."""
    return (4, 6) if subnet6 else (4,)


def _forwarding(version: int) -> str:
    """The file of the sysctl."""
    return "/proc/sys/" + firewall.FORWARDING[version].replace(".", "/")


def _turn_on_forwarding(version: int) -> None:
    """Turn on forwarding. With accept_ra=1, a host that forwards IPv6 ignores router advertisements and loses its own
    default route, so its links get accept_ra=2."""
    links = "/proc/sys/net/ipv6/conf"
    for link in os.listdir(links) if version == 6 else ():
        if link not in ("all", "default") and cgroups.read(f"{links}/{link}/accept_ra") == "1":
            cgroups.write(f"{links}/{link}/accept_ra", "2")
    cgroups.write(_forwarding(version), "1")


def _remove_network(network_id: str, subnet6: str, forwarding_guards: Iterable[int], stays: Iterable[int]) -> None:
    for version in {*_versions(subnet6), *forwarding_guards}:
        _remove_rules(version, network_id, version in forwarding_guards, version in stays)


def _remove_rules(version: int, network_id: str, guarded: bool, stays: bool) -> None:
    def plan(saved: str) -> str:
        if not stays and (guarded or firewall.has_guard(saved)):
            # Turn forwarding off before the guard is removed, and on again if a new network has appeared meanwhile.
            cgroups.write(_forwarding(version), "0" if firewall.is_last(saved, network_id) else "1")
        return firewall.remove_network(saved, network_id, keep_guard=stays)

    for _ in range(2):  # two concurrent removals each see the other's rules, so look once more
        iptables.change(version, plan)
