"""Shared by the commands that remove: the loop of `network rm` and `volume rm`, and what the prune commands say."""

from __future__ import annotations

from mydocker.cli import ask
from mydocker.cli.streams import tell
from mydocker.errors import MydockerError, NotFound
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def remove_each(names: Iterable[str], remove: Callable[[str], object], force: bool) -> int:
    """Remove each and print its name. Errors are reported at once, and the loop goes on; returns the exit code.

    force: an object that does not exist is not an error.
    """
    code = 0
    for name in names:
        try:
            remove(name)
            print(name)
        except NotFound as error:
            if not force:
                code = tell(error)
        except MydockerError as error:
            code = tell(error)
    return code


def pruned(
    params: dict[str, Any], question: str, prune: Callable[[bool], tuple[list[str], int]]
) -> tuple[list[str], int]:
    """Prune as --force and --dry-run say: without either, ask first. prune: takes dry_run, and returns (what is gone,
    its bytes)."""
    if params["dry_run"] or params["force"] or ask.agreed(question):
        return prune(params["dry_run"])
    return [], 0


def tell_pruned(kind: str, gone: list[str], dry_run: bool) -> None:
    """Print what is gone, under docker's heading."""
    if gone:
        print(f"{kind} that would be deleted:" if dry_run else f"Deleted {kind}:", *gone, "", sep="\n")


def tell_reclaimed(size: int, dry_run: bool) -> None:
    print(
        f"Space that would be reclaimed: {units.human_size(size)}"
        if dry_run
        else f"Total reclaimed space: {units.human_size(size)}"
    )
