"""Ops on the firewall rules of published ports."""

from __future__ import annotations

from mydocker.kernel import conntrack, iptables, rtnetlink
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall
from mydocker.network.ops.shell import commands, deletion
from mydocker.network.ops.veths import hairpin_command, unless_gone
from mydocker.ops.base import Context, Op, operation


@operation
class PublishPorts(Op):
    """Add the rules of a container's published ports.

    ports: in effect, as model/options/ports.py writes them. address, address6: the container's, without prefix. veth:
    of that address; its bridge port gets hairpin mode. With bridge-nf-call-iptables=1, which docker sets, a packet that
    the container sends to its own published port is redirected inside the bridge, and must go back where it came from.
    before: the ports whose rules are replaced. None at a start, which adds its rules without reading those that exist:
    1.5 ms instead of 5 beside 200 others."""

    name: str
    id: str
    ports: list[str]
    address: str
    address6: str = ""
    veth: str = ""
    before: list[str] | None = None
    section = "network"

    def do(self, context: Context) -> None:
        if self.veth:
            unless_gone(rtnetlink.hairpin(self.veth))
        for version in self._versions():
            rules = self._rules(version)
            try:
                if self.before is None:
                    iptables.restore(version, firewall.restore_text(rules))
                else:
                    self._replace(version, rules)
            except OSError:
                self._replace(version, rules)  # another program has removed our chains
            _delete_udp_entries(version, self.ports, self.before or [])

    def _versions(self) -> list[int]:
        return [4, 6] if self.address6 else [4]

    def _replace(self, version: int, rules: list[firewall.Rule]) -> None:
        owner = firewall.container_owner(self.name, self.id)
        iptables.change(version, lambda saved: firewall.replace(saved, version, owner, rules))

    def _rules(self, version: int) -> list[firewall.Rule]:
        owner = firewall.container_owner(self.name, self.id)
        address = self.address if version == 4 else self.address6
        return firewall.port_rules(version, owner, parse_published(self.ports), address)

    def describe(self) -> str:
        return f"publish {', '.join(f'{port.source} as {port.target}' for port in parse_published(self.ports))}"

    def shell(self) -> str:
        lines = [hairpin_command(self.veth)] if self.veth else []
        lines += deletion(self.id, self._versions()) if self.before else []
        for version in self._versions():
            lines += commands(version, self._rules(version))
        return "\n".join(lines)


@operation
class RemovePorts(Op):
    """Remove all rules of a container's published ports, by its ID. Harmless if there are none.

    versions: of IP. ports: in effect so far, if they are known."""

    name: str
    id: str
    versions: list[int]
    ports: list[str] = []
    section = "network"

    def do(self, context: Context) -> None:
        for version in self.versions:
            iptables.change(version, lambda saved: firewall.remove(saved, self.id), "nat")
            _delete_udp_entries(version, self.ports)

    def describe(self) -> str:
        return f"remove the rules of the ports of {self.name}"

    def shell(self) -> str:
        return "\n".join(deletion(self.id, self.versions))


def _delete_udp_entries(version: int, *published: list[str]) -> None:
    """Delete the conntrack entries of UDP ports, as new rules would never apply to them."""
    ports = {port.host for texts in published for port in parse_published(texts) if port.protocol == "udp"}
    if ports:
        conntrack.delete_udp_entries(version, sorted(ports))
