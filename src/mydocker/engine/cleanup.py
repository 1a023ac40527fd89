"""The one clean-up of a dead container: what is left on the host if its command line or its monitor was killed.

The container does not run, and the caller holds its lock. A container that ended cleanly has neither addresses nor a
PID on its record, so then there is little to do.
"""

from __future__ import annotations

from mydocker.errors import CorruptRecord, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container


def cleanup(container: Container, spec: dict[str, Any]) -> None:
    """Remove the cgroup, and what network() removes. Raises OSError, MydockerError."""
    from mydocker.kernel import cgroups
    from mydocker.runtime import plan
    from mydocker.trace import undo_all

    try:
        steps = plan.plan(spec, container.directory, cgroups.layout()).host
    except (ValueError, LookupError) as error:  # of the right types, and nonsense
        why = f"container {container.name}: {container.directory}/config.json: {error!r}"
        raise CorruptRecord(why, f"restore it, or 'mydocker rm -f {container.name}'") from None
    undo_all(steps)
    network(container)


def network(container: Container) -> None:
    """Remove its name for `ip netns`, its ports' rules and its leases; detach its veths. Raises MydockerError."""
    endpoints = container.endpoints
    if container.pid:
        from mydocker.ops.namespaces import ShowNamespace
        from mydocker.trace import undo_all

        undo_all([ShowNamespace(container.name, container.pid)])
    if any(endpoint.address for endpoint in endpoints):
        from mydocker.model.attachments import recorded
        from mydocker.network import plan
        from mydocker.trace import attempt

        steps = plan.transition(recorded(container), None)
        problems = attempt([*steps.redirect, *steps.detach])
        if problems:
            raise HostError(problems[0])
    if endpoints:
        from mydocker.network import leases

        leases.release_unrecorded(container.id, endpoints)
