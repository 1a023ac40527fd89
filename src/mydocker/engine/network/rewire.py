"""Change what a running container is attached to: `network connect` and `disconnect`, `port add` and `rm`.

    bind        the sockets of new ports
    record      before the act: a command line that is killed from here on leaves nothing that no record names
    attach      veth pairs
    inside      addresses, routes, the sockets of a resolver, in the container's network namespace
    redirect    rules of ports that move to another network, or are no longer published
    detach      veths of networks that the container leaves; their leases are released
    monitor     takes the new sockets, closes those of ports that are gone, answers for names on the present networks
    publish     rules of new ports

So a port's socket is bound before its rule is there, and closed after the rule is gone. After an error, the transition
back undoes what was done.
"""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine.network import binding, networks
from mydocker.engine.process import open_pidfd
from mydocker.errors import Conflict, MydockerError, NotFound
from mydocker.kernel import process, rtnetlink
from mydocker.model.attachments import recorded
from mydocker.network import leases, plan
from mydocker.runtime import control
from mydocker.trace import Trace, attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.attachments import Attachments
    from mydocker.model.container import Container
    from mydocker.model.network import Network


def attachments_of(container: Container) -> Attachments:
    """The attachments on a container's record, with its networks. Raises CorruptRecord."""
    known: list[Network] = []
    for endpoint in container.endpoints:
        try:
            known.append(networks.load(endpoint.network))
        except NotFound:
            continue  # its record is gone
    return recorded(container, known)


def rewire(
    container: Container, before: Attachments, after: Attachments, requested_ports: list[str] | None = None
) -> Attachments:
    """Attach a running container to `after`, and return `after` with the final numbers of all ports.

    before: attachments_of() the container. after: its addresses are leased. requested_ports: for the record, if they
    change. Caller holds the container's lock. Raises MydockerError; then everything is as before, and the new leases
    are released. The exception is a container that has left a network: it stays off that network.
    """
    after, sockets = _bind(container, before, after)
    change = _Change(container, before, after, requested_ports, sockets)
    try:
        change.apply()
    except BaseException:
        change.revert()
        raise
    finally:
        binding.close(sockets)
        change.close()
    return after


def _bind(container: Container, before: Attachments, after: Attachments) -> tuple[Attachments, binding.Sockets]:
    try:
        return binding.bind(before, after)
    except BaseException:
        leases.release_all(container.id, after.endpoints_beyond(before))
        raise


class _Change:
    """A transition under way. detached: a veth has been removed. told: the monitor may have adopted `after`."""

    def __init__(
        self,
        container: Container,
        before: Attachments,
        after: Attachments,
        requested_ports: list[str] | None,
        sockets: binding.Sockets,
    ) -> None:
        self.container, self.before, self.after, self.sockets = container, before, after, sockets
        self.was_requested = container.requested_ports
        self.requested = container.requested_ports if requested_ports is None else requested_ports
        self.resolver: list[int] = []
        self.detached = self.told = False

    def apply(self) -> None:
        steps, trace = plan.transition(self.before, self.after), Trace("host")
        trace.pid = self.container.pid
        self._save(self.after, self.requested)
        trace.run(steps.attach)
        self._run_inside(steps, trace)
        trace.run(steps.redirect)
        try:
            trace.run(steps.detach)
        finally:  # an interrupt may come just after the veth was removed
            self.detached = any(not networks.is_link(each.veth) for each in self.before.endpoints_beyond(self.after))
        self._hand_over()
        trace.run(steps.publish)

    def _hand_over(self) -> None:
        """Release the addresses of networks that the container has left, and have its monitor adopt `after`."""
        leases.release_all(self.container.id, self.before.endpoints_beyond(self.after))
        self.told = True  # even if an interrupt comes before the monitor answers
        self._tell(self.after, self.sockets, self.resolver)

    def revert(self) -> None:
        """Go back to `before`. A running container that has left a network stays as it is."""
        if self.detached and state.is_running(self.container):
            if not self.told:
                self._hand_over()
            return
        steps = plan.transition(self.after, self.before)
        attempt([*steps.redirect, *steps.detach, *steps.publish])
        leases.release_all(self.container.id, self.after.endpoints_beyond(self.before))
        self._save(self.before, self.was_requested)
        if self.told and state.is_running(self.container):
            try:
                self._tell(self.before, {}, [])
            except MydockerError:
                pass  # the container is just ending: then the monitor removes everything

    def close(self) -> None:
        """Close the resolver's sockets. If the container has ended, remove its rules: its monitor may have removed them
        before the last ones were made."""
        for descriptor in self.resolver:
            os.close(descriptor)
        if not state.is_running(self.container):
            for attachments in (self.before, self.after):
                attempt(plan.transition(attachments, None).redirect)

    def _save(self, attachments: Attachments, requested_ports: list[str]) -> None:
        self.container.name = attachments.name
        self.container.networks = [endpoint.to_json() for endpoint in attachments.endpoints]
        self.container.requested_ports, self.container.bound_ports = requested_ports, attachments.ports
        state.save(self.container)

    def _run_inside(self, steps: plan.Steps, trace: Trace) -> None:
        """Run the steps in the container's network namespace, and have the bridges notice that its links are up."""
        if not steps.inside:
            return
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        pidfd = open_pidfd(self.container)
        try:
            if pidfd < 0:
                raise Conflict(f"container {self.container.name} has just ended", "")
            process.setns(pidfd, process.NAMESPACES["network"])
            try:
                trace.run(steps.inside)
            finally:
                process.setns(home, process.NAMESPACES["network"])
                self.resolver = [descriptor for op in steps.inside for descriptor in op.descriptors]
        finally:
            os.close(home)
            if pidfd >= 0:
                os.close(pidfd)
        for endpoint in self.after.endpoints_beyond(self.before):
            rtnetlink.flush_linkwatch(endpoint.veth)

    def _tell(self, attachments: Attachments, sockets: binding.Sockets, resolver: list[int]) -> None:
        control.tell(self.container, list(attachments.networks.values()), sockets, resolver)
