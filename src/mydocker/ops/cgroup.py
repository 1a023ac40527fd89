"""Steps on a container's cgroup."""

from __future__ import annotations

import os

from mydocker.kernel import cgroups
from mydocker.ops.base import Context, Op, operation, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@operation
class MakeCgroups(Op):
    """Create the container's directory in every hierarchy. undo() kills the processes that are still in it."""

    paths: list[str]
    section = "cgroup"

    def do(self, context: Context) -> None:
        for path in self.paths:
            cgroups.make(path)

    def undo(self) -> None:
        for path in self.paths:
            cgroups.remove(path)

    def describe(self) -> str:
        return "make the container's cgroup"

    def shell(self) -> str:
        return "mkdir -p " + " ".join(map(quote, self.paths))


@operation
class EnableControllers(Op):
    """Enable controllers for the container, on cgroup v2: every directory above it has to pass them on."""

    directories: list[str]
    controllers: list[str]
    section = "cgroup"

    def do(self, context: Context) -> None:
        for directory in self.directories:
            cgroups.write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in self.controllers))

    def describe(self) -> str:
        return "enable its controllers"

    def shell(self) -> str:
        names = " ".join(f"+{name}" for name in self.controllers)
        return "; ".join(
            f"echo '{names}' > {quote(directory)}/cgroup.subtree_control" for directory in self.directories
        )


@operation
class FillCpuset(Op):
    """Fill a cpuset, on cgroup v1: a new one is empty, and no process may join it without CPUs and memory nodes."""

    path: str
    section = "cgroup"

    def do(self, context: Context) -> None:
        for name in ("cpuset.cpus", "cpuset.mems"):
            empty, directory = [], self.path
            while not cgroups.read(f"{directory}/{name}"):
                empty.append(directory)
                directory = os.path.dirname(directory)
            for below in reversed(empty):
                cgroups.write(f"{below}/{name}", cgroups.read(f"{directory}/{name}"))

    def describe(self) -> str:
        return "fill the new cpuset from its parent"

    def shell(self) -> str:
        return f"cd {quote(self.path)} && for f in cpus mems; do cat ../cpuset.$f > cpuset.$f; done"


@operation
class WriteCgroup(Op):
    path: str
    value: str
    section = "cgroup"

    def do(self, context: Context) -> None:
        cgroups.write(self.path, self.value)

    def describe(self) -> str:
        return f"limit: {os.path.basename(self.path)} = {self.value}"

    def shell(self) -> str:
        return f"echo {quote(self.value)} > {quote(self.path)}"


@operation
class AllowDevices(Op):
    """Deny every device, then allow some, on cgroup v1. rules: as devices.allow takes them, "c 1:3 rwm"."""

    path: str
    rules: list[str]
    section = "cgroup"

    def do(self, context: Context) -> None:
        cgroups.write(f"{self.path}/devices.deny", "a")
        for rule in self.rules:
            cgroups.write(f"{self.path}/devices.allow", rule)

    def describe(self) -> str:
        return "allow every device" if self.rules == ["a"] else f"deny all devices but {len(self.rules)} rules"

    def shell(self) -> str:
        rules = " ".join(quote(rule) for rule in self.rules)
        return f'cd {quote(self.path)} && echo a > devices.deny && for r in {rules}; do echo "$r" > devices.allow; done'


@operation
class FilterDevices(Op):
    """Restrict devices by an eBPF program, on cgroup v2. devices: the OCI spec's linux.resources.devices."""

    path: str
    devices: list[dict[str, Any]]
    section = "cgroup"

    def do(self, context: Context) -> None:
        from mydocker.kernel import device_filter

        device_filter.attach(self.path, device_filter.compile(self.devices))

    def describe(self) -> str:
        return f"attach a device filter of {len(self.devices)} rules"

    def shell(self) -> str:
        return f"bpftool cgroup attach {quote(self.path)} cgroup_device pinned /sys/fs/bpf/devices"


@operation
class JoinCgroups(Op):
    """Join cgroups. files: `tasks` on v1, cgroup.procs on v2.

    On v1, writing to `tasks` avoids the global lock and the RCU grace period of cgroup.procs: 0.3 ms instead of 16.
    """

    files: list[str]
    section = "cgroup"

    def do(self, context: Context) -> None:
        for file in self.files:
            cgroups.write(file, "0")

    def describe(self) -> str:
        return "join the cgroup"

    def shell(self) -> str:
        return f"echo 0 | tee {' '.join(map(quote, self.files))}"
