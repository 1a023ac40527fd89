"""The changes that update asks for."""

from __future__ import annotations

from mydocker.model.options import resources
from mydocker.model.options.request import RARE_LIMITS, CreateRequest, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mydocker.model.host import HostFacts


def parse(params: Mapping[str, Any], host: HostFacts) -> dict[str, Any]:
    """Return the fields of CreateRequest that change: as with docker, 0 leaves a limit alone, but for that of
    processes, where it means none. Raises InvalidArgument."""
    fields = {key: value for key, value in limits(params, host).items() if value}
    if params.get("pids_limit") is not None:
        fields.setdefault("pids_limit", 0)
    rare = {key: value for key in RARE_LIMITS if (value := params.get(key)) is not None}
    request = CreateRequest([], **fields)
    resources.add(request, rare)
    return {**fields, **{key: value for key in rare if (value := getattr(request, key))}}
