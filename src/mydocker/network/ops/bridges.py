"""Ops on the bridges of networks. pyroute2 is imported where it is needed: not at a start with the bridge up."""

from __future__ import annotations

from mydocker.kernel import rtnetlink
from mydocker.ops.base import Context, Op, operation, quote


@operation
class MakeBridge(Op):
    """Make a bridge, or complete one of ours. Its rules must exist before it, as they guard 127.0.0.0/8.

    addresses: the host's own on that network, with /PREFIX. mtu: bytes. tag: the mark of our bridges (bridge.py)."""

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
    """Remove a bridge if it is ours: by its tag or, if its making stopped before it got one, by its MAC address."""

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
