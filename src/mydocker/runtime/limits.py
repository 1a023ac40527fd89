"""What a container's cgroup gets of the OCI spec's linux.resources: which file of which controller, and what goes in.
Pure: the host's layout comes in. What this host can't give is an error, also before anything is planned."""

from __future__ import annotations

from mydocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

_HINT = "this host's kernel or cgroup set-up does not offer it; leave the limit out"


def files(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, str]]:
    """(controller, file, value) of each limit, in the order in which they are set.

    Raises HostError for a limit whose controller the host lacks, and for rules on devices that can't be kept.
    """
    if layout.version == 2:
        wanted, there = _v2(resources), layout.controllers
    elif layout.version == 1:
        wanted, there = _v1(resources, layout), list(layout.mounts)
        if resources.get("devices"):
            device_rules(resources["devices"])
            if "devices" not in there:
                raise HostError("devices can't be restricted without the cgroup controller 'devices'", _HINT)
    else:
        raise HostError("no cgroup file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    found = [(controller, file, str(value)) for controller, file, value in wanted if value]
    for controller, file, _ in found:
        if controller not in there:
            raise HostError(f"the limit {file} needs the cgroup controller '{controller}'", _HINT)
    return found


def _v1(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, Any]]:
    memory, cpu, pids = (resources.get(key) or {} for key in ("memory", "cpu", "pids"))
    return [
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


def _swap(memory: dict[str, Any], layout: Layout) -> int | None:
    """memory.swap of the spec: memory and swap together."""
    swap: int | None = memory.get("swap")
    if swap and not layout.swap:
        raise HostError("this kernel does not count swap, so a limit of it can't hold", "boot with swapaccount=1")
    return swap


def _v2(resources: dict[str, Any]) -> list[tuple[str, str, Any]]:
    memory, cpu, pids = (resources.get(key) or {} for key in ("memory", "cpu", "pids"))
    swap, limit = memory.get("swap"), memory.get("limit")
    if swap and swap > 0 and not 0 < (limit or 0) <= swap:
        raise HostError("the limit of memory and swap together is less than that of memory", "give it at least as much")
    quota = f"{_most(cpu.get('quota') or -1)} {cpu.get('period') or 100000}"
    return [
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


def _most(value: int | None) -> int | str | None:
    """The spec's -1, no limit, in the kernel's word."""
    return "max" if value is not None and value < 0 else value


def weight(shares: int) -> int:
    """cpu.weight (1 to 10000) for v1's cpu.shares (2 to 262144), by the formula of runc 1.3: it turns v1's
    default of 1024 into v2's default of 100. The older, linear formula made 39 of it."""
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    exponent = log2(shares)
    return ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


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
