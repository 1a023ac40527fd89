"""`network check`: find what differs between the kernel and the records, and repair it without a restart.

survey.py looks, compare.py tells what is wrong and which steps repair it.
"""

from __future__ import annotations

from time import sleep

from mydocker import state
from mydocker.engine.network import forwarding, networks
from mydocker.engine.network.compare import compare
from mydocker.engine.network.survey import survey
from mydocker.errors import MydockerError, NotFound
from mydocker.network import firewall, leases
from mydocker.network.ops import AddNetworkRules
from mydocker.trace import Trace, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.engine.network.compare import Finding

_SETTLED = 0.3  # seconds in which a start or an end that is under way gets on
_ROUNDS = 3


def check() -> list[Finding]:
    """What is wrong. A start or an end that is under way looks like damage, too: what counts is still there after a
    moment. Raises HostError without iptables."""
    before = {each.key for each in compare(survey())}
    if not before:
        return []
    sleep(_SETTLED)
    return [each for each in compare(survey()) if each.key in before]


def repair() -> tuple[list[Finding], list[tuple[Finding, str]]]:
    """Mend what can be mended. What was wrong, and what still is, with the error if there was one."""
    tried: dict[tuple[str, str], Finding] = {}
    errors: dict[tuple[str, str], str] = {}
    found = check()
    for _ in range(_ROUNDS):  # a container may have ended while its links and rules were being made
        todo = [each for each in found if each.mendable and each.key not in errors]
        if not todo:
            break
        for each in todo:
            try:
                _mend(each)
                tried[each.key] = each
            except (OSError, MydockerError) as error:
                errors[each.key] = str(error)
        found = check()
    left = {each.key: each for each in found}
    return [each for key, each in tried.items() if key not in left], [
        (each, errors.get(key, "")) for key, each in left.items()
    ]


def _mend(finding: Finding) -> None:
    """Raises MydockerError, OSError."""
    seen = finding.container
    if not seen:
        _apply(finding)
        return
    try:
        with state.lock(seen):  # nobody starts it, connects it or changes its ports meanwhile
            now = state.load(seen.id)
            if now == seen and state.is_running(now) == (seen.is_up()):
                _apply(finding)
    except NotFound:
        pass  # it has been removed; what is left then is seen by the next look


def _apply(finding: Finding) -> None:
    with networks.lock():
        Trace("host").run(finding.steps)
        for op in finding.steps:
            if isinstance(op, AddNetworkRules):
                forwarding.note_turned_on(firewall.Guard(op.forwarding_guards, op.own_links))
    undo_all(finding.leftovers)
    for name, lease in finding.missing:
        leases.take(networks.load(name), lease.container_id, lease.names, lease.address)
    for name, lease in finding.stale:
        leases.release(name, lease.address, lease.container_id)
