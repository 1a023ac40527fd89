"""Plan the rights of the container's first process: limits, capabilities, system calls, identity."""

from __future__ import annotations

from mydocker.kernel import seccomp
from mydocker.model.oci import capabilities
from mydocker.model.oci.annotations import SECCOMP
from mydocker.ops.base import Op
from mydocker.ops.process import (
    ChangeDirectory,
    DropBounding,
    LoadSeccomp,
    NoNewPrivileges,
    SetCapabilities,
    SetLimit,
    SetOomScore,
    SetUmask,
    SwitchUser,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# <asm-generic/resource.h>, by number.
RLIMITS = [
    *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE"),
    *("MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
]


def oom_score(process: dict[str, Any]) -> list[Op]:
    """Plan the OOM score. It is set even if it is 0, as the caller's may differ, and before the container's /proc is
    mounted, as the host's is needed."""
    return [SetOomScore(process.get("oomScoreAdj") or 0)]


def limits(process: dict[str, Any]) -> list[Op]:
    """Plan the rlimits. They come late, because building the root may need more than they allow."""
    steps: list[Op] = []
    for limit in process.get("rlimits", []):
        kind = limit["type"]
        number = RLIMITS.index(kind[len("RLIMIT_") :])
        steps.append(SetLimit(kind, number, _signed(limit["soft"]), _signed(limit["hard"])))
    return steps


def _signed(value: int) -> int:
    """Convert the spec's 2^64-1, unlimited, to -1."""
    return -1 if value >= 1 << 63 else value


def plan(
    spec: dict[str, Any], process: dict[str, Any], identity: tuple[int, int, list[int]], program: bytes
) -> list[Op]:
    """Plan the last steps before exec. identity: (uid, gid, supplementary groups). program: the spec's seccomp profile,
    compiled; the kernel refuses an empty one.

    Loading a filter needs CAP_SYS_ADMIN or no_new_privs. So the filter comes last with no_new_privs, and before the
    capabilities are dropped without.
    """
    steps: list[Op] = []
    sets = {kind: capabilities.mask(names) for kind, names in (process.get("capabilities") or {}).items()}
    profile = spec.get("linux", {}).get("seccomp")
    load: list[Op] = []
    if profile:
        about = spec.get("annotations", {}).get(SECCOMP, "docker's default profile")
        load.append(LoadSeccomp(about, program.hex(), seccomp.flags(profile)))
    if process.get("cwd"):
        steps.append(ChangeDirectory(process["cwd"]))
    if not process.get("noNewPrivileges"):
        steps += load
    if process.get("user", {}).get("umask") is not None:
        steps.append(SetUmask(process["user"]["umask"]))
    steps.append(DropBounding(sets.get("bounding", 0)))
    steps.append(SwitchUser(*identity))
    effective, permitted = (sets.get(kind, 0) for kind in ("effective", "permitted"))
    steps.append(SetCapabilities(effective, permitted, sets.get("inheritable", 0), sets.get("ambient", 0)))
    if process.get("noNewPrivileges"):
        steps += [NoNewPrivileges(), *load]
    return steps
