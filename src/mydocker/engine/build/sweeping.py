"""Remove what killed builds have left: containers of their steps, contexts that they had unpacked, secrets."""

from __future__ import annotations

import os

from mydocker import paths, state
from mydocker.errors import MydockerError
from mydocker.image import build_cache
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def directory(build: str) -> str:
    """Return a build's directory for its context, if it came as an archive."""
    return f"{build_cache.RUNNING}/{build}"


def secrets(build: str) -> str:
    """Return the directory of a build's secrets: in memory, where /run is."""
    return f"{paths.RUN}/_build-{build}"


def sweep() -> None:
    """Remove what builds have left that were killed."""
    for build in build_cache.abandoned():
        clean(build)
        build_cache.forget(build)
    build_cache.cleanup()


def clean(build: str) -> None:
    """Remove the containers and directories of a build."""
    for container_id in _containers(build):
        from mydocker.engine.build import running

        try:
            running.remove(container_id)
        except MydockerError:
            continue  # its monitor is about to remove it, or it can't be killed: `ps -a` does not hide a stuck process
    for path in (directory(build), secrets(build)):
        files.remove_tree(path)
    files.cleanup_hidden(paths.LAYERS)  # the workspaces of stages that were killed


def _containers(build: str) -> Iterable[str]:
    return [container.id for container in state.readable() if container.build == build]


def make_secret(build: str, number: int, content: bytes, mode: int, uid: int, gid: int) -> str:
    """Write a secret for a step. Returns the file's path."""
    files.make_private(secrets(build))
    path = f"{secrets(build)}/{number}-{os.urandom(4).hex()}"
    files.write_new(path, content, 0o600)
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    return path
