"""Translate the OCI spec's linux.resources to cgroup files and their values, for the host's layout.

A limit that this host does not support is an error.
"""

from __future__ import annotations

from mydocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

REALTIME_PERIOD = 1_000_000  # µs, the kernel's default
_HINT = "this host's kernel or cgroup set-up does not offer it; leave the limit out"


def files(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, str]]:
    """List (controller, file, value) for each limit, in the order in which they are set; weights() for the others.

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
    if "blockIO" in resources:
        limits += _rates(resources["blockIO"], layout.version)
    for controller, file, _ in [*limits, *_weights_of(resources, layout.version)]:
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
        ("memory", "memory.swappiness", _given(memory.get("swappiness"))),
        ("memory", "memory.oom_control", 1 if memory.get("disableOOMKiller") else None),
        ("cpu", "cpu.rt_period_us", cpu.get("realtimePeriod")),
        ("cpu", "cpu.rt_runtime_us", cpu.get("realtimeRuntime")),
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
    _refuse_v1(memory, cpu)
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


def _refuse_v1(memory: dict[str, Any], cpu: dict[str, Any]) -> None:
    for value, option in (
        (memory.get("swappiness") is not None, "--memory-swappiness"),
        (memory.get("disableOOMKiller"), "--oom-kill-disable"),
        (cpu.get("realtimeRuntime") or cpu.get("realtimePeriod"), "--cpu-rt-period and --cpu-rt-runtime"),
    ):
        if value:
            raise HostError(f"{option}: only cgroup v1 has this, and this host has v2", "leave it out")


_RATES = {  # the spec's list -> the file of v1, the key in v2's io.max
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


def _rates(block_io: dict[str, Any], version: int) -> list[tuple[str, str, str]]:
    """A rate of 0 is none."""
    rows = []
    for key, (file, word) in _RATES.items():
        for each in block_io.get(key) or []:
            device, rate = f"{each['major']}:{each['minor']}", each["rate"]
            if version == 2:
                rows.append(("io", "io.max", f"{device} {word}={rate or 'max'}"))
            else:
                rows.append(("blkio", file, f"{device} {rate}"))
    return rows


def _weights_of(resources: dict[str, Any], version: int) -> list[tuple[str, str, str]]:
    return [("io" if version == 2 else "blkio", *first) for first, _ in weights(resources, version)]


def weights(resources: dict[str, Any], version: int) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """List the weights of block I/O as two (file, value): the second if the kernel does not have the first file.

    v1: the file of cfq (before Linux 5.0), or bfq's. v2: bfq's, or io.weight, converted as runc does."""
    rows = []
    block_io = resources.get("blockIO") or {}
    weight = block_io.get("weight")
    if weight and version == 2:
        rows.append((("io.bfq.weight", str(weight)), ("io.weight", str(1 + (weight - 10) * 9999 // 990))))
    elif weight:
        rows.append((("blkio.weight", str(weight)), ("blkio.bfq.weight", str(weight))))
    for each in block_io.get("weightDevice") or []:
        value = f"{each['major']}:{each['minor']} {each['weight']}"
        if version == 2:
            rows.append((("io.bfq.weight", value),) * 2)
        else:
            rows.append((("blkio.weight_device", value), ("blkio.bfq.weight_device", value)))
    return rows


def are_rare(resources: dict[str, Any]) -> bool:
    """True if there are limits whose files not every kernel has."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    return bool(
        "blockIO" in resources
        or "realtimeRuntime" in cpu
        or "realtimePeriod" in cpu
        or "swappiness" in memory
        or "disableOOMKiller" in memory
    )


def _given(value: int | None) -> str | None:
    """Write 0, too."""
    return None if value is None else str(value)


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
