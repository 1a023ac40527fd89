"""Check that the kernel has the cgroup files of limits that not every kernel has, before anything is made."""

from __future__ import annotations

import os

from mydocker.errors import HostError
from mydocker.ops.resources import realtime_share
from mydocker.runtime import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout


def check(resources: dict[str, Any], layout: Layout) -> None:
    """Raise HostError for a limit whose file this kernel lacks. On v2 a file appears only where its controller is
    enabled, so there the start finds out."""
    if layout.version != 1:
        return
    rows = [(controller, [file]) for controller, file, _ in limits.files(resources, layout)]
    rows += [("blkio", [file for file, _ in both]) for both in limits.weights(resources, layout.version)]
    offered: dict[str, set[str]] = {}
    for controller, files in rows:
        mount = layout.mounts[controller]
        if mount not in offered:
            offered[mount] = _files(mount)
        if offered[mount].isdisjoint(files):
            raise HostError(f"this kernel does not support the limit {files[-1]}", "leave it out")
    cpu = resources.get("cpu") or {}
    if cpu.get("realtimeRuntime"):
        wanted = cpu["realtimeRuntime"] / (cpu.get("realtimePeriod") or limits.REALTIME_PERIOD)
        if realtime_share(layout.mounts["cpu"]) < wanted:
            raise HostError("this host has not so much real-time CPU time to give", "see /proc/sys/kernel/sched_rt_*")


def _files(mount: str) -> set[str]:
    """Return the names of the files of a cgroup. The root has not all of them, so one below is asked as well."""
    files = {entry.name for entry in os.scandir(mount)}
    below = next((entry.path for entry in os.scandir(mount) if entry.is_dir(follow_symlinks=False)), "")
    if below:
        return files | set(os.listdir(below))
    probe = f"{mount}/mydocker-probe-{os.getpid()}"
    try:
        os.mkdir(probe)
        return files | set(os.listdir(probe))
    except OSError:
        return files  # the start finds out
    finally:
        try:
            os.rmdir(probe)
        except OSError:
            pass
