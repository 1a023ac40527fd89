"""The commands on networks. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer(help="Manage networks")


@command(app, "create")
def create(
    driver: Optional[str] = text("DRIVER", "bridge, the only driver", "-d", "--driver"),
    subnet: List[str] = many("ADDRESS/PREFIX", "Subnet of the network (a free one)", "--subnet"),
    gateway: List[str] = many("ADDRESS", "Address of the bridge (the subnet's first)", "--gateway"),
    ip_range: List[str] = many("ADDRESS/PREFIX", "Part of the subnet for containers", "--ip-range"),
    internal: bool = flag("Isolate the network from the outside", "--internal"),
    ipv6: bool = flag("Enable IPv6, too", "--ipv6"),
    ipam_driver: Optional[str] = text("DRIVER", "default, the only one", "--ipam-driver"),
    scope: Optional[str] = text("SCOPE", "local, the only one", "--scope"),
    mtu: Optional[str] = text("BYTES", "MTU of the network (1500)", "--mtu"),
    opt: List[str] = many("KEY=VALUE", "Driver option, by docker's name", "-o", "--opt"),
    label: List[str] = many("KEY[=VALUE]", "Set a label on the network", "--label"),
    network: str = positional("NETWORK"),
) -> int:
    """Create a network: a bridge, its firewall rules, and DNS for its containers"""
    return dispatch("network create", locals())


@command(app, "ls")
def ls(
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Don't truncate IDs", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Filter the list, such as driver=bridge", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}}'", "--format"),
) -> int:
    """List networks"""
    return dispatch("network ls", locals())


@command(app, "list")
def list_(
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Don't truncate IDs", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Filter the list, such as driver=bridge", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}}'", "--format"),
) -> int:
    """List networks with their addresses"""
    return dispatch("network list", locals())


@command(app, "inspect")
def inspect(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Id}}'", "-f", "--format"),
    networks: List[str] = positional("NETWORK..."),
) -> int:
    """Show details of networks"""
    return dispatch("network inspect", locals())


@command(app, "rm")
def rm(
    force: bool = flag("Ignore networks that don't exist", "-f", "--force"),
    networks: List[str] = positional("NETWORK..."),
) -> int:
    """Remove networks that no running container uses"""
    return dispatch("network rm", locals())


@command(app, "prune")
def prune(
    filter: List[str] = many("KEY=VALUE", "Filter the networks to remove, such as label=x", "--filter"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove all networks that no running container uses, except the default one"""
    return dispatch("network prune", locals())


@command(app, "connect")
def connect(
    ip: Optional[str] = text("ADDRESS", "Address of the container on the network", "--ip"),
    alias: List[str] = many("NAME", "Additional name of the container on the network", "--alias"),
    network: str = positional("NETWORK"),
    container: str = positional("CONTAINER"),
) -> int:
    """Connect a container to a network"""
    return dispatch("network connect", locals())


@command(app, "disconnect")
def disconnect(
    force: bool = flag("Disconnect even if the container's endpoint is gone", "-f", "--force"),
    network: str = positional("NETWORK"),
    container: str = positional("CONTAINER"),
) -> int:
    """Disconnect a container from a network"""
    return dispatch("network disconnect", locals())


@command(app, "check")
def check(
    repair: bool = flag("Repair what can be repaired without a restart", "--repair"),
    format: Optional[str] = text("FORMAT", "json", "--format"),
) -> int:
    """Compare bridges, links, rules and addresses with the records"""
    return dispatch("network check", locals())


@command(app, "reload")
def reload() -> int:
    """Restore all firewall rules, after the host's firewall has been flushed"""
    return dispatch("network reload", locals())
