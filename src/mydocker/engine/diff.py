"""diff: the files that a container has added, changed and deleted."""

from __future__ import annotations

from mydocker import state
from mydocker.image.drivers import choice


def diff(reference: str) -> list[tuple[str, str]]:
    """List (A, C or D; the path) of each change in a running or stopped container, sorted by path. As with docker, a
    directory is listed for each change in it, and a deleted one without its content."""
    container = state.find(reference)
    return choice.named(container.driver).differences(container.directory, container.layers)
