"""port, port add, port rm: which ports of the host lead to a container, also while it runs."""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import endpoints
from mydocker.engine.network.rewire import attachments_of, rewire
from mydocker.errors import Conflict, InvalidArgument, NotFound
from mydocker.model.options import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container


def listing(reference: str, target: str = "") -> list[ports.Port]:
    """List the ports in effect: none if the container does not run. target: 80 or 80/tcp, only that port. Raises
    NotFound if it is not published."""
    container = state.find(reference)
    # The record of a container whose monitor was killed still has the ports, as what the next start or rm must remove.
    published = ports.parse_published(container.bound_ports) if container.is_active() else []
    if not target:
        return published
    (key,) = ports.expose([target])[:1]
    chosen = [port for port in published if port.target == key]
    if not chosen:
        raise NotFound(
            f"port {key} of container {container.name} is not published",
            f"'mydocker port add {container.name} {target}'",
        )
    return chosen


def add(reference: str, texts: list[str]) -> list[ports.Port]:
    """Publish more ports. Returns them, with the host's numbers if the container runs."""
    added = ports.parse_published(texts)
    container = state.find(reference)
    with state.lock(container):
        container = state.load(container.id)
        before = attachments_of(container)
        if not before.networks:
            raise Conflict(
                f"container {container.name} is not connected to a network", "a port needs one, see 'mydocker network'"
            )
        requested = [*container.requested_ports, *(port.text for port in added)]
        ports.parse_published(requested)  # none of them twice
        endpoints.check_ports([port.text for port in added], list(before.networks.values()))
        if not state.is_running(container):
            container.requested_ports = requested
            state.save(container, durable=True)
            return added
        after = rewire(container, before, before.with_ports([*before.bindings, *added]), requested)
        return after.bindings[len(before.bindings) :]


def remove(reference: str, texts: list[str]) -> list[ports.Port]:
    """Stop publishing ports, and return them. texts: the container's port, 80 or 80/tcp, or as published, 8080:80."""
    container = state.find(reference)
    with state.lock(container):
        container = state.load(container.id)
        running = state.is_running(container)
        current = ports.parse_published((running and container.bound_ports) or container.requested_ports)
        gone = sorted({at for text in texts for at in _which(container, current, text)})
        requested = [text for at, text in enumerate(container.requested_ports) if at not in gone]
        if not running:
            container.requested_ports = requested
            state.save(container, durable=True)
        else:
            before = attachments_of(container)
            bindings = [port for at, port in enumerate(before.bindings) if at not in gone]
            rewire(container, before, before.with_ports(bindings), requested)
        return [current[at] for at in gone]


def _which(container: Container, current: list[ports.Port], text: str) -> list[int]:
    """The places in `current` that the text means. Raises NotFound if there are none."""
    given = ports.parse_published([text])
    if len(given) > 1:
        raise InvalidArgument(f"'{text}' is more than one port", "give them one by one")
    (port,) = given
    places = []
    for at, each in enumerate(current):
        same_host = not port.host or (port.host, port.host_ip) in ((each.host, each.host_ip), (each.host, ""))
        if each.target == port.target and same_host:
            places.append(at)
    if not places:
        raise NotFound(
            f"port {text} of container {container.name} is not published", f"see 'mydocker port {container.name}'"
        )
    return places
