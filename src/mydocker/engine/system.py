"""info and version: what this mydocker is, what it found on the host, and why it chose as it did."""

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
    system = os.uname()
    return {
        "Version": __version__,
        "OCIRuntimeSpec": "1.0.2",
        "OCIImageSpec": "1.0.2",
        "Python": sys.version.split()[0],
        "KernelVersion": system.release,
        "Os": "linux",
        "Arch": system.machine,
    }


def info() -> dict[str, Any]:
    """docker info's names where it has one."""
    found, broken = listing.containers(True, [])
    running = sum(1 for each in found if each.status == "running")
    driver, why = choice.choose(config.load()["storage_driver"])
    layout = cgroups.layout()
    system = os.uname()
    return {
        "Containers": len(found) + len(broken),
        "ContainersRunning": running,
        "ContainersStopped": len(found) - running,
        "ContainersUnreadable": len(broken),
        "Images": len(store.images()),
        "ServerVersion": __version__,
        "Driver": driver.name,
        "DriverReason": why,
        "LoggingDriver": "cri",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(layout.version),
        "CgroupControllers": sorted(layout.controllers),
        "SwapLimit": layout.swap,
        "DefaultRuntime": "mydocker",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "KernelVersion": system.release,
        "OperatingSystem": _os_name(),
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


def _os_name() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            rows = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except (OSError, ValueError):
        return "Linux"
    return rows.get("PRETTY_NAME", "Linux").strip('"')
