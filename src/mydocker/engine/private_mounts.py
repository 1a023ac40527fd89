"""Mounts that only one process sees: a child (kernel/child.py), with which they end."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.ops.base import Op


def mount_privately(ops: list[Op]) -> None:
    """Give this process, a child, its own mount namespace, and mount there what the ops say."""
    from mydocker.ops.namespaces import Unshare
    from mydocker.ops.rootfs import SetPropagation
    from mydocker.trace import Trace

    Trace("container").run([Unshare(["mount"]), SetPropagation("/", "private"), *ops])
