"""Bind the sockets that reserve a container's published ports, as far as they are not bound yet."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.attachments import Attachments
    from mydocker.model.options.ports import Port

    Sockets = dict[str, list[int]]  # by the text of their port


def bind(before: Attachments, after: Attachments) -> tuple[Attachments, Sockets]:
    """Bind the ports of `after` that are not bound in `before` for the same versions of IP.

    Returns `after` with the final numbers, and the new sockets. Fixed ports are bound before ranges and random ones.
    Raises Conflict and other MydockerErrors; then nothing is bound.
    """
    from mydocker.network.ports import PortTaken
    from mydocker.network.ports import bind as bind_port

    bindings, sockets = list(after.bindings), dict[str, list[int]]()
    unclaimed = list(before.bindings)  # each is kept once; a second port with its number has to be bound, and fails
    try:
        for at in sorted(range(len(bindings)), key=lambda at: _freedom(bindings[at])):
            port = bindings[at]
            kept = port in unclaimed
            if kept:
                unclaimed.remove(port)
            bound = before.versions_of(port) if kept else []
            versions = [version for version in after.versions_of(port) if version not in bound]
            if versions:
                bindings[at], descriptors = bind_port(port, versions)
                sockets[bindings[at].text] = descriptors
    except PortTaken as taken:
        close(sockets)
        holder = _publisher(taken.port, after.id if kept else "")
        if not holder:
            raise
        raise Conflict(f"{taken.message} by container {holder}", f"stop {holder}, or choose another") from None
    except BaseException:
        close(sockets)
        raise
    return after.with_ports(bindings), sockets


def _freedom(port: Port) -> tuple[bool, bool]:
    """Sort key: fixed ports first, then ranges, then random ones."""
    return not port.host, port.last > port.host


def _publisher(taken: Port, except_id: str) -> str:
    """The name of a container of this store that publishes the port; "" if there is none but except_id."""
    from mydocker.model.options import ports

    for container in state.readable():
        if container.bound_ports and container.id != except_id and state.is_running(container):
            for port in ports.parse_published(container.bound_ports):
                same = port.protocol == taken.protocol and taken.host <= port.host <= taken.last
                if same and ports.overlap(port.host_ip, taken.host_ip):
                    return container.name
    return ""


def close(sockets: Sockets) -> None:
    for descriptors in sockets.values():
        for descriptor in descriptors:
            os.close(descriptor)
