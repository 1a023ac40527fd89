"""port, port add, port rm: which ports of the host lead to a container, also while it runs."""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import endpoints, networks
from mydocker.errors import Conflict, InvalidArgument, NotFound
from mydocker.model.network import Attachments
from mydocker.model.options import ports
from mydocker.network import ops, plan
from mydocker.runtime import control
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container
    from mydocker.model.network import Network


def listing(container: str, target: str = "") -> list[ports.Port]:
    """Those in effect. target: 80 or 80/tcp, only that one of the container. Raises NotFound if it is not published."""
    found = state.find(container)
    published = ports.parse_published(found.bound_ports)
    if not target:
        return published
    (key,) = ports.expose([target])[:1]
    chosen = [port for port in published if port.target == key]
    if not chosen:
        raise NotFound(
            f"no port {key} of container {found.name} is published", f"'mydocker port add {found.name} {target}'"
        )
    return chosen


def add(container: str, texts: list[str]) -> list[ports.Port]:
    """Publish further ports; those, with the host's numbers if it runs."""
    wanted = [port.text for port in ports.parse_published(texts)]
    found = state.find(container)
    with state.lock(found):
        found = state.load(found.id)
        joined = [networks.load(endpoint.network) for endpoint in found.endpoints]
        if not joined:
            raise Conflict(f"container {found.name} is on no network", "a port needs one: see 'mydocker network'")
        ports.parse_published([*found.requested_ports, *wanted])  # none of them twice
        endpoints.check_ports(wanted, joined)
        published = [*found.requested_ports, *wanted]
        if not state.is_running(found):
            found.requested_ports = published
            state.save(found, durable=True)
            return ports.parse_published(wanted)
        egress = next(network for network in joined if not network.internal)
        held = endpoints.hold(wanted, bool(egress.subnet6))
        try:
            _change(found, joined, published, [*found.bound_ports, *held], held)
        finally:
            endpoints.close(held)
        return ports.parse_published(held)


def remove(container: str, texts: list[str]) -> list[ports.Port]:
    """Withdraw ports: named by the container's port, 80 or 80/tcp, or as they were published, 8080:80; those."""
    found = state.find(container)
    with state.lock(found):
        found = state.load(found.id)
        running = state.is_running(found)
        current = found.bound_ports if running and found.bound_ports else found.requested_ports
        gone = sorted({at for text in texts for at in _which(found, current, text)})
        names = [current[at] for at in gone]
        published, rest = (
            [text for at, text in enumerate(texts) if at not in gone]
            for texts in (found.requested_ports, found.bound_ports)
        )
        if not running:
            found.requested_ports = published
            state.save(found, durable=True)
        else:
            _change(found, [networks.load(endpoint.network) for endpoint in found.endpoints], published, rest, {})
        return ports.parse_published(names)


def _which(found: Container, current: list[str], text: str) -> list[int]:
    """The places in `current` that a person means. Raises NotFound if there is none."""
    wanted = ports.parse_published([text])
    if len(wanted) > 1:
        raise InvalidArgument(f"'{text}' are several ports", "give them one by one")
    (port,) = wanted
    places = []
    for at, each in enumerate(ports.parse_published(current)):
        same_host = not port.host or (port.host, port.host_ip) in ((each.host, each.host_ip), (each.host, ""))
        if each.target == port.target and same_host:
            places.append(at)
    if not places:
        raise NotFound(f"port {text} of container {found.name} is not published", f"see 'mydocker port {found.name}'")
    return places


def _change(
    found: Container, joined: list[Network], published: list[str], now: list[str], held: dict[str, list[int]]
) -> None:
    """Of a running container, its lock held: record, monitor, rules. Raises MydockerError; then all is as before.

    The record is first: a command line that is killed here leaves a port that `port rm` and the monitor know of. A
    monitor that is told lets go of ports that are withdrawn, so their rules go before.
    """
    before = found.requested_ports, found.bound_ports
    attachments = Attachments(found.id, found.name, list(zip(joined, found.endpoints)), now or found.bound_ports)
    steps = plan.publish(attachments)
    for op in steps:
        assert isinstance(op, ops.PublishPorts)
        op.ports, op.before = now, found.bound_ports
    found.requested_ports, found.bound_ports = published, now
    trace = Trace("host")
    try:
        state.save(found)
        if held:
            control.tell(found, joined, held, [])
        trace.run(steps)
        if not held:
            control.tell(found, joined, held, [])
    except BaseException:
        trace.undo_all()
        found.requested_ports, found.bound_ports = before
        state.save(found)
        if held and state.is_running(found):
            control.tell(found, joined, {}, [])
        raise
    finally:
        if not state.is_running(found):  # its monitor may have withdrawn its ports before these rules were made
            address6 = next((endpoint.address6 for endpoint in found.endpoints if endpoint.address6), "")
            Trace("host").run([ops.RemovePorts(found.name, found.id, address6)])
