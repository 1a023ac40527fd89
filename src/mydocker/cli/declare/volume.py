"""The commands on volumes. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, optional, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer(help="Manage volumes")


@command(app, "create")
def create(
    driver: Optional[str] = text("DRIVER", "local, the only driver", "-d", "--driver"),
    label: List[str] = many("KEY[=VALUE]", "Set a label on the volume", "--label"),
    opt: List[str] = many("KEY=VALUE", "What is mounted: type, device, o (options of mount)", "-o", "--opt"),
    volume: Optional[str] = optional("[VOLUME]"),
) -> int:
    """Create a volume; without a name, an anonymous one"""
    return dispatch("volume create", locals())


@command(app, "ls")
def ls(
    quiet: bool = flag("Print names only", "-q", "--quiet"),
    filter: List[str] = many("KEY=VALUE", "Filter the list, such as dangling=true", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}}'", "--format"),
) -> int:
    """List volumes"""
    return dispatch("volume ls", locals())


@command(app, "inspect")
def inspect(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Mountpoint}}'", "-f", "--format"),
    volumes: List[str] = positional("VOLUME..."),
) -> int:
    """Show details of volumes"""
    return dispatch("volume inspect", locals())


@command(app, "rm")
def rm(
    force: bool = flag("Ignore volumes that don't exist", "-f", "--force"),
    volumes: List[str] = positional("VOLUME..."),
) -> int:
    """Remove volumes that no container uses"""
    return dispatch("volume rm", locals())


@command(app, "prune")
def prune(
    all: bool = flag("Remove named volumes, too, not only anonymous ones", "-a", "--all"),
    filter: List[str] = many("KEY=VALUE", "Filter the volumes to remove, such as label=x", "--filter"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove all volumes that no container uses"""
    return dispatch("volume prune", locals())
