"""explain: read the trace of a container's last start."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import CorruptRecord, NotFound
from mydocker.kernel.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def trace(container: Container) -> dict[str, Any]:
    """Read trace.json. Raises NotFound if the container was never started, CorruptRecord if the file is damaged."""
    name, path = container.name, f"{container.directory}/trace.json"
    try:
        content: dict[str, Any] = jsontext.loads(read_regular(path))
    except FileNotFoundError:
        raise NotFound(f"container {name} was never started", f"'mydocker start {name}' first") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CorruptRecord(f"corrupt trace: {path}: {why}", "the next start writes a new one") from None
    return content
