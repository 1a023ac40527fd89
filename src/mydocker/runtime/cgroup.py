"""Plan a container's cgroup from the OCI spec's linux.resources and the host's layout, for v1 and v2."""

from __future__ import annotations

from mydocker.ops.base import Op
from mydocker.ops.cgroup import (
    AllowDevices,
    EnableControllers,
    FillCpuset,
    FilterDevices,
    JoinCgroups,
    MakeCgroups,
    WriteCgroup,
)
from mydocker.ops.namespaces import Unshare
from mydocker.runtime import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout


def plan(path: str, resources: dict[str, Any], layout: Layout, own_view: bool = True) -> tuple[list[Op], list[Op]]:
    """Plan (the host's steps, the container's steps). path: the spec's cgroupsPath, below every hierarchy's root.
    own_view: it has a cgroup namespace.

    The container joins only hierarchies of v1: it is cloned into its v2 cgroup (see `clone_cgroup`).

    Raises HostError as limits.files does.
    """
    values = limits.files(resources, layout)
    host, join = (_plan_v2 if layout.version == 2 else _plan_v1)(path, resources, layout, values)
    return host, join if own_view else [op for op in join if not isinstance(op, Unshare)]


def _plan_v1(
    path: str, resources: dict[str, Any], layout: Layout, values: list[tuple[str, str, str]]
) -> tuple[list[Op], list[Op]]:
    directories = [mount + path for mount in layout.directories()]
    host: list[Op] = [MakeCgroups(directories)]
    if "cpuset" in layout.mounts:
        host.append(FillCpuset(layout.mounts["cpuset"] + path))
    if (resources.get("cpu") or {}).get("realtimeRuntime"):
        host.append(_share_realtime(layout.mounts["cpu"], path, resources["cpu"]))
    host += [WriteCgroup(f"{layout.mounts[controller]}{path}/{file}", value) for controller, file, value in values]
    if "blockIO" in resources:
        host += _weights(layout.mounts["blkio"] + path, resources, layout)
    if resources.get("devices"):
        host.append(AllowDevices(layout.mounts["devices"] + path, limits.device_rules(resources["devices"])))
    unified = clone_cgroup(path, layout)
    return host, [
        JoinCgroups([f"{directory}/tasks" for directory in directories if directory != unified]),
        _own_view(),
    ]


def _plan_v2(
    path: str, resources: dict[str, Any], layout: Layout, values: list[tuple[str, str, str]]
) -> tuple[list[Op], list[Op]]:
    root = layout.mounts["unified"]
    directory = root + path
    # Enable every controller that can be, so that the container sees them all in its own cgroup.
    usable: list[str] = [name for name in ("cpu", "cpuset", "io", "memory", "pids") if name in layout.controllers]
    host: list[Op] = [MakeCgroups([directory])]
    above = [root]
    for part in path.strip("/").split("/")[:-1]:
        above.append(f"{above[-1]}/{part}")
    if usable:
        host.append(EnableControllers(above, usable))
    host += [WriteCgroup(f"{directory}/{file}", value) for _, file, value in values]
    if "blockIO" in resources:
        host += _weights(directory, resources, layout)
    if resources.get("devices"):
        host.append(FilterDevices(directory, resources["devices"]))
    return host, [_own_view()]


def more_realtime(path: str, before: dict[str, Any], after: dict[str, Any], layout: Layout) -> list[Op]:
    """Plan the real-time CPU time of the cgroups above for a running container that gets another limit."""
    cpus = [resources.get("cpu") or {} for resources in (before, after)]
    runtimes = [cpu.get("realtimeRuntime") for cpu in cpus]
    return [_share_realtime(layout.mounts["cpu"], path, cpus[1])] if runtimes[1] and runtimes[0] != runtimes[1] else []


def weights(path: str, resources: dict[str, Any], layout: Layout) -> list[Op]:
    """Plan the weights of block I/O. Raises HostError as plan() does."""
    return _weights(layout.mounts["unified" if layout.version == 2 else "blkio"] + path, resources, layout)


def _weights(directory: str, resources: dict[str, Any], layout: Layout) -> list[Op]:
    from mydocker.ops.resources import WriteEither

    return [
        WriteEither([f"{directory}/{file}" for file, _ in both], [value for _, value in both])
        for both in limits.weights(resources, layout.version)
    ]


def _share_realtime(mount: str, path: str, cpu: dict[str, Any]) -> Op:
    from mydocker.ops.resources import ShareRealtime

    above = [mount + path[:at] for at in range(1, len(path)) if path[at] == "/"]
    return ShareRealtime(above, cpu["realtimeRuntime"], cpu.get("realtimePeriod") or limits.REALTIME_PERIOD)


def clone_cgroup(path: str, layout: Layout) -> str:
    """The v2 directory that a container's processes are cloned into (CLONE_INTO_CGROUP), "" without a v2 hierarchy.

    Joining it by cgroup.procs takes a global lock and an RCU grace period, 13 ms; cloning into it costs nothing.
    """
    return layout.mounts["unified"] + path if "unified" in layout.mounts else ""


def _own_view() -> Op:
    """Create the cgroup namespace after the join: its root is the cgroup of the process that creates it."""
    return Unshare(["cgroup"])
