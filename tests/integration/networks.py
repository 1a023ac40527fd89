"""What tests of networks share: a network for the time of a block, and what is known of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from machine import Machine, Mydocker


@contextlib.contextmanager
def network(mydocker: Mydocker, name: str, *options: str) -> Iterator[str]:
    """`network create OPTIONS NAME`; at the end it goes, with all containers of the store."""
    mydocker.ok("network", "create", *options, name)
    try:
        yield name
    finally:
        mydocker.remove_all()
        if mydocker.machine.exists(f"{mydocker.machine.store}/lib/networks/{name}"):
            mydocker.ok("network", "rm", name)


def address(mydocker: Mydocker, container: str, on: str) -> str:
    """A running container's IPv4 address on that network."""
    return mydocker.inspect(container, "NetworkSettings", "Networks", on, "IPAddress")


def gateway(mydocker: Mydocker, name: str) -> str:
    return mydocker.inspect(name, "IPAM", "Config", 0, "Gateway")


def device(mydocker: Mydocker, name: str) -> str:
    """The network's bridge."""
    return mydocker.inspect(name, "Options", "com.docker.network.bridge.name")


def leases(machine: Machine, name: str) -> list[str]:
    """The addresses that are taken, also by who is gone."""
    return machine.run("ls", f"{machine.store}/run/_networks/{name}").lines


def rules(machine: Machine, text: str) -> list[str]:
    """The rules of the firewall with this text in them, of any table."""
    result = machine.run("iptables-save")
    assert result.rc == 0, result.stderr
    return [line for line in result.lines if line.startswith("-A") and text in line]
