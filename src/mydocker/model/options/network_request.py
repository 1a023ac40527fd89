"""`network create`: from its options, and the addresses in use on this host, to a network.

Reserved blocks: RFC 6890. Local IPv6 networks: RFC 4193. Names of options: docker's.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from mydocker.errors import Conflict, InvalidArgument
from mydocker.model.network import DEFAULT, Network
from mydocker.model.options import keyvalue, units
from mydocker.model.options.addresses import IPV4, IPV6, Cidr, cidr, parse, show

DRIVERS = ("bridge",)
RESERVED = ("none", "host", DEFAULT, "default")
OPTION_MTU = "com.docker.network.driver.mtu"
OPTION_DEVICE = "com.docker.network.bridge.name"
LONGEST_DEVICE = 15  # IFNAMSIZ, less its final zero

_MIN_PREFIX, _MAX_PREFIX = 8, 30  # of an IPv4 subnet: a /31 has no address besides the gateway
_MIN_MTU, _MIN_MTU6, _MAX_MTU = 68, 1280, 65535  # RFC 791, RFC 8200, the kernel's bridges
_UNUSABLE = [
    (cidr(block), what)
    for block, what in (
        ("0.0.0.0/8", "this host's"), ("127.0.0.0/8", "loopback"), ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"), ("240.0.0.0/4", "reserved"),
        ("::/8", "reserved"), ("fe80::/10", "link-local"), ("ff00::/8", "multicast"),
    )
]  # fmt: skip
_PRIVATE = [cidr(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_FAMILY = {IPV4: "IPv4", IPV6: "IPv6"}


def name(text: str) -> str:
    """Check the name of a new network."""
    if text in RESERVED or text.startswith("container:"):
        raise InvalidArgument(f"network name '{text}' is reserved", "choose another name")
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", text):
        raise InvalidArgument(f"invalid network name '{text}'", "[a-zA-Z0-9_.-] only, the first a letter or digit")
    return text


def draft(params: dict[str, Any], taken: list[tuple[Cidr, str]], pool: Cidr, prefix: int) -> Network:
    """Return the network, without an ID and a date; its device is "" if none was requested.

    taken: blocks in use and their users: "network web", "a route of eth0". pool, prefix: without --subnet, the network
    gets the pool's first free subnet of that size. Raises InvalidArgument, or Conflict for a subnet that is in use.
    """
    driver = params["driver"] or DRIVERS[0]
    if driver not in DRIVERS:
        raise InvalidArgument(f"unknown network driver '{driver}'", f"known: {', '.join(DRIVERS)}")
    for key, only in (("ipam_driver", "default"), ("scope", "local")):
        if params.get(key) not in (None, "", only):
            raise InvalidArgument(f"--{key.replace('_', '-')} {params[key]} is not supported", f"{only}, the only one")
    subnets = _by_family(params["subnet"], _subnet, "subnet")
    gateways = _by_family(params["gateway"], _single, "gateway")
    ranges = _by_family(params["ip_range"], lambda text: cidr(text, "IP range"), "IP range")
    _check_families(subnets, gateways, ranges, params["ipv6"])
    options = _options(params["opt"])
    network = Network(
        params["network"], id="", created="", subnet="", gateway="", driver=driver, options=options,
        device=options.get(OPTION_DEVICE, ""), internal=params["internal"], labels=keyvalue.labels(params["label"], []),
        mtu=_mtu(params["mtu"] or options.get(OPTION_MTU, "1500"), params["ipv6"]),
    )  # fmt: skip

    subnet = subnets.get(IPV4) or first_free([pool], prefix, taken)
    if subnet is None:
        raise Conflict(
            f"no /{prefix} is free in {pool}", "choose one with --subnet, or set network_pool in config.yaml"
        )
    _check_free(subnet, taken, pool)
    gateway = _gateway(gateways.get(IPV4), subnet)
    network.subnet, network.gateway = str(subnet), show(gateway)
    if IPV4 in ranges:
        network.ip_range = _ip_range(ranges[IPV4], subnet, gateway)
    if params["ipv6"]:
        subnet6 = subnets.get(IPV6) or _local_subnet(taken)
        _check_free(subnet6, taken, pool)
        network.subnet6 = str(subnet6)
        network.gateway6 = show(_gateway6(gateways.get(IPV6), subnet6, subnet, gateway), IPV6)
    return network


def _by_family(texts: list[str], read: Callable[[str], Cidr], what: str) -> dict[int, Cidr]:
    """Parse to {bits: value}, one value for each family. what: its name in the message."""
    values: dict[int, Cidr] = {}
    for value in map(read, texts):
        if value.bits in values:
            raise InvalidArgument(f"more than one {_FAMILY[value.bits]} {what}", "a network has one of each family")
        values[value.bits] = value
    return values


def _check_families(subnets: dict[int, Cidr], gateways: dict[int, Cidr], ranges: dict[int, Cidr], ipv6: bool) -> None:
    for what, given in (("subnet", subnets), ("gateway", gateways), ("IP range", ranges)):
        if IPV6 in given and not ipv6:
            raise InvalidArgument(f"an IPv6 {what} on a network without IPv6", "add --ipv6")
        for bits, value in given.items():
            named = f"{what} {show(value.base, bits) if what == 'gateway' else value}"
            if bits not in subnets:
                raise InvalidArgument(f"{named} without an {_FAMILY[bits]} subnet", "add --subnet")
            if not subnets[bits].covers(value):
                raise InvalidArgument(f"{named} is not in the subnet {subnets[bits]}", "choose one that is")
    if IPV6 in ranges:
        raise InvalidArgument(
            f"IP range {ranges[IPV6]} is IPv6", "a container's IPv6 address follows from its IPv4 address"
        )


def _single(text: str) -> Cidr:
    """Parse an address to a network of that one address."""
    number, bits = parse(text, "gateway")
    return Cidr(number, bits, bits)


def _subnet(text: str) -> Cidr:
    subnet = cidr(text)
    for block, what in _UNUSABLE:
        if subnet.overlaps(block):
            raise InvalidArgument(f"subnet {subnet} can't be used for a network", f"{block} is {what}")
    if subnet.bits == IPV4 and not _MIN_PREFIX <= subnet.prefix <= _MAX_PREFIX:
        why = "has no address for a container" if subnet.prefix > _MAX_PREFIX else "is larger than any private network"
        raise InvalidArgument(f"subnet {subnet} {why}", f"/{_MIN_PREFIX} to /{_MAX_PREFIX}")
    return subnet


def first_free(pools: list[Cidr], prefix: int, taken: list[tuple[Cidr, str]]) -> Cidr | None:
    """Return the first subnet of that prefix in the pools that overlaps no taken block."""
    for pool in pools:
        candidate = Cidr(pool.base, prefix, pool.bits)
        while pool.covers(candidate):
            blocks = [block for block, _ in taken if block.overlaps(candidate)]
            if not blocks:
                return candidate
            # Continue behind the taken blocks: a /8 route before a /30 takes one step.
            next_free = max(block.last for block in blocks) + 1
            candidate = Cidr(-(-next_free // candidate.size) * candidate.size, prefix, pool.bits)
    return None


def _check_free(subnet: Cidr, taken: list[tuple[Cidr, str]], pool: Cidr) -> None:
    """Raises Conflict, whose hint is a free subnet of the same size."""
    for block, what in taken:
        if subnet.overlaps(block):
            free = first_free([pool, *_PRIVATE], subnet.prefix, taken) if subnet.bits == IPV4 else _local_subnet(taken)
            hint = f"{free} is free" if free else "'ip route' shows what is in use"
            raise Conflict(f"subnet {subnet} overlaps {block} of {what}", hint)


def _local_subnet(taken: list[tuple[Cidr, str]]) -> Cidr:
    """Return a /64 of a random local network (RFC 4193, section 3.2)."""
    while True:
        subnet = Cidr((0xFD << 40 | int.from_bytes(os.urandom(5), "big")) << 80, 64, IPV6)
        if not any(block.overlaps(subnet) for block, _ in taken):
            return subnet


def _gateway(requested: Cidr | None, subnet: Cidr) -> int:
    """Return the bridge's own address: by default the first one of a host."""
    gateway = requested.base if requested else subnet.base + 1
    if gateway in (subnet.base, subnet.last):
        raise InvalidArgument(
            f"gateway {show(gateway)} is not a host's address in {subnet}",
            f"{show(subnet.base + 1)} to {show(subnet.last - 1)} are",
        )
    return gateway


