"""The records of networks.

    networks/<name>/network.json    model.network.Network
    networks/.lock                  flock: its holder may choose a name, a subnet and a device for a network, or turn
                                    the host's forwarding on or off

A network exists if it has a record. Its bridge may be missing, after a reboot for example; lifecycle.bring_up()
recreates it. A container that uses a network has a lease (network/leases.py); a network is brought up and taken down
under the lock of its leases. A process that needs both locks takes the one of the leases first.
"""

from __future__ import annotations

import os
from _socket import if_nametoindex

from mydocker import config, jsontext, paths, state
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.kernel.files import make_private, read_regular, remove_tree, write_atomic
from mydocker.kernel.locks import Lock
from mydocker.model.network import DEFAULT, DEFAULT_DEVICE, SCHEMA, Network
from mydocker.model.options.addresses import cidr, parse
from mydocker.network import firewall, leases
from mydocker.record import from_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mydocker.model.options.addresses import Cidr

_DEFAULT_PARAMS: dict[str, Any] = {
    "network": DEFAULT, "driver": None, "subnet": [], "gateway": [], "ip_range": [], "internal": False, "label": [],
    "ipv6": False, "opt": [], "mtu": None,
}  # fmt: skip


def load(name: str) -> Network:
    """Load a network's record. Raises NotFound, or CorruptRecord, which names the file."""
    if not paths.is_entry(name):
        raise leases.no_such(name)
    file = f"{paths.network(name)}/network.json"
    try:
        values = jsontext.loads(read_regular(file))
        if values.get("schema") != SCHEMA:
            raise CorruptRecord(f"network record of another version: {file}", "use the version that created it")
        network = from_json(Network, values)
        _check(network, name)
        return network
    except (FileNotFoundError, NotADirectoryError):
        raise leases.no_such(name) from None
    except (OSError, ValueError, TypeError, AttributeError, InvalidArgument) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CorruptRecord(
            f"corrupt network record: {file}: {why}", f"'mydocker network rm {name}' removes it, or restore the file"
        ) from None


def _check(network: Network, name: str) -> None:
    """Raises ValueError or InvalidArgument for values that later code could not use."""
    if network.name != name:
        raise ValueError(f"it belongs to network {network.name}")
    for subnet, gateway in ((network.subnet, network.gateway), (network.subnet6, network.gateway6)):
        if (subnet or gateway) and not cidr(subnet).holds(parse(gateway)):
            raise ValueError(f"gateway {gateway} is not in {subnet}")


def find(reference: str) -> Network:
    """Find a network by name, ID or prefix of an ID. Raises NotFound, or Conflict if several match."""
    try:
        return load(reference)
    except NotFound:
        matches = [each for each in networks() if reference and each.id.startswith(reference)]
        if len(matches) > 1:
            raise Conflict(f"'{reference}' matches {len(matches)} networks", "give more digits of the ID") from None
        if not matches:
            raise
        return matches[0]


def networks() -> list[Network]:
    """All networks whose record can be read, by name; broken() has the others."""
    loaded = []
    for name in names():
        try:
            loaded.append(load(name))
        except (NotFound, CorruptRecord):
            continue  # NotFound: it is being created or removed
    return loaded


def broken() -> dict[str, CorruptRecord]:
    """The networks whose record can't be read: name -> error."""
    errors = {}
    for name in names():
        try:
            load(name)
        except CorruptRecord as error:
            errors[name] = error
        except NotFound:
            continue
    return errors


def names() -> list[str]:
    """The names of all networks, broken ones included."""
    try:
        return sorted(entry for entry in os.listdir(paths.NETWORKS) if not entry.startswith("."))
    except FileNotFoundError:
        return []


def users(name: str) -> list[str]:
    """The names of the containers that run or start on a network."""
    return [lease.names[0] for lease in leases.active(name)]


def lock() -> Lock:
    """The store-wide network lock; see the module docstring for what it protects."""
    make_private(paths.NETWORKS)
    return Lock(f"{paths.NETWORKS}/.lock")


# --- new records ------------------------------------------------------------------------------------------------------


def default(make: bool = True) -> Network:
    """The network of a container that names none. Its record is written if there is none, unless `make` is False."""
    try:
        return load(DEFAULT)
    except NotFound:
        pass
    with lock():
        try:
            return load(DEFAULT)
        except NotFound:
            return reserve(_DEFAULT_PARAMS) if make else _draft(_DEFAULT_PARAMS)


def reserve(params: dict[str, Any]) -> Network:
    """Choose what the user left open, and write the record. Caller holds the lock, so that no two choose the same."""
    network = _draft(params)
    make_private(paths.network(network.name))
    text = jsontext.dumps({name: getattr(network, name) for name in network._fields})  # type: ignore[attr-defined]
    try:
        write_atomic(f"{paths.network(network.name)}/network.json", text.encode() + b"\n", durable=True)
    except BaseException:
        remove_tree(paths.network(network.name))
        raise
    return network


def _draft(params: dict[str, Any]) -> Network:
    from mydocker.model.options import network_request

    settings, others = config.load(), networks()
    taken = _own_subnets(others) + _host_subnets()
    network = network_request.draft(params, taken, cidr(settings["network_pool"]), settings["network_size"])
    network.id, network.created = os.urandom(32).hex(), state.now()
    devices = {other.device for other in others}
    if network.device and (network.device in devices or is_link(network.device)):
        raise Conflict(f"a link '{network.device}' already exists", f"choose another {network_request.OPTION_DEVICE}")
    if not network.device:
        preferred = DEFAULT_DEVICE if network.name == DEFAULT else network.name
        usable = network_request.is_device(preferred) and preferred not in devices and not is_link(preferred)
        network.device = preferred if usable else f"br-{network.id[:12]}"
    return network


def _own_subnets(others: Iterable[Network]) -> list[tuple[Cidr, str]]:
    return [(cidr(text), f"network {each.name}") for each in others for text in each.subnets]


def _host_subnets() -> list[tuple[Cidr, str]]:
    """The host's subnets, without the routes to everywhere, which a VPN may write as two halves."""
    from mydocker.kernel import bridge

    subnets = [(cidr(text), device) for text, device in bridge.host_subnets().items()]
    return [(subnet, f"the host's {device or 'routes'}") for subnet, device in subnets if subnet.prefix > 1]


# --- the host's links -------------------------------------------------------------------------------------------------


def is_up(network: Network) -> bool:
    """True if the network's bridge exists. A link of that name with another alias may be another store's."""
    return alias_of(network.device) == firewall.network_owner(network.name, network.id)


def was_up(network: Network) -> bool:
    """True if the network has been brought up since the host was booted."""
    return os.path.isdir(paths.leases(network.name))


def alias_of(device: str) -> str:
    """Read a link's alias; "" if there is no such link."""
    try:
        with open(f"/sys/class/net/{device}/ifalias", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def is_link(device: str) -> bool:
    """True if the host has a link of that name."""
    try:
        return if_nametoindex(device) > 0
    except OSError:
        return False
