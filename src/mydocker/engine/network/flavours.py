"""Our rules in the other flavour of iptables, legacy or nft, from before the host's choice changed.

They are still in effect: the old rule of a port redirects packets to an address that another container may have by now.
Rules of a second store are recognised by its bridges, which are up.
"""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import networks
from mydocker.kernel import bridge, iptables
from mydocker.network import firewall
from mydocker.network.ops.rules import RemoveOldFlavour

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.kernel.bridge import Link


def removals() -> list[RemoveOldFlavour]:
    """Plan the removal of our rules in the other flavour. Raises OSError or HostError."""
    flavour = iptables.other_flavour()
    if not flavour:
        return []
    saved = {version: iptables.save(version, flavour=flavour) for version in firewall.FORWARDING}
    known = [each.id for each in networks.networks()] + state.ids()
    return plan(flavour, saved, known, bridge.links() if any(map(firewall.owners, saved.values())) else {})


def plan(flavour: str, saved: dict[int, str], known: list[str], links: dict[str, Link]) -> list[RemoveOldFlavour]:
    """Plan removals. saved: by version of IP. known: IDs of this store's networks and containers. links: the host's."""
    own = {owner_id[:12] for owner_id in known}
    up = {link.alias.rpartition(" ")[2] for link in links.values() if link.alias.startswith(firewall.TAG)}
    steps = []
    for version, text in saved.items():
        owners = firewall.owners(text)
        mine = sorted(owners & own) if owners & (up - own) else []
        if mine or (owners and not owners & (up - own)):
            steps.append(RemoveOldFlavour(version, flavour, mine))
    return steps
