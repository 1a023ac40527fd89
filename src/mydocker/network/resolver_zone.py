"""The names of a network as the resolver knows them, read from the network's leases."""

from __future__ import annotations

import os
from time import time_ns

from mydocker.network import dns, leases
from mydocker.network.ipam import address6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Network

_RACE = 50_000_000  # ns: a directory that has just changed may change again within the same time stamp


def last_change(directory: str) -> int:
    """The time at which the directory's entries last changed, in ns; 0 if unknown, or too recent to be relied on."""
    try:
        changed = os.stat(directory).st_mtime_ns
    except OSError:
        return 0
    return changed if time_ns() - changed > _RACE else 0


class Zone:
    """A network's names, from its leases as they were at `stamp`.

    names: name in lower case -> IPv4 addresses. owners: address -> container's name as DNS data. A container's full ID
    is not among the names: it is one digit longer than a DNS label may be.
    """

    def __init__(self, network: Network, stamp: int) -> None:
        self.stamp = stamp
        self.names: dict[str, list[str]] = {}
        self.owners: dict[str, bytes] = {}
        for lease in sorted(leases.read(network.name), key=lambda lease: lease.address):
            short = lease.container_id[:12]
            for known in {name.lower() for name in [*lease.names, short]}:
                for full in (known, f"{known}.{network.name.lower()}"):
                    self.names.setdefault(full, []).append(lease.address)
            owner = _owner(f"{lease.names[0]}.{network.name}") or _owner(short)
            self.owners[lease.address] = self.owners[address6(network, lease.address)] = owner
        self.owners.pop("", None)  # of a network without IPv6


def _owner(name: str) -> bytes:
    """A name as DNS data; empty if the name is too long for DNS."""
    try:
        return dns.encode_name(name)
    except ValueError:
        return b""
