"""A container's endpoints at one start: addresses, bound ports, and the files of /etc that name them."""

from __future__ import annotations

import fcntl
import os

from mydocker import state
from mydocker.engine.network import etc
from mydocker.errors import Conflict, NotFound
from mydocker.model.attachments import Attachments
from mydocker.model.network import DEFAULT, Endpoint
from mydocker.model.options import net, ports
from mydocker.model.options.addresses import cidr, mac_of, parse
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.network import Network
    from mydocker.model.options.request import CreateRequest


class Prepared:
    """The resources of a start: leases, sockets, and the network namespace of another container.

    close(), at the latest at the end of the `with`, releases all of them, unless release() has left them to a monitor.
    attachments: None without networks. sockets: by the text of their port. shared: a descriptor of the namespace, or
    -1. joined: pidfds of the containers whose other namespaces it joins. notes: for the user."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.attachments: Attachments | None = None
        self.sockets: dict[str, list[int]] = {}
        self.shared = -1
        self.joined: dict[str, int] = {}
        self.notes: list[str] = []
        self._owned = True

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The networks as JSON."""
        return [network.__dict__ for network in self.attachments.networks.values()] if self.attachments else []

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def release(self) -> None:
        """Leave the resources to the monitor, which has descriptors of its own."""
        self._owned = False
        self._close_descriptors()

    def close(self) -> None:
        self._close_descriptors()
        container = self.container
        if self._owned and container.networks:
            from mydocker.network import leases

            leases.release_all(container.id, container.endpoints)
            container.networks = container.requested_networks
            container.bound_ports = []
        self._owned = False

    def _close_descriptors(self) -> None:
        for descriptor in (number for sockets in self.sockets.values() for number in sockets):
            os.close(descriptor)
        for descriptor in self.joined.values():
            os.close(descriptor)
        if self.shared >= 0:
            os.close(self.shared)
        self.sockets, self.shared, self.joined = {}, -1, {}


def network_of(name: str, make: bool = True) -> Network:
    """Load a network. The default network is created if it is missing; make: if False, it is only drafted. Raises
    NotFound."""
    from mydocker.engine.network import networks

    return networks.default(make) if name == DEFAULT else networks.load(name)


def check(request: CreateRequest) -> list[str]:
    """Check before the start that the networks exist, and that the requested addresses are theirs. Replaces IDs by
    names. Returns warnings for the user."""
    if not request.networks:
        discarded = request.published and f"when using {request.network} network mode"
        return [f"WARNING: Published ports are discarded {discarded}"] if discarded else []  # docker's, for host
    from mydocker.network import ipam

    networks = [find_or_make(each["network"], make=not request.dry_run) for each in request.networks]
    _name_networks(request, [network.name for network in networks])
    for each, network in zip(request.networks, networks):
        if each["requested_ip"]:
            ipam.check(network, each["requested_ip"])
    if not request.published:
        return []
    if all(network.internal for network in networks):
        return ["WARNING: Published ports are discarded while the container is on internal networks only"]
    check_ports(request.published, networks)
    return []


def find_or_make(name: str, make: bool = True) -> Network:
    """Like network_of(), but for user input: also accepts IDs. Records hold names only, because a name may equal the
    start of another network's ID."""
    from mydocker.engine.network import networks

    return network_of(name, make) if name == DEFAULT else networks.find(name)


def _name_networks(request: CreateRequest, names: list[str]) -> None:
    if names == [each["network"] for each in request.networks]:
        return
    for each, name in zip(request.networks, names):
        each["network"] = name
    request.network = names[0]
    net.check_names([Endpoint(**each) for each in request.networks])


def check_ports(texts: list[str], networks: list[Network]) -> None:
    egress = next((network for network in networks if not network.internal), None)
    if not egress:
        raise Conflict(
            "no port can be published on an internal network", "connect the container to another network, too"
        )
    for port in ports.parse_published(texts):
        if ":" in port.host_ip and not egress.subnet6:
            raise Conflict(
                f"port {port.source} can't be published: network {egress.name} has no IPv6",
                "'mydocker network create --ipv6 NAME' creates one with IPv6",
            )


def planned(container_id: str, request: CreateRequest) -> Attachments | None:
    """Plan the attachments of a --dry-run: with the addresses and ports that a start would get now."""
    if not request.networks:
        return None
    from mydocker.engine.network import binding
    from mydocker.network import ipam, leases

    attachments = Attachments(container_id, request.name or container_id[:12])
    for number, each in enumerate(request.networks):
        network, endpoint = network_of(each["network"], make=False), Endpoint(**each)
        taken = {parse(lease.address)[0] for lease in leases.read(network.name)}
        address = endpoint.requested_ip or ipam.lowest_free(network, taken)
        if not address:
            raise leases.full(network)
        attachments = attachments.with_endpoint(network, _addressed(endpoint, network, address, container_id, number))
    attachments, sockets = _bind(attachments, request.published)
    binding.close(sockets)
    return attachments


