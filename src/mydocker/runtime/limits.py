"""Translate the OCI spec's linux.resources to cgroup files and their values, for the host's layout.

A limit that this host does not support is an error.
"""

from __future__ import annotations

from mydocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

_HINT = "this host's kernel or cgroup set-up does not offer it; leave the limit out"


def files(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, str]]:
    """List (controller, file, value) for each limit, in the order in which they are set.

    Raises HostError for a limit whose controller the host lacks, and for device rules that can't be enforced.
    """
    if layout.version == 2:
        rows, controllers = _v2(resources), layout.controllers
    elif layout.version == 1:
        rows, controllers = _v1(resources, layout), list(layout.mounts)
        if resources.get("devices"):
            device_rules(resources["devices"])
            if "devices" not in controllers:
                raise HostError("devices can't be restricted without the cgroup controller 'devices'", _HINT)
    else:
        raise HostError("no cgroup file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    limits = [(controller, file, str(value)) for controller, file, value in rows if value]
    for controller, file, _ in limits:
        if controller not in controllers:
            raise HostError(f"the limit {file} needs the cgroup controller '{controller}'", _HINT)
    return limits


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
        ("pids", "pids.max", _or_max(pids.get("limit"))),
    ]


def _swap(memory: dict[str, Any], layout: Layout) -> int | None:
    """The spec's memory.swap, which includes memory."""
    swap: int | None = memory.get("swap")
    if swap and not layout.swap:
        raise HostError("this kernel does not support swap limits", "boot with swapaccount=1")
    return swap


def _v2(resources: dict[str, Any]) -> list[tuple[str, str, Any]]:
    memory, cpu, pids = (resources.get(key) or {} for key in ("memory", "cpu", "pids"))
    swap, limit = memory.get("swap"), memory.get("limit")
    if swap and swap > 0 and not 0 < (limit or 0) <= swap:
        raise HostError("the limit of memory and swap together is less than that of memory", "give it at least as much")
    quota = f"{_or_max(cpu.get('quota') or -1)} {cpu.get('period') or 100000}"
    return [
        ("cpuset", "cpuset.cpus", cpu.get("cpus")),
        ("cpuset", "cpuset.mems", cpu.get("mems")),
        ("cpu", "cpu.weight", weight(cpu["shares"]) if cpu.get("shares") else None),
        ("cpu", "cpu.max", quota if cpu.get("quota") or cpu.get("period") else None),
        ("memory", "memory.max", _or_max(limit)),
        ("memory", "memory.low", _or_max(memory.get("reservation"))),
        # v2 counts swap alone, the spec's value includes memory.
        ("memory", "memory.swap.max", str(_or_max(swap if swap < 0 else swap - (limit or 0))) if swap else None),
        ("pids", "pids.max", _or_max(pids.get("limit"))),
    ]


def _or_max(value: int | None) -> int | str | None:
    """Return the kernel's `max` for the spec's -1, no limit."""
    return "max" if value is not None and value < 0 else value


def weight(shares: int) -> int:
    """Convert v1's cpu.shares (2 to 262144) to cpu.weight (1 to 10000), by the formula of runc 1.3, which maps v1's
    default of 1024 to v2's default of 100. The older, linear formula gave 39."""
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    exponent = log2(shares)
    return ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def device_rules(devices: list[dict[str, Any]]) -> list[str]:
    """Translate the rules to lines of devices.allow. A missing number, or -1, is `*`.

    Raises HostError unless the rules deny all first and then only allow: ignoring a later denial would fail open.
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
