"""Turn the host's forwarding on and off for networks, and remember that mydocker did so.

The rules that keep the host from forwarding for others (firewall.GUARD) also record that mydocker turned forwarding on.
`iptables -F` removes them, so a file records it as well: the versions of IP in its first line, the host's own links in
its second. A reboot removes the file together with what it records.

Callers of all functions that change something hold networks.lock().
"""

from __future__ import annotations

import os

from mydocker import paths
from mydocker.engine.network import networks
from mydocker.errors import Conflict
from mydocker.kernel import bridge, iptables
from mydocker.kernel.files import write_atomic
from mydocker.network import firewall, foreign
from mydocker.network.firewall import Guard
from mydocker.network.forwarding import bridges, foreign_links, own_links
from mydocker.trace import run_or_undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.kernel.bridge import Link
    from mydocker.model.network import Network

RENAME = "'ip link set dev NAME name NEWNAME'"
_TURNED_ON = paths.leases(".forwarding")  # a network's name can't begin with a dot


# --- the guard --------------------------------------------------------------------------------------------------------


def current_guard(network: Network, off: list[int]) -> Guard:
    """The guard that a network needs on this host. off: not_forwarded().

    Raises Conflict if a rule can't name one of the host's links.
    """
    noted = turned_on()
    if network.internal or not set(network.versions) & {*off, *noted.versions}:
        return Guard()
    guard = network_guard(network, off, noted, bridge.links())
    for link in firewall.unnameable(guard.links):
        raise Conflict(f"no firewall rule can name the host's link {link!r}, to keep it apart", RENAME)
    return guard


def network_guard(network: Network, off: list[int], noted: Guard, links: dict[str, Link]) -> Guard:
    """The guard for the network's versions of IP for which mydocker turned forwarding on, or is about to.

    off: versions that are not forwarded now. noted: turned_on(). links: the host's.
    """
    needed = [] if network.internal else [version for version in network.versions if version in [*off, *noted.versions]]
    return versions_guard(needed, noted, links)


def versions_guard(versions: list[int], noted: Guard, links: dict[str, Link]) -> Guard:
    """The guard for these versions of IP; noted and links: as in network_guard()."""
    if not versions:
        return Guard()
    own = own_links(links, noted)
    return Guard(versions, own, bridges(links, own))


# --- the host's state -------------------------------------------------------------------------------------------------


def not_forwarded(network: Network) -> list[int]:
    """The network's versions of IP that the host does not forward."""
    off = []
    for version in network.versions:
        with open(f"/proc/sys/{firewall.FORWARDING[version].replace('.', '/')}", encoding="ascii") as file:
            if file.read().strip() == "0":
                off.append(version)
    return off


def is_guarded(version: int) -> bool:
    """True if the host's firewall has the guard's rules."""
    return firewall.has_guard(iptables.save(version, "filter"))


def unneeded(last: Network) -> list[int]:
    """The versions of IP that no network of this store needs forwarded when `last` is gone."""
    others = [
        each for each in networks.networks() if each.id != last.id and networks.was_up(each) and not each.internal
    ]
    needed = {version for each in others for version in each.versions}
    return sorted({*last.versions, *turned_on().versions} - needed)


def others_in_need() -> str:
    """Name the links or rules of others that may need the host to forward; "" if none do."""
    links = foreign_links(bridge.links(), turned_on().links)
    return ", ".join(links) or foreign.nat()


def turn_off(last: Network) -> None:
    """Turn forwarding off for every IP version that no network needs, even if the marker rule has been flushed.

    Caller holds the lock.
    """
    noted = turned_on()
    off = [version for version in noted.versions if version in unneeded(last)]
    if not off:
        return
    from mydocker.network.ops.rules import RemoveNetworkRules

    run_or_undo([RemoveNetworkRules(last.name, last.id, last.subnet6, off)])
    remaining = [version for version in noted.versions if version not in off]
    if remaining:
        _write(remaining, noted.links)
    else:
        os.unlink(_TURNED_ON)


# --- the record -------------------------------------------------------------------------------------------------------


def turned_on() -> Guard:
    """Read for which versions of IP, and between which links, mydocker turned forwarding on; without bridges."""
    numbers, _, names = _read().partition("\n")
    versions, links = [int(word) for word in numbers.split()], names.split()
    if versions and not names:
        # No links were recorded when forwarding was turned on: take those that exist now.
        links = own_links(bridge.links(), Guard())
    return Guard(versions, links)


def note_turned_on(guard: Guard) -> None:
    """Record that forwarding was turned on with this guard, in addition to what is recorded."""
    noted = turned_on()
    _write(sorted({*noted.versions, *guard.versions}), sorted({*noted.links, *guard.links}))


def _read() -> str:
    try:
        with open(_TURNED_ON, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(versions: list[int], links: list[str]) -> None:
    text = f"{' '.join(map(str, versions))}\n{' '.join(links)}\n"
    if versions and text != _read():
        write_atomic(_TURNED_ON, text.encode())
