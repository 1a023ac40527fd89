"""The programs that steer a port; tests/integration/kernel/test_resolver.py loads them into the kernel."""

from __future__ import annotations

import socket
import struct

import pytest

from mydocker.kernel import socket_lookup


def test_a_packet():
    packet = socket_lookup.udp(("127.0.0.11", 53), ("10.0.0.2", 40000), b"hello")
    assert len(packet) == 33
    assert packet[0] == 0x45  # version 4, five words of header
    assert struct.unpack_from("!H", packet, 2) == (33,)
    assert packet[9] == socket.IPPROTO_UDP
    assert (socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])) == ("127.0.0.11", "10.0.0.2")
    assert struct.unpack_from("!4H", packet, 20) == (53, 40000, 13, 0)
    assert packet[28:] == b"hello"


@pytest.mark.parametrize("address", ["127.0.0.11", "10.200.255.254"])
def test_every_test_that_fails_lets_the_packet_pass(address):
    program = socket_lookup._program(7, address, 53)
    instructions = [struct.unpack_from("<BBhi", program, at) for at in range(0, len(program), 8)]
    jumps = [(at, offset) for at, (operation, _, offset, _) in enumerate(instructions) if operation in (0x15, 0x56)]
    the_end = len(instructions) - 2  # r0 = 1, SK_PASS; exit
    assert [at + 1 + offset for at, offset in jumps] == [the_end] * 4
    assert instructions[the_end:] == [(0xB7, 0, 0, 1), (0x95, 0, 0, 0)]
    wanted = [number & 0xFFFFFFFF for operation, _, _, number in instructions if operation == 0x56]
    assert wanted == [socket.AF_INET, 53, struct.unpack("<I", socket.inet_aton(address))[0]]
