"""rename: a container's new name, everywhere its name stands.

While it is renamed, the container has both names: the new one leads to it before the record has it, and the old one is
free afterwards. A rename that is killed leaves both; the next one frees what is not the record's.
"""

from __future__ import annotations

import os

from mydocker import paths, state
from mydocker.errors import Conflict
from mydocker.model.options import names
from mydocker.ops.namespaces import NETNS, ShowNamespace
from mydocker.trace import Trace, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container


def rename(reference: str, text: str) -> None:
    """Give a container another name. Raises Conflict if it is taken; after an error everything is as before."""
    container = state.find(reference)
    name = names.container_name(text)
    with state.lock(container):
        container = state.load(container.id)
        old = container.name
        for other in set(os.listdir(paths.NAMES)) - {old}:
            state.free_name(container.id, other)
        if name == old:
            raise Conflict(f"container {name} already has that name", "give another")
        state.take_name(container.id, name)
        try:
            _rename(container, name)
        except BaseException:
            state.free_name(container.id, name)
            raise
        if os.path.islink(f"{paths.RUN}/{old}"):
            state.link_in_run(container)
        state.free_name(container.id, old)


def _rename(container: Container, name: str) -> None:
    """Rename the record, and what a running container has of its name. Caller holds the lock."""
    old = container.name
    if not state.is_running(container):
        container.name = name
        state.save(container, durable=True)
        return
    _rename_leases(container, name)
    try:
        _rename_running(container, name)
    except BaseException:
        container.name = old
        state.save(container)
        _rename_leases(container, old)
        raise
    _rename_namespace(container, old)


def _rename_running(container: Container, name: str) -> None:
    """Change the record and, on a network, the rules of its ports; its monitor takes note."""
    if not container.networks:
        container.name = name
        state.save(container, durable=True)
        return
    from mydocker.engine.network.rewire import attachments_of, rewire

    attachments = attachments_of(container)
    rewire(container, attachments, attachments.renamed(name))
    state.save(container, durable=True)


def _rename_leases(container: Container, name: str) -> None:
    """By its leases, a container's name is resolved."""
    for endpoint in container.endpoints:
        if endpoint.address:
            from mydocker.network import leases

            address = endpoint.address.partition("/")[0]
            leases.rename(endpoint.network, address, container.id, [name, *endpoint.aliases])


def _rename_namespace(container: Container, old: str) -> None:
    """Rename its network namespace for `ip netns`, if that is shown."""
    if os.path.islink(f"{NETNS}/{old}"):
        Trace("host").run([ShowNamespace(container.name, container.pid)])
        undo_all([ShowNamespace(old, container.pid)])
        if not state.is_running(container):  # its monitor may have cleaned up before the new name was shown
            undo_all([ShowNamespace(container.name, container.pid)])
