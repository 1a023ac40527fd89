"""Plans a container's cgroup from the OCI spec's linux.resources, for v1 and v2. Pure: the host's layout comes in."""

from __future__ import annotations

from mydocker import ops
from mydocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

# Which controller a resource needs; v1 and v2 name them alike, but for devices, which v2 does with eBPF.
_HINT = "this host's kernel or cgroup set-up does not offer it; leave the limit out"


def plan(path: str, resources: dict[str, Any], layout: Layout) -> tuple[list[ops.Op], list[ops.Op]]:
    """(the host's steps, the container's steps). path: the spec's cgroupsPath, below every hierarchy's root.

    The container's join only v1's hierarchies: a v2 cgroup is where the clone is born (see `birthplace`).

    Raises HostError for a limit whose controller the host lacks.
    """
    if layout.version == 2:
        return _plan_v2(path, resources, layout)
    if layout.version == 1:
        return _plan_v1(path, resources, layout)
    raise HostError("no cgroup file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")


def _plan_v1(path: str, resources: dict[str, Any], layout: Layout) -> tuple[list[ops.Op], list[ops.Op]]:
    folders = [mount + path for mount in layout.folders()]
    host: list[ops.Op] = [ops.MakeCgroups(folders)]
    if "cpuset" in layout.mounts:
        host.append(ops.FillCpuset(layout.mounts["cpuset"] + path))
    for controller, file, value in _values_v1(resources, layout):
        if controller not in layout.mounts:
            raise HostError(f"the limit {file} needs the cgroup controller '{controller}'", _HINT)
        host.append(ops.WriteCgroup(f"{layout.mounts[controller]}{path}/{file}", value))
    if resources.get("devices"):
        if "devices" not in layout.mounts:
            raise HostError("devices can't be restricted without the cgroup controller 'devices'", _HINT)
        host.append(ops.AllowDevices(layout.mounts["devices"] + path, device_rules(resources["devices"])))
    unified = birthplace(path, layout)
    return host, [ops.JoinCgroups([f"{folder}/tasks" for folder in folders if folder != unified]), _own_view()]


def birthplace(path: str, layout: Layout) -> str:
    """The v2 folder that a container's processes are cloned into (CLONE_INTO_CGROUP), "" if there is no v2 hierarchy.

    To join it by cgroup.procs takes a global lock and an RCU grace period, 13 ms; to be born there costs nothing.
    """
    return layout.mounts["unified"] + path if "unified" in layout.mounts else ""


def _own_view() -> ops.Op:
    """A cgroup namespace's root is where its maker is: so it is made after the join."""
    return ops.Unshare(["cgroup"])


def _values_v1(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, str]]:
    memory, cpu, pids = (resources.get(key) or {} for key in ("memory", "cpu", "pids"))
    values = [
        ("cpuset", "cpuset.cpus", cpu.get("cpus")),
        ("cpuset", "cpuset.mems", cpu.get("mems")),
        ("cpu", "cpu.shares", cpu.get("shares")),
        ("cpu", "cpu.cfs_period_us", cpu.get("period")),
        ("cpu", "cpu.cfs_quota_us", cpu.get("quota")),
        ("memory", "memory.limit_in_bytes", memory.get("limit")),
        ("memory", "memory.soft_limit_in_bytes", memory.get("reservation")),
        ("memory", "memory.memsw.limit_in_bytes", _swap(memory, layout)),
        ("pids", "pids.max", _most(pids.get("limit"))),
    ]
    return [(controller, file, str(value)) for controller, file, value in values if value]


def _swap(memory: dict[str, Any], layout: Layout) -> int | None:
    """memory.swap of the spec: memory and swap together."""
    swap: int | None = memory.get("swap")
    if swap and not layout.swap:
        raise HostError("this kernel does not count swap, so a limit of it can't hold", "boot with swapaccount=1")
    return swap


def _plan_v2(path: str, resources: dict[str, Any], layout: Layout) -> tuple[list[ops.Op], list[ops.Op]]:
    root = layout.mounts["unified"]
    folder = root + path
    memory, cpu, pids = (resources.get(key) or {} for key in ("memory", "cpu", "pids"))
    swap, limit = memory.get("swap"), memory.get("limit")
    if swap and swap > 0 and not 0 < (limit or 0) <= swap:
        raise HostError("the limit of memory and swap together is less than that of memory", "give it at least as much")
    quota = f"{_most(cpu.get('quota') or -1)} {cpu.get('period') or 100000}"
    values = [
        ("cpuset", "cpuset.cpus", cpu.get("cpus")),
        ("cpuset", "cpuset.mems", cpu.get("mems")),
        ("cpu", "cpu.weight", weight(cpu["shares"]) if cpu.get("shares") else None),
        ("cpu", "cpu.max", quota if cpu.get("quota") or cpu.get("period") else None),
        ("memory", "memory.max", _most(limit)),
        ("memory", "memory.low", _most(memory.get("reservation"))),
        # On v2 swap is counted apart: the spec's value holds memory and swap together.
        ("memory", "memory.swap.max", str(_most(swap if swap < 0 else swap - (limit or 0))) if swap else None),
        ("pids", "pids.max", _most(pids.get("limit"))),
    ]
    wanted = [(controller, file, str(value)) for controller, file, value in values if value]
    for controller, file, _ in wanted:
        if controller not in layout.controllers:
            raise HostError(f"the limit {file} needs the cgroup controller '{controller}'", _HINT)
    # Every controller that can be is passed on, so that the container's own part shows them all.
    usable = [name for name in ("cpu", "cpuset", "io", "memory", "pids") if name in layout.controllers]
    host: list[ops.Op] = [ops.MakeCgroups([folder])]
    above = [root]
    for part in path.strip("/").split("/")[:-1]:
        above.append(f"{above[-1]}/{part}")
    if usable:
        host.append(ops.EnableControllers(above, usable))
    host += [ops.WriteCgroup(f"{folder}/{file}", value) for _, file, value in wanted]
    if resources.get("devices"):
        host.append(ops.FilterDevices(folder, resources["devices"]))
    return host, [_own_view()]


def _most(value: int | None) -> int | str | None:
    """The spec's -1, no limit, in the kernel's word."""
    return "max" if value is not None and value < 0 else value


def weight(shares: int) -> int:
    """cpu.weight (1 to 10000) for v1's cpu.shares (2 to 262144), by the formula that runc and crun share."""
    return 1 + (max(2, min(shares, 262144)) - 2) * 9999 // 262142


def device_rules(devices: list[dict[str, Any]]) -> list[str]:
    """What devices.allow takes, for a list that denies all and then allows. A missing number, or -1, is `*`.

    Raises HostError for a list of another kind: to pass over a later denial would fail open.
    """
    rules: list[str] = []
    for at, device in enumerate(devices):
        everything = device.get("type", "a") == "a"
        if not device.get("allow"):
            if at or not everything:
                raise HostError("device rules that deny after they have allowed", "deny all first, then allow")
            continue
        if everything:
            rules = ["a"]
        if rules == ["a"]:
            continue
        major, minor = ("*" if device.get(key, -1) in (None, -1) else device[key] for key in ("major", "minor"))
        rules.append(f"{device['type']} {major}:{minor} {device.get('access', 'rwm')}")
    return rules
