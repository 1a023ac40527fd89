"""explain: the record of a container's last start."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import CorruptRecord, NotFound
from mydocker.kernel.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def trace(found: Container) -> dict[str, Any]:
    """trace.json, as trace.py and monitor.py wrote it. Raises NotFound if it was never started."""
    path = f"{found.directory}/trace.json"
    try:
        read: dict[str, Any] = jsontext.loads(read_regular(path))
    except FileNotFoundError:
        raise NotFound(f"container {found.name} was never started", f"'mydocker start {found.name}' first") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CorruptRecord(f"corrupt trace: {path}: {why}", "it is written anew at the next start") from None
    return read
