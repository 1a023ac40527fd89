"""Who has which address: one file an address, `CONTAINER_ID NAME [ALIAS…]`, for containers that run or are starting.

    /run/mydocker/_networks/<network>/.lock         flock: who holds it may change the leases, and the bridge
    /run/mydocker/_networks/<network>/10.0.0.2      appears and vanishes whole, so that readers need no lock

A lease outlives a monitor that is killed. It is stale then, and is taken from its holder when its address is asked for
or no other is free. After a reboot none is left.
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
    """address: IPv4, without a prefix. names: the container's name and its aliases on the network."""

    address: str
    container_id: str
    names: list[str]


def lock(network_name: str) -> Lock:
    make_private(paths.leases(network_name))
    try:
        return Lock(f"{paths.leases(network_name)}/.lock")
    except FileNotFoundError:  # removed in between
        raise no_such(network_name) from None


def no_such(network_name: str) -> NotFound:
    return NotFound(f"no such network: {network_name}", "see 'mydocker network ls'")


def full(network: Network) -> Conflict:
    pool = network.ip_range or network.subnet
    return Conflict(
        f"network {network.name} has no free address in {pool}", "stop a container on it, or make a larger network"
    )


def take(network: Network, container_id: str, names: list[str], wanted: str = "") -> tuple[str, str]:
    """Give the container an address, `wanted` or the lowest free one; the address, without a prefix, and the ID of the
    container whose stale lease that was, or "".

    The container's own lock is the caller's, as long as it does not run. Raises InvalidArgument, Conflict if there is
    none, NotFound if the network has been removed meanwhile.
    """
    directory = paths.leases(network.name)
    wanted = wanted and ipam.check(network, wanted)
    with lock(network.name):
        check_there(network)
        taken = _addresses(network.name)
        if wanted in taken:
            _reclaim(network.name, wanted, container_id)
        address = wanted or ipam.lowest_free(network, {parse(each)[0] for each in taken})
        if not address:
            free = {each for each in taken if _is_stale(_read(network.name, each))}
            address = ipam.lowest_free(network, {parse(each)[0] for each in taken - free})
        if not address:
            raise full(network)
        before = _read(network.name, address) if address in taken else None
        write_atomic(f"{directory}/{address}", f"{' '.join([container_id, *names])}\n".encode())
        return address, before.container_id if before and before.container_id != container_id else ""


def check_there(network: Network) -> None:
    """Under its lock: who removes a network holds that, so now it is there or it is too late. Raises NotFound."""
    try:
        if jsontext.loads(read_regular(f"{paths.network(network.name)}/network.json"))["id"] == network.id:
            return
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise no_such(network.name)


def _reclaim(network_name: str, address: str, container_id: str) -> None:
    """Make sure that the holder of the address is the container itself, or will never need it. Raises Conflict."""
    holder = _read(network_name, address)
    if holder and holder.container_id != container_id and not _is_stale(holder):
        raise Conflict(
            f"address {address} of network {network_name} is taken by container {holder.names[0]}",
            "ask for another with --ip, or for none",
        )


def _is_stale(lease: Lease | None) -> bool:
    """Whether its container neither runs nor is starting: who starts one holds its lock. In doubt, it is not."""
    if lease is None:
        return True
    try:
        found = state.load(lease.container_id)
        if state.is_running(found) or state.has_monitor(found):
            return False
        Lock(f"{found.directory}/lock", wait=0).release()
    except (NotFound, FileNotFoundError):
        return True
    except (BlockingIOError, CorruptRecord):
        return False
    return True


def release(network_name: str, address: str, container_id: str) -> None:
    """Give the address back, if it is that container's. Harmless if it is not, or if nothing is left."""
    held = _read(network_name, address)
    if held is None or held.container_id != container_id:
        return
    with lock(network_name):
        held = _read(network_name, address)
        if held and held.container_id == container_id:
            os.unlink(f"{paths.leases(network_name)}/{address}")


def release_all(container_id: str, endpoints: list[Endpoint]) -> None:
    """Those of a container's endpoints that have an address."""
    for endpoint in endpoints:
        if endpoint.address:
            try:
                release(endpoint.network, endpoint.address.partition("/")[0], container_id)
            except NotFound:
                pass  # the network has gone, and its leases with it


def release_unrecorded(container_id: str, endpoints: list[Endpoint]) -> None:
    """Those of a container that does not run: who started it was killed before its record told an address."""
    for endpoint in endpoints:
        for lease in read(endpoint.network):
            if lease.container_id == container_id:
                release(endpoint.network, lease.address, container_id)


def read(network_name: str) -> list[Lease]:
    """All leases, stale ones too, in no order."""
    found = (_read(network_name, address) for address in _addresses(network_name))
    return [lease for lease in found if lease]


def held(network_name: str) -> list[Lease]:
    """The leases of containers that run or are starting, by address."""
    found = [lease for lease in read(network_name) if not _is_stale(lease)]
    return sorted(found, key=lambda lease: parse(lease.address))


def _addresses(network_name: str) -> set[str]:
    try:
        return {entry for entry in os.listdir(paths.leases(network_name)) if entry[0] in "0123456789"}
    except FileNotFoundError:
        return set()


def _read(network_name: str, address: str) -> Lease | None:
    """None if the address is free."""
    try:
        words = read_regular(f"{paths.leases(network_name)}/{address}").decode(errors="replace").split()
    except FileNotFoundError:
        return None
    return Lease(address, words[0], words[1:]) if len(words) > 1 else None
