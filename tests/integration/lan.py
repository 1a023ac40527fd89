"""A LAN with another machine on it, imitated by a network namespace of the machine under test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from machine import Machine, Result

TALK = """
import socket, sys
address, port, text = sys.argv[1:]
try:
    with socket.create_connection((address, int(port)), 3) as peer:
        peer.sendall(text.encode())
        peer.shutdown(socket.SHUT_WR)
        while data := peer.recv(65536):
            sys.stdout.buffer.write(data)
except OSError as error:
    raise SystemExit(str(error))
"""


def talk(machine: Machine, address: str, port: int, text: str = "", prefix: tuple[str, ...] = ()) -> Result:
    """Connect by TCP, send the text, and read up to the end of the answer. Exit code 1: no connection."""
    return machine.run(*prefix, "/usr/bin/python3", "-I", "-S", "-c", TALK, address, str(port), text)


@dataclass
class Lan:
    """The other machine. enter: the command prefix for its namespace. host, address: the addresses of both machines.

    Its default route is the host, as on a machine with a route to the containers.
    """

    machine: Machine
    enter: tuple[str, ...]
    host: str
    address: str

    def talk(self, address: str, port: int, text: str = "") -> Result:
        return talk(self.machine, address, port, text, self.enter)


def lan_device(machine: Machine) -> str:
    """Return the name of the link on the machine under test, from which snapshot.py knows its store."""
    return f"lan-{machine.store[-6:]}"


@contextlib.contextmanager
def lan(machine: Machine) -> Iterator[Lan]:
    """Make a LAN for the block. Its addresses are in RFC 2544's range, which is never routed."""
    device, number = lan_device(machine), os.getpid() % 256
    with machine.start("unshare", "--net", "sh", "-c", "echo $$; exec sleep 1000") as holder:
        pid = holder.stdout.readline().decode().strip()
        inside = ("nsenter", "--net", "--target", pid)
        made = Lan(machine, inside, f"198.18.{number}.1", f"198.18.{number}.2")
        enter = " ".join(inside)
        result = machine.shell(
            f"""
            set -e
            ip link add {device} type veth peer name eth0 netns {pid}
            ip address add {made.host}/24 dev {device}
            ip link set {device} up
            {enter} ip address add {made.address}/24 dev eth0
            {enter} ip link set lo up
            {enter} ip link set eth0 up
            {enter} ip route add default via {made.host}
            """
        )
        try:
            assert result.rc == 0, result.stderr
            yield made
        finally:
            machine.run("ip", "link", "delete", device)
            machine.run("kill", pid)
