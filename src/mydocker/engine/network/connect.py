"""network connect and disconnect: change the networks of a container, also while it runs."""

from __future__ import annotations

from mydocker import state
from mydocker.engine import builtin, bundle, cleanup
from mydocker.engine.network import endpoints, etc, lifecycle, networks
from mydocker.engine.network.rewire import attachments_of, rewire
from mydocker.errors import Conflict, NotFound
from mydocker.model.network import with_hostname
from mydocker.model.options import net, ports
from mydocker.model.options.netmode import is_mode
from mydocker.network import ipam, resolvconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.attachments import Attachments
    from mydocker.model.container import Container

_LAST = 999  # highest number of a veth: a link's name has 15 bytes at most
_LARGEST = 1 << 20  # bytes of a file of /etc that the container may have written


def connect(network: str, reference: str, ip: str, aliases: list[str]) -> list[str]:
    """Connect a container to a network, a stopped one from its next start on. Returns notes for the user.

    Raises MydockerError; then everything is as before.
    """
    builtin.check_joinable(network)
    target = endpoints.find_or_make(network)
    _, (endpoint,) = net.parse([target.name], ip, "", aliases)
    if endpoint.requested_ip:
        ipam.check(target, endpoint.requested_ip)
    container = state.find(reference)
    with state.lock(container):
        container = state.load(container.id)
        _check_joinable(container)
        if any(endpoint.network == target.name for endpoint in container.endpoints):
            raise Conflict(f"container {container.name} is already connected to network {target.name}", "")
        hostname = bundle.load_request(container).hostname
        endpoint.aliases = with_hostname(target.name, endpoint.aliases, hostname)
        if not state.is_running(container):
            container.networks.append(endpoint.to_json())
            state.save(container, durable=True)
            return []
        notes = lifecycle.bring_up(target)
        before = attachments_of(container)
        after = before.with_endpoint(target, endpoints.take(container, target, endpoint, _next_number(container)))
        if after.egress and not before.bindings:  # until now no network led out
            after = after.with_ports(ports.parse_published(container.requested_ports))
        _rewrite_etc(container, before, rewire(container, before, after))
        return notes


def _check_joinable(container: Container) -> None:
    if is_mode(container.network):
        raise Conflict(
            f"container {container.name} was created with --net {container.network}",
            "only a container created on a network can be connected",
        )


def _next_number(container: Container) -> int:
    """The number after the highest: the default route and published ports follow the lowest, that is, the order of
    joining."""
    numbers = (int(endpoint.device.removeprefix("eth")) for endpoint in container.endpoints)
    number = 1 + max(numbers, default=-1)
    if number > _LAST:
        raise Conflict(
            f"container {container.name} has no network device number left", f"'mydocker restart {container.name}'"
        )
    return number


def disconnect(network: str, reference: str, force: bool) -> None:
    """Disconnect a container from a network. force: also from one whose record is gone."""
    builtin.check_joinable(network)
    container = state.find(reference)
    name = network
    try:
        name = networks.find(network).name
    except NotFound:
        if not force:
            raise
    with state.lock(container):
        container = state.load(container.id)
        before = attachments_of(container)
        if not any(endpoint.network == name for endpoint in before.endpoints):
            hint = f"see 'mydocker inspect {container.name}'"
            raise NotFound(f"container {container.name} is not connected to network {name}", hint)
        after = before.without(name)
        if not state.is_running(container):
            cleanup.network(container)  # if it was killed with its monitor, it still has a lease
            container.networks = [endpoint.as_requested().to_json() for endpoint in after.endpoints]
            state.save(container, durable=True)
            return
        if after.bindings:
            endpoints.check_ports(after.ports, list(after.networks.values()))
        _rewrite_etc(container, before, rewire(container, before, after))


def _rewrite_etc(container: Container, before: Attachments, after: Attachments) -> None:
    """Rewrite mydocker's own lines of /etc/hosts, and resolv.conf where names begin or cease to be resolved.

    The files are changed in place, because they are mounted in the container. The container's own lines stay.
    """
    spec = bundle.load_spec(container)
    hostname = etc.full_name(spec.get("hostname", ""), spec.get("domainname", ""))
    old, new = (resolvconf.own_lines(hostname, _addresses(each)) for each in (before, after))
    lines = etc.text_of(f"{container.directory}/hosts").splitlines(keepends=True)
    kept = [line for line in lines if line not in old or line in new]
    added = [line for line in new if line not in old]
    _write_in_place(f"{container.directory}/hosts", "".join(kept + added))
    if before.has_dns != after.has_dns:
        ipv6 = any(endpoint.address6 for endpoint in after.endpoints)
        request = bundle.load_request(container)
        _write_in_place(f"{container.directory}/resolv.conf", etc.resolv_conf(request, ipv6, after.has_dns))


def _addresses(attachments: Attachments) -> list[str]:
    texts = [text for endpoint in attachments.endpoints for text in (endpoint.address, endpoint.address6)]
    return [text.partition("/")[0] for text in texts if text]


def _write_in_place(path: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")[:_LARGEST]
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()
