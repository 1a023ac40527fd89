"""Bridges: made, mended, described and deleted through pyroute2, which knows all of rtnetlink and takes its time (170
ms to import). What a start needs of links is in rtnetlink.py.

A bridge of ours has an alias, its tag, such as "mydocker: network web 0123456789ab", which `ip link` shows; a link of
that name without it is somebody else's, and is left alone.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network

from mydocker.errors import Conflict
from mydocker.libraries import reach
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Interface, IPv6Interface
    from typing import Any

_IFF_UP = 1
_NODAD = 0x02  # IFA_F_NODAD: used at once, without asking the neighbours for a duplicate
_LINK_LOCAL = 253  # RT_SCOPE_LINK: the address that the kernel gives itself
_ATTEMPTS = 100  # for a list during which nothing changes
_NOT_REMOTE = (2, 3, 4, 5)  # RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST: no route to a subnet


@record
class Bridge:
    """A link as it is. kind: "bridge", if it is one. addresses: with /PREFIX, without those of the kernel's own making.
    ports: the names of the links on it. mtu: bytes."""

    device: str
    index: int
    kind: str
    alias: str
    up: bool
    mac: str
    mtu: int
    addresses: list[str]
    ports: list[str]

    def is_ours(self, tag: str, mac: str = "") -> bool:
        """mac: also count one that nobody has tagged, if it has our MAC: a process may end right after it made it."""
        return self.kind == "bridge" and (self.alias == tag or (not self.alias and self.mac == mac))


def make(device: str, addresses: list[str], mtu: int, mac: str, tag: str) -> None:
    """The bridge, up and with all of this; one of ours that lacks something gets it. addresses: with /PREFIX.

    Raises Conflict if a link of that name is not ours, OSError with the device's name.
    """
    wanted = [ip_interface(address) for address in addresses]
    with _kernel(device) as kernel:
        found = _describe(kernel, device)
        if not found:
            kernel.link("add", ifname=device, kind="bridge", address=mac)
            found = _describe(kernel, device)
        if not found or not found.is_ours(tag, mac):
            raise Conflict(
                f"there is a link {device} on this host, and it is not mydocker's",
                f"'ip -d link show {device}' tells what it is; rename it, or give the network another name",
            )
        # An MTU that is set stays; the kernel's own would follow the ports.
        kernel.link("set", index=found.index, address=mac, mtu=mtu)
        _set(device, ipv6=any(address.version == 6 for address in wanted))
        for address in wanted:
            if str(address) not in found.addresses:
                kernel.addr("add", index=found.index, **_fields(address))
        # The tag comes last: who sees it knows that all the rest is there.
        kernel.link("set", index=found.index, state="up", ifalias=tag)


def _fields(own: IPv4Interface | IPv6Interface) -> dict[str, Any]:
    fields = {"address": str(own.ip), "prefixlen": own.network.prefixlen}
    if own.version == 6:
        return {**fields, "flags": _NODAD}
    return {**fields, "broadcast": str(own.network.broadcast_address)}


def settings(device: str, ipv6: bool) -> dict[str, str]:
    """What the kernel is told of a bridge: files, and what is written there.

    route_localnet: a published port is reached by 127.0.0.1 too, so packets from there may leave by the bridge; the
    rules drop what comes in for 127.0.0.0/8, and have to be there first. accept_ra: a container is no router of the
    host. disable_ipv6: on a network without IPv6 the host has no address that a container could reach it by.
    """
    return {
        f"/proc/sys/net/ipv4/conf/{device}/route_localnet": "1",
        f"/proc/sys/net/ipv6/conf/{device}/accept_ra": "0",
        f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6": "0" if ipv6 else "1",
    }


def _set(device: str, ipv6: bool) -> None:
    for path, value in settings(device, ipv6).items():
        if ipv6 or "/ipv6/" not in path or os.path.exists("/proc/sys/net/ipv6/conf"):  # a kernel may have none
            with open(path, "w") as file:
                file.write(value)


def delete(device: str, tag: str, mac: str = "") -> bool:
    """Whether there was one of ours to delete, as is_ours() says."""
    with _kernel(device) as kernel:
        found = _describe(kernel, device)
        if not found or not found.is_ours(tag, mac):
            return False
        kernel.link("del", index=found.index)
        return True


def describe(device: str) -> Bridge | None:
    """None: there is no link of that name."""
    with _kernel(device) as kernel:
        return _describe(kernel, device)


def _describe(kernel: Any, device: str) -> Bridge | None:
    link = _one(kernel, device)
    if link is None:
        return None
    index = link["index"]
    return Bridge(
        device,
        index,
        link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        link.get_attr("IFLA_IFALIAS") or "",
        bool(link["flags"] & _IFF_UP),
        link.get_attr("IFLA_ADDRESS") or "",
        link.get_attr("IFLA_MTU") or 0,
        [
            f"{address.get_attr('IFA_LOCAL') or address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}"
            for address in _whole(kernel.get_addr)
            if address["index"] == index and address["scope"] != _LINK_LOCAL
        ],
        sorted(
            port.get_attr("IFLA_IFNAME") for port in _whole(kernel.get_links) if port.get_attr("IFLA_MASTER") == index
        ),
    )


def _one(kernel: Any, device: str) -> Any:
    """The kernel's message on a link, or None."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return kernel.link("get", ifname=device)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _whole(dump: Callable[[], Iterable[Any]]) -> list[Any]:
    """A list of the kernel's. It takes several messages, and is of no use if something has changed between them."""
    from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

    for _ in range(_ATTEMPTS):
        try:
            return list(dump())
        except NetlinkDumpInterrupted:
            continue
    raise OSError(errno.EAGAIN, "the host's links do not stand still")


