"""info and version: this mydocker, its host, and why it chose its storage driver."""

from __future__ import annotations

import os
import sys

from mydocker import __version__, config, paths, state
from mydocker.engine import listing
from mydocker.image import store
from mydocker.image.drivers import choice
from mydocker.kernel import cgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def version() -> dict[str, Any]:
    """Return docker's document, in which client and server are one program here, and mydocker's own facts."""
    system = os.uname()
    python = sys.version.split()[0]
    own = {"KernelVersion": system.release, "Os": "linux", "Arch": store.architecture()}
    program = {
        "Platform": {"Name": ""},
        "Version": __version__,
        "ApiVersion": "",
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": store.architecture(),
    }
    components = [
        {"Name": "Engine", "Version": __version__, "Details": own},
        {"Name": "Python", "Version": python, "Details": {}},
    ]
    return {
        "Version": __version__,
        "OCIRuntimeSpec": "1.0.2",
        "OCIImageSpec": "1.0.2",
        "Python": python,
        "KernelVersion": system.release,
        "Os": "linux",
        "Arch": system.machine,
        "Client": {**program, "Context": "default", "Experimental": False},
        "Server": {**program, "Components": components, "KernelVersion": system.release},
    }


def info() -> dict[str, Any]:
    """Return docker's document as far as it is true here, and mydocker's own facts. Features that mydocker does not
    have have docker's empty value."""
    containers, broken = listing.containers(True, [])
    up = sum(1 for container in containers if container.is_up())
    paused = sum(1 for container in containers if container.is_paused())
    driver, why = choice.choose(config.load()["storage_driver"])
    layout = cgroups.layout()
    system = os.uname()
    release = _os_release()
    return {
        "Containers": len(containers) + len(broken),
        "ContainersRunning": up - paused,
        "ContainersPaused": paused,
        "ContainersStopped": len(containers) - up,
        "ContainersUnreadable": len(broken),
        "Images": len(store.images()),
        "ServerVersion": __version__,
        "Driver": driver.name,
        "DriverReason": why,
        "DriverStatus": [],
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None, "Log": ["cri"]},
        "MemoryLimit": "memory" in layout.controllers,
        "CpuCfsPeriod": "cpu" in layout.controllers,
        "CpuCfsQuota": "cpu" in layout.controllers,
        "CPUShares": "cpu" in layout.controllers,
        "CPUSet": "cpuset" in layout.controllers,
        "PidsLimit": "pids" in layout.controllers,
        "IPv4Forwarding": _is_on("/proc/sys/net/ipv4/ip_forward"),
        "BridgeNfIptables": _is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": _is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        "SystemTime": state.now(),
        "LoggingDriver": "cri",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(layout.version),
        "CgroupControllers": sorted(layout.controllers),
        "SwapLimit": layout.swap,
        "Runtimes": {"mydocker": {"path": "mydocker"}},
        "DefaultRuntime": "mydocker",
        "Labels": [],
        "Swarm": {"LocalNodeState": "inactive"},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "KernelVersion": system.release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": system.nodename,
        "DockerRootDir": paths.ROOT,
        "RunDir": paths.RUN,
        "ConfigFile": paths.CONFIG if os.path.exists(paths.CONFIG) else "",
        "BootID": state.boot_id(),
    }


def _is_on(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "1"
    except FileNotFoundError:
        return False


def _os_release() -> dict[str, str]:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            rows = (line.rstrip("\n").partition("=") for line in file)
            return {key: value.strip("\"'") for key, _, value in rows}
    except (OSError, ValueError):
        return {}
