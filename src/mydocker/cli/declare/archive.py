"""save and load. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "Images"


@command(app, "save", _PANEL)
def save(
    output: Optional[str] = text("FILE", "Write to a file, not to stdout", "-o", "--output"),
    platform: Optional[str] = text("PLATFORM", "Platform of the images; only this machine's", "--platform"),
    images: List[str] = positional("IMAGE..."),
) -> int:
    """Save images to a tar archive, which docker, podman, skopeo and others load"""
    return dispatch("save", locals())


@command(app, "load", _PANEL)
def load(
    input: Optional[str] = text("FILE", "Read from a file or an OCI layout, not from stdin", "-i", "--input"),
    quiet: bool = flag("Show no progress", "-q", "--quiet"),
    platform: Optional[str] = text("PLATFORM", "Platform to take from several, such as linux/arm64", "--platform"),
) -> int:
    """Load images from an archive of docker, podman, skopeo or others"""
    return dispatch("load", locals())
