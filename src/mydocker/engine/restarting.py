"""Between two runs: a monitor whose container has ended and will be restarted executes itself as this module.

It is still the container's monitor, so the container counts as restarting while this process exists. It waits, starts
the next run, which has a monitor of its own, and ends. SIGTERM ends the waiting: lifecycle.stop sends it under the
container's lock, and so does a host that goes down.
"""

from __future__ import annotations

import _signal
import os
from time import sleep

from mydocker import state
from mydocker.engine import start as starting
from mydocker.errors import CorruptRecord, NotFound
from mydocker.runtime import handoff, supervise
from mydocker.runtime import starter as starter  # now: an upgrade could replace the files before it is needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container


def resume(descriptor: int) -> None:
    """Wait, then restart the container. descriptor: supervise.execute's memfd, which holds the container's ID."""
    code = 125
    try:
        container = state.load(handoff.receive(descriptor))
        supervise.show_title(container.id, container.name)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        sleep(container.restart_delay / 1000)
        try:
            starting.start(container, restarting=True)
            code = 0
        except Exception as error:  # the record says why
            _give_up(container, str(error))
    except (NotFound, CorruptRecord):
        pass  # it was removed meanwhile, or is damaged
    finally:
        os._exit(code)


def _give_up(container: Container, why: str) -> None:
    """Record the failure, as docker does. The start may have failed before it updated the record."""
    with state.lock(container):
        container = state.load(container.id)
        if container.is_restarting():
            container.status, container.error = "exited", why
            state.save(container, durable=True)
