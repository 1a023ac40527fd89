"""Run the program of a RUN step, in a container like any other: namespaces, cgroup, capabilities, seccomp filter.

The container belongs to the build (`build` in its record): `ps` does not show it, it ends with the process that runs
the step, and the build removes it. What its program writes goes to this process's stdout and stderr.
"""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine import create as creation
from mydocker.engine import start as starting
from mydocker.errors import NotFound
from mydocker.image import store
from mydocker.kernel import files
from mydocker.model.oci.annotations import MADE
from mydocker.model.options import net
from mydocker.model.options.request import CreateRequest
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.engine.build.stage import Shared
    from mydocker.engine.create import Draft
    from mydocker.model.container import Container
    from mydocker.model.options.mounts import Mount

HOSTNAME = "buildkitsandbox"  # BuildKit's, which scripts may know
_OWN_FILE = "/etc/hostname"  # a step may write it, as with BuildKit: it is not mounted


@record
class Program:
    """The program of a RUN step. env: KEY=VALUE, without HOME. user: as USER has it. network: default, none, host or a
    network's name. secrets: variables as env, which are nowhere when the step has ended."""

    argv: list[str]
    env: list[str]
    user: str
    workdir: str
    network: str = "default"
    mounts: list[Mount] = []
    secrets: list[str] = []


def draft(program: Program, layers: list[str], shared: Shared) -> Draft:
    """Plan the container. layers: chain IDs, of stack()."""
    request = _request(program, shared.request.steps)
    request.name = f"build-{shared.id[:12]}-{os.urandom(4).hex()}"
    drafted = creation.draft_of(request, on_top_of(layers), shared.driver, shared.facts)
    drafted.build = shared.id
    spec: dict[str, Any] = drafted.spec
    named = {row.partition("=")[0] for row in [*program.env, *program.secrets]}
    spec["process"]["env"] = [row for row in spec["process"]["env"] if not _is_ours(row, named)]
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != _OWN_FILE]
    spec["annotations"][MADE] = f"{drafted.directory}/made"
    return drafted


def _request(program: Program, steps: CreateRequest) -> CreateRequest:
    mode, endpoints = net.parse([program.network], "", "", [])
    own: dict[str, Any] = {
        "image": "build",
        "entrypoint": [],
        "command": program.argv,
        "env": [*program.env, *program.secrets],
        "user": program.user,
        "workdir": program.workdir,
        "hostname": "" if mode == "host" else HOSTNAME,
        "network": mode,
        "networks": [endpoint.to_json() for endpoint in endpoints],
        "mounts": program.mounts,
    }
    if mode == "none":  # as with a network, the container's own name has an address
        own["extra_hosts"] = [*steps.extra_hosts, f"{HOSTNAME}:127.0.0.1"]
    return CreateRequest(**{**steps.__dict__, **own})


def keep(container: Container, program: Program, shell: list[str], shared: Shared) -> str:
    """Make a container of what a failed step has left, to look into it: its command is a shell. Returns its name."""
    request = _request(
        Program([*shell], program.env, program.user, program.workdir, program.network), shared.request.steps
    )
    request.tty = request.interactive = True
    kept = creation.create(creation.draft_of(request, on_top_of(container.layers), shared.driver, shared.facts))
    for part in ("upper", "rw", "rootfs"):  # where the drivers keep a container's changes
        source, target = f"{container.directory}/{part}", f"{kept.directory}/{part}"
        if os.path.isdir(source):
            files.remove_tree(target)
            os.rename(source, target)
    return kept.name


def _is_ours(row: str, named: set[str]) -> bool:
    """True for the HOSTNAME that every container of `run` gets."""
    return row.startswith("HOSTNAME=") and "HOSTNAME" not in named


def on_top_of(layers: list[str]) -> store.Image:
    """Return an image of these layers that is not in the store (yet)."""
    return store.Image(id="", manifest="", names=[], config={"config": {}}, layers=layers, size=0, created="")


def run(drafted: Draft) -> tuple[Container, int]:
    """Run the program to its end. Returns the container, whose directory has the changes, and the exit code. Raises
    MydockerError if it can't be started; then nothing is left."""
    container = creation.create(drafted)
    try:
        result = starting.start(container, starting.Attaching(), draft=drafted)
    except BaseException:
        remove(container.id)
        raise
    return container, result.exit_code or 0


def remove(container_id: str) -> None:
    """Remove the container of a step, whatever became of it. Harmless if it is gone."""
    from mydocker.engine import lifecycle

    try:
        container = state.load(container_id)
        if container.is_active() or container.error or not container.finished_at:
            lifecycle.remove(container_id, force=True)
            return
        with state.lock(container):
            state.remove(container.id, container.name)
    except NotFound:
        pass
