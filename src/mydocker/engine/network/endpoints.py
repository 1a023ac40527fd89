"""A container's ends of its networks at one start: addresses and held ports."""

from __future__ import annotations

import fcntl
import os

from mydocker import state
from mydocker.engine.network import etc
from mydocker.errors import Conflict, NotFound
from mydocker.model.network import DEFAULT, Attachments
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint, Network
    from mydocker.model.options.ports import Port
    from mydocker.model.options.request import CreateRequest


@record
class Prepared:
    """attachments: for the plan; None without networks. bound_sockets: by the text of their port. shared: a
    descriptor of the other container's network namespace, or -1. notes: lines that a person should see.

    `with` gives all of it back, unless it was handed over."""

    found: Container
    attachments: Attachments | None = None
    bound_sockets: dict[str, list[int]] = {}
    shared: int = -1
    notes: list[str] = []
    handed_over: bool = False

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The networks as JSON, in the order of the container's endpoints."""
        return [network.__dict__ for network, _ in self.attachments.endpoints] if self.attachments else []

    def hand_over(self) -> None:
        """The monitor has it all now, and gives it back one day."""
        close(self.bound_sockets)
        if self.shared >= 0:
            os.close(self.shared)
        self.bound_sockets, self.shared, self.handed_over = {}, -1, True

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.handed_over:
            self.give_back()

    def give_back(self) -> None:
        self.hand_over()
        found = self.found
        if found.networks:
            from mydocker.network import leases

            leases.release_all(found.id, found.endpoints)
            found.networks, found.bound_ports = [end.asked().to_json() for end in found.endpoints], []


def network_of(name: str, make: bool = True) -> Network:
    """Raises NotFound; but the default network is made if it is not there. make: if False, it is only drawn up."""
    from mydocker.engine.network import networks

    return networks.default(make) if name == DEFAULT else networks.load(name)


def check(wanted: CreateRequest) -> list[str]:
    """What can be known before the start: that the networks are there, and the addresses theirs. IDs become names.
    Returns lines that a person should see."""
    if not wanted.networks:
        discarded = wanted.published and f"when using {wanted.network} network mode"
        return [f"WARNING: Published ports are discarded {discarded}"] if discarded else []  # docker's, for host
    from mydocker.network import ipam

    found = [asked_for(each["network"], make=not wanted.dry_run) for each in wanted.networks]
    _name_networks(wanted, [network.name for network in found])
    for each, network in zip(wanted.networks, found):
        if each["wanted_ip"]:
            ipam.check(network, each["wanted_ip"])
    if not wanted.published:
        return []
    if all(network.internal for network in found):
        return ["WARNING: Published ports are discarded while the container is on internal networks only"]
    check_ports(wanted.published, found)
    return []


def asked_for(name: str, make: bool = True) -> Network:
    """network_of() what a person names, also by an ID. In a record are names: an ID of another network may begin so."""
    from mydocker.engine.network import networks

    return network_of(name, make) if name == DEFAULT else networks.find(name)


def _name_networks(wanted: CreateRequest, names: list[str]) -> None:
    if names == [each["network"] for each in wanted.networks]:
        return
    from mydocker.model.network import Endpoint
    from mydocker.model.options import net

    for each, name in zip(wanted.networks, names):
        each["network"] = name
    wanted.network = names[0]
    net.check_names([Endpoint(**each) for each in wanted.networks])


def check_ports(texts: list[str], found: list[Network]) -> None:
    from mydocker.model.options import ports

    egress = next((network for network in found if not network.internal), None)
    if not egress:
        raise Conflict("no port can be published on an internal network", "add a network that is not")
    for port in ports.parse_published(texts):
        if ":" in port.host_ip and not egress.subnet6:
            raise Conflict(
                f"port {port.source} can't be published: network {egress.name} has no IPv6",
                "'mydocker network create --ipv6 NAME' makes one that has",
            )


