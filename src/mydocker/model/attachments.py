"""A container's attachments as one value: its endpoints on networks, and its published ports.

To start, connect, disconnect, publish, repair and clean up is to go from one such value to another. network/plan.py
plans the steps between two of them.
"""

from __future__ import annotations

from mydocker.model.network import DEFAULT
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint, Network
    from mydocker.model.options.ports import Port


@record
class Attachments:
    """id, name: the container's. endpoints: in order of joining. networks: by name; an endpoint leads nowhere if its
    network's record is gone, so that the network is not among them. bindings: the published ports; once they are bound,
    each has the host's final number."""

    id: str
    name: str
    endpoints: list[Endpoint] = []
    networks: dict[str, Network] = {}
    bindings: list[Port] = []

    @property
    def has_dns(self) -> bool:
        """True if mydocker resolves names for the container, as it does on networks that users have made."""
        return any(name != DEFAULT for name in self.networks)

    @property
    def egress(self) -> Endpoint | None:
        """The way to the outside world and back: the first endpoint whose network is not internal. Published ports are
        redirected to its address."""
        for endpoint in self.endpoints:
            network = self.networks.get(endpoint.network)
            if network and not network.internal:
                return endpoint
        return None

    @property
    def ports(self) -> list[str]:
        """The bindings as the record has them, as texts."""
        return [port.text for port in self.bindings]

    def versions_of(self, port: Port) -> list[int]:
        """The versions of IP by which the port reaches the container. A port that names no address of the host is
        reached by IPv6 only if the container has an IPv6 address."""
        if not self.egress:
            return []
        return [version for version in port.versions if version == 4 or port.host_ip or self.egress.address6]

    def endpoints_beyond(self, other: Attachments | None) -> list[Endpoint]:
        """The endpoints that `other` does not have."""
        veths = {endpoint.veth for endpoint in other.endpoints} if other else set()
        return [endpoint for endpoint in self.endpoints if endpoint.veth not in veths]

    def with_endpoint(self, network: Network, endpoint: Endpoint) -> Attachments:
        networks = {**self.networks, network.name: network}
        return Attachments(self.id, self.name, [*self.endpoints, endpoint], networks, self.bindings)

    def without(self, network: str) -> Attachments:
        """Leave a network. Ports stay published if another network leads out."""
        endpoints = [endpoint for endpoint in self.endpoints if endpoint.network != network]
        networks = {name: each for name, each in self.networks.items() if name != network}
        remaining = Attachments(self.id, self.name, endpoints, networks, self.bindings)
        return remaining if remaining.egress else remaining.with_ports([])

    def with_ports(self, bindings: list[Port]) -> Attachments:
        return Attachments(self.id, self.name, self.endpoints, self.networks, bindings)

    def renamed(self, name: str) -> Attachments:
        return Attachments(self.id, name, self.endpoints, self.networks, self.bindings)


def recorded(container: Container, networks: Iterable[Network] = ()) -> Attachments:
    """The attachments on a record. networks: the container's, and possibly others; without them, the value is good for
    a clean-up only. Raises CorruptRecord."""
    bindings: list[Port] = []
    if container.bound_ports:
        from mydocker.model.options.ports import parse_published

        bindings = parse_published(container.bound_ports)
    endpoints = container.endpoints
    names = {endpoint.network for endpoint in endpoints}
    by_name = {network.name: network for network in networks if network.name in names}
    return Attachments(container.id, container.name, endpoints, by_name, bindings)
