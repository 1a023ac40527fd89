"""Between two runs: a monitor whose container has ended, and is to be started again, executes itself as this.

It is still the container's monitor, so that the container counts as restarting for as long as it is there. It waits,
starts the next run, which has a monitor of its own, and ends. SIGTERM ends the waiting: lifecycle.stop sends it under
the container's lock, and so does a host that goes down.
"""

from __future__ import annotations

import _signal
import os
from time import sleep

from mydocker import state
from mydocker.engine import start as starting
from mydocker.errors import CorruptRecord, NotFound
from mydocker.runtime import (  # noqa: F401  starter: what it will need, while it is of one version
    handoff,
    starter,
    supervise,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container


def resume(descriptor: int) -> None:
    """descriptor: what supervise.execute has left, the container's ID."""
    code = 125
    try:
        found = state.load(handoff.receive(descriptor))
        supervise.show_title(found.id, found.name)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        sleep(found.restart_delay / 1000)
        try:
            starting.start(found, again=True)
            code = 0
        except Exception as error:  # who asks for it finds it in the record
            _give_up(found, str(error))
    except (NotFound, CorruptRecord):
        pass  # it was removed meanwhile, or can only be removed by now
    finally:
        os._exit(code)


def _give_up(found: Container, why: str) -> None:
    """As docker does when a start fails. What has failed may have got no further than before the record says so."""
    with state.lock(found):
        found = state.load(found.id)
        if found.is_restarting():
            found.status, found.error = "exited", why
            state.save(found, durable=True)
