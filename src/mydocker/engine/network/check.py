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
from mydocker.network.ops.rules import AddNetworkRules
from mydocker.trace import Trace, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.engine.network.compare import Finding

_PAUSE = 0.3  # seconds in which a start or an end that is under way makes progress
_ROUNDS = 3


def check() -> list[Finding]:
    """Find what is wrong. Raises HostError without iptables.

    A start or an end that is under way looks like damage, too, so only what is still wrong after a moment counts.
    """
    before = {each.key for each in compare(survey())}
    if not before:
        return []
    sleep(_PAUSE)
    return [each for each in compare(survey()) if each.key in before]


def repair() -> tuple[list[Finding], list[tuple[Finding, str]]]:
    """Repair what can be repaired.

    Returns (the repaired findings, the remaining ones, each with the error of its repair or "").
    """
    tried: dict[tuple[str, str], Finding] = {}
    errors: dict[tuple[str, str], str] = {}
    findings = check()
    for _ in range(_ROUNDS):  # a container may end while its links and rules are being recreated
        todo = [each for each in findings if each.repairable and each.key not in errors]
        if not todo:
            break
        for each in todo:
            try:
                _repair(each)
                tried[each.key] = each
            except (OSError, MydockerError) as error:
                errors[each.key] = str(error)
        findings = check()
    left = {each.key: each for each in findings}
    return [each for key, each in tried.items() if key not in left], [
        (each, errors.get(key, "")) for key, each in left.items()
    ]


def _repair(finding: Finding) -> None:
    """Repair one finding, unless its container has changed. Raises MydockerError or OSError."""
    container = finding.container
    if not container:
        _apply(finding)
        return
    try:
        with state.lock(container):  # so that it is not started, connected or modified meanwhile
            now = state.load(container.id)
            if now == container and state.is_running(now) == container.is_up():
                _apply(finding)
    except NotFound:
        pass  # it has been removed; the next survey sees what is left of it


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