@record
class Link:
    """A link of the host's, as a port. bridge: that it is plugged into, "" if none; a bond or a VRF counts, too.
    hairpin: whether the bridge sends back by it what came by it. kind: "bridge", "veth", "vlan" and so on, "" for a
    network card. lower: the link that a VLAN is on, or "". alias: what somebody has noted on it."""

    up: bool
    bridge: str
    hairpin: bool
    kind: str = ""
    lower: str = ""
    alias: str = ""


def links() -> dict[str, Link]:
    """Every link of the host, by name."""
    with _kernel("the host's links") as kernel:
        links = _whole(kernel.get_links)
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    return {
        link.get_attr("IFLA_IFNAME"): Link(
            bool(link["flags"] & _IFF_UP),
            names.get(link.get_attr("IFLA_MASTER"), ""),
            bool(link.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_MODE")),
            link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
            # The number may be one of another namespace.
            "" if link.get_attr("IFLA_LINK_NETNSID") is not None else names.get(link.get_attr("IFLA_LINK"), ""),
            link.get_attr("IFLA_IFALIAS") or "",
        )
        for link in links
    }


def host_subnets() -> dict[str, str]:
    """Every subnet that this host has an address in or a route to, in whichever table -> the link that it is on ("" if
    none). Default routes, and what every host has (loopback, link-local, multicast), are left out."""
    with _kernel("the host's routes") as kernel:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in _whole(kernel.get_links)}
        found = [
            (f"{route.get_attr('RTA_DST')}/{route['dst_len']}", names.get(route.get_attr("RTA_OIF"), ""))
            for route in _whole(kernel.get_routes)
            if route.get_attr("RTA_DST") and route["type"] not in _NOT_REMOTE
        ]
        for address in _whole(kernel.get_addr):
            device = names.get(address["index"], "")
            far, own = address.get_attr("IFA_ADDRESS"), address.get_attr("IFA_LOCAL")
            found.append((f"{far}/{address['prefixlen']}", device))
            if own and own != far:  # our end of a tunnel
                found.append((own, device))
    subnets = [(ip_network(text, strict=False), device) for text, device in found]
    return {
        str(subnet): device
        for subnet, device in subnets
        if not (subnet.is_loopback or subnet.is_link_local or subnet.is_multicast)
    }


@contextmanager
def _kernel(about: str) -> Iterator[Any]:
    """pyroute2's socket to the kernel; its errors become OSError, and name what they are about."""
    reach()
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as kernel:
            yield kernel
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code), about) from None
