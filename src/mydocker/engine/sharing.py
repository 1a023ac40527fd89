"""The containers whose PID or IPC namespace a container joins: --pid and --ipc container:NAME."""

from __future__ import annotations

import fcntl
import os

from mydocker import state
from mydocker.engine import top
from mydocker.engine.bundle import load_request
from mydocker.engine.process import open_pidfd
from mydocker.errors import Conflict, InvalidArgument, NotFound
from mydocker.kernel import process
from mydocker.kernel.trampoline import FIRST_FREE_FD
from mydocker.model.oci import capabilities
from mydocker.model.oci.annotations import JOINED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.options.request import CreateRequest


def resolve(request: CreateRequest) -> None:
    """Replace the names of the other containers by their IDs. Raises NotFound; InvalidArgument for an IPC namespace
    that is not to be shared."""
    if request.pid.startswith("container:"):
        request.pid = f"container:{_other(request.pid).id}"
    if request.ipc.startswith("container:"):
        other = _other(request.ipc)
        if load_request(other).ipc != "shareable":
            raise InvalidArgument(
                f"the IPC namespace of container {other.name} is not shareable", "create it with --ipc shareable"
            )
        request.ipc = f"container:{other.id}"


def _other(mode: str) -> Container:
    return state.find(mode.partition(":")[2])


def open_joined(container: Container, spec: dict[str, Any]) -> dict[str, int]:
    """Open a pidfd of the first process of each container that it joins. Returns them by the kind of namespace. They
    are above those that the child uses. Raises NotFound or Conflict if one does not run."""
    opened: dict[str, int] = {}
    try:
        for kind, key in JOINED.items():
            if key in spec["annotations"]:
                opened[kind] = _open(container, kind, spec["annotations"][key])
    except BaseException:
        for descriptor in opened.values():
            os.close(descriptor)
        raise
    return opened


def _open(container: Container, kind: str, other_id: str) -> int:
    what = f"whose {kind.upper()} namespace {container.name} joins"
    try:
        other = state.load(other_id)
    except NotFound:
        raise NotFound(f"the container {what} no longer exists", f"recreate it with another --{kind}") from None
    pidfd = open_pidfd(other)
    if pidfd < 0:
        raise Conflict(f"container {other.name}, {what}, is not running", f"'mydocker start {other.name}'")
    try:
        if kind == "pid":
            _check_tracers(other)
        return fcntl.fcntl(pidfd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD + 1)
    finally:
        os.close(pidfd)


def _check_tracers(other: Container) -> None:
    """Refuse a PID namespace in which a process may trace others: the new container's first process is in there while
    it still has the host's files and rights. A privileged container has those anyway."""
    namespace = _namespace(other.pid)
    if namespace == _namespace(os.getpid()):
        return  # the host's
    for each in state.readable():
        if state.is_running(each) and _namespace(each.pid) == namespace and _may_trace(each):
            raise Conflict(
                f"the PID namespace of container {other.name} can't be joined: {each.name} has CAP_SYS_PTRACE",
                "it could take over the new container while that starts",
            )


def _may_trace(container: Container) -> bool:
    """True if a process in it has the capability now: that of an `exec --privileged` has more than the container."""
    if load_request(container).privileged:
        return False
    return any(process.bounding_set(pid) & capabilities.SYS_PTRACE for pid in top.processes(container))


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