def _bind(attachments: Attachments, texts: list[str]) -> tuple[Attachments, dict[str, list[int]]]:
    """Bind the ports, if a network leads out."""
    if not (texts and attachments.egress):
        return attachments, {}
    from mydocker.engine.network import binding

    check_ports(texts, list(attachments.networks.values()))
    nothing = Attachments(attachments.id, attachments.name)
    return binding.bind(nothing, attachments.with_ports(ports.parse_published(texts)))


# --- a start ----------------------------------------------------------------------------------------------------------


def prepare(container: Container, spec: dict[str, Any], request: CreateRequest, fresh: bool = False) -> Prepared:
    """Lease addresses, bind ports, and write the container's files of /etc. Caller holds the container's lock.

    The record then has the endpoints and ports. fresh: the container was just created, so nothing is left of an earlier
    start. Raises MydockerError; then nothing is leased or bound.
    """
    prepared = Prepared(container)
    if not fresh:
        from mydocker.engine import cleanup

        cleanup.network(container)
    hostname = spec.get("hostname", "")
    if container.network.startswith("container:"):
        prepared.shared = _open_shared(container)
    elif not container.networks:
        etc.write(container.directory, etc.files(request, hostname))
    else:
        try:
            _attach(prepared)
            etc.write(container.directory, etc.files(request, hostname, prepared.attachments))
            state.save(container)  # if we are killed, a clean-up finds the leases
        except BaseException:
            prepared.close()
            raise
    if any(each["type"] != "network" and "path" in each for each in spec["linux"]["namespaces"]):
        _join(prepared, spec)
    return prepared


def _join(prepared: Prepared, spec: dict[str, Any]) -> None:
    from mydocker.engine import sharing

    try:
        prepared.joined = sharing.open_joined(prepared.container, spec)
    except BaseException:
        prepared.close()
        raise


def _attach(prepared: Prepared) -> None:
    container = prepared.container
    attachments = Attachments(container.id, container.name)
    for number, endpoint in enumerate(container.endpoints):
        network, notes = _ready(endpoint.network)
        endpoint = take(container, network, endpoint, number)
        attachments = attachments.with_endpoint(network, endpoint)
        container.networks[number] = endpoint.to_json()
        prepared.notes += notes
    prepared.attachments, prepared.sockets = _bind(attachments, container.requested_ports)
    container.bound_ports = prepared.attachments.ports


def _ready(name: str) -> tuple[Network, list[str]]:
    """Bring the network up; return it with notes for the user."""
    from mydocker.engine.network import networks

    network = network_of(name)
    if networks.is_up(network):
        return network, []
    from mydocker.engine.network import lifecycle

    return network, lifecycle.bring_up(network)


def take(container: Container, network: Network, endpoint: Endpoint, number: int) -> Endpoint:
    """Lease an address, and return the endpoint with everything that follows from it. number: of the veth."""
    from mydocker.network import leases

    names = [container.name, *endpoint.aliases]
    address, previous = leases.take(network, container.id, names, endpoint.requested_ip)
    if previous:  # that container was killed with its monitor, so its rules still lead to the address
        from mydocker.network import plan

        try:
            Trace("host").run([plan.remove_ports(previous[:12], previous, [4, 6] if network.subnet6 else [4])])
        except BaseException:
            leases.release(network.name, address, container.id)
            raise
    return _addressed(endpoint, network, address, container.id, number)


def _addressed(requested: Endpoint, network: Network, address: str, container_id: str, number: int) -> Endpoint:
    from mydocker.network import ipam

    endpoint = requested.as_requested()
    address6 = ipam.address6(network, address)
    endpoint.device, endpoint.veth = f"eth{number}", f"veth{container_id[:8]}{number}"
    endpoint.address, endpoint.gateway = cidr(network.subnet).with_prefix(address), network.gateway
    endpoint.mac = requested.requested_mac or mac_of(address)
    if address6:
        endpoint.address6, endpoint.gateway6 = cidr(network.subnet6).with_prefix(address6), network.gateway6
    return endpoint


def _open_shared(container: Container) -> int:
    """Open the network namespace of the other container. The descriptor is above those that the child uses."""
    from mydocker.engine.process import open_pidfd
    from mydocker.kernel.trampoline import FIRST_FREE_FD

    try:
        other = state.load(container.network.partition(":")[2])
    except NotFound:
        raise NotFound(
            f"the container whose network {container.name} shares no longer exists", "recreate it with another --net"
        ) from None
    pidfd = open_pidfd(other)
    if pidfd < 0:
        raise Conflict(
            f"{container.name} shares the network of {other.name}, which is not running", f"start {other.name}"
        )
    try:
        descriptor = os.open(f"/proc/{other.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not state.is_running(other):  # while it runs, no other process has its PID
                raise Conflict(f"container {other.name} has just ended", f"'mydocker start {other.name}'")
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD)
        finally:
            os.close(descriptor)
    finally:
        os.close(pidfd)
