"""The commands on mydocker itself. Declarations only: each body hands its parameters on, unparsed."""

from typing import Optional

import typer

from mydocker.cli.declare.common import command, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "System"


@command(app, "info", _PANEL)
def info(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Driver}}'", "-f", "--format"),
) -> int:
    """Show what mydocker found on this host and what it uses"""
    return dispatch("info", locals())


@command(app, "version", _PANEL)
def version(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Client.Version}}'", "-f", "--format"),
) -> int:
    """Show the versions of mydocker, Python and the kernel"""
    return dispatch("version", locals())


@command(app, "netmap", "Networks")
def netmap(
    format: Optional[str] = text("FORMAT", "tree, dot (for graphviz) or json", "-f", "--format"),
) -> int:
    """Draw what is plugged into what: networks, bridges, links, containers, rules"""
    return dispatch("netmap", locals())
