"""From what `network create` was asked for, and what is taken on this host, to a network.

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

_MIN_PREFIX, _LAST_PREFIX = 8, 30  # of an IPv4 subnet: a /31 has no address left beside the gateway
_MIN_MTU, _MIN_MTU6, _LAST_MTU = 68, 1280, 65535  # RFC 791, RFC 8200, the kernel's bridges
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
    """The name of a network that is to be made."""
    if text in RESERVED or text.startswith("container:"):
        raise InvalidArgument(f"network name '{text}' has a meaning of its own", "take another")
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", text):
        raise InvalidArgument(f"invalid network name '{text}'", "[a-zA-Z0-9_.-] only, the first a letter or digit")
    return text


def draft(params: dict[str, Any], taken: list[tuple[Cidr, str]], pool: Cidr, prefix: int) -> Network:
    """The network, without an id and a date; its device is "" if none was asked for.

    taken: what it may not overlap, and what that is: "network web", "a route of eth0". pool, prefix: without --subnet
    it is the pool's first free subnet of that size. Raises InvalidArgument, or Conflict for a subnet that is taken.
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
    made = Network(
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
    made.subnet, made.gateway = str(subnet), show(gateway)
    if IPV4 in ranges:
        made.ip_range = _ip_range(ranges[IPV4], subnet, gateway)
    if params["ipv6"]:
        subnet6 = subnets.get(IPV6) or _local_subnet(taken)
        _check_free(subnet6, taken, pool)
        made.subnet6 = str(subnet6)
        made.gateway6 = show(_gateway6(gateways.get(IPV6), subnet6, subnet, gateway), IPV6)
    return made


def _by_family(texts: list[str], read: Callable[[str], Cidr], what: str) -> dict[int, Cidr]:
    """Bits -> the one of that family. what: its name in the message."""
    found: dict[int, Cidr] = {}
    for value in map(read, texts):
        if value.bits in found:
            raise InvalidArgument(f"more than one {_FAMILY[value.bits]} {what}", "a network has one of each family")
        found[value.bits] = value
    return found


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
    """An address as a network of one."""
    number, bits = parse(text, "gateway")
    return Cidr(number, bits, bits)


def _subnet(text: str) -> Cidr:
    found = cidr(text)
    for block, what in _UNUSABLE:
        if found.overlaps(block):
            raise InvalidArgument(f"subnet {found} can't be a network's", f"{block} is {what}")
    if found.bits == IPV4 and not _MIN_PREFIX <= found.prefix <= _LAST_PREFIX:
        why = "has no address for a container" if found.prefix > _LAST_PREFIX else "is larger than any private network"
        raise InvalidArgument(f"subnet {found} {why}", f"/{_MIN_PREFIX} to /{_LAST_PREFIX}")
    return found


def first_free(pools: list[Cidr], prefix: int, taken: list[tuple[Cidr, str]]) -> Cidr | None:
    """The first subnet of that prefix in the pools that overlaps nothing."""
    for pool in pools:
        candidate = Cidr(pool.base, prefix, pool.bits)
        while pool.covers(candidate):
            blocks = [block for block, _ in taken if block.overlaps(candidate)]
            if not blocks:
                return candidate
            # The next one after what is in the way: a /8 route in front of a /30 is one step.
            behind = max(block.last for block in blocks) + 1
            candidate = Cidr(-(-behind // candidate.size) * candidate.size, prefix, pool.bits)
    return None


def _check_free(subnet: Cidr, taken: list[tuple[Cidr, str]], pool: Cidr) -> None:
    """Raises Conflict, with a free one of the same size as its hint."""
    for block, what in taken:
        if subnet.overlaps(block):
            free = first_free([pool, *_PRIVATE], subnet.prefix, taken) if subnet.bits == IPV4 else _local_subnet(taken)
            hint = f"{free} is free" if free else "'ip route' shows what is in use"
            raise Conflict(f"subnet {subnet} overlaps {block} of {what}", hint)


def _local_subnet(taken: list[tuple[Cidr, str]]) -> Cidr:
    """A /64 of a local network of our own, by chance (RFC 4193, section 3.2)."""
    while True:
        found = Cidr((0xFD << 40 | int.from_bytes(os.urandom(5), "big")) << 80, 64, IPV6)
        if not any(block.overlaps(found) for block, _ in taken):
            return found


def _gateway(wanted: Cidr | None, subnet: Cidr) -> int:
    """The bridge's own address: the first host's, if none is asked for."""
    gateway = wanted.base if wanted else subnet.base + 1
    if gateway in (subnet.base, subnet.last):
        raise InvalidArgument(
            f"gateway {show(gateway)} is no host's address in {subnet}",
            f"{show(subnet.base + 1)} to {show(subnet.last - 1)} are",
        )
    return gateway


def _gateway6(wanted: Cidr | None, subnet6: Cidr, subnet: Cidr, gateway: int) -> int:
    """As far from the subnet's start as the IPv4 gateway, so that no container's address is the same."""
    if subnet6.size < subnet.size:
        raise InvalidArgument(
            f"subnet {subnet6} is smaller than {subnet}", f"a /{IPV6 - (IPV4 - subnet.prefix)} at least; a /64 is usual"
        )
    twin = subnet6.base + gateway - subnet.base
    if wanted and wanted.base != twin and wanted.base < subnet6.base + subnet.size:
        raise InvalidArgument(
            f"gateway {show(wanted.base, IPV6)} would be a container's address", f"{show(twin, IPV6)}, or leave it out"
        )
    return wanted.base if wanted else twin


def _ip_range(wanted: Cidr, subnet: Cidr, gateway: int) -> str:
    free = wanted.size - len({number for number in (subnet.base, subnet.last, gateway) if wanted.holds((number, IPV4))})
    if not free:
        raise InvalidArgument(f"IP range {wanted} has no address for a container", f"a larger part of {subnet}")
    return str(wanted)


def _options(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE of --opt. One that we would not heed is refused: it may be there for safety."""
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or key not in (OPTION_MTU, OPTION_DEVICE):
            raise InvalidArgument(f"unknown network option '{text}'", f"{OPTION_MTU}=BYTES, {OPTION_DEVICE}=NAME")
        found[key] = value
    if OPTION_DEVICE in found and not is_device(found[OPTION_DEVICE]):
        raise InvalidArgument(
            f"invalid bridge name '{found[OPTION_DEVICE]}'", f"up to {LONGEST_DEVICE} of [a-zA-Z0-9_.-], such as br0"
        )
    return found


def is_device(text: str) -> bool:
    """Whether a link can be called so; `all` and `default` stand for others in /proc/sys/net."""
    return bool(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", text)) and text not in ("all", "default")


def _mtu(text: str, ipv6: bool) -> int:
    return units.integer(text, "MTU", _MIN_MTU6 if ipv6 else _MIN_MTU, _LAST_MTU)
