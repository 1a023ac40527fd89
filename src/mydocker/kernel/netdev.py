"""Network devices by ioctl(2), where netlink is not needed."""

from __future__ import annotations

import fcntl
from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, socket
from _struct import pack, unpack_from

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def link_up(device: str) -> None:
    """Set IFF_UP on a device of this network namespace. Raises OSError with the device's name."""
    # struct ifreq: 16 bytes of name, then a union; here a short of flags.
    request = pack("16sh22x", device.encode(), 0)
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        flags = unpack_from("h", answer, 16)[0] | _IFF_UP
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, pack("16sh22x", device.encode(), flags))
    except OSError as error:
        raise OSError(error.errno, error.strerror, device) from None
    finally:
        sock.close()
