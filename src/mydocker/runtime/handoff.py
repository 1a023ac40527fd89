"""Pass plain data to another process, or across exec: marshalled, in a memfd, so of any size.

This stays in memory for each container (see supervise.py).
"""

from __future__ import annotations

import marshal
import posix as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def send(value: Any) -> int:
    """Return the memfd. It is closed on exec, unless that is changed."""
    descriptor = os.memfd_create("mydocker")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(marshal.dumps(value, 4))
    return descriptor


def receive(descriptor: int) -> Any:
    """Return the value, and close the memfd."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return marshal.loads(file.read())
