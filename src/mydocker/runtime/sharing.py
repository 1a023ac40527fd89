"""Plan the steps that join namespaces of another container."""

from __future__ import annotations

from mydocker.kernel import trampoline
from mydocker.ops.base import Op
from mydocker.ops.process import CloseDescriptors
from mydocker.ops.sharing import AttachSharedMemory, EnterProcesses, JoinIpc, LeaveProcesses

TREE = trampoline.FIRST_FREE_FD  # the descriptor of the other container's /dev/shm


def add(paths: dict[str, str], joined: dict[str, int], host: list[Op], published: list[Op], steps: list[Op]) -> None:
    """Add steps to the lists of a plan. paths: the namespaces that it joins. joined: as plan() has it.

    The PID namespace is that of a clone, so the monitor enters it, and leaves it before it starts a program of the
    host. The shared memory stays open over CloseDescriptors."""
    if "pid" in paths:
        host.append(EnterProcesses(joined.get("pid", -1)))
        published.insert(0, LeaveProcesses())
    if "ipc" in paths:
        at = next(number for number, op in enumerate(steps) if isinstance(op, CloseDescriptors))
        steps[at : at + 1] = [JoinIpc(joined.get("ipc", -1), TREE), CloseDescriptors(TREE + 1)]


def shared_memory(root: str, target: str) -> Op:
    return AttachSharedMemory(root, target, TREE)