def imagined(container_id: str, wanted: CreateRequest) -> Attachments | None:
    """The attachments of a start that is not done: with the addresses and ports that it would get now."""
    if not wanted.networks:
        return None
    from mydocker.model.network import Endpoint
    from mydocker.model.options.addresses import parse
    from mydocker.network import ipam, leases

    joined = []
    for number, each in enumerate(wanted.networks):
        network, end = network_of(each["network"], make=False), Endpoint(**each)
        taken = {parse(lease.address)[0] for lease in leases.read(network.name)}
        address = end.wanted_ip or ipam.lowest_free(network, taken)
        if not address:
            raise leases.full(network)
        joined.append((network, _addressed(end, network, address, container_id, number)))
    attachments = Attachments(container_id, wanted.name or container_id[:12], joined, [])
    if wanted.published and attachments.egress:
        held = _bind_egress(attachments, wanted.published)
        close(held)
        attachments.ports = list(held)
    return attachments


def _bind_egress(attachments: Attachments, published: list[str]) -> dict[str, list[int]]:
    """At the versions of IP of the network that they are reached by."""
    return hold(published, bool(attachments.egress and attachments.egress[0].subnet6))


# --- a start ----------------------------------------------------------------------------------------------------------


def prepare(found: Container, spec: dict[str, Any], wanted: CreateRequest, fresh: bool = False) -> Prepared:
    """Take addresses and ports, and write the files of /etc that say so. The container's lock is the caller's.

    `found` then tells the endpoints and ports; it is saved once the container runs. Raises MydockerError; then nothing
    is taken. fresh: it was just made.
    """
    made = Prepared(found)
    if not fresh:
        cleanup(found)
    if found.network.startswith("container:"):
        made.shared = _open_shared(found)
    elif not found.networks:
        etc.write(found.directory, etc.files(wanted, spec.get("hostname", ""), []))
    else:
        try:
            _join(made, spec, wanted)
        except BaseException:
            made.give_back()
            raise
    return made


def _join(made: Prepared, spec: dict[str, Any], wanted: CreateRequest) -> None:
    found = made.found
    made.attachments = Attachments(found.id, found.name, [], [])
    for end in found.endpoints:
        network, notes = _ready(end.network)
        number = len(made.attachments.endpoints)
        joined = take(found, network, end, number)
        made.attachments.endpoints.append((network, joined))
        found.networks[number] = joined.to_json()
        made.notes += notes
    if found.requested_ports and made.attachments.egress:
        check_ports(found.requested_ports, [network for network, _ in made.attachments.endpoints])
        made.bound_sockets = _bind_egress(made.attachments, found.requested_ports)
        found.bound_ports = made.attachments.ports = list(made.bound_sockets)
    etc.write(found.directory, etc.files(wanted, spec.get("hostname", ""), made.attachments.endpoints))
    state.save(found)  # whatever becomes of us, cleanup() finds what we hold


def _ready(name: str) -> tuple[Network, list[str]]:
    """The network with its bridge up, and what a person should know of that."""
    from mydocker.engine.network import networks

    network = network_of(name)
    if networks.is_up(network):
        return network, []
    from mydocker.engine.network import lifecycle

    return network, lifecycle.bring_up(network)


def take(found: Container, network: Network, end: Endpoint, number: int) -> Endpoint:
    """Lease an address; the endpoint with all that follows from it. number: of the container's link."""
    from mydocker.network import leases

    address, before = leases.take(network, found.id, [found.name, *end.aliases], end.wanted_ip)
    if before:  # it was killed with its monitor, so its ports lead to that address still
        from mydocker.network import ops as steps
        from mydocker.trace import Trace

        try:
            Trace("host").run([steps.RemovePorts(before[:12], before, network.subnet6)])
        except BaseException:
            leases.release(network.name, address, found.id)
            raise
    return _addressed(end, network, address, found.id, number)


def _addressed(end: Endpoint, network: Network, address: str, container_id: str, number: int) -> Endpoint:
    from mydocker.model.options.addresses import cidr, mac_of
    from mydocker.network import ipam

    joined = end.asked()
    address6 = ipam.address6(network, address)
    joined.device, joined.veth = f"eth{number}", f"veth{container_id[:8]}{number}"
    joined.address, joined.gateway = cidr(network.subnet).with_prefix(address), network.gateway
    joined.mac = end.wanted_mac or mac_of(address)
    if address6:
        joined.address6, joined.gateway6 = cidr(network.subnet6).with_prefix(address6), network.gateway6
    return joined


