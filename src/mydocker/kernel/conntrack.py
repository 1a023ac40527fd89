"""The kernel's memory of UDP conversations, which outlives the rules that they were translated by.

Rules of the table `nat` are asked for a conversation's first packet only. Who sends to a port again and again, from
before its container runs to after it has gone, is one conversation for ever: it never gets to the container, or never
away from its address. So what is remembered of a port is forgotten when its rules come and go. A TCP connection begins
anew by itself.

ctnetlink, as conntrack(8) speaks it: nlmsghdr, nfgenmsg (family u8 · version u8 · 0 u16), attributes.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from _struct import pack, unpack_from

from mydocker.kernel.rtnetlink import attribute, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# From linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP, _NESTED = 0x1, 0x4, 0x300, 0x8000
_ERROR, _DONE = 2, 3
_GET, _DELETE = 0x101, 0x102
_TUPLE_ORIG, _TUPLE_PROTO, _FILTER = 1, 2, 25
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_FILTER_ORIG_FLAGS, _FILTER_REPLY_FLAGS = 1, 2
_BY_PROTOCOL, _BY_PORT = 1 << 3, 1 << 5
_UDP = 17
_BUFFER = 65536


def forget_udp(version: int, ports: list[int]) -> None:
    """Forget all conversations to these ports of the host, as they were addressed. version: of IP, 4 or 6.

    A kernel that does not tell of conversations is left alone. Raises OSError.
    """
    family = AF_INET if version == 4 else AF_INET6
    kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        kernel.connect((0, 0))
        for port in ports:
            for conversation in list(_to(kernel, family, port)):
                kernel.send(_message(_DELETE, _ACK, family, conversation))
                (number,) = unpack_from("=i", kernel.recv(_BUFFER), 16)
                if number not in (0, -errno.ENOENT):  # it may have ended by itself
                    raise OSError(-number, os.strerror(-number), f"conversations to UDP port {port}")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            raise
    finally:
        kernel.close()


def _to(kernel: socket, family: int, port: int) -> Iterator[bytes]:
    """The original direction of each UDP conversation to a port, as an attribute that names it to the kernel."""
    proto = attribute(_PROTO_NUM, pack("=B", _UDP)) + attribute(_PROTO_DST_PORT, pack(">H", port))
    by = attribute(_FILTER_ORIG_FLAGS, pack("=I", _BY_PROTOCOL | _BY_PORT))
    by += attribute(_FILTER_REPLY_FLAGS, pack("=I", 0))
    # A kernel before 5.8 does not know the filter, and tells all: hence the second look below.
    wanted = attribute(_TUPLE_ORIG | _NESTED, attribute(_TUPLE_PROTO | _NESTED, proto))
    kernel.send(_message(_GET, _DUMP, family, wanted + attribute(_FILTER | _NESTED, by)))
    while True:
        data = kernel.recv(_BUFFER)
        at = 0
        while at + 16 <= len(data):
            length, kind = unpack_from("=IH", data, at)
            if kind in (_DONE, _ERROR):
                (number,) = unpack_from("=i", data, at + 16)
                if number:
                    raise OSError(-number, os.strerror(-number), f"conversations to UDP port {port}")
                return
            original = attributes(data[at + 20 : at + length])[_TUPLE_ORIG]
            found = attributes(attributes(original)[_TUPLE_PROTO])
            if found[_PROTO_NUM] == pack("=B", _UDP) and found.get(_PROTO_DST_PORT) == pack(">H", port):
                yield attribute(_TUPLE_ORIG | _NESTED, original)
            at += (length + 3) & ~3


def _message(kind: int, flags: int, family: int, attributes: bytes) -> bytes:
    return pack("=IHHIIBBH", 20 + len(attributes), kind, _REQUEST | flags, 0, 0, family, 0, 0) + attributes
