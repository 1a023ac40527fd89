"""The commands on registries. Declarations only: each body passes its parameters on, unparsed."""

from typing import Optional

import typer

from mydocker.cli.declare.common import command, flag, optional, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "Images"


@command(app, "pull", _PANEL)
def pull(
    all_tags: bool = flag("Pull all tags of the repository", "-a", "--all-tags"),
    disable_content_trust: bool = flag(
        "Accepted for compatibility: no signatures are verified", "--disable-content-trust"
    ),
    platform: Optional[str] = text(
        "PLATFORM", "Pull the image for another platform, such as linux/arm64", "--platform"
    ),
    quiet: bool = flag("Print the image's name only", "-q", "--quiet"),
    image: str = positional("NAME[:TAG|@DIGEST]"),
) -> int:
    """Pull an image from a registry"""
    return dispatch("pull", locals())


@command(app, "push", _PANEL)
def push(
    all_tags: bool = flag("Push all tags of the repository", "-a", "--all-tags"),
    disable_content_trust: bool = flag("Accepted for compatibility: nothing is signed", "--disable-content-trust"),
    quiet: bool = flag("Print the image's name only", "-q", "--quiet"),
    image: str = positional("NAME[:TAG]"),
) -> int:
    """Push an image to a registry"""
    return dispatch("push", locals())


@command(app, "login", _PANEL)
def login(
    username: Optional[str] = text("NAME", "User; asked for if absent", "-u", "--username"),
    password: Optional[str] = text(
        "PASSWORD", "Password, which others can see in the list of processes", "-p", "--password"
    ),
    password_stdin: bool = flag("Read the password from stdin", "--password-stdin"),
    server: Optional[str] = optional("[HOST[:PORT]]"),
) -> int:
    """Log in to a registry"""
    return dispatch("login", locals())


@command(app, "logout", _PANEL)
def logout(
    server: Optional[str] = optional("[HOST[:PORT]]"),
) -> int:
    """Log out from a registry"""
    return dispatch("logout", locals())
