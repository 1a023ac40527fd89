"""docker's documents as values with Go's types, for templates."""

from __future__ import annotations

from mydocker.gotemplate.values import Types
from mydocker.model.docker_types import DOCUMENTS, NAMED, STRINGS, STRUCTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.gotemplate.values import Struct

TYPES = Types(NAMED, STRUCTS, STRINGS)


def typed(kind: str, json: dict[str, Any]) -> Struct:
    """The document as docker's client sees it. kind: a key of DOCUMENTS."""
    value: Struct = TYPES.value(DOCUMENTS[kind], json)
    return value
