"""`network reload`: the rules of all networks and published ports, after the host's firewall has been emptied."""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import flavours, forwarding, networks, zones
from mydocker.errors import CorruptRecord, MydockerError, NotFound
from mydocker.model.network import Attachments
from mydocker.network import foreign, leases, ops, plan
from mydocker.trace import Trace, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container
    from mydocker.model.network import Network


def reload() -> list[str]:
    """Make every rule that is missing, each once, in the flavour of iptables that the host uses, and remove those in
    the other; what a person should know, in lines for stderr.

    A network without a bridge gets its rules with it, when it is next used. Raises StepFailed and other MydockerErrors.
    """
    said = [f"warning: {error}" for error in networks.broken().values()]
    for network in networks.networks():
        if networks.is_up(network):
            said += _network(network)
    for container_id in state.ids():
        try:
            found = state.load(container_id)
            if state.is_running(found) and found.bound_ports:
                with state.lock(found):  # whoever changes its ports or networks has it
                    _publish(state.load(container_id))
        except NotFound:
            continue
        except CorruptRecord as error:
            said.append(f"warning: {error}")
    Trace("host").run(flavours.removals())  # last: there is no moment without rules
    return list(dict.fromkeys(said))


def _network(network: Network) -> list[str]:
    """Its rules, and the one that keeps forwarding to containers if it was mydocker who turned that on."""
    with leases.lock(network.name):
        if not networks.is_up(network):
            return []
        with networks.lock():
            guard = forwarding.guard_now(network, forwarding.not_forwarded(network))
            Trace("host").run(plan.bridge_up(network, guard))
            forwarding.note_turned_on(guard)
        said = zones.join(network)
    return said + in_the_way(network)


def _publish(record: Container) -> None:
    """Its ports' rules, as they were at its start, `port add` included."""
    if not (state.is_running(record) and record.bound_ports):
        return
    joined = [(networks.load(end.network), end) for end in record.endpoints if end.address]
    for op in plan.publish(Attachments(record.id, record.name, joined, record.bound_ports)):
        assert isinstance(op, ops.PublishPorts)
        op.before = op.ports  # it has these, or should: they are replaced, not added
        trace = Trace("host")
        trace.run([op])
        if not _runs(record.id):  # any more: its monitor may have removed the rules before these were made
            trace.run([ops.RemovePorts(record.name, record.id, op.address6)])


def _runs(container_id: str) -> bool:
    try:
        return state.is_running(state.load(container_id))
    except NotFound:
        return False


def in_the_way(network: Network) -> list[str]:
    """The firewalls of others that would stop the bridge's packets; an internal one's go nowhere. To look for them is
    no reason to fail."""
    try:
        return [f"warning: {line}" for line in ([] if network.internal else foreign.warnings(network.device))]
    except (OSError, ValueError, KeyError) as error:
        return [f"warning: can't tell whether another firewall is in the way: {reason(error)}"]
    except MydockerError as error:
        return [f"warning: can't tell whether another firewall is in the way: {error}"]
