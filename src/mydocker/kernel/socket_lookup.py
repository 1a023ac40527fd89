"""Listen on a port without binding it: a BPF program steers what comes in for it to sockets of ours (Linux 5.9).

The kernel runs a program of type SK_LOOKUP for each connection and datagram that comes in to a network namespace,
before it looks for a socket that is bound to the port. So our sockets can have any port and still be reached on the
well-known one, which stays free for a program in that namespace. An accepted connection has the address that the client
asked for. A datagram can be answered from that address by a raw socket only, for which udp() makes packets.
See Documentation/bpf/prog_sk_lookup.rst.
"""

from __future__ import annotations

import os
from _socket import AF_INET, IPPROTO_UDP, inet_aton
from _struct import pack

from mydocker.kernel.libc import address_of, syscall

# <linux/bpf.h>
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD, _LINK_CREATE = 0, 2, 5, 28
_SOCKMAP, _PROG_TYPE_SK_LOOKUP, _SK_LOOKUP = 15, 30, 36
_LOOKUP_ELEMENT, _RELEASE, _ASSIGN = 1, 86, 124  # helpers
_FAMILY, _PROTOCOL, _LOCAL_ADDRESS, _LOCAL_PORT = 8, 12, 40, 60  # offsets in struct bpf_sk_lookup
_LAST_PROTOCOL = IPPROTO_UDP  # TCP is 6, UDP 17
_ATTRIBUTES = 72  # bytes of union bpf_attr


def steer(sockets: dict[int, int], address: str, port: int) -> int:
    """Steer packets for address:port of this network namespace to the sockets, protocol -> descriptor.

    Returns a descriptor, with whose end the steering ends. Raises OSError if the kernel is too old or refuses.
    """
    opened = []
    try:
        # type, bytes of a key and of a value, entries
        table = _bpf(_MAP_CREATE, pack("<4I", _SOCKMAP, 4, 8, _LAST_PROTOCOL + 1))
        opened.append(table)
        for protocol, descriptor in sockets.items():
            key, value = bytearray(pack("<I", protocol)), bytearray(pack("<Q", descriptor))
            _bpf(_MAP_UPDATE, pack("<2I3Q", table, 0, address_of(key), address_of(value), 0))
        program, license = bytearray(_program(table, address, port)), bytearray(b"MIT\0")
        # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
        # prog_ifindex, expected_attach_type
        loading = pack(
            "<2I2Q2IQ2I16s2I",
            _PROG_TYPE_SK_LOOKUP,
            len(program) // 8,
            address_of(program),
            address_of(license),
            *(0, 0, 0, 0, 0),
            b"mydocker",
            0,
            _SK_LOOKUP,
        )
        opened.append(_bpf(_PROG_LOAD, loading))
        opened.append(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        return _bpf(_LINK_CREATE, pack("<4I", opened[1], opened[2], _SK_LOOKUP, 0))  # the link keeps all of them
    finally:
        for descriptor in opened:
            os.close(descriptor)


def udp(source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    """An IPv4 packet for a socket of type SOCK_RAW and protocol IPPROTO_RAW. The kernel fills in what is zero here.

    The UDP checksum may be left out, because both sockets are on one machine.
    """
    length = 8 + len(data)
    addresses = inet_aton(source[0]) + inet_aton(target[0])
    header = pack("!2B3H2BH", 0x45, 0, 20 + length, 0, 0, 64, IPPROTO_UDP, 0)
    return header + addresses + pack("!4H", source[1], target[1], length, 0) + data


def _bpf(command: int, attributes: bytes) -> int:
    return syscall("bpf", command, attributes.ljust(_ATTRIBUTES, b"\0"), _ATTRIBUTES, about="socket lookup")


def _program(table: int, address: str, port: int) -> bytes:
    """Assemble the program: if all tests hold, assign the table's socket for the protocol. Every packet passes in any
    case."""
    tests = [
        (_FAMILY, AF_INET),
        (_LOCAL_PORT, port),
        (_LOCAL_ADDRESS, int.from_bytes(inet_aton(address), "little", signed=True)),
    ]
    assign = [
        _instruction(0x61, 2, 6, _PROTOCOL),  # r2 = *(u32 *)(r6 + _PROTOCOL)
        _instruction(0x63, 10, 2, -4),  # *(u32 *)(r10 - 4) = r2, the key
        _instruction(0x18, 1, 1, number=table),  # r1 = the table, in two slots
        _instruction(0),
        _instruction(0xBF, 2, 10),  # r2 = r10
        _instruction(0x07, 2, number=-4),  # r2 -= 4
        _instruction(0x85, number=_LOOKUP_ELEMENT),
        _instruction(0x15, 0, offset=7),  # if r0 == 0 goto pass
        _instruction(0xBF, 7, 0),  # r7 = r0, the socket
        _instruction(0xBF, 1, 6),  # r1 = the context
        _instruction(0xBF, 2, 7),  # r2 = the socket
        _instruction(0xB7, 3),  # r3 = 0
        _instruction(0x85, number=_ASSIGN),
        _instruction(0xBF, 1, 7),
        _instruction(0x85, number=_RELEASE),
    ]
    program = [_instruction(0xBF, 6, 1)]  # r6 = r1, the context
    for left, (field, value) in zip(range(len(tests) - 1, -1, -1), tests):
        program.append(_instruction(0x61, 2, 6, field))  # r2 = *(u32 *)(r6 + field)
        program.append(_instruction(0x56, 2, 0, 2 * left + len(assign), value))  # if r2 != value goto pass
    return b"".join([*program, *assign, _instruction(0xB7, 0, number=1), _instruction(0x95)])  # pass: return SK_PASS


def _instruction(operation: int, target: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    """struct bpf_insn; the operations' names are in the comments."""
    return pack("<BBhi", operation, target | source << 4, offset, number)
