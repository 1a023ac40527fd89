"""Helpers for tests of networks: make a network for a block, and query one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from machine import Machine, Mydocker


@contextlib.contextmanager
def network(mydocker: Mydocker, name: str, *options: str) -> Iterator[str]:
    """Create a network for the block. At its end, the network and all containers of the store are removed."""
    mydocker.ok("network", "create", *options, name)
    try:
        yield name
    finally:
        mydocker.remove_all()
        if mydocker.machine.exists(f"{mydocker.machine.store}/lib/networks/{name}"):
            mydocker.ok("network", "rm", name)


def address(mydocker: Mydocker, container: str, on: str) -> str:
    """Return a running container's IPv4 address on a network."""
    return mydocker.inspect(container, "NetworkSettings", "Networks", on, "IPAddress")


def gateway(mydocker: Mydocker, name: str) -> str:
    return mydocker.inspect(name, "IPAM", "Config", 0, "Gateway")


def device(mydocker: Mydocker, name: str) -> str:
    """Return the network's bridge."""
    return mydocker.inspect(name, "Options", "com.docker.network.bridge.name")


def leases(machine: Machine, name: str) -> list[str]:
    """List the leases of a network, also those of containers that have ended."""
    return machine.run("ls", f"{machine.store}/run/_networks/{name}").lines


def rules(machine: Machine, text: str) -> list[str]:
    """List the firewall's rules with this text in them, in any table."""
    result = machine.run("iptables-save")
    assert result.rc == 0, result.stderr
    return [line for line in result.lines if line.startswith("-A") and text in line]
