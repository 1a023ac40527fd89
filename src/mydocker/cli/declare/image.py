"""The commands on images. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, optional, positional, switch, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()
group = typer.Typer(help="Manage images")

_PANEL = "Images"


@command(app, "images", _PANEL)
def images(
    all: bool = flag("Show images without a name, too", "-a", "--all"),
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Don't truncate output", "--no-trunc"),
    digests: bool = flag("Show the digests by which registries know the images", "--digests"),
    filter: List[str] = many("KEY=VALUE", "Filter the list, such as dangling=true", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Repository}}'", "--format"),
    image: Optional[str] = optional("[IMAGE[:TAG]]"),
) -> int:
    """List images"""
    return dispatch("images", locals())


@command(app, "history", _PANEL)
def history(
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    no_trunc: bool = flag("Don't truncate output", "--no-trunc"),
    human: bool = switch("Round sizes and times; --human=false shows bytes and times as they are", "--human", "-H"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.CreatedBy}}'", "--format"),
    image: str = positional("IMAGE"),
) -> int:
    """Show the steps that made an image"""
    return dispatch("history", locals())


@command(app, "tag", _PANEL)
def tag(
    source: str = positional("IMAGE[:TAG]"),
    target: str = positional("NEW[:TAG]"),
) -> int:
    """Give an image another name"""
    return dispatch("tag", locals())


@command(app, "rmi", _PANEL)
def rmi(
    force: bool = flag("Remove an image even if it has several names or stopped containers", "-f", "--force"),
    no_prune: bool = flag("Accepted for compatibility: parent images are never removed", "--no-prune"),
    images: List[str] = positional("IMAGE..."),
) -> int:
    """Remove images"""
    return dispatch("rmi", locals())


@command(app, "import", _PANEL)
def import_(
    change: List[str] = many("INSTRUCTION", "Apply a Dockerfile instruction, such as 'CMD top'", "-c", "--change"),
    message: Optional[str] = text("TEXT", "Message for the image's history", "-m", "--message"),
    platform: Optional[str] = text("PLATFORM", "Platform of the image; only this machine's", "--platform"),
    file: str = positional("FILE|-"),
    image: Optional[str] = optional("[IMAGE[:TAG]]"),
) -> int:
    """Create an image from a tar archive of a root file system"""
    return dispatch("import", locals())


@command(group, "inspect", _PANEL)
def inspect(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Config.Cmd}}'", "-f", "--format"),
    images: List[str] = positional("IMAGE..."),
) -> int:
    """Show details of images"""
    return dispatch("image inspect", locals())


@command(group, "prune", _PANEL)
def prune(
    all: bool = flag("Remove all images that no container uses, not only those without a tag", "-a", "--all"),
    filter: List[str] = many("KEY=VALUE", "Filter the images to remove, such as until=24h", "--filter"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove images that no container uses"""
    return dispatch("image prune", locals())
