"""update."""

from __future__ import annotations

from mydocker import state
from mydocker.cli.verbs.lifecycle import each
from mydocker.engine import host
from mydocker.engine import update as engine
from mydocker.errors import InvalidArgument
from mydocker.model.options import changes as requested
from mydocker.model.options import restart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def update(params: dict[str, Any]) -> int:
    facts = host.look()
    policy = "" if params["restart"] is None else restart.parse(params["restart"])
    changes = requested.parse(params, facts)
    if not policy and all(value is None for key, value in params.items() if key != "containers"):
        raise InvalidArgument("nothing to update", "give a limit such as --memory 200m, or --restart POLICY")

    def one(reference: str) -> None:
        engine.update(state.find(reference), changes, policy, facts)
        print(reference)

    return each(params["containers"], one)
