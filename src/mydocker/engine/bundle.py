"""What lies in a container's folder beside its record. Imports are restricted: inspect, start and exec come here."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import CorruptRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.request import CreateRequest
    from mydocker.state import Record


def load_spec(found: Record) -> dict[str, Any]:
    """config.json, the OCI bundle, with the parts that a container needs. Raises CorruptRecord."""
    spec = _load(found, "config.json")
    for path in ("process", "root", "linux", "annotations"):
        if not isinstance(spec.get(path), dict):
            raise _corrupt(found, "config.json", f"it has no '{path}'")
    return spec


def load_request(found: Record) -> CreateRequest:
    """request.json, what was asked for when it was created. Raises CorruptRecord."""
    from mydocker.model import request

    return request.from_json(_load(found, "request.json"), f"{found.folder}/request.json")


def _load(found: Record, file: str) -> dict[str, Any]:
    path = f"{found.folder}/{file}"
    try:
        with open(path, "rb") as reader:
            data = jsontext.loads(reader.read())
        if isinstance(data, dict):
            return data
        why = "it is no JSON object"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise _corrupt(found, file, why)


def _corrupt(found: Record, file: str, why: str) -> CorruptRecord:
    return CorruptRecord(
        f"container {found.name}: {found.folder}/{file}: {why}", f"restore it, or 'mydocker rm -f {found.name}'"
    )
