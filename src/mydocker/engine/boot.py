"""system restore and system shutdown: mydocker goes up and down with its host, though nothing of it runs in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mydocker import state
from mydocker.engine import lifecycle
from mydocker.engine import start as starting
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
    """A line that a person should see beside what was done: for stderr."""


def restore() -> Iterator[str | MydockerError]:
    """Record the ends that nobody saw, bring all networks up, start what is to come back.

    What was done comes out as lines, what could not be as errors; what is so already is left alone, and not told of.
    """
    yield from _tried("what was interrupted", _sweep)
    returning: list[Container] = []
    for container_id in state.ids():
        yield from _tried(f"container {container_id[:12]}", _settle, container_id, returning)
    for name in networks.names():
        yield from _tried(f"network {name}", _bring_up, name)
    if networks.names():
        yield from _tried("the rules of networks", reload.reload)
    # Who shares another's network can only come after it.
    for found in sorted(returning, key=lambda each: (each.network.startswith("container:"), each.created)):
        yield from _tried(f"container {found.name}", _start, found)


def _tried(what: str, do: Callable[..., list[str]], *args: Any) -> Iterator[str | MydockerError]:
    try:
        yield from do(*args)
    except NotFound:
        pass  # it has been removed meanwhile
    except MydockerError as error:
        yield MydockerError(f"{what}: {error.message}", error.hint)
    except OSError as error:
        yield MydockerError(f"{what}: {reason(error)}")


def _sweep() -> list[str]:
    state.cleanup()
    return []


def _settle(container_id: str, returning: list[Container]) -> list[str]:
    """What its monitor did not live to do: record its end, and take back what is left of it. returning: gets it, if it
    is to be started."""
    with state.lock(state.stored(container_id)):
        lost = state.stored(container_id).is_active()
        found = state.load(container_id)
        if found.is_active():
            return []
        if lost:
            found.finished_at = found.finished_at or state.now()
            try:
                lifecycle.cleanup(found)
                found.pid, found.bound_ports = 0, []
                found.networks = [endpoint.asked().to_json() for endpoint in found.endpoints]
            finally:
                state.save(found, durable=True)
            if found.auto_remove:
                state.remove(found.id, found.name, found.own_volumes)
                return [f"container {found.name}: removed, as its --rm asks for"]
        before = lost or found.boot_id != state.boot_id() or found.ended_by == restart.BY_SHUTDOWN
        if found.started_at and before and restart.returns_at_boot(found.restart, found.ended_by):
            returning.append(found)
    return [f"container {found.name}: exited ({found.exit_code}), {found.error}"] if lost else []


def _bring_up(name: str) -> list[str]:
    network = networks.load(name)
    if networks.is_up(network):
        return []
    return [f"network {name}: up", *network_lifecycle.bring_up(network)]


def _start(found: Container) -> list[str]:
    try:
        starting.start(found)
    except NotFound as error:  # what it needs: a network, the container whose network it shares
        raise MydockerError(error.message, error.hint) from None
    return [f"container {found.name}: started"]


def shutdown(networks_too: bool = False) -> Iterator[str | MydockerError]:
    """Stop all containers at the same time, each in its own time. Their restart policies are not forgotten: what they
    ask for at a boot is done by the next restore. networks_too: then take down bridges and rules; records stay."""
    ids = state.ids()
    with ThreadPoolExecutor(max(1, len(ids))) as pool:
        for told in pool.map(lambda each: list(_tried(f"container {each[:12]}", _stop, each)), ids):
            yield from told
    for name in networks.names() if networks_too else []:
        yield from _tried(f"network {name}", _take_down, name)


def _stop(container_id: str) -> list[str]:
    found = state.load(container_id)
    if not found.is_active():
        return []
    lifecycle.stop(found, ended_by=restart.BY_SHUTDOWN)
    return [f"container {found.name}: stopped"]


def _take_down(name: str) -> list[str]:
    network = networks.load(name)
    up = networks.is_up(network)
    notes = [Note(line) for line in network_lifecycle.take_down(network)]
    return [f"network {name}: down", *notes] if up else [*notes]
