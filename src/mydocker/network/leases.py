"""Leases of addresses: one file an address, `CONTAINER_ID NAME [ALIAS…]`, for containers that run or are starting.

    /run/mydocker/_networks/<network>/.lock         flock: its holder may change the leases and the bridge
    /run/mydocker/_networks/<network>/10.0.0.2      appears and disappears atomically, so readers need no lock

A lease outlives a monitor that is killed. Such a stale lease is given to another container when its address is
requested or no other is free. A reboot removes all leases.
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths, state
from mydocker.errors import Conflict, CorruptRecord, NotFound
from mydocker.kernel.files import make_private, read_regular, write_atomic
from mydocker.kernel.locks import Lock
from mydocker.model.options.addresses import parse
from mydocker.network import ipam
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Endpoint, Network


@record
class Lease:
    """A lease. address: IPv4, without a prefix. names: the container's name and its aliases on the network."""

    address: str
    container_id: str
    names: list[str]


def lock(network_name: str) -> Lock:
    """The lock of a network's leases and bridge. Raises NotFound."""
    make_private(paths.leases(network_name))
    try:
        return Lock(f"{paths.leases(network_name)}/.lock")
    except FileNotFoundError:  # the network has been removed meanwhile
        raise no_such(network_name) from None


def no_such(network_name: str) -> NotFound:
    return NotFound(f"no such network: {network_name}", "see 'mydocker network ls'")


def full(network: Network) -> Conflict:
    pool = network.ip_range or network.subnet
    return Conflict(
        f"network {network.name} has no free address in {pool}", "stop a container on it, or create a larger network"
    )


def take(network: Network, container_id: str, names: list[str], requested: str = "") -> tuple[str, str]:
    """Lease an address to a container: `requested` or the lowest free one.

    Returns the address, without a prefix, and the ID of the container whose stale lease it was, or "". Unless the
    container runs, the caller holds its lock. Raises InvalidArgument, Conflict if there is no free address, or NotFound
    if the network has been removed meanwhile.
    """
    requested = requested and ipam.check(network, requested)
    with lock(network.name):
        check_exists(network)
        taken = _addresses(network.name)
        if requested in taken:
            _check_available(network.name, requested, container_id)
        address = requested or ipam.lowest_free(network, {parse(each)[0] for each in taken})
        if not address:
            free = {each for each in taken if _is_stale(_read(network.name, each))}
            address = ipam.lowest_free(network, {parse(each)[0] for each in taken - free})
        if not address:
            raise full(network)
        before = _read(network.name, address) if address in taken else None
        _write(network.name, Lease(address, container_id, names))
        return address, before.container_id if before and before.container_id != container_id else ""


def check_exists(network: Network) -> None:
    """Raises NotFound if the network has been removed. Caller holds the network's lock.

    Removal takes the same lock, so the answer stays true while we hold it.
    """
    try:
        if jsontext.loads(read_regular(f"{paths.network(network.name)}/network.json"))["id"] == network.id:
            return
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise no_such(network.name)


def _check_available(network_name: str, address: str, container_id: str) -> None:
    """Raises Conflict if another container has an address that is not stale."""
    holder = _read(network_name, address)
    if holder and holder.container_id != container_id and not _is_stale(holder):
        raise Conflict(
            f"address {address} of network {network_name} is in use by container {holder.names[0]}",
            "choose another with --ip, or none",
        )


def _is_stale(lease: Lease | None) -> bool:
    """True if the lease's container neither runs nor is starting. A container whose lock is held may be starting."""
    if lease is None:
        return True
    try:
        container = state.load(lease.container_id)
        if state.is_running(container) or state.has_monitor(container):
            return False
        Lock(f"{container.directory}/lock", wait=0).release()
    except (NotFound, FileNotFoundError):
        return True
    except (BlockingIOError, CorruptRecord):
        return False
    return True


def rename(network_name: str, address: str, container_id: str, names: list[str]) -> None:
    """Replace the names of a container's lease. Harmless if another container, or none, has the address."""
    with lock(network_name):
        lease = _read(network_name, address)
        if lease and lease.container_id == container_id:
            _write(network_name, Lease(address, container_id, names))


def release(network_name: str, address: str, container_id: str) -> None:
    """Release a container's lease of an address. Harmless if another container, or none, has it."""
    lease = _read(network_name, address)
    if lease is None or lease.container_id != container_id:
        return
    with lock(network_name):
        lease = _read(network_name, address)
        if lease and lease.container_id == container_id:
            os.unlink(f"{paths.leases(network_name)}/{address}")


def release_all(container_id: str, endpoints: list[Endpoint]) -> None:
    """Release the addresses of a container's endpoints."""
    for endpoint in endpoints:
        if endpoint.address:
            try:
                release(endpoint.network, endpoint.address.partition("/")[0], container_id)
            except NotFound:
                pass  # the network has been removed, and its leases with it


def release_unrecorded(container_id: str, endpoints: list[Endpoint]) -> None:
    """Release the leases of a stopped container whose start was killed before it recorded the addresses."""
    for endpoint in endpoints:
        for lease in read(endpoint.network):
            if lease.container_id == container_id:
                release(endpoint.network, lease.address, container_id)


def read(network_name: str) -> list[Lease]:
    """All leases of a network, including stale ones, in no order."""
    entries = (_read(network_name, address) for address in _addresses(network_name))
    return [lease for lease in entries if lease]


def active(network_name: str) -> list[Lease]:
    """The leases of containers that run or are starting, by address."""
    entries = [lease for lease in read(network_name) if not _is_stale(lease)]
    return sorted(entries, key=lambda lease: parse(lease.address))


def _addresses(network_name: str) -> set[str]:
    try:
        return {entry for entry in os.listdir(paths.leases(network_name)) if entry[0] in "0123456789"}
    except FileNotFoundError:
        return set()


def _write(network_name: str, lease: Lease) -> None:
    text = " ".join([lease.container_id, *lease.names])
    write_atomic(f"{paths.leases(network_name)}/{lease.address}", f"{text}\n".encode())


def _read(network_name: str, address: str) -> Lease | None:
    """The lease of an address; None if it is free."""
    try:
        words = read_regular(f"{paths.leases(network_name)}/{address}").decode(errors="replace").split()
    except FileNotFoundError:
        return None
    return Lease(address, words[0], words[1:]) if len(words) > 1 else None
