"""Tell the host's own links from those of others who need the host to forward. Pure functions over bridge.links().

On a host that does not forward, mydocker turns forwarding on for its containers, and a guard (firewall.guard_rules)
drops packets from one of the host's own links to another. The guard must not touch traffic that other runtimes, virtual
machines or VPNs forward. So it names links:

- All links that exist when forwarding is turned on, except for bridges of containers and virtual machines, and their
  ports: until then the host forwarded between none of them.
- Of later links, only network cards and what is built on them: bonds, VLANs, a bridge with a card as a port. A later
  tunnel or veth pair may belong to a program that relies on forwarding being on.
"""

from __future__ import annotations

from mydocker.network.firewall import OTHERS, TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.kernel.bridge import Link
    from mydocker.network.firewall import Guard

LOOPBACK = "lo"
_CARDS = ("", "dsa", "ipoib", "rmnet", "wwan")  # kinds
_BUILT_OF_LOWER, _BUILT_OF_PORTS = ("vlan",), ("bond", "team", "bridge")


def own_links(links: dict[str, Link], noted: Guard) -> list[str]:
    """The names of the host's own links.

    noted: the recorded guard, whose links still count, even while they are missing. If it has no versions of IP,
    forwarding is being turned on now.
    """
    own = _cards(links)
    if not noted.versions:
        own |= {name for name, link in links.items() if link.kind != "bridge" and not link.bridge}
    return sorted({*noted.links, *own} - {LOOPBACK})


def _cards(links: dict[str, Link]) -> set[str]:
    """Network cards, and the links that are built on them."""
    cards = {name for name, link in links.items() if link.kind in _CARDS and name != LOOPBACK}
    while True:
        more = {
            name
            for name, link in links.items()
            if (link.kind in _BUILT_OF_LOWER and link.lower in cards)
            or (link.kind in _BUILT_OF_PORTS and not _of_containers(name, link) and _ports(links, name) & cards)
        }
        if more <= cards:
            return cards
        cards |= more


def _of_containers(name: str, link: Link) -> bool:
    """True for a bridge of mydocker or, by its name, of another runtime or libvirt."""
    return link.alias.startswith(TAG) or name.startswith(tuple(pattern[:-1] for pattern in OTHERS))


def _ports(links: dict[str, Link], name: str) -> set[str]:
    return {port for port, link in links.items() if link.bridge == name}


def bridges(links: dict[str, Link], names: list[str]) -> list[str]:
    """The names that belong to bridges."""
    return [name for name in names if name in links and links[name].kind == "bridge"]


def foreign_links(links: dict[str, Link], noted: list[str]) -> list[str]:
    """Links that are up and neither the host's own nor mydocker's: their makers may need the host to forward. Of a
    bridge and its ports only the bridge counts."""
    known = {LOOPBACK, *noted, *_cards(links)}
    return sorted(
        name
        for name, link in links.items()
        if link.up and not link.bridge and name not in known and not link.alias.startswith(TAG)
    )
