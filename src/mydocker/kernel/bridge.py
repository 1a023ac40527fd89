"""Make, repair, describe and delete bridges through pyroute2, which takes 170 ms to import.

Starts use rtnetlink.py instead. A bridge of ours has an alias, its tag, such as "mydocker: network web 0123456789ab",
which `ip link` shows. A link of the same name without the tag is somebody else's, and is left alone.
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
_NODAD = 0x02  # IFA_F_NODAD: usable at once, without duplicate address detection
_LINK_LOCAL = 253  # RT_SCOPE_LINK: the address that the kernel gives itself
_ATTEMPTS = 100  # to get a list while nothing changes
_NOT_REMOTE = (2, 3, 4, 5)  # RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST: no route to a subnet


@record
class Bridge:
    """A link with the name of a bridge. kind: "bridge" if it is a bridge. addresses: with /PREFIX, without those that
    the kernel assigns by itself. ports: the names of the links that are attached. mtu: bytes."""

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
        """True for a bridge with the tag, or with no tag but our MAC: its maker may have died before it set the tag."""
        return self.kind == "bridge" and (self.alias == tag or (not self.alias and self.mac == mac))


def make(device: str, addresses: list[str], mtu: int, mac: str, tag: str) -> None:
    """Make a bridge, or repair one of ours; it is up afterwards. addresses: with /PREFIX.

    Raises Conflict if a link of that name is not ours, or OSError with the device's name.
    """
    interfaces = [ip_interface(address) for address in addresses]
    with _kernel(device) as kernel:
        bridge = _describe(kernel, device)
        if not bridge:
            kernel.link("add", ifname=device, kind="bridge", address=mac)
            bridge = _describe(kernel, device)
        if not bridge or not bridge.is_ours(tag, mac):
            raise Conflict(
                f"link {device} already exists on this host, and is not mydocker's",
                f"'ip -d link show {device}' shows it; rename it, or give the network another name",
            )
        # Without an explicit MTU the bridge's would follow its ports.
        kernel.link("set", index=bridge.index, address=mac, mtu=mtu)
        _set(device, ipv6=any(interface.version == 6 for interface in interfaces))
        for interface in interfaces:
            if str(interface) not in bridge.addresses:
                kernel.addr("add", index=bridge.index, **_fields(interface))
        # The tag comes last, so that a bridge with a tag is complete.
        kernel.link("set", index=bridge.index, state="up", ifalias=tag)


def _fields(own: IPv4Interface | IPv6Interface) -> dict[str, Any]:
    fields = {"address": str(own.ip), "prefixlen": own.network.prefixlen}
    if own.version == 6:
        return {**fields, "flags": _NODAD}
    return {**fields, "broadcast": str(own.network.broadcast_address)}


def settings(device: str, ipv6: bool) -> dict[str, str]:
    """The kernel's settings of a bridge: file -> value.

    route_localnet: a published port is reached by 127.0.0.1, too, so packets from there may leave by the bridge. The
    rules that drop what comes in for 127.0.0.0/8 must exist before. accept_ra: a container must not act as a router for
    the host. disable_ipv6: on a network without IPv6 the host has no IPv6 address that a container could reach.
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
    """Delete a bridge if it is ours, as is_ours() tells; returns whether it was."""
    with _kernel(device) as kernel:
        bridge = _describe(kernel, device)
        if not bridge or not bridge.is_ours(tag, mac):
            return False
        kernel.link("del", index=bridge.index)
        return True


def describe(device: str) -> Bridge | None:
    """Describe a link; None if there is none of that name."""
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
    """The kernel's message about a link, or None."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return kernel.link("get", ifname=device)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _whole(dump: Callable[[], Iterable[Any]]) -> list[Any]:
    """Get a list from the kernel. It comes in several messages, and is useless if something changes between them."""
    from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

    for _ in range(_ATTEMPTS):
        try:
            return list(dump())
        except NetlinkDumpInterrupted:
            continue
    raise OSError(errno.EAGAIN, "the host's links keep changing")


@record
class Link:
    """A link of the host. bridge: the bridge, bond or VRF that it is attached to, or "". hairpin: true if the bridge
    may send a packet back by this port. kind: "bridge", "veth", "vlan" and so on, "" for a network card. lower: the
    link that a VLAN is on, or "". alias: its ifalias."""

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
            # The index may be one of another namespace.
            "" if link.get_attr("IFLA_LINK_NETNSID") is not None else names.get(link.get_attr("IFLA_LINK"), ""),
            link.get_attr("IFLA_IFALIAS") or "",
        )
        for link in links
    }


def host_subnets() -> dict[str, str]:
    """The subnets that this host has an address in or a route to, in any table -> their link, "" if there is none.

    Default routes and the subnets of every host (loopback, link-local, multicast) are left out.
    """
    with _kernel("the host's routes") as kernel:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in _whole(kernel.get_links)}
        subnets = [
            (f"{route.get_attr('RTA_DST')}/{route['dst_len']}", names.get(route.get_attr("RTA_OIF"), ""))
            for route in _whole(kernel.get_routes)
            if route.get_attr("RTA_DST") and route["type"] not in _NOT_REMOTE
        ]
        for address in _whole(kernel.get_addr):
            device = names.get(address["index"], "")
            far, own = address.get_attr("IFA_ADDRESS"), address.get_attr("IFA_LOCAL")
            subnets.append((f"{far}/{address['prefixlen']}", device))
            if own and own != far:  # the local address of a tunnel
                subnets.append((own, device))
    return {
        str(subnet): device
        for subnet, device in ((ip_network(text, strict=False), device) for text, device in subnets)
        if not (subnet.is_loopback or subnet.is_link_local or subnet.is_multicast)
    }


@contextmanager
def _kernel(about: str) -> Iterator[Any]:
    """Open pyroute2's socket to the kernel. Its errors become OSErrors that name `about`."""
    reach()
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as kernel:
            yield kernel
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code), about) from None
