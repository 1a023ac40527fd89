"""Restore containers and networks at boot, stop them at shutdown; no daemon is needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mydocker import state
from mydocker.engine import lifecycle
from mydocker.engine import start as starting
from mydocker.engine.bundle import load_spec
from mydocker.engine.cleanup import cleanup
from mydocker.engine.network import lifecycle as network_lifecycle
from mydocker.engine.network import networks, reload
from mydocker.errors import MydockerError, NotFound
from mydocker.model.options import restart
from mydocker.trace import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from mydocker.model.container import Container


class Note(str):
    """A remark for stderr."""


def restore() -> Iterator[str | MydockerError]:
    """Record the ends that no monitor could record, bring all networks up, and start containers by their policies.

    Yields a line for each change, and an error for each failure.
    """
    yield from _tried("what was interrupted", _cleanup_state)
    returning: list[Container] = []
    for container_id in state.ids():
        yield from _tried(f"container {container_id[:12]}", _record_end, container_id, returning)
    for name in networks.names():
        yield from _tried(f"network {name}", _bring_up, name)
    if networks.names():
        yield from _tried("the rules of networks", reload.reload)
    # A container that shares another's network starts after it.
    for container in sorted(returning, key=lambda each: (each.network.startswith("container:"), each.created)):
        yield from _tried(f"container {container.name}", _start, container)


def _tried(what: str, do: Callable[..., list[str]], *args: Any) -> Iterator[str | MydockerError]:
    try:
        yield from do(*args)
    except NotFound:
        pass  # it has been removed meanwhile
    except MydockerError as error:
        yield MydockerError(f"{what}: {error.message}", error.hint)
    except OSError as error:
        yield MydockerError(f"{what}: {reason(error)}")


def _cleanup_state() -> list[str]:
    state.cleanup()
    return []


def _record_end(container_id: str, returning: list[Container]) -> list[str]:
    """Record the end that a dead monitor could not, and clean up. Appends to `returning` if the restart policy asks for
    a start."""
    with state.lock(state.stored(container_id)):
        lost = state.stored(container_id).is_active()
        container = state.load(container_id)
        if container.is_active():
            return []
        if lost:
            container.finished_at = container.finished_at or state.now()
            try:
                cleanup(container, load_spec(container))
                container.pid, container.bound_ports = 0, []
                container.networks = container.requested_networks
            finally:
                state.save(container, durable=True)
            if container.auto_remove:
                state.remove(container.id, container.name, container.own_volumes)
                return [f"container {container.name}: removed, as its --rm asks for"]
        before = lost or container.boot_id != state.boot_id() or container.ended_by == restart.BY_SHUTDOWN
        if container.started_at and before and restart.returns_at_boot(container.restart, container.ended_by):
            returning.append(container)
    return [f"container {container.name}: exited ({container.exit_code}), {container.error}"] if lost else []


def _bring_up(name: str) -> list[str]:
    network = networks.load(name)
    if networks.is_up(network):
        return []
    return [f"network {name}: up", *network_lifecycle.bring_up(network)]


def _start(container: Container) -> list[str]:
    try:
        starting.start(container)
    except NotFound as error:  # of a network, or of the container whose network it shares
        raise MydockerError(error.message, error.hint) from None
    return [f"container {container.name}: started"]


def shutdown(networks_too: bool = False) -> Iterator[str | MydockerError]:
    """Stop all containers at the same time, each with its own stop timeout. The next restore starts them again if their
    restart policies ask for it. networks_too: also take down bridges and rules; the networks' records stay."""
    ids = state.ids()
    with ThreadPoolExecutor(max(1, len(ids))) as pool:
        for lines in pool.map(lambda each: list(_tried(f"container {each[:12]}", _stop, each)), ids):
            yield from lines
    for name in networks.names() if networks_too else []:
        yield from _tried(f"network {name}", _take_down, name)


def _stop(container_id: str) -> list[str]:
    container = state.load(container_id)
    if not container.is_active():
        return []
    lifecycle.stop(container, ended_by=restart.BY_SHUTDOWN)
    return [f"container {container.name}: stopped"]


def _take_down(name: str) -> list[str]:
    network = networks.load(name)
    up = networks.is_up(network)
    notes = [Note(line) for line in network_lifecycle.take_down(network)]
    return [f"network {name}: down", *notes] if up else [*notes]
