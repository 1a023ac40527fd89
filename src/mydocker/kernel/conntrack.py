"""The kernel's entries of UDP connections, which outlive the rules that they were translated by.

Rules of the table `nat` are evaluated for the first packet of a connection only. A client that keeps sending from one
port is one conntrack entry that never expires, so new rules never apply to it: its packets do not reach a container
that has just started, or still go to the address of one that has ended. So the entries of a port are deleted when its
rules come and go. For TCP this is not necessary: clients open new connections.

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


def delete_udp_entries(version: int, ports: list[int]) -> None:
    """Delete the entries of all UDP connections to these ports of the host, before translation. version: of IP, 4 or 6.

    Does nothing on a kernel without ctnetlink. Raises OSError.
    """
    family = AF_INET if version == 4 else AF_INET6
    kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        kernel.connect((0, 0))
        for port in ports:
            for entry in list(_entries(kernel, family, port)):
                kernel.send(_message(_DELETE, _ACK, family, entry))
                (number,) = unpack_from("=i", kernel.recv(_BUFFER), 16)
                if number not in (0, -errno.ENOENT):  # it may have expired by itself
                    raise OSError(-number, os.strerror(-number), f"connections to UDP port {port}")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            raise
    finally:
        kernel.close()


def _entries(kernel: socket, family: int, port: int) -> Iterator[bytes]:
    """The original direction of each UDP connection to a port, as the attribute that identifies an entry."""
    proto = attribute(_PROTO_NUM, pack("=B", _UDP)) + attribute(_PROTO_DST_PORT, pack(">H", port))
    by = attribute(_FILTER_ORIG_FLAGS, pack("=I", _BY_PROTOCOL | _BY_PORT))
    by += attribute(_FILTER_REPLY_FLAGS, pack("=I", 0))
    # Kernels before 5.8 ignore the filter and return all entries, so they are filtered again below.
    selected = attribute(_TUPLE_ORIG | _NESTED, attribute(_TUPLE_PROTO | _NESTED, proto))
    kernel.send(_message(_GET, _DUMP, family, selected + attribute(_FILTER | _NESTED, by)))
    while True:
        data = kernel.recv(_BUFFER)
        at = 0
        while at + 16 <= len(data):
            length, kind = unpack_from("=IH", data, at)
            if kind in (_DONE, _ERROR):
                (number,) = unpack_from("=i", data, at + 16)
                if number:
                    raise OSError(-number, os.strerror(-number), f"connections to UDP port {port}")
                return
            original = attributes(data[at + 20 : at + length])[_TUPLE_ORIG]
            protocol = attributes(attributes(original)[_TUPLE_PROTO])
            if protocol[_PROTO_NUM] == pack("=B", _UDP) and protocol.get(_PROTO_DST_PORT) == pack(">H", port):
                yield attribute(_TUPLE_ORIG | _NESTED, original)
            at += (length + 3) & ~3


def _message(kind: int, flags: int, family: int, attributes: bytes) -> bytes:
    return pack("=IHHIIBBH", 20 + len(attributes), kind, _REQUEST | flags, 0, 0, family, 0, 0) + attributes