def hold(texts: list[str], ipv6: bool) -> dict[str, list[int]]:
    """Bind the ports: each one's text as it is in effect -> its sockets. Those that know their number come first."""
    from mydocker.model.options import ports
    from mydocker.network.ports import PortTaken, bind

    wanted = ports.parse_published(texts)
    held: dict[int, tuple[Port, list[int]]] = {}
    try:
        by_choice = sorted((not port.host, port.last > port.host, index) for index, port in enumerate(wanted))
        for _, _, index in by_choice:
            (port,), sockets = bind([wanted[index]], ipv6)
            held[index] = port, sockets
    except BaseException as error:
        close({port.text: sockets for port, sockets in held.values()})
        if isinstance(error, PortTaken):
            holder = _publisher(error.port)
            if holder:
                raise Conflict(f"{error.message} by container {holder}", f"stop {holder}, or choose another") from None
        raise
    return {port.text: sockets for port, sockets in (held[index] for index in range(len(wanted)))}


def hold_ipv6(texts: list[str]) -> dict[str, list[int]]:
    """Bind ports in effect that were held at IPv4 only, at IPv6 too: as hold() gives them."""
    from mydocker.model.options import ports
    from mydocker.network.ports import bind

    held: dict[str, list[int]] = {}
    try:
        for port in ports.parse_published(texts):
            if not port.host_ip:
                there = ports.Port(port.container, port.protocol, port.host, port.host, "::")
                held[port.text] = bind([there])[1]
    except BaseException:
        close(held)
        raise
    return held


def _publisher(taken: Port) -> str:
    """The name of the container that has a port of that number, if one of this store has."""
    from mydocker.model.options import ports

    for each in state.readable():
        if each.bound_ports and state.is_running(each):
            for port in ports.parse_published(each.bound_ports):
                same = port.protocol == taken.protocol and taken.host <= port.host <= taken.last
                if same and ports.overlap(port.host_ip, taken.host_ip):
                    return each.name
    return ""


def close(held: dict[str, list[int]]) -> None:
    for sockets in held.values():
        for descriptor in sockets:
            os.close(descriptor)


def cleanup(found: Container) -> None:
    """Take back what a command line or a monitor that was killed has left on the host: of those that were not, the
    record tells neither addresses nor a PID. The container does not run, its lock is the caller's.

    Raises OSError, MydockerError.
    """
    ends = [end for end in found.endpoints if end.address]
    if found.pid or ends:
        _take_back(found, ends)
    if found.networks:
        from mydocker.network import leases

        leases.release_unrecorded(found.id, found.endpoints)


def _take_back(found: Container, ends: list[Endpoint]) -> None:
    from mydocker.ops.base import Op
    from mydocker.ops.namespaces import ShowNamespace
    from mydocker.trace import undo_all

    left: list[Op] = [ShowNamespace(found.name, found.pid)] if found.pid else []
    if ends:
        from mydocker.network import ops as steps

        left += [steps.MakeVeth(end.veth, "", 0, end.device, end.mac) for end in ends]
        if found.bound_ports:
            address6 = next((end.address6 for end in ends if end.address6), "")
            left.append(steps.PublishPorts(found.name, found.id, found.bound_ports, ends[0].address, address6))
    undo_all(left)


def _open_shared(found: Container) -> int:
    """A descriptor of the network namespace of the container that it shares; out of the way of what the child has."""
    from mydocker.engine.process import open_pidfd
    from mydocker.kernel.trampoline import FIRST_FREE_FD

    try:
        other = state.load(found.network.partition(":")[2])
    except NotFound:
        raise NotFound(
            f"the container whose network {found.name} shares is gone", "create it again, with another --net"
        ) from None
    pidfd = open_pidfd(other)
    if pidfd < 0:
        raise Conflict(f"{found.name} shares the network of {other.name}, which is not running", f"start {other.name}")
    try:
        descriptor = os.open(f"/proc/{other.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not state.is_running(other):  # while it lives, its PID is nobody else's
                raise Conflict(f"container {other.name} has just ended", f"'mydocker start {other.name}'")
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD)
        finally:
            os.close(descriptor)
    finally:
        os.close(pidfd)
