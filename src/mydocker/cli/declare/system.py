"""The commands on mydocker itself. Declarations only: each body hands its parameters on, unparsed."""

from typing import Optional

import typer

from mydocker.cli.declare.common import command, flag, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()
host = typer.Typer(help="Bring mydocker up and down with the host")

_PANEL = "System"


@command(app, "info", _PANEL)
def info(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Driver}}'", "-f", "--format"),
) -> int:
    """Show what mydocker found on this host and what it uses"""
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
    """Draw what is plugged into what: networks, bridges, links, containers, rules"""
    return dispatch("netmap", locals())


@command(host, "restore")
def restore() -> int:
    """Make networks again after a boot, and start containers by their restart policies

    The unit mydocker.service runs it when the host has booted. Where all is up, it changes nothing.
    """
    return dispatch("system restore", locals())


@command(host, "shutdown")
def shutdown(
    networks: bool = flag("Take the networks' bridges and rules down, too", "--networks"),
) -> int:
    """Stop all containers; those with a restart policy come back at the next restore"""
    return dispatch("system shutdown", locals())
