"""The commands on mydocker itself. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()
host = typer.Typer(help="Restore mydocker at boot, stop it at shutdown")

_PANEL = "System"


@command(app, "info", _PANEL)
def info(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Driver}}'", "-f", "--format"),
) -> int:
    """Show the host's features, and which of them mydocker uses"""
    return dispatch("info", locals())


@command(app, "version", _PANEL)
def version(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Version}}'", "-f", "--format"),
) -> int:
    """Show the versions of mydocker, Python and the kernel"""
    return dispatch("version", locals())


@command(app, "netmap", "Networks")
def netmap(
    format: Optional[str] = text("FORMAT", "tree, dot (for graphviz) or json", "-f", "--format"),
) -> int:
    """Draw the networks: bridges, links, containers and rules"""
    return dispatch("netmap", locals())


@command(host, "restore")
def restore() -> int:
    """Restore networks after a boot, and start containers by their restart policies

    The unit mydocker.service runs this at boot. It changes nothing if all is up.
    """
    return dispatch("system restore", locals())


@command(host, "shutdown")
def shutdown(
    networks: bool = flag("Remove the networks' bridges and rules, too", "--networks"),
) -> int:
    """Stop all containers; the next restore starts those with a restart policy"""
    return dispatch("system shutdown", locals())


@command(host, "df")
def df(
    verbose: bool = flag("List each image, container and volume", "-v", "--verbose"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Type}} {{.Size}}'", "--format"),
) -> int:
    """Show what images, containers, volumes and the build cache use of the disk

    \b
    mydocker system df
    mydocker system df -v             each thing by itself
    """
    return dispatch("system df", locals())


@command(host, "prune")
def prune(
    all: bool = flag("Remove all images that no container uses, not only those without a tag", "-a", "--all"),
    volumes: bool = flag("Remove anonymous volumes that no container uses, too", "--volumes"),
    filter: List[str] = many("KEY=VALUE", "Filter what to remove, such as until=24h or label=x", "--filter"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove all that nothing uses: containers, networks, images, build cache

    \b
    mydocker system prune --dry-run   show what would be removed
    mydocker system prune -a --volumes
    """
    return dispatch("system prune", locals())