def _gateway6(requested: Cidr | None, subnet6: Cidr, subnet: Cidr, gateway: int) -> int:
    """Return the bridge's IPv6 address: at the IPv4 gateway's offset, so that it is not a container's address."""
    if subnet6.size < subnet.size:
        raise InvalidArgument(
            f"subnet {subnet6} is smaller than {subnet}", f"a /{IPV6 - (IPV4 - subnet.prefix)} at least; a /64 is usual"
        )
    twin = subnet6.base + gateway - subnet.base
    if requested and requested.base != twin and requested.base < subnet6.base + subnet.size:
        raise InvalidArgument(
            f"gateway {show(requested.base, IPV6)} would be a container's address",
            f"{show(twin, IPV6)}, or leave it out",
        )
    return requested.base if requested else twin


def _ip_range(requested: Cidr, subnet: Cidr, gateway: int) -> str:
    free = requested.size - len(
        {number for number in (subnet.base, subnet.last, gateway) if requested.holds((number, IPV4))}
    )
    if not free:
        raise InvalidArgument(f"IP range {requested} has no address for a container", f"a larger part of {subnet}")
    return str(requested)


def _options(texts: list[str]) -> dict[str, str]:
    """Parse KEY=VALUE of --opt. Unknown options are refused, not ignored: they may be meant for safety."""
    options = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or key not in (OPTION_MTU, OPTION_DEVICE):
            raise InvalidArgument(f"unknown network option '{text}'", f"{OPTION_MTU}=BYTES, {OPTION_DEVICE}=NAME")
        options[key] = value
    if OPTION_DEVICE in options and not is_device(options[OPTION_DEVICE]):
        raise InvalidArgument(
            f"invalid bridge name '{options[OPTION_DEVICE]}'", f"up to {LONGEST_DEVICE} of [a-zA-Z0-9_.-], such as br0"
        )
    return options


def is_device(text: str) -> bool:
    """True for a valid name of a link; `all` and `default` stand for other links in /proc/sys/net."""
    return bool(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", text)) and text not in ("all", "default")


def _mtu(text: str, ipv6: bool) -> int:
    return units.integer(text, "MTU", _MIN_MTU6 if ipv6 else _MIN_MTU, _MAX_MTU)
