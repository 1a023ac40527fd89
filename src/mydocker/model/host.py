"""What the machine has, as far as the plan of a container depends on it: the one module of model/ that looks at it."""

from __future__ import annotations

import os
import stat

from mydocker.errors import HostError
from mydocker.model.oci import capabilities
from mydocker.model.options import units
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from mydocker.model.options.mounts import Device

    class Node(TypedDict):
        """An entry of OCI's linux.devices, and what of r, w, m the container may do with it."""

        path: str
        type: str  # c(haracter) or b(lock)
        major: int
        minor: int
        fileMode: int
        uid: int
        gid: int
        access: str


@record
class HostFacts:
    cpus: str = "0"  # those online, as the kernel lists them: "0-3"
    nodes: str = "0"  # of memory, likewise
    kernel: tuple[int, int] = (6, 1)
    hostname: str = ""
    cwd: str = "/"
    capabilities: int = capabilities.ALL  # the bits that mydocker has to give
    hard_limits: dict[str, int] = {}  # ulimit -> what it can't be raised above; empty with CAP_SYS_RESOURCE
    swap: bool = True  # its use can be limited
    systemd: bool = False
    masked: list[str] = []  # files of /sys that tell about other tenants and that not every machine has


# The rows of /proc/PID/limits, in their order; "as" is no ulimit of docker's.
_LIMITS = "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
_SYSTEM = "/sys/devices/system"
_MEMORY_V1 = "/sys/fs/cgroup/memory"
_MAX = 16384  # bytes

# What every /dev in a container has of its own, and directories that are file systems of their own there.
_OWN_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue")


def look() -> HostFacts:
    """The facts of this machine and this process. It takes 0.2 ms."""
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
    """A small file of the kernel's, "" if it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _MAX).decode().strip()
    finally:
        os.close(descriptor)


def _bits(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split(None, 1)[0], 16)


def _version(release: str) -> tuple[int, int]:
    """(6, 1) of 6.1.0-13-amd64 or 6.1-custom."""
    major, _, rest = release.partition(".")
    return int(major), int(rest[: len(rest) - len(rest.lstrip("0123456789"))])


def _cwd() -> str:
    """Nothing if the directory has been removed: then no relative path means anything."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _hard_limits(table: str) -> dict[str, int]:
    """From the text of /proc/PID/limits, whose third column begins at 47."""
    columns = [row[47:67].strip() for row in table.split("\n")[1:]]
    return {
        name: units.UNLIMITED if value == "unlimited" else int(value) for name, value in zip(_LIMITS.split(), columns)
    }


def _thermal_files(cpus: str) -> list[str]:
    """Counters that a neighbour's work can be told from: masked by docker since 28."""
    if not os.path.exists(f"{_SYSTEM}/cpu/cpu0/thermal_throttle"):
        return []
    return [f"{_SYSTEM}/cpu/cpu{number}/thermal_throttle" for number in sorted(units.numbers(cpus) or ())]


def nodes(devices: list[Device], privileged: bool = False) -> list[Node]:
    """The device nodes that --device names, directories of them included, and with --privileged all of the host's
    /dev."""
    found = _below("/dev", "/dev", "rwm") if privileged else []
    for device in devices:
        source, target, access = device["source"], device["target"], device["access"]
        try:
            about = os.stat(source)
        except OSError as error:
            raise HostError(
                f"device '{source}': {os.strerror(error.errno or 0)}", "ls /dev shows what there is"
            ) from None
        more = _below(source, target, access) if stat.S_ISDIR(about.st_mode) else _node(about, target, access)
        if not more:
            raise HostError(f"'{source}' is no device", "--device takes a device node or a directory of them")
        found += more
    return list({node["path"]: node for node in found}.values())


def _below(directory: str, target: str, access: str) -> list[Node]:
    """The device nodes in a directory and below it; links are not followed."""
    found: list[Node] = []
    for top, directories, files in os.walk(directory):
        own = _OWN_DEVICES if top == "/dev" else ()
        directories[:] = sorted(name for name in directories if name not in own)
        for name in sorted(name for name in files if name not in own):
            try:
                about = os.lstat(f"{top}/{name}")
            except FileNotFoundError:  # unplugged meanwhile
                continue
            found += _node(about, f"{target}{top[len(directory) :]}/{name}", access)
    return found


def _node(about: os.stat_result, path: str, access: str) -> list[Node]:
    """One node, or none if it is something else."""
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
