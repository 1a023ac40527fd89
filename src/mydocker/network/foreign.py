"""Detect firewalls of others that drop what our rules accept: a packet must be accepted by all of them.

Rules in the host's own flavour of iptables do not matter: ours precede all others in FORWARD, those of ufw, docker and
libvirt, too. But the other flavour and tables of nftables are evaluated as well, and a drop there is final. (Those of
firewalld, too: see kernel/firewalld.py.) Only `network create` and `network reload` look for them, not starts.
"""

from __future__ import annotations

import os

from mydocker import jsontext
from mydocker.kernel import iptables, programs
from mydocker.network import firewall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOT_FOREIGN = (("ip", "nat"), ("ip6", "nat"), ("inet", "firewalld"), ("ip", "firewalld"), ("ip6", "firewalld"))
UFW = ("/etc/ufw/ufw.conf", "/etc/default/ufw")


def warnings(device: str) -> list[str]:
    """Describe what may drop the bridge's packets, a line each, with a remedy. Raises OSError or HostError."""
    nft_flavour = "nf_tables" in programs.run(["iptables", "--version"])
    lines = []
    if programs.find("nft"):
        lines += nftables(_chains(), device, nft_flavour)
    if nft_flavour and "filter" in _read("/proc/net/ip_tables_names").split() and programs.find("iptables-legacy-save"):
        lines += legacy(programs.run(["iptables-legacy-save", "-t", "filter"]), device)
    return lines + ufw(*map(_read, UFW))


def nftables(chains: list[dict[str, Any]], device: str, nft_flavour: bool) -> list[str]:
    """Check the chains of `nft -j list chains`. nft_flavour: true if iptables manages nftables' table `filter`."""
    lines = []
    for chain in chains:
        is_iptables = nft_flavour and chain["table"] == "filter" and chain["name"] == "FORWARD"
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not is_iptables:
            name = f"{chain['family']} {chain['table']} {chain['name']}"
            accept = " && ".join(f"nft insert rule {name} {end} {device} accept" for end in ("iifname", "oifname"))
            lines.append(f"the nftables chain '{name}' may drop what {device} forwards ('{accept}')")
    return lines


def nat() -> str:
    """Describe a rule of others that translates addresses of forwarded packets, or "". Raises OSError or HostError."""
    if firewall.has_foreign_nat(iptables.save(4, "nat")):
        return "a NAT rule in iptables"
    try:
        return nat_table(_chains()) if programs.find("nft") else ""
    except (OSError, ValueError, KeyError):
        return ""  # a kernel without nftables


def _chains() -> list[dict[str, Any]]:
    rows = jsontext.loads(programs.run(["nft", "-j", "list", "chains"]))["nftables"]
    return [row["chain"] for row in rows if "chain" in row]


def nat_table(chains: list[dict[str, Any]]) -> str:
    """Look for NAT in the chains of `nft -j list chains`. Tables of iptables-nft do not count, nor those of firewalld,
    which always has one."""
    for chain in chains:
        table = (chain["family"], chain["table"])
        if (chain.get("hook"), chain.get("type")) == ("postrouting", "nat") and table not in _NOT_FOREIGN:
            return f"the nftables table '{' '.join(table)}'"
    return ""


def legacy(saved: str, device: str) -> list[str]:
    """Check the table `filter` of iptables-legacy on a host that uses iptables-nft."""
    drops = (":FORWARD DROP ", "-A FORWARD -j DROP", "-A FORWARD -j REJECT")
    if not any(line.startswith(drops) for line in saved.splitlines()):
        return []
    accept = " && ".join(f"iptables-legacy -I FORWARD {end} {device} -j ACCEPT" for end in ("-i", "-o"))
    return [
        f"rules of iptables-legacy exist beside those of iptables-nft, and may drop what {device} forwards "
        f"('{accept}', or choose one flavour for all by 'update-alternatives --config iptables')"
    ]


def ufw(switch: str, defaults: str) -> list[str]:
    """Check the texts of ufw.conf and /etc/default/ufw."""
    if "ENABLED=yes" not in switch.split() or "MANAGE_BUILTINS=yes" not in defaults.split():
        return []
    return ["ufw empties the whole firewall when it is reloaded, MANAGE_BUILTINS=yes (then 'mydocker network reload')"]


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()
