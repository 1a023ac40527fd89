"""Steps on a container's namespaces, host name, sysctls and loopback link."""

from __future__ import annotations

import errno
import os

from mydocker.kernel import cgroups, netdev, process
from mydocker.ops.base import Context, Op, operation, quote

NETNS = "/run/netns"  # ip(8)'s


def options(kinds: list[str]) -> str:
    """Write the namespaces, by their names in the OCI spec, as options of unshare(1) and nsenter(1)."""
    return " ".join({"network": "--net"}.get(kind, f"--{kind}") for kind in kinds)


@operation
class Unshare(Op):
    """Enter new namespaces. kinds: their names in the OCI spec."""

    kinds: list[str]
    section = "namespaces"

    def do(self, context: Context) -> None:
        flags = 0
        for kind in self.kinds:
            flags |= process.NAMESPACES[kind]
        process.unshare(flags)

    def describe(self) -> str:
        return f"enter a new {', '.join(self.kinds)} namespace"

    def shell(self) -> str:
        return f"unshare {options(self.kinds)}"


@operation
class JoinNamespaces(Op):
    """Join the namespaces of a running container in one call (Linux 5.8). pidfd: of its first process."""

    pidfd: int
    kinds: list[str]
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.setns(self.pidfd, sum(process.NAMESPACES[kind] for kind in self.kinds))

    def describe(self) -> str:
        return f"join its {', '.join(self.kinds)} namespaces"

    def shell(self) -> str:
        return f"nsenter --target PID {options(self.kinds)}"


@operation
class JoinNetwork(Op):
    """Join the network namespace of another container. descriptor: the namespace, opened while that container was
    known to run. path: the same, for users."""

    path: str
    descriptor: int
    section = "network"

    def do(self, context: Context) -> None:
        process.setns(self.descriptor, process.NAMESPACES["network"])

    def describe(self) -> str:
        return "join the other container's network"

    def shell(self) -> str:
        return f"nsenter --net={quote(self.path)}"


@operation
class ShowNamespace(Op):
    """Link the container's network namespace to the directory of ip(8), for `ip netns exec NAME`. A namespace that
    somebody else put there under that name stays. pid: the container's first process; if 0, the context's."""

    name: str
    pid: int = 0
    section = "network"

    def do(self, context: Context) -> None:
        self.pid = self.pid or context.pid
        path = f"{NETNS}/{self.name}"
        for _ in range(2):
            try:
                os.symlink(self._target(), path)
            except FileNotFoundError:
                os.makedirs(NETNS, 0o755, exist_ok=True)
            except FileExistsError:
                if not os.path.islink(path) or os.path.exists(path):
                    return
                os.unlink(path)  # its container has ended together with its monitor
            else:
                return

    def undo(self) -> None:
        path = f"{NETNS}/{self.name}"
        try:
            if os.readlink(path) == self._target():
                os.unlink(path)
        except OSError:
            pass  # the link is gone, or it was a file

    def _target(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def describe(self) -> str:
        return f"show its network to ip netns as {self.name}"

    def shell(self) -> str:
        return f"ip netns attach {quote(self.name)} {self.pid or '$PID'}"


@operation
class AwaitMonitor(Op):
    """Wait for a message of the monitor that its part on the host is done. awaited: that part, in words."""

    descriptor: int
    message: str
    awaited: str
    section = "network"

    def do(self, context: Context) -> None:
        if os.read(self.descriptor, 16) != self.message.encode():
            raise OSError(errno.EPIPE, "the monitor gave up")

    def describe(self) -> str:
        return f"wait until {self.awaited}"

    def shell(self) -> str:
        return f"read -r _ <&{self.descriptor}"


@operation
class TellMonitor(Op):
    """Tell the monitor, which waits for it, that the container has set up its side of its networks."""

    descriptor: int
    message: str
    section = "network"

    def do(self, context: Context) -> None:
        os.write(self.descriptor, self.message.encode())

    def describe(self) -> str:
        return "report that its links are up"

    def shell(self) -> str:
        return f"printf {self.message} >&{self.descriptor}"


@operation
class SetHostname(Op):
    name: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.set_hostname(self.name)

    def describe(self) -> str:
        return f"set the host name to {self.name}"

    def shell(self) -> str:
        return f"hostname {quote(self.name)}"


@operation
class SetDomainname(Op):
    name: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.set_domainname(self.name)

    def describe(self) -> str:
        return f"set the NIS domain name to {self.name}"

    def shell(self) -> str:
        return f"domainname {quote(self.name)}"


@operation
class LinkUp(Op):
    device: str
    section = "network"

    def do(self, context: Context) -> None:
        netdev.link_up(self.device)

    def describe(self) -> str:
        return f"bring {self.device} up"

    def shell(self) -> str:
        return f"ip link set {quote(self.device)} up"


@operation
class WriteSysctl(Op):
    """Set a sysctl. key: with dots, as sysctl(8) takes it. The model has refused keys that are not namespaced."""

    key: str
    value: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        cgroups.write("/proc/sys/" + self.key.replace(".", "/"), self.value)

    def describe(self) -> str:
        return f"set {self.key}"

    def shell(self) -> str:
        return f"sysctl -w {quote(f'{self.key}={self.value}')}"
