"""Survey what the kernel has of this store's networks and containers, for `network check`."""

from __future__ import annotations

import os

from mydocker import paths, state
from mydocker.engine.network import flavours, forwarding, networks
from mydocker.errors import CorruptRecord, NotFound
from mydocker.kernel import bridge, firewalld, iptables
from mydocker.kernel.locks import Lock
from mydocker.network import firewall, leases
from mydocker.network.ops import RemoveOldFlavour
from mydocker.ops.namespaces import NETNS
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.kernel.bridge import Bridge, Link
    from mydocker.model.container import Container
    from mydocker.model.network import Network
    from mydocker.network.leases import Lease


@record
class Facts:
    """running, gone: the containers of this store whose state is certain; one that starts, ends or is changed just now
    is busy, by its ID. was_up: the names of networks that have been up since the boot. bridges: by device. unset: a
    device's settings that are not as they were made. saved: iptables-save's text, by the version of IP. off: versions
    that the host does not forward. noted: what mydocker has turned that on for. zones: of
    firewalld, by link; None if it does not run or answer; rejects: its rules are there all the same. old: what takes
    our rules from the flavour of iptables that the host used before. shown: what is in
    the directory of ip netns -> where the link leads, "" if it is none. broken: the names of
    networks whose record can't be read; of them nothing is said here."""

    networks: list[Network]
    was_up: set[str]
    bridges: dict[str, Bridge | None]
    links: dict[str, Link]
    unset: dict[str, list[str]]
    saved: dict[int, str]
    off: list[int]
    noted: firewall.Guard
    zones: dict[str, str] | None
    rejects: bool
    old: list[RemoveOldFlavour]
    running: list[Container]
    unwatched: list[str]
    gone: list[Container]
    busy: list[str]
    leases: dict[str, list[Lease]]
    shown: dict[str, str]
    broken: list[str] = []


def survey() -> Facts:
    known = networks.networks()
    running, gone, busy = _containers()
    noted = forwarding.turned_on()
    versions = sorted({*noted.versions, *(version for each in known for version in each.versions)})
    bridges = {each.device: bridge.describe(each.device) for each in known}
    zones = firewalld.zones() if known else None
    return Facts(
        known,
        {each.name for each in known if networks.was_up(each)},
        bridges,
        bridge.links(),
        {each.device: _unset(each) for each in known if bridges[each.device]},
        {version: iptables.save(version) for version in versions},
        sorted({version for each in known for version in forwarding.not_forwarded(each)}),
        noted,
        zones,
        zones is None and firewalld.rules_are_loaded(),
        flavours.removals(),
        running,
        [each.id for each in running if not state.has_monitor(each)],
        gone,
        busy,
        {each.name: leases.read(each.name) for each in known},
        dict(_shown()),
        list(networks.broken()),
    )


def _containers() -> tuple[list[Container], list[Container], list[str]]:
    """Those that run, those that do not, and the IDs of those that are being changed: somebody holds their lock."""
    running, gone, busy = [], [], []
    for container_id in state.ids():
        try:
            with Lock(f"{paths.container(container_id)}/lock", wait=0):
                found = state.load(container_id)
            if state.is_running(found):
                running.append(found)
            elif state.has_monitor(found):
                busy.append(container_id)  # its monitor clears up
            else:
                gone.append(found)
        except (NotFound, FileNotFoundError):
            continue
        except (BlockingIOError, CorruptRecord):
            busy.append(container_id)
    return running, gone, busy


def _unset(network: Network) -> list[str]:
    wrong = []
    for path, wanted in bridge.settings(network.device, bool(network.subnet6)).items():
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() != wanted:
                    wrong.append(os.path.basename(path))
        except FileNotFoundError:
            pass  # no IPv6 on this host
    return wrong


def _shown() -> Iterator[tuple[str, str]]:
    try:
        entries = os.listdir(NETNS)
    except FileNotFoundError:
        return
    for name in entries:
        try:
            yield name, os.readlink(f"{NETNS}/{name}")
        except OSError:
            yield name, ""
