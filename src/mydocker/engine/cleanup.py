"""The one clean-up of a dead container whose command line or monitor was killed.

Caller holds the container's lock. A clean stop leaves neither addresses nor a PID in the record, so then there is
nothing to do.
"""

from __future__ import annotations

from mydocker.errors import CorruptRecord, HostError
from mydocker.kernel import cgroups
from mydocker.trace import attempt, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def cleanup(container: Container, spec: dict[str, Any]) -> None:
    """Remove the container's cgroup, and do what network() does. Raises OSError, MydockerError."""
    from mydocker.runtime import plan

    try:
        steps = plan.plan(spec, container.directory, cgroups.layout()).host
    except (ValueError, LookupError) as error:  # the types are right, the values are not
        why = f"container {container.name}: {container.directory}/config.json: {error!r}"
        raise CorruptRecord(why, f"restore it, or 'mydocker rm -f {container.name}'") from None
    undo_all(steps)
    network(container)


def network(container: Container) -> None:
    """Remove the container's rules and leases and its name for `ip netns`, detach its veths. Raises MydockerError."""
    endpoints = container.endpoints
    if container.pid:
        from mydocker.ops.namespaces import ShowNamespace

        undo_all([ShowNamespace(container.name, container.pid)])
    if any(endpoint.address for endpoint in endpoints):
        from mydocker.model.attachments import recorded
        from mydocker.network import plan

        steps = plan.transition(recorded(container), None)
        problems = attempt([*steps.redirect, *steps.detach])
        if problems:
            raise HostError(problems[0])
    if endpoints:
        from mydocker.network import leases

        leases.release_unrecorded(container.id, endpoints)
