"""exec."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine.execute import ExecRequest
from mydocker.engine.execute import execute as run_in
from mydocker.errors import InvalidArgument
from mydocker.model.options import keyvalue, names
from mydocker.model.options.request import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def execute(params: dict[str, Any]) -> int:
    """Run a command in a container. Returns its exit code, or 0 if it runs detached."""
    if params["tty"] and params["interactive"] and not params["detach"] and not os.isatty(0):
        raise InvalidArgument("the input device is not a TTY", "leave out -t for a pipe, or -i")
    keys = b""
    if params["detach_keys"]:
        from mydocker.model.options import detach

        keys = detach.parse(params["detach_keys"])
    env_files = [(path, read_text(path)) for path in params["env_file"]]
    request = ExecRequest(
        command=params["command"],
        environment=keyvalue.environment(params["env"], env_files, os.environ),
        user=names.user(params["user"] or ""),
        workdir=names.absolute_path(params["workdir"], "working directory") if params["workdir"] else "",
        tty=params["tty"],
        stdin=params["interactive"],
        detach=params["detach"],
        detach_keys=keys,
        privileged=params["privileged"],
    )
    return run_in(state.find(params["container"]), request)
