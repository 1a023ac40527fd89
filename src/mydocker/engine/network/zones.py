"""Put a network's bridge into firewalld's zone, and take it out again."""

from __future__ import annotations

from mydocker.errors import MydockerError
from mydocker.kernel import firewalld
from mydocker.network.ops.bridges import JoinZone, LeaveZone
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Network
    from mydocker.ops.base import Op


def join(network: Network) -> list[str]:
    """Put the bridge into a zone if firewalld runs and the bridge is in none. Returns warnings for stderr.

    A failure is a warning only: the network is up all the same.
    """
    zones = None if network.internal else firewalld.zones()
    wrong, trace = "", Trace("host")
    try:
        if zones is not None:
            trace.run(plan(network, zones))
        elif not network.internal and firewalld.rules_are_loaded():
            wrong = "it does not answer"
    except MydockerError as error:
        trace.undo_all()
        wrong = error.message
    device = network.device
    return [f"warning: {not_in_zone(device)}: {wrong} ('{firewalld.trust_command(device)}')"] if wrong else []


def plan(network: Network, zones: dict[str, str] | None) -> list[Op]:
    """Plan the step into the zone. zones: of firewalld.zones().

    A bridge that an administrator has put into another zone stays there. The bridge of an internal network forwards
    nothing, so it needs no zone.
    """
    if zones is None or network.internal or network.device in zones:
        return []
    return [JoinZone(network.device)]


def leave(network: Network) -> list[str]:
    """Take the bridge out of mydocker's zone. Returns warnings for stderr."""
    if not firewalld.has(network.device):
        return []
    try:
        Trace("host").run([LeaveZone(network.device)])
    except MydockerError as error:
        return [f"warning: {error.message}"]
    return []


def not_in_zone(device: str) -> str:
    """Describe the problem of a bridge without a zone."""
    return f"firewalld rejects what {device} forwards, because {device} is in no zone"
