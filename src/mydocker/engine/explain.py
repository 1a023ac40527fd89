"""explain: the record of a container's last start."""

from __future__ import annotations

from mydocker import jsontext, state
from mydocker.errors import CorruptRecord, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def trace(found: state.Record) -> dict[str, Any]:
    """trace.json, as trace.py and monitor.py wrote it. Raises NotFound if it was never started."""
    path = f"{found.folder}/trace.json"
    try:
        with open(path, "rb") as file:
            read: dict[str, Any] = jsontext.loads(file.read())
    except FileNotFoundError:
        raise NotFound(f"container {found.name} was never started", f"'mydocker start {found.name}' first") from None
    except ValueError as error:
        raise CorruptRecord(f"corrupt trace: {path}: {error}", "it is written anew at the next start") from None
    return read
