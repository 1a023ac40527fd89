"""rtnetlink(7): make links, addresses and routes, as `ip` does, but without starting a program.

A request is a sequence of messages, each of them

    nlmsghdr     length u32 · type u16 · flags u16 · sequence u32 · port u32        (16 bytes; length counts all)
    header       of the type's family: ifinfomsg (links), ifaddrmsg (addresses) or rtmsg (routes)
    attributes   length u16 · type u16 · value · padding to four bytes              (length counts all but the padding)

A value may consist of attributes again. Addresses are in network byte order, everything else in the machine's. The
kernel answers each message with an nlmsgerr: its errno, negative, or 0.

pyroute2 takes 170 ms to import. It serves where that does not matter (bridge.py), and decodes these messages in tests.
"""

from __future__ import annotations

import errno
import os
from _socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    NETLINK_ROUTE,
    SOCK_CLOEXEC,
    SOCK_RAW,
    if_nametoindex,
    inet_pton,
    socket,
)
from _struct import calcsize, pack, unpack_from

from mydocker.record import record

# From linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, veth.h and if.h.
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSG_ERROR, _NLMSGERR_ATTR_MSG = 2, 1
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_ACK_TLVS = 0x1, 0x4, 0x200
_NEW = 0x600  # NLM_F_CREATE | NLM_F_EXCL
_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 20, 24
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_NET_NS_PID, _IFLA_NET_NS_FD = 19, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA, _IFLA_BRPORT_MODE = 4, 5, 4
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_F_NODAD = 1, 2, 4, 2
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 4, 5, 6
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1

_NLA_F_NESTED = 0x8000  # of a type: its value is attributes

_HEADER = "=IHHII"  # struct nlmsghdr
_LARGEST = 32768  # bytes of an answer: the kernel's own bound


@record
class Message:
    """A message to the kernel. about: the object to make or change, as an error names it. kind: RTM_…. flags: in
    addition to REQUEST and ACK. body: the family's header and the attributes."""

    about: str
    kind: int
    flags: int
    body: bytes

    def encoded(self, sequence: int) -> bytes:
        flags = _NLM_F_REQUEST | _NLM_F_ACK | self.flags
        return pack(_HEADER, calcsize(_HEADER) + len(self.body), self.kind, flags, sequence, 0) + self.body


class Netlink:
    """A socket to the kernel. It acts in the network namespace that the process was in when it was opened."""

    def __init__(self) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
        self._socket.connect((0, 0))  # port 0 is the kernel: messages of others are dropped
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK):  # answers contain a text, and do not repeat our message
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def request(self, *messages: Message) -> None:
        """Send all messages in one system call. The kernel handles them in turn, and goes on after one that fails.

        Raises OSError for the first that failed: the kernel's errno and text, and what the message was about.
        """
        self._socket.send(b"".join(message.encoded(number) for number, message in enumerate(messages)))
        failure = None
        for message in messages:  # the answers come in the same order, a datagram each
            number, text = _answer(self._socket.recv(_LARGEST))
            if number and not failure:
                failure = OSError(number, os.strerror(number) + text, message.about)
        if failure:
            raise failure

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _answer(data: bytes) -> tuple[int, str]:
    """The errno of an nlmsgerr (0 for success), and its text as " (text)", or ""."""
    kind, flags = unpack_from("=4xHH", data)
    if kind != _NLMSG_ERROR:
        raise OSError(errno.EPROTO, f"the kernel answered with a netlink message of type {kind}")
    (number,) = unpack_from("=i", data, 16)
    # The header and the number are followed by the header of our own message.
    text = attributes(data, 36).get(_NLMSGERR_ATTR_MSG) if flags & _NLM_F_ACK_TLVS else None
    return -number, f" ({text.rstrip(bytes(1)).decode(errors='replace')})" if text else ""


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """Parse the attributes from an offset on: type -> value."""
    values = {}
    while at + 4 <= len(data):
        length, kind = unpack_from("=HH", data, at)
        values[kind & ~_NLA_F_NESTED] = data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)
    return values


def index(name: str) -> int:
    """The number of a link in this network namespace. Raises OSError (ENODEV) with its name."""
    try:
        return if_nametoindex(name)
    except OSError:  # the one of Python has no errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name) from None


def flush_linkwatch(name: str) -> None:
    """Make a bridge notice at once that the peer of its port `name` is up.

    The kernel tells the bridge by a work queue (linkwatch), which lags by seconds while hundreds of links come and go.
    Until then the bridge drops what comes by that port. Since Linux 6.8, reading the carrier does that work
    (linkwatch_sync_dev); on older kernels this has no effect.
    """
    try:
        with open(carrier(name), "rb") as file:
            file.read()
    except OSError:
        pass  # /sys is another network namespace's, or the container has ended


def carrier(name: str) -> str:
    """The file that tells whether a link has a carrier."""
    return f"/sys/class/net/{name}/carrier"


# --- the messages -----------------------------------------------------------------------------------------------------


