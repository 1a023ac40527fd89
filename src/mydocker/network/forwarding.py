"""Which links are the host's own, and who else needs the host to forward. Pure functions over kernel.bridge.links().

Where a host did not forward, mydocker turns that on for its containers, and a guard (firewall.guard_rules) drops what
would go from one of the host's own links to another. The guard may not touch anything else: what other runtimes,
virtual machines or VPNs forward is theirs. So it names links:

- all that were there when forwarding was turned on, but for bridges of containers and virtual machines, and their
  ports: until then the host forwarded between none of them;
- of those that come later, only network cards and what is built of them: bonds, VLANs, a bridge with a card as a port.
  A later tunnel or veth pair may be somebody's who found forwarding on, and counts on it.
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
    """The host's own links by name. noted: what counted before still does, also while it is gone; without versions of
    IP, forwarding is being turned on now."""
    found = _cards(links)
    if not noted.versions:
        found |= {name for name, link in links.items() if link.kind != "bridge" and not link.bridge}
    return sorted({*noted.links, *found} - {LOOPBACK})


def _cards(links: dict[str, Link]) -> set[str]:
    """Network cards, and what is built of them."""
    found = {name for name, link in links.items() if link.kind in _CARDS and name != LOOPBACK}
    while True:
        more = {
            name
            for name, link in links.items()
            if (link.kind in _BUILT_OF_LOWER and link.lower in found)
            or (link.kind in _BUILT_OF_PORTS and not _of_containers(name, link) and _ports(links, name) & found)
        }
        if more <= found:
            return found
        found |= more


def _of_containers(name: str, link: Link) -> bool:
    """Whether it is a bridge of mydocker's or, by its name, of another runtime's or libvirt's."""
    return link.alias.startswith(TAG) or name.startswith(tuple(pattern[:-1] for pattern in OTHERS))


def _ports(links: dict[str, Link], name: str) -> set[str]:
    return {port for port, link in links.items() if link.bridge == name}


def bridges(links: dict[str, Link], names: list[str]) -> list[str]:
    """Those of the names that are bridges."""
    return [name for name in names if name in links and links[name].kind == "bridge"]


def foreign_links(links: dict[str, Link], noted: list[str]) -> list[str]:
    """Links that are up and neither the host's own nor mydocker's: whoever has made them may need the host to forward.
    Of a bridge and its ports, the bridge."""
    known = {LOOPBACK, *noted, *_cards(links)}
    return sorted(
        name
        for name, link in links.items()
        if link.up and not link.bridge and name not in known and not link.alias.startswith(TAG)
    )
