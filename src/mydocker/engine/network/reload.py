"""`network reload`: the rules of all networks and published ports, after the host's firewall has been emptied."""

from __future__ import annotations

from mydocker import state
from mydocker.engine.network import flavours, forwarding, networks, zones
from mydocker.engine.network.rewire import attachments_of
from mydocker.errors import CorruptRecord, MydockerError, NotFound
from mydocker.network import bridge_plan, foreign, leases, plan
from mydocker.trace import Trace, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container
    from mydocker.model.network import Network


def reload() -> list[str]:
    """Recreate missing rules in the flavour of iptables that the host uses, and remove those in the other. Returns
    warnings for the user.

    A network without a bridge gets its rules with the bridge, when it is next used. Raises MydockerError.
    """
    said = [f"warning: {error}" for error in networks.broken().values()]
    for network in networks.networks():
        if networks.is_up(network):
            said += _network(network)
    for container_id in state.ids():
        try:
            container = state.load(container_id)
            if state.is_running(container) and container.bound_ports:
                with state.lock(container):  # changes of its ports or networks hold it, too
                    _publish(state.load(container_id))
        except NotFound:
            continue
        except CorruptRecord as error:
            said.append(f"warning: {error}")
    Trace("host").run(flavours.removals())  # last, so that there is no moment without rules
    return list(dict.fromkeys(said))


def _network(network: Network) -> list[str]:
    """Make a network's rules, and those that keep forwarding to containers if mydocker has turned it on."""
    with leases.lock(network.name):
        if not networks.is_up(network):
            return []
        with networks.lock():
            guard = forwarding.current_guard(network, forwarding.not_forwarded(network))
            Trace("host").run(bridge_plan.bridge_up(network, guard))
            forwarding.note_turned_on(guard)
        said = zones.join(network)
    return said + in_the_way(network)


def _publish(container: Container) -> None:
    """Replace the rules of a container's ports, whatever is left of them."""
    if not state.is_running(container):
        return
    attachments = attachments_of(container)
    Trace("host").run(plan.transition(attachments.with_ports([]), attachments).publish)
    if not _runs(container.id):  # it may have ended, and its monitor removed the rules before these were added
        Trace("host").run(plan.transition(attachments, None).redirect)


def _runs(container_id: str) -> bool:
    try:
        return state.is_running(state.load(container_id))
    except NotFound:
        return False


def in_the_way(network: Network) -> list[str]:
    """Warn of other firewalls that would drop the bridge's packets. A failed look at them is a warning, too."""
    try:
        return [f"warning: {line}" for line in ([] if network.internal else foreign.warnings(network.device))]
    except (OSError, ValueError, KeyError) as error:
        return [f"warning: can't tell whether another firewall is in the way: {reason(error)}"]
    except MydockerError as error:
        return [f"warning: can't tell whether another firewall is in the way: {error}"]
