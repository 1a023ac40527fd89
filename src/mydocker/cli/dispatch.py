"""From a verb to its function."""

from __future__ import annotations

import os
import sys

from mydocker import shortcut
from mydocker.errors import FAILED, OWN, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# verb -> module:function in mydocker.cli.verbs. A function takes the params and returns the exit code.
VERBS = {
    "run": "run:run",
    "create": "run:create",
    "start": "lifecycle:start",
    "attach": "lifecycle:attach",
    "stop": "lifecycle:stop",
    "kill": "lifecycle:kill",
    "restart": "lifecycle:restart",
    "pause": "lifecycle:pause",
    "unpause": "lifecycle:unpause",
    "update": "update:update",
    "rm": "lifecycle:rm",
    "wait": "lifecycle:wait",
    "rename": "lifecycle:rename",
    "top": "looking:top",
    "diff": "looking:diff",
    "stats": "stats:stats",
    "cp": "cp:cp",
    "ps": "ps:ps",
    "logs": "logs:logs",
    "exec": "execute:execute",
    "inspect": "inspect:inspect",
    "explain": "explain:explain",
    "port": "ports:port",
    "commit": "commit:commit",
    "export": "commit:export",
    "images": "images:images",
    "history": "images:history",
    "tag": "images:tag",
    "rmi": "images:rmi",
    "import": "images:import_",
    "build": "build:build",
    "container prune": "prune:containers",
    "container inspect": "inspect:containers",
    "system prune": "prune:everything",
    "builder prune": "build:prune",
    "save": "archive:save",
    "load": "archive:load",
    "pull": "registry:pull",
    "push": "registry:push",
    "login": "registry:login",
    "logout": "registry:logout",
    "image inspect": "images:inspect",
    "image prune": "images:prune",
    "volume create": "volumes:create",
    "volume ls": "volumes:ls",
    "volume inspect": "volumes:inspect",
    "volume rm": "volumes:rm",
    "volume prune": "volumes:prune",
    "network create": "networks:create",
    "network ls": "networks:ls",
    "network list": "networks:list_",
    "network inspect": "networks:inspect",
    "network rm": "networks:rm",
    "network prune": "networks:prune",
    "network connect": "networks:connect",
    "network disconnect": "networks:disconnect",
    "network check": "networks:check",
    "network reload": "networks:reload",
    "netmap": "netmap:netmap",
    "system df": "usage:df",
    "system restore": "system:restore",
    "system shutdown": "system:shutdown",
    "info": "system:info",
    "version": "system:version",
}
_FOR_ANYONE = ("version",)
_STARTERS = ("run", "start")
_MAKERS = ("run", "create")
# These work on something for a while that must not be left half done.
_LONG = (
    *("build", "pull", "push", "save", "load", "import", "commit", "export", "login"),
    *("rmi", "image prune", "builder prune", "volume prune", "system prune"),
)


def dispatch(verb: str, params: dict[str, Any]) -> int:
    """Run a verb. Returns the exit code."""
    try:
        return _do(verb, params)
    except Exception as error:
        if verb in _MAKERS and getattr(error, "exit_code", FAILED) == FAILED:
            error.exit_code = OWN  # type: ignore[attr-defined]
        raise


def _do(verb: str, params: dict[str, Any]) -> int:
    if os.geteuid() != 0 and verb not in _FOR_ANYONE:
        raise HostError("must run as root", f"try 'sudo mydocker {verb} ...'")
    if os.environ.get("MYDOCKER_FAULT"):
        from mydocker import trace

        trace.check_fault()
    if verb in _LONG:
        from mydocker.cli import streams

        streams.end_tidily()
    if verb in _STARTERS:
        shortcut.bring("mydocker.runtime.launch")
        from mydocker.runtime import launch

        launch.fork_ahead(networks="none" not in params.get("network", []))
    module, _, function = VERBS[verb].partition(":")
    name = f"mydocker.cli.verbs.{module}"
    shortcut.bring(name, part=verb.replace(" ", "-"))
    code: int = getattr(sys.modules[name], function)(params)
    return code
