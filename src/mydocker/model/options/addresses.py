"""Addresses and networks of IPv4 and IPv6 as numbers, and MAC addresses. An address is (number, bits: 32 or 128).
`ipaddress` would cost 3 ms."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from mydocker.errors import InvalidArgument
from mydocker.model.options.units import is_number
from mydocker.record import record

IPV4, IPV6 = 32, 128  # bits of an address
_FAMILIES = {IPV4: AF_INET, IPV6: AF_INET6}


@record
class Cidr:
    """A network. base: its first address as a number. bits: of an address."""

    base: int
    prefix: int
    bits: int = IPV4

    @property
    def size(self) -> int:
        """The number of addresses, including the network's own and the broadcast address."""
        return 1 << (self.bits - self.prefix)

    @property
    def last(self) -> int:
        return self.base + self.size - 1

    def __str__(self) -> str:
        return f"{show(self.base, self.bits)}/{self.prefix}"

    def holds(self, address: tuple[int, int]) -> bool:
        return address[1] == self.bits and self.base <= address[0] <= self.last

    def covers(self, other: Cidr) -> bool:
        return self.bits == other.bits and self.base <= other.base and other.last <= self.last

    def overlaps(self, other: Cidr) -> bool:
        return self.bits == other.bits and self.base <= other.last and other.base <= self.last

    def with_prefix(self, ip: str) -> str:
        """Return an address of this network as on a link: 10.0.0.2/24 for 10.0.0.2."""
        return f"{ip}/{self.prefix}"


def parse(text: str, what: str = "IP address") -> tuple[int, int]:
    """Parse an address to (number, bits); no zone, no prefix. what: its name in the message."""
    bits = IPV6 if ":" in text else IPV4
    try:
        return int.from_bytes(inet_pton(_FAMILIES[bits], text), "big"), bits
    except (OSError, ValueError):
        raise InvalidArgument(f"invalid {what} '{text}'", "an address such as 10.0.0.7 or fd00::7") from None


def show(number: int, bits: int = IPV4) -> str:
    return inet_ntop(_FAMILIES[bits], number.to_bytes(bits // 8, "big"))


def cidr(text: str, what: str = "subnet") -> Cidr:
    """Parse ADDRESS/PREFIX to its network, without host bits. what: its name in the message."""
    ip, _, prefix = text.partition("/")
    try:
        number, bits = parse(ip)
    except InvalidArgument:
        bits = -1
    if not is_number(prefix) or str(int(prefix)) != prefix or int(prefix) > bits:
        raise InvalidArgument(f"invalid {what} '{text}'", "ADDRESS/PREFIX, such as 192.168.10.0/24")
    host_bits = bits - int(prefix)
    return Cidr(number >> host_bits << host_bits, int(prefix), bits)


def mac_of(ip: str) -> str:
    """Return docker's MAC address for an IPv4 address: locally administered, unicast."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + inet_pton(AF_INET, ip))


def mac(text: str) -> str:
    """Check a MAC address for a link: six bytes, not a group address, not all zero. Returns lower case with colons."""
    pairs = text.lower().split("-" if "-" in text else ":")
    if len(pairs) == 6 and all(len(pair) == 2 and set(pair) <= set("0123456789abcdef") for pair in pairs):
        if int(pairs[0], 16) & 1 or set(pairs) == {"00"}:
            raise InvalidArgument(
                f"MAC address '{text}' is not usable", "the first byte must be even, and not all may be 0"
            )
        return ":".join(pairs)
    raise InvalidArgument(f"invalid MAC address '{text}'", "six bytes, such as 02:42:0a:00:00:07")
