"""Survey what the kernel has of this store's networks and containers, for `network check`."""

from __future__ import annotations

import os

from mydocker import paths, state
from mydocker.engine.network import flavours, forwarding, networks
from mydocker.errors import CorruptRecord, NotFound
from mydocker.kernel import bridge, firewalld, iptables
from mydocker.kernel.locks import Lock
from mydocker.network import firewall, leases
from mydocker.network.ops.rules import RemoveOldFlavour
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
    """The state of this host, as far as it is this store's.

    networks: those whose record can be read; broken: the names of the others, about which no finding is made.
    was_up: the names of networks that have been up since the boot. bridges: by device. links: all of the host, by name.
    changed_settings: by device. saved: iptables-save's text, by version of IP. off: versions of IP that the host does
    not forward. turned_on: forwarding.turned_on(). zones: firewalld.zones(). firewalld_is_silent: its rules are loaded,
    but it does not answer. old_rules: removals of our rules from the flavour of iptables that the host used before.

    running, stopped: the containers whose state is certain; changing: the IDs of those that start, end or are modified.
    unmonitored: the IDs of running containers whose monitor is gone. leases: by network. netns: entry in the directory
    of `ip netns` -> target of the symbolic link, "" if it is none.
    """

    networks: list[Network]
    was_up: set[str]
    bridges: dict[str, Bridge | None]
    links: dict[str, Link]
    changed_settings: dict[str, list[str]]
    saved: dict[int, str]
    off: list[int]
    turned_on: firewall.Guard
    zones: dict[str, str] | None
    firewalld_is_silent: bool
    old_rules: list[RemoveOldFlavour]
    running: list[Container]
    unmonitored: list[str]
    stopped: list[Container]
    changing: list[str]
    leases: dict[str, list[Lease]]
    netns: dict[str, str]
    broken: list[str] = []


def survey() -> Facts:
    """Look at the host. Raises HostError without iptables."""
    known = networks.networks()
    running, stopped, changing = _containers()
    turned_on = forwarding.turned_on()
    versions = sorted({*turned_on.versions, *(version for each in known for version in each.versions)})
    bridges = {each.device: bridge.describe(each.device) for each in known}
    zones = firewalld.zones() if known else None
    return Facts(
        networks=known,
        was_up={each.name for each in known if networks.was_up(each)},
        bridges=bridges,
        links=bridge.links(),
        changed_settings={each.device: _changed_settings(each) for each in known if bridges[each.device]},
        saved={version: iptables.save(version) for version in versions},
        off=sorted({version for each in known for version in forwarding.not_forwarded(each)}),
        turned_on=turned_on,
        zones=zones,
        firewalld_is_silent=zones is None and firewalld.rules_are_loaded(),
        old_rules=flavours.removals(),
        running=running,
        unmonitored=[each.id for each in running if not state.has_monitor(each)],
        stopped=stopped,
        changing=changing,
        leases={each.name: leases.read(each.name) for each in known},
        netns=dict(_netns()),
        broken=list(networks.broken()),
    )


def _containers() -> tuple[list[Container], list[Container], list[str]]:
    """(running containers, stopped ones, the IDs of containers whose lock is held because they are being changed)."""
    running, stopped, changing = [], [], []
    for container_id in state.ids():
        try:
            with Lock(f"{paths.container(container_id)}/lock", wait=0):
                container = state.load(container_id)
            if state.is_running(container):
                running.append(container)
            elif state.has_monitor(container):
                changing.append(container_id)  # its monitor cleans up
            else:
                stopped.append(container)
        except (NotFound, FileNotFoundError):
            continue
        except (BlockingIOError, CorruptRecord):
            changing.append(container_id)
    return running, stopped, changing


def _changed_settings(network: Network) -> list[str]:
    changed = []
    for path, value in bridge.settings(network.device, bool(network.subnet6)).items():
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() != value:
                    changed.append(os.path.basename(path))
        except FileNotFoundError:
            pass  # no IPv6 on this host
    return changed


def _netns() -> Iterator[tuple[str, str]]:
    try:
        entries = os.listdir(NETNS)
    except FileNotFoundError:
        return
    for name in entries:
        try:
            yield name, os.readlink(f"{NETNS}/{name}")
        except OSError:
            yield name, ""