def new_veth(link: str, master: int, mtu: int, peer: str, peer_mac: str, pid: int = 0, descriptor: int = -1) -> Message:
    """Make a pair of Ethernet links.

    link: the end in this namespace; it is up, and a port of the bridge with the index `master`. peer: the end in the
    network namespace of a process, or of a descriptor; it can't be up yet, because the kernel sets its flags before it
    has a peer (ENOTCONN). mtu: bytes. peer_mac: 02:42:…
    """
    where = _u32(_IFLA_NET_NS_PID, pid) if descriptor < 0 else _u32(_IFLA_NET_NS_FD, descriptor)
    other = _text(_IFLA_IFNAME, peer) + _u32(_IFLA_MTU, mtu)
    other += attribute(_IFLA_ADDRESS, bytes.fromhex(peer_mac.replace(":", ""))) + where
    kind = _text(_IFLA_INFO_KIND, "veth")
    kind += attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, _link() + other))
    own = _text(_IFLA_IFNAME, link) + _u32(_IFLA_MTU, mtu) + _u32(_IFLA_MASTER, master)
    return Message(f"link {link}", _RTM_NEWLINK, _NEW, _link(up=True) + own + attribute(_IFLA_LINKINFO, kind))


def link_up(name: str) -> Message:
    """Set a link up."""
    return Message(f"link {name}", _RTM_NEWLINK, 0, _link(up=True) + _text(_IFLA_IFNAME, name))


def attach_port(name: str, master: int) -> Message:
    """Set a link up and attach it to the bridge with the index `master`."""
    return Message(
        f"link {name}", _RTM_NEWLINK, 0, _link(up=True) + _text(_IFLA_IFNAME, name) + _u32(_IFLA_MASTER, master)
    )


def hairpin(name: str) -> Message:
    """Let the bridge send a packet back by the port that it came from. The link must be attached to the bridge."""
    kind = _text(_IFLA_INFO_SLAVE_KIND, "bridge")
    kind += attribute(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\1"))
    return Message(
        f"link {name}", _RTM_NEWLINK, 0, _link() + _text(_IFLA_IFNAME, name) + attribute(_IFLA_LINKINFO, kind)
    )


def detach_port(name: str) -> Message:
    """Detach a link from its bridge and set it down.

    The kernel deletes the pair with the peer's namespace at no cost, but a moment later; until then detach it so that
    its address is not used. Deleting it explicitly takes 20 to 40 ms.
    """
    return Message(
        f"link {name}", _RTM_NEWLINK, 0, _link(down=True) + _text(_IFLA_IFNAME, name) + _u32(_IFLA_MASTER, 0)
    )


def delete_link(name: str) -> Message:
    """Delete a link, and its peer."""
    return Message(f"link {name}", _RTM_DELLINK, 0, _link() + _text(_IFLA_IFNAME, name))


def new_address(link: int, address: str) -> Message:
    """Add an address with /PREFIX to the link with the index `link`.

    An IPv4 address gets the broadcast address of its subnet. An IPv6 address is usable at once, without duplicate
    address detection.
    """
    host, _, prefix = address.partition("/")
    family, value = _parsed(host)
    flags, broadcast = 0, b""
    if family == AF_INET6:
        flags = _IFA_F_NODAD
    elif int(prefix) < 31:  # smaller subnets have no broadcast address
        last = int.from_bytes(value, "big") | 0xFFFFFFFF >> int(prefix)
        broadcast = attribute(_IFA_BROADCAST, last.to_bytes(4, "big"))
    # struct ifaddrmsg: family, prefix length, flags, scope, index of the link
    header = pack("=BBBBI", family, int(prefix), flags, _RT_SCOPE_UNIVERSE, link)
    body = header + attribute(_IFA_LOCAL, value) + attribute(_IFA_ADDRESS, value) + broadcast
    return Message(f"address {address}", _RTM_NEWADDR, _NEW, body)


def new_default_route(gateway: str, link: int, metric: int = 0) -> Message:
    """Add a default route by the link with the index `link`.

    metric: the route with the smallest one is used; 0 leaves the choice to the kernel (IPv6: 1024).
    """
    family, value = _parsed(gateway)
    # struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags
    header = pack("=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0)
    body = header + attribute(_RTA_GATEWAY, value) + _u32(_RTA_OIF, link)
    if metric:
        body += _u32(_RTA_PRIORITY, metric)
    return Message(f"route by {gateway}", _RTM_NEWROUTE, _NEW, body)


def _link(up: bool = False, down: bool = False) -> bytes:
    """struct ifinfomsg: family, hardware type, index (0: the link is given by name), flags, the mask of the flags."""
    return pack("=BxHiII", 0, 0, 0, _IFF_UP if up else 0, _IFF_UP if up or down else 0)


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return pack("=HH", length, kind) + value + bytes(-length % 4)


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, pack("=I", value))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _parsed(address: str) -> tuple[int, bytes]:
    """The family of an address and its 4 or 16 bytes. Raises OSError if it is invalid."""
    family = AF_INET6 if ":" in address else AF_INET
    return family, inet_pton(family, address)
