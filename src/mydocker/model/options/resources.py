"""The rarer limits of run, create and update: loaded only when one of them is given.

Each option that is given becomes a field of CreateRequest; check() then looks at all of them together.
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypedDict

    from mydocker.model.options.request import CreateRequest

    class BlockLimit(TypedDict):
        """kind: the option's name without --device-; or weight. value: bytes or operations a second; a weight."""

        kind: str
        path: str
        value: int


_LARGEST = 2**63 - 1
_PERIODS = (1000, 1_000_000)  # µs
_WEIGHTS = (10, 1000)
_RATES = ("read_bps", "write_bps", "read_iops", "write_iops")
_KINDS = {"blkio_weight_device": "weight", **{f"device_{kind}": kind for kind in _RATES}}


def parse(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the options that are given, by their keys. Returns fields of CreateRequest. Raises InvalidArgument."""
    fields: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"):
            fields[key] = units.integer(value, key.replace("cpu_", "CPU ").replace("_", " "), -1, _LARGEST)
        elif key == "memory_reservation":
            fields[key] = units.size(value, "memory reservation")
        elif key == "memory_swappiness":
            fields[key] = units.integer(value, "memory swappiness", -1, 100)
        elif key == "blkio_weight":
            fields[key] = units.integer(value, "block I/O weight", 0, _WEIGHTS[1])
        elif key == "oom_kill_disable":
            fields[key] = bool(value)
        elif key == "cgroup_parent":
            fields[key] = _cgroup(value)
        elif key == "device_cgroup_rule":
            fields["device_rules"] = [device_rule(text) for text in value]
    limits = [_block_limit(_KINDS[key], text) for key in _KINDS for text in given.get(key) or []]
    if limits:
        fields["block_limits"] = limits
    return fields


def _cgroup(text: str) -> str:
    """Check a cgroup's path. docker drops a leading `..`, which would lead out of the hierarchy."""
    parts = text.strip("/").split("/")
    if not all(part.isprintable() and part not in ("", ".", "..") for part in parts):
        raise InvalidArgument(
            f"invalid cgroup parent '{text}'", "a path below the cgroup root, such as /jobs or a.slice"
        )
    return text


def device_rule(text: str) -> str:
    """Check a rule of docker's form: TYPE MAJOR:MINOR ACCESS."""
    kind, _, others = text.partition(" ")
    numbers, _, access = others.partition(" ")
    major, colon, minor = numbers.partition(":")
    valid = all(part == "*" or units.is_number(part) for part in (major, minor))
    if not (kind in ("a", "b", "c") and colon and valid and 0 < len(access) <= 3 and not access.strip("rwm")):
        raise InvalidArgument(f"invalid device cgroup rule '{text}'", "such as 'c 42:* rmw': a, b or c, numbers or *")
    return text


def _block_limit(kind: str, text: str) -> BlockLimit:
    path, colon, value = text.rpartition(":")
    option = "blkio-weight-device" if kind == "weight" else f"device-{kind.replace('_', '-')}"
    if not colon or not path.startswith("/dev/"):
        raise InvalidArgument(f"invalid --{option} '{text}'", "/dev/NAME:NUMBER, such as /dev/sda:300")
    if kind == "weight":
        number = 0 if value == "0" else units.integer(value, "weight of a device", *_WEIGHTS)
    elif kind.endswith("bps"):
        number = units.size(value, "bytes a second")
    else:
        number = units.integer(value, "operations a second", 0, _LARGEST)
    return {"kind": kind, "path": path, "value": number}


def add(request: CreateRequest, given: Mapping[str, Any]) -> None:
    """Parse the options that are given, put them into the request, and check it. Raises InvalidArgument."""
    for field, value in parse(given).items():
        setattr(request, field, value)
    check(request)


def check(request: CreateRequest) -> None:
    """Check for values out of range and options that contradict each other: docker's rules.

    Raises InvalidArgument."""
    period, quota = request.cpu_period, request.cpu_quota
    if period and not _PERIODS[0] <= period <= _PERIODS[1]:
        raise InvalidArgument(f"CPU period '{period}' is out of range", "1000 to 1000000 µs")
    if quota > 0 and quota < _PERIODS[0]:
        raise InvalidArgument(f"CPU quota '{quota}' is too small", "the minimum is 1000 µs")
    for value, option in ((period, "period"), (quota, "quota")):
        if request.nano_cpus and value:
            raise InvalidArgument(f"conflicting options: --cpus and --cpu-{option}", "--cpus sets both")
    if request.cpu_rt_period < 0 or request.cpu_rt_runtime < 0:
        raise InvalidArgument("real-time periods and runtimes are not negative", "microseconds, such as 50000")
    if request.cpu_rt_period and request.cpu_rt_runtime > request.cpu_rt_period:
        raise InvalidArgument("the real-time runtime is longer than the real-time period", "it is a part of the period")
    if request.blkio_weight and request.blkio_weight < _WEIGHTS[0]:
        raise InvalidArgument(f"block I/O weight '{request.blkio_weight}' is too small", "10 to 1000, or 0 for none")
    reservation = request.memory_reservation
    if 0 < reservation < 6 * units.MIB:
        raise InvalidArgument("the memory reservation is too small", "the minimum is 6 MB")
    if 0 < request.memory < reservation:
        raise InvalidArgument("--memory is less than --memory-reservation", "the reservation is the lower, soft limit")


def warnings(request: CreateRequest) -> list[str]:
    """docker's lines about what is allowed and dangerous."""
    if not request.oom_kill_disable or request.memory:
        return []
    danger = "but no memory limit is set, this can result in the system running out of resources."
    return [f"WARNING: OOM killer is disabled for the container, {danger}"]
