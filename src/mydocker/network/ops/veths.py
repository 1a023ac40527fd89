"""Ops on the veth pairs of containers: on the host, and in the container."""

from __future__ import annotations

import errno

from mydocker.kernel import cgroups, rtnetlink
from mydocker.kernel.rtnetlink import Netlink
from mydocker.ops.base import Context, Op, operation, quote

_IPV6_OFF = "/proc/sys/net/ipv6/conf/all/disable_ipv6"


@operation
class MakeVeth(Op):
    """Make a pair of Ethernet links: `veth` is a port of the host's bridge, `peer` is in the container. mtu: bytes.

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
                # The container was stopped a moment ago: the kernel has yet to remove that namespace, and the pair.
                try:
                    kernel.request(rtnetlink.delete_link(self.veth))
                except OSError:
                    raise taken from None
                kernel.request(pair)

    def describe(self) -> str:
        return f"attach its {self.peer} to {self.bridge}"

    def shell(self) -> str:
        ours = f"ip link add {quote(self.veth)} mtu {self.mtu} master {quote(self.bridge)} up type veth"
        return f"{ours} peer name {quote(self.peer)} mtu {self.mtu} address {self.mac} netns {_process(self.pid)}"


@operation
class AttachVeth(Op):
    """Attach an existing veth to its bridge. hairpin: True if the container has published ports."""

    veth: str
    bridge: str
    hairpin: bool = False
    section = "network"

    def do(self, context: Context) -> None:
        messages = [rtnetlink.attach_port(self.veth, rtnetlink.index(self.bridge))]
        messages += [rtnetlink.hairpin(self.veth)] if self.hairpin else []
        with Netlink() as kernel:
            kernel.request(*messages)

    def describe(self) -> str:
        return f"attach {self.veth} to {self.bridge}"

    def shell(self) -> str:
        line = f"ip link set {quote(self.veth)} master {quote(self.bridge)} up"
        return f"{line} && {hairpin_command(self.veth)}" if self.hairpin else line


@operation
class RemoveVeth(Op):
    """Remove a pair, and with it the addresses and routes of the container's end. Harmless if there is none."""

    veth: str
    section = "network"

    def do(self, context: Context) -> None:
        unless_gone(rtnetlink.delete_link(self.veth))

    def describe(self) -> str:
        return f"remove {self.veth}"

    def shell(self) -> str:
        return f"ip link delete {quote(self.veth)}"


@operation
class DetachVeth(Op):
    """Take a pair off its bridge. Harmless if there is none.

    The kernel removes the pair with the namespace of a container that has ended, at no cost, but a moment later, and
    not while a shell of `ip netns exec` keeps the namespace. Another container can have the address at once."""

    veth: str
    section = "network"

    def do(self, context: Context) -> None:
        unless_gone(rtnetlink.detach_port(self.veth))

    def describe(self) -> str:
        return f"detach {self.veth} from its bridge"

    def shell(self) -> str:
        return f"ip link set {quote(self.veth)} nomaster down"


@operation
class ConfigureLink(Op):
    """In the container, set lo and `device` up, and give `device` its addresses (with /PREFIX) and default routes.

    gateway, gateway6: "" if the network leads nowhere. address6: "" without IPv6. metric: of several default routes the
    one with the smallest counts; when it is gone, the next.
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
        if self.address6:  # a neighbour that claims to be a router must not get the default route
            cgroups.write(self._advertisements(), "0")
        with Netlink() as kernel:
            kernel.request(*messages)

    def _advertisements(self) -> str:
        return f"/proc/sys/net/ipv6/conf/{self.device}/accept_ra"

    def _ways_out(self) -> list[tuple[str, int]]:
        # For IPv6, metric 0 means 1024.
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
    """Turn IPv6 off in a container whose networks have none. Does nothing on a host without IPv6."""

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
    """Turn IPv6 on for one link of a container that was started without IPv6."""

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


def hairpin_command(veth: str) -> str:
    return f"ip link set {quote(veth)} type bridge_slave hairpin on"


def _process(pid: int) -> str:
    """Name a process in shell: by a variable if it does not exist yet."""
    return str(pid) if pid else '"$PID"'


def unless_gone(message: rtnetlink.Message) -> None:
    """Send a message about a link that may no longer exist."""
    try:
        with Netlink() as kernel:
            kernel.request(message)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
