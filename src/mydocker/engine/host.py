"""Read facts about the machine from /proc, /sys and /dev."""

from __future__ import annotations

import os
import stat

from mydocker.errors import HostError
from mydocker.model.host import HostFacts
from mydocker.model.oci import capabilities
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.host import BlockDevice, Node
    from mydocker.model.options.mounts import Device
    from mydocker.model.options.resources import BlockLimit

# The rows of /proc/PID/limits, in their order; "as" is not a ulimit of docker's.
_LIMITS = "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
_SYSTEM = "/sys/devices/system"
_MEMORY_V1 = "/sys/fs/cgroup/memory"
_MAX_SIZE = 16384  # bytes

# Devices that every container has in a /dev of its own, and mount points there.
_OWN_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue")


def look() -> HostFacts:
    """Return the facts of this machine and this process. Takes 0.2 ms."""
    system = os.uname()
    status = _read("/proc/self/status")
    given = _bits(status, "CapBnd") & _bits(status, "CapPrm")
    cpus = _read(f"{_SYSTEM}/cpu/online") or "0"
    return HostFacts(
        cpus=cpus,
        nodes=_read(f"{_SYSTEM}/node/online") or "0",
        kernel=_version(system.release),
        hostname=system.nodename,
        cwd=_cwd(),
        capabilities=given,
        hard_limits={} if given & capabilities.SYS_RESOURCE else _hard_limits(_read("/proc/self/limits")),
        # v1 has the file if the kernel counts swap (before Linux 6.1: with swapaccount=1); v2 counts it always.
        swap=not os.path.isdir(_MEMORY_V1) or os.path.exists(f"{_MEMORY_V1}/memory.memsw.limit_in_bytes"),
        systemd=os.path.isdir("/run/systemd/system"),  # sd_booted(3)
        masked=_thermal_files(cpus),
    )


def _read(path: str) -> str:
    """Read a small file of the kernel's; "" if it does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _MAX_SIZE).decode().strip()
    finally:
        os.close(descriptor)


def _bits(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split(None, 1)[0], 16)


def _version(release: str) -> tuple[int, int]:
    """Return (6, 1) for 6.1.0-13-amd64 or 6.1-custom."""
    major, _, minor = release.partition(".")
    return int(major), int(minor[: len(minor) - len(minor.lstrip("0123456789"))])


def _cwd() -> str:
    """Return "" if the directory has been removed: then no relative path means anything."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _hard_limits(table: str) -> dict[str, int]:
    """Parse /proc/PID/limits, whose third column begins at 47."""
    columns = [row[47:67].strip() for row in table.split("\n")[1:]]
    return {
        name: units.UNLIMITED if value == "unlimited" else int(value) for name, value in zip(_LIMITS.split(), columns)
    }


def _thermal_files(cpus: str) -> list[str]:
    """List counters that reveal what other tenants do: docker has masked them since 28."""
    if not os.path.exists(f"{_SYSTEM}/cpu/cpu0/thermal_throttle"):
        return []
    return [f"{_SYSTEM}/cpu/cpu{number}/thermal_throttle" for number in sorted(units.numbers(cpus) or ())]


def nodes(devices: list[Device], privileged: bool = False) -> list[Node]:
    """Return the device nodes that --device names, also those in directories; with --privileged those of /dev."""
    result = _below("/dev", "/dev", "rwm") if privileged else []
    for device in devices:
        source, target, access = device["source"], device["target"], device["access"]
        try:
            about = os.stat(source)
        except OSError as error:
            raise HostError(f"device '{source}': {os.strerror(error.errno or 0)}", "see 'ls /dev'") from None
        more = _below(source, target, access) if stat.S_ISDIR(about.st_mode) else _node(about, target, access)
        if not more:
            raise HostError(f"'{source}' is not a device", "--device takes a device node or a directory of them")
        result += more
    return list({node["path"]: node for node in result}.values())


def block_devices(limits: list[BlockLimit]) -> list[BlockDevice]:
    """Return the numbers of the disks that limits name. Raises HostError for what the kernel does not limit."""
    result: list[BlockDevice] = []
    for limit in limits:
        path = limit["path"]
        try:
            about = os.stat(path)
        except OSError as error:
            raise HostError(f"device '{path}': {os.strerror(error.errno or 0)}", "see 'lsblk'") from None
        if not stat.S_ISBLK(about.st_mode):
            raise HostError(f"'{path}' is not a block device", "see 'lsblk'")
        major, minor = os.major(about.st_rdev), os.minor(about.st_rdev)
        sysfs = f"/sys/dev/block/{major}:{minor}"
        if os.path.exists(f"{sysfs}/partition"):
            raise HostError(f"'{path}' is a partition: only a whole disk can be limited", "see 'lsblk'")
        if limit["kind"] == "weight" and limit["value"] and not _has_weights(sysfs):
            hint = f"'echo bfq > /sys/block/{os.path.basename(path)}/queue/scheduler', if the kernel has it"
            raise HostError(f"'{path}' has no weights: its I/O scheduler is not bfq", hint)
        result.append({"kind": limit["kind"], "major": major, "minor": minor, "value": limit["value"]})
    return result


def _has_weights(sysfs: str) -> bool:
    scheduler = _read(f"{sysfs}/queue/scheduler")
    return "[bfq]" in scheduler or "[cfq]" in scheduler


def _below(directory: str, target: str, access: str) -> list[Node]:
    """Return the device nodes in a directory and below it. Links are not followed."""
    result: list[Node] = []
    for top, directories, files in os.walk(directory):
        own = _OWN_DEVICES if top == "/dev" else ()
        directories[:] = sorted(name for name in directories if name not in own)
        for name in sorted(name for name in files if name not in own):
            try:
                about = os.lstat(f"{top}/{name}")
            except FileNotFoundError:  # removed meanwhile
                continue
            result += _node(about, f"{target}{top[len(directory) :]}/{name}", access)
    return result


def _node(about: os.stat_result, path: str, access: str) -> list[Node]:
    """Return a list of one node, or an empty one for any other file."""
    kind = "c" if stat.S_ISCHR(about.st_mode) else "b" if stat.S_ISBLK(about.st_mode) else ""
    if not kind:
        return []
    return [
        {
            "path": path,
            "type": kind,
            "major": os.major(about.st_rdev),
            "minor": os.minor(about.st_rdev),
            "fileMode": stat.S_IMODE(about.st_mode),
            "uid": about.st_uid,
            "gid": about.st_gid,
            "access": access,
        }
    ]
