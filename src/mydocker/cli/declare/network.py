"""The commands on networks. Declarations only: each body hands its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer(help="Manage networks")


@command(app, "create")
def create(
    driver: Optional[str] = text("DRIVER", "bridge, the only one and the default", "-d", "--driver"),
    subnet: List[str] = many("ADDRESS/PREFIX", "The network's addresses; without it, a free subnet", "--subnet"),
    gateway: List[str] = many("ADDRESS", "The bridge's own address; without it, the subnet's first", "--gateway"),
    ip_range: List[str] = many("ADDRESS/PREFIX", "The part of the subnet for containers", "--ip-range"),
    internal: bool = flag("No way out of the network", "--internal"),
    ipv6: bool = flag("IPv6, too", "--ipv6"),
    ipam_driver: Optional[str] = text("DRIVER", "default, the only one", "--ipam-driver"),
    scope: Optional[str] = text("SCOPE", "local, the only one", "--scope"),
    mtu: Optional[str] = text("BYTES", "The largest packet, 1500 without it", "--mtu"),
    opt: List[str] = many("KEY=VALUE", "An option of the driver, by docker's name", "-o", "--opt"),
    label: List[str] = many("KEY[=VALUE]", "Label the network", "--label"),
    network: str = positional("NETWORK"),
) -> int:
    """Make a network: a bridge, its rules, and names for the containers on it"""
    return dispatch("network create", locals())


@command(app, "ls")
def ls(
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Print whole IDs", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Show only what matches, such as driver=bridge", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}}'", "--format"),
) -> int:
    """List networks"""
    return dispatch("network ls", locals())


@command(app, "list")
def list_(
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Print whole IDs", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Show only what matches, such as driver=bridge", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}}'", "--format"),
) -> int:
    """List networks with their addresses"""
    return dispatch("network list", locals())


@command(app, "inspect")
def inspect(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Id}}'", "-f", "--format"),
    networks: List[str] = positional("NETWORK..."),
) -> int:
    """Show all that is known of networks"""
    return dispatch("network inspect", locals())


@command(app, "rm")
def rm(
    force: bool = flag("Don't mind networks that don't exist", "-f", "--force"),
    networks: List[str] = positional("NETWORK..."),
) -> int:
    """Remove networks that no running container is on"""
    return dispatch("network rm", locals())


@command(app, "prune")
def prune(
    filter: List[str] = many("KEY=VALUE", "Remove only what matches, such as label=x", "--filter"),
    force: bool = flag("Don't ask first", "-f", "--force"),
) -> int:
    """Remove all networks that no running container is on, but the default one"""
    return dispatch("network prune", locals())


@command(app, "connect")
def connect(
    ip: Optional[str] = text("ADDRESS", "Its address on the network", "--ip"),
    alias: List[str] = many("NAME", "A further name of it on the network", "--alias"),
    network: str = positional("NETWORK"),
    container: str = positional("CONTAINER"),
) -> int:
    """Put a container on a further network"""
    return dispatch("network connect", locals())


@command(app, "disconnect")
def disconnect(
    force: bool = flag("Even if its end of the network is gone", "-f", "--force"),
    network: str = positional("NETWORK"),
    container: str = positional("CONTAINER"),
) -> int:
    """Take a container off a network"""
    return dispatch("network disconnect", locals())


@command(app, "check")
def check(
    repair: bool = flag("Mend what can be mended without a restart", "--repair"),
    format: Optional[str] = text("FORMAT", "json", "--format"),
) -> int:
    """Compare bridges, links, rules and addresses with what is on record"""
    return dispatch("network check", locals())


@command(app, "reload")
def reload() -> int:
    """Make all firewall rules again, after the host's firewall has been emptied"""
    return dispatch("network reload", locals())
