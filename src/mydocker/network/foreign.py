"""Firewalls that are not ours, and would stop what our rules let pass: a packet has to be accepted everywhere.

What iptables decides in the host's own flavour is no matter: our rules stand before all others in FORWARD, ufw's,
docker's and libvirt's too. But the other flavour and nftables' own tables are asked as well, and a drop there is final.
(So are firewalld's: kernel/firewalld.py.)
Off the way of starts: `network create` and `network reload` come here.
"""

from __future__ import annotations

import os

from mydocker import jsontext
from mydocker.kernel import iptables, programs
from mydocker.network import firewall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WITHOUT_MEANING = (("ip", "nat"), ("ip6", "nat"), ("inet", "firewalld"), ("ip", "firewalld"), ("ip6", "firewalld"))
UFW = ("/etc/ufw/ufw.conf", "/etc/default/ufw")


def warnings(device: str) -> list[str]:
    """What would stop the bridge's packets on this host, a line each, with what helps. Raises OSError or HostError if
    the host does not tell."""
    nft_flavour = "nf_tables" in programs.run(["iptables", "--version"])
    found = []
    if programs.find("nft"):
        found += nftables(_chains(), device, nft_flavour)
    if nft_flavour and "filter" in _read("/proc/net/ip_tables_names").split() and programs.find("iptables-legacy-save"):
        found += legacy(programs.run(["iptables-legacy-save", "-t", "filter"]), device)
    return found + ufw(*map(_read, UFW))


def nftables(chains: list[dict[str, Any]], device: str, nft_flavour: bool) -> list[str]:
    """chains: of `nft -j list chains`. nft_flavour: whether iptables is a face of nftables' table `filter`."""
    found = []
    for chain in chains:
        ours = nft_flavour and chain["table"] == "filter" and chain["name"] == "FORWARD"
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not ours:
            name = f"{chain['family']} {chain['table']} {chain['name']}"
            accept = " && ".join(f"nft insert rule {name} {end} {device} accept" for end in ("iifname", "oifname"))
            found.append(f"the nftables chain '{name}' may drop what {device} forwards ('{accept}')")
    return found


def nat() -> str:
    """Whose rules give packets that are forwarded another address, in words, or "". Raises OSError or HostError."""
    if firewall.foreign_nat(iptables.save(4, "nat")):
        return "a NAT rule in iptables"
    try:
        return nat_table(_chains()) if programs.find("nft") else ""
    except (OSError, ValueError, KeyError):
        return ""  # a kernel without nftables


def _chains() -> list[dict[str, Any]]:
    rows = jsontext.loads(programs.run(["nft", "-j", "list", "chains"]))["nftables"]
    return [row["chain"] for row in rows if "chain" in row]


def nat_table(chains: list[dict[str, Any]]) -> str:
    """chains: of `nft -j list chains`. Tables of iptables-nft are left out, as are firewalld's, which has one
    always."""
    for chain in chains:
        table = (chain["family"], chain["table"])
        if (chain.get("hook"), chain.get("type")) == ("postrouting", "nat") and table not in _WITHOUT_MEANING:
            return f"the nftables table '{' '.join(table)}'"
    return ""


def legacy(saved: str, device: str) -> list[str]:
    """saved: the legacy flavour's table `filter`, where iptables is of the other."""
    drops = (":FORWARD DROP ", "-A FORWARD -j DROP", "-A FORWARD -j REJECT")
    if not any(line.startswith(drops) for line in saved.splitlines()):
        return []
    accept = " && ".join(f"iptables-legacy -I FORWARD {end} {device} -j ACCEPT" for end in ("-i", "-o"))
    return [
        f"there are rules of iptables-legacy beside those of iptables-nft, and may drop what {device} forwards "
        f"('{accept}', or choose one flavour for all by 'update-alternatives --config iptables')"
    ]


def ufw(switch: str, defaults: str) -> list[str]:
    """The texts of ufw.conf and /etc/default/ufw."""
    if "ENABLED=yes" not in switch.split() or "MANAGE_BUILTINS=yes" not in defaults.split():
        return []
    return ["ufw empties the whole firewall when it is reloaded, MANAGE_BUILTINS=yes (then 'mydocker network reload')"]


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()
