"""What one process leaves for another, or for itself as another program: plain data by marshal, in a memfd, whose size
has no limit.

This stays in memory for each container (see watch.py).
"""

from __future__ import annotations

import marshal
import posix as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def leave(what: Any) -> int:
    """The memfd. It is closed on exec, unless that is changed."""
    descriptor = os.memfd_create("mydocker")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(marshal.dumps(what, 4))
    return descriptor


def take(descriptor: int) -> Any:
    """What was left in it; it is closed."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return marshal.loads(file.read())
