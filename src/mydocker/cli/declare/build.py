"""build, and the commands on its cache. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()
builder = typer.Typer(help="Manage the build cache")

_PANEL = "Images"
_STEPS = "Containers of the steps"
_OTHER = "Accepted for compatibility"


@command(app, "build", _PANEL)
def build(
    tag: List[str] = many("NAME[:TAG]", "Name of the image", "-t", "--tag"),
    file: Optional[str] = text("FILE|-", "The Dockerfile (Dockerfile in the context)", "-f", "--file"),
    build_arg: List[str] = many("NAME[=VALUE]", "Set a variable that the Dockerfile declares by ARG", "--build-arg"),
    target: Optional[str] = text("STAGE", "Build this stage (the last)", "--target"),
    label: List[str] = many("KEY[=VALUE]", "Set a label on the image", "--label"),
    secret: List[str] = many(
        "SECRET", "A secret for RUN --mount=type=secret: id=NAME,src=FILE or env=VARIABLE", "--secret"
    ),
    no_cache: bool = flag("Run every step, whatever the cache has", "--no-cache"),
    pull: bool = flag("Ask registries for newer versions of the images in FROM", "--pull"),
    platform: Optional[str] = text("PLATFORM", "Platform of the image; only this machine's", "--platform"),
    output: List[str] = many(
        "DEST", "Write the files instead of an image: DIR, -, type=tar,dest=FILE", "-o", "--output"
    ),
    iidfile: Optional[str] = text("FILE", "Write the image's ID to a file", "--iidfile"),
    quiet: bool = flag("Print the image's ID only", "-q", "--quiet"),
    progress: Optional[str] = text("FORM", "auto, plain, tty or quiet: how the steps are shown", "--progress"),
    debug: bool = flag("Keep the container of a step that fails, to look into it", "--debug"),
    network: Optional[str] = text(
        "NETWORK", "Network of RUN: default, none, host or a name", "--network", panel=_STEPS
    ),
    add_host: List[str] = many("NAME:ADDRESS", "Add a line to /etc/hosts", "--add-host", panel=_STEPS),
    memory: Optional[str] = text("SIZE", "Memory limit", "-m", "--memory", panel=_STEPS),
    memory_swap: Optional[str] = text("SIZE", "Limit of memory plus swap; -1: none", "--memory-swap", panel=_STEPS),
    cpu_shares: Optional[str] = text("NUMBER", "CPU shares (relative weight)", "-c", "--cpu-shares", panel=_STEPS),
    cpuset_cpus: Optional[str] = text("LIST", "CPUs that they may use, such as 0-2,4", "--cpuset-cpus", panel=_STEPS),
    cpuset_mems: Optional[str] = text("LIST", "Memory nodes that they may use", "--cpuset-mems", panel=_STEPS),
    shm_size: Optional[str] = text("SIZE", "Size of /dev/shm (64m)", "--shm-size", panel=_STEPS),
    ulimit: List[str] = many("NAME=SOFT[:HARD]", "Set a resource limit", "--ulimit", panel=_STEPS),
    rm: bool = flag("Containers of steps are always removed", "--rm", panel=_OTHER),
    force_rm: bool = flag("Containers of steps are always removed", "--force-rm", panel=_OTHER),
    compress: bool = flag("The context is read where it is", "--compress", panel=_OTHER),
    load: bool = flag("The image is always in the store", "--load", panel=_OTHER),
    disable_content_trust: bool = flag("Signatures are not verified", "--disable-content-trust", panel=_OTHER),
    context: str = positional("DIRECTORY|-"),
) -> int:
    """Build an image from a Dockerfile"""
    return dispatch("build", locals())


@command(builder, "prune")
def prune(
    all: bool = flag("Also remove results that images still share", "-a", "--all"),
    filter: List[str] = many("KEY=VALUE", "Filter what to remove: until=24h, id=ID, type=regular", "--filter"),
    keep_storage: Optional[str] = text("SIZE", "Keep the results used last, up to this size", "--keep-storage"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove the build cache"""
    return dispatch("builder prune", locals())
