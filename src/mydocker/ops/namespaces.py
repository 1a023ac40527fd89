"""Steps on a container's namespaces, host name, sysctls and loopback link."""

from __future__ import annotations

import errno
import os

from mydocker.kernel import cgroups, netdev, process
from mydocker.ops.base import Context, Op, operation, quote

NETNS = "/run/netns"  # ip(8)'s


@operation
class Unshare(Op):
    """kinds: names of namespaces as in the OCI spec."""

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
        return "unshare " + " ".join({"network": "--net"}.get(kind, f"--{kind}") for kind in self.kinds)


@operation
class JoinNamespaces(Op):
    """Those of a running container, by a pidfd of its first process, in one call (Linux 5.8)."""

    pidfd: int
    kinds: list[str]
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.setns(self.pidfd, sum(process.NAMESPACES[kind] for kind in self.kinds))

    def describe(self) -> str:
        return f"join its {', '.join(self.kinds)} namespaces"

    def shell(self) -> str:
        return "nsenter --target PID " + " ".join({"network": "--net"}.get(kind, f"--{kind}") for kind in self.kinds)


@operation
class JoinNetwork(Op):
    """The network namespace of another container. descriptor: of that namespace, opened while its PID was known to be
    its own; path: the same, for people."""

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
    """For `ip netns exec NAME`: a link in the directory where ip(8) looks. A namespace of that name that somebody else
    has put there stays. pid: the container's first process; if 0, the context's."""

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
                os.unlink(path)  # of a container that has ended with its monitor
            else:
                return

    def undo(self) -> None:
        path = f"{NETNS}/{self.name}"
        try:
            if os.readlink(path) == self._target():
                os.unlink(path)
        except OSError:
            pass  # it is gone, or was never a link

    def _target(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def describe(self) -> str:
        return f"show its network to ip netns as {self.name}"

    def shell(self) -> str:
        return f"ip netns attach {quote(self.name)} {self.pid or '$PID'}"


@operation
class AwaitMonitor(Op):
    """Wait for a message on the socket to the monitor: its part on the host is done. what: a phrase."""

    descriptor: int
    message: str
    what: str
    section = "network"

    def do(self, context: Context) -> None:
        if os.read(self.descriptor, 16) != self.message.encode():
            raise OSError(errno.EPIPE, "the monitor has given up")

    def describe(self) -> str:
        return f"wait until {self.what}"

    def shell(self) -> str:
        return f"read -r _ <&{self.descriptor}"


@operation
class TellMonitor(Op):
    """Say to the monitor that the container's side of its networks is done: it waits for that before it goes on."""

    descriptor: int
    message: str
    section = "network"

    def do(self, context: Context) -> None:
        os.write(self.descriptor, self.message.encode())

    def describe(self) -> str:
        return "say that its links are up"

    def shell(self) -> str:
        return f"printf {self.message} >&{self.descriptor}"


@operation
class SetHostname(Op):
    name: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.set_hostname(self.name)

    def describe(self) -> str:
        return f"call it {self.name}"

    def shell(self) -> str:
        return f"hostname {quote(self.name)}"


@operation
class SetDomainname(Op):
    name: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        process.set_domainname(self.name)

    def describe(self) -> str:
        return f"its NIS domain is {self.name}"

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
    """key: with dots, as sysctl(8) takes it. Only namespaced keys get this far (see model)."""

    key: str
    value: str
    section = "namespaces"

    def do(self, context: Context) -> None:
        cgroups.write("/proc/sys/" + self.key.replace(".", "/"), self.value)

    def describe(self) -> str:
        return f"set {self.key}"

    def shell(self) -> str:
        return f"sysctl -w {quote(f'{self.key}={self.value}')}"
