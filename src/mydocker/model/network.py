"""Networks and the containers' endpoints on them, as plain data."""

from __future__ import annotations

from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMA = 1
DEFAULT = "bridge"  # the network of a container without --network; created on first use
DEFAULT_DEVICE = "mydocker0"
BUILTIN = {"host": "host", "none": "null"}  # a name that is not a network's -> docker's driver for it


@record
class Network:
    """network.json. device: the bridge's name on the host. subnet, ip_range (or ""), subnet6 (or ""): A.B.C.D/N without
    host bits. gateway, gateway6: the bridge's own addresses. mtu: bytes. options: as given with --opt. created: RFC
    3339."""

    name: str
    id: str
    created: str
    device: str
    subnet: str
    gateway: str
    ip_range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    mtu: int = 1500
    driver: str = "bridge"
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    schema: int = SCHEMA

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of IP that the network has."""
        return (4, 6) if self.subnet6 else (4,)

    @property
    def subnets(self) -> list[str]:
        return [self.subnet_of(version) for version in self.versions if self.subnet_of(version)]

    def subnet_of(self, version: int) -> str:
        """The subnet of a version of IP; "" if there is none."""
        return self.subnet if version == 4 else self.subnet6


@record
class Endpoint:
    """A container's place on a network. The first four fields are the request, the others are "" while the container
    does not run. aliases: more names of the container on that network. device: the name of the link in the container.
    veth: the name of its peer on the host. address, address6: with /PREFIX."""

    network: str
    requested_ip: str = ""
    requested_mac: str = ""
    aliases: list[str] = []
    device: str = ""
    veth: str = ""
    address: str = ""
    gateway: str = ""
    mac: str = ""
    address6: str = ""
    gateway6: str = ""

    def as_requested(self) -> Endpoint:
        """The endpoint of a container that does not run."""
        return Endpoint(self.network, self.requested_ip, self.requested_mac, self.aliases)

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def with_hostname(network: str, aliases: list[str], hostname: str) -> list[str]:
    """The aliases of an endpoint. On a network with DNS, --hostname is the last of them, as in docker."""
    return [*aliases, hostname] if hostname and network != DEFAULT and hostname not in aliases else aliases


def builtin_id(name: str) -> str:
    """The ID of a built-in network, the same on every host: the name in ASCII, and zeros."""
    return name.encode().hex().ljust(64, "0")


def endpoint_id(network_id: str, container_id: str) -> str:
    """The ID of a container's endpoint: the same whenever it is on that network. docker's are random."""
    return network_id[:32] + container_id[:32]
