"""Published and exposed ports: docker's -p and --expose, and how ps and port show them."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import addresses
from mydocker.model.options.units import is_number
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LAST = 65535
_PROTOCOLS = ("tcp", "udp")
_GRAMMAR = "[IP:][HOST:]CONTAINER[/tcp|udp], such as 8080:80, 127.0.0.1::53/udp or 8000-8009:80; ports are 1 to 65535"
_ANY = {"": (addresses.IPV4, addresses.IPV6), "0.0.0.0": (addresses.IPV4,), "::": (addresses.IPV6,)}


@record
class Port:
    """A port of a container that the host forwards to.

    container: its number in the container. host, last: a range of the host's ports, of which the first free one is
    taken; 0, 0: any free one. host_ip: an address of the host; "" for all of them.
    """

    container: int
    protocol: str = "tcp"
    host: int = 0
    last: int = 0
    host_ip: str = ""

    @property
    def target(self) -> str:
        """docker's key for it: 80/tcp."""
        return f"{self.container}/{self.protocol}"

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of IP of the host's addresses that it is reached by."""
        if not self.host_ip:
            return (4, 6)
        return (6,) if ":" in self.host_ip else (4,)

    @property
    def source(self) -> str:
        """The host's side, as docker shows it: 0.0.0.0:8080."""
        return f"{_bracketed(self.host_ip or '0.0.0.0')}:{self.host}"

    @property
    def text(self) -> str:
        """Its canonical text, which records hold; parse_published() reads it back."""
        host = f"{self.host}-{self.last}" if self.last > self.host else str(self.host or "")
        ip = f"{_bracketed(self.host_ip)}:" if self.host_ip else ""
        return f"{ip}{host}:{self.target}" if ip or host else self.target

    def at(self, host: int) -> Port:
        """Return the port in effect, once the host's number is known."""
        return Port(self.container, self.protocol, host, host, self.host_ip)


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def parse_published(texts: Iterable[str]) -> list[Port]:
    """Parse all of -p, in order; a range becomes several ports. Raises InvalidArgument, also for a port of the host
    that is given twice."""
    ports = [port for text in texts for port in _publish(text)]
    same_port: dict[tuple[str, int], list[Port]] = {}
    for port in ports:
        if port.host and port.host == port.last:  # of a range, another port may be free
            others = same_port.setdefault((port.protocol, port.host), [])
            if any(overlap(port.host_ip, other.host_ip) for other in others):
                raise InvalidArgument(
                    f"port {port.host}/{port.protocol} of the host is given twice", "each can be published once"
                )
            others.append(port)
    return ports


def overlap(one: str, other: str) -> bool:
    """True if a packet can be addressed to both of two host addresses."""
    return one == other or any(
        general in _ANY and (addresses.parse(special)[1] in _ANY[general] if special else True)
        for general, special in ((one, other), (other, one))
    )


def _publish(text: str) -> list[Port]:
    numbers, protocol = _protocol(text)
    before, _, container = numbers.rpartition(":")
    ip, colon, host = before.rpartition(":")
    first, last = _range(container, text)
    low, high = _range(host, text) if host not in ("", "0") else (0, 0)
    if colon:
        ip = _host_ip(ip, text)
    count, wide = last - first + 1, high - low + 1
    if not low or count == 1:
        return [Port(number, protocol, low, high, ip) for number in range(first, last + 1)]
    if count != wide:
        raise InvalidArgument(f"invalid port '{text}': {wide} of the host for {count} of the container", _GRAMMAR)
    return [Port(first + index, protocol, low + index, low + index, ip) for index in range(count)]


def _protocol(text: str) -> tuple[str, str]:
    """Split at the slash, and check the protocol."""
    numbers, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid protocol '{protocol}' of port '{text}'", "tcp or udp")
    return numbers, protocol


def _range(numbers: str, text: str) -> tuple[int, int]:
    """Parse FIRST-LAST, or one number for both. text: the whole option, for the message."""
    first, dash, last = numbers.partition("-")
    last = last if dash else first
    if not (is_number(first) and is_number(last) and 1 <= int(first) <= int(last) <= _LAST):
        raise InvalidArgument(f"invalid port '{text}'", _GRAMMAR)
    return int(first), int(last)


def _host_ip(ip: str, text: str) -> str:
    """Return the address in its canonical form. An IPv6 address must be in brackets."""
    inner = ip[1:-1] if ip.startswith("[") and ip.endswith("]") else ip
    try:
        number, bits = addresses.parse(inner)
    except InvalidArgument:
        bits = 0
    if bits != (addresses.IPV4 if inner == ip else addresses.IPV6):
        raise InvalidArgument(
            f"invalid host address '{ip}' of port '{text}'", "such as 127.0.0.1, or [::1] in brackets"
        )
    return addresses.show(number, bits)


def expose(texts: Iterable[str]) -> list[str]:
    """Parse all of --expose, PORT[-PORT][/tcp|udp], to docker's keys: 80/tcp; each once, in order."""
    keys: dict[str, None] = {}
    for text in texts:
        numbers, protocol = _protocol(text)
        first, last = _range(numbers, text)
        keys.update(dict.fromkeys(f"{number}/{protocol}" for number in range(first, last + 1)))
    return list(keys)


def summary(published: Iterable[Port], exposed: Iterable[str] = ()) -> str:
    """Return the text for `ps`: 0.0.0.0:80-81->80-81/tcp, 0.0.0.0:8080->90/tcp, 53/udp. Consecutive ports are one range
    if the host's numbers are the container's, or there are none."""
    published = list(published)
    targets = {port.target for port in published}
    rows = [(port.container, port.host_ip or "0.0.0.0", port.host, port.protocol) for port in published]
    for text in exposed:
        container, _, protocol = text.partition("/")
        if text not in targets and is_number(container):  # an image may contain any text
            rows.append((int(container), "", 0, protocol or "tcp"))
    groups: list[list[tuple[int, str, int, str]]] = []
    open_groups: dict[tuple[str, str], list[tuple[int, str, int, str]]] = {}
    for row in sorted(rows):
        number, ip, host, protocol = row
        group = open_groups.get((ip, protocol))
        if group and group[-1][0] == number - 1 and host in (0, number):
            group.append(row)
            continue
        groups.append([row])
        if host in (0, number):
            open_groups[ip, protocol] = groups[-1]
    return ", ".join(map(_shown, groups))


def _shown(group: list[tuple[int, str, int, str]]) -> str:
    (first, ip, host, protocol), last = group[0], group[-1][0]
    numbers = f"{first}-{last}" if last > first else str(first)
    if not ip:
        return f"{numbers}/{protocol}"
    return f"{_bracketed(ip)}:{numbers if host == first else host}->{numbers}/{protocol}"
