"""How a monitor begins: it is forked before anybody knows what for, so that both halves of a start load side by side.

    command line                                  monitor
       │ fork ─────────────────────────────────────▶ │ a session of its own, nothing of the caller's
       │ load cli and engine, plan, write the bundle │ load runtime and network
       │ ──── O + descriptors: the orders ──────────▶ │ start the container
       │ ◀─── what starter.py says ─────────────────── │

If the command line ends without orders, the monitor does too; it has done nothing yet.
What is imported here is loaded once, for both.
"""

from __future__ import annotations

import _signal
import os
from time import monotonic_ns

from mydocker import shortcut, state  # noqa: F401  state: both halves need it
from mydocker.errors import StepFailed
from mydocker.kernel import cgroups, process
from mydocker.record import record
from mydocker.runtime import handoff, messages
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.kernel.cgroups import Layout

_RLIMIT_CPU, _RLIMIT_FSIZE = 0, 1
# What a container on a network needs besides, and the monitor loads while there is nothing else to do.
_NETWORK = ["mydocker.network.plan", "mydocker.network.leases", "mydocker.kernel.rtnetlink", "mydocker.runtime.control"]
_IGNORED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE, _signal.SIGTSTP)


@record
class _Forked:
    pid: int
    channel: messages.Channel
    began: int
    ended: int


_ahead: list[_Forked] = []


def fork_ahead(networks: bool) -> None:
    """Have a monitor at hand for the next launch(). networks: whether its container is likely to be on some."""
    _ahead.append(_fork(_NETWORK if networks else []))


def launch(orders: messages.Orders) -> tuple[int, messages.Channel]:
    """Give them to a monitor; return its PID and the socket to it. All descriptors go over to it, as copies.

    Raises StepFailed if it is gone.
    """
    if not _ahead:
        from mydocker.runtime import starter  # noqa: F401  here, while it is of the same version as what is running

        fork_ahead(False)
    forked = _ahead.pop()
    notes = Trace("host")
    notes.span("fork the monitor", "setsid …  # fork(2): it outlives the command line", forked.began, forked.ended)
    first = min((start for _, _, _, start, _, _ in orders.notes), default=0)
    if first > forked.ended:
        notes.span("load the program", "# its other half is loaded by the monitor", forked.ended, first)
    orders.notes = notes.notes + orders.notes
    try:
        _send(forked.channel, orders)
    except OSError:
        forked.channel.close()
        os.waitpid(forked.pid, 0)
        raise StepFailed("the monitor ended before it was told anything", "was it killed? see dmesg") from None
    return forked.pid, forked.channel


def _fork(needed: list[str]) -> _Forked:
    """One that waits for orders. needed: what it loads until then."""
    ours, theirs = messages.pair()
    began = monotonic_ns()
    layout = cgroups.layout()
    # On v2 it leaves the caller's cgroup: a service or a session that ends shall not take it along.
    pid, pidfd = process.clone_into(layout.mounts.get("unified", ""), 0)
    if pid:
        os.close(pidfd)
        theirs.close()
        return _Forked(pid, ours, began, monotonic_ns())
    channel, code = theirs, 125
    try:
        ours.socket.detach()
        channel = _leave_caller(theirs)
        code = _serve(channel, layout, needed)
    except BaseException as error:
        messages.report_crash(error, channel)
    finally:
        os._exit(code)


def _serve(channel: messages.Channel, layout: Layout, needed: list[str]) -> int:
    shortcut.bring("mydocker.runtime.starter")
    if needed:
        shortcut.bring(*needed)
    from mydocker.runtime import starter

    orders = _receive(channel)
    return starter.start(orders, channel, layout) if orders else 0


def _leave_caller(channel: messages.Channel) -> messages.Channel:
    """Nothing of the caller's stays: only the socket is open, and /dev/null as 0, 1, 2."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor, inheritable=False)
    kept = channel.socket.detach()
    if kept != 3:
        os.dup2(kept, 3, inheritable=False)
    process.close_from(4)
    _signal.set_wakeup_fd(-1)
    for number in _IGNORED:
        _signal.signal(number, _signal.SIG_IGN)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, (_signal.SIGTERM, _signal.SIGALRM))  # until Supervised.hear_signals()
    for resource in (_RLIMIT_CPU, _RLIMIT_FSIZE):
        process.raise_limit(resource)  # the caller's were meant for the caller
    return messages.channel_of(3)


# --- the orders -------------------------------------------------------------------------------------------------------


def _send(channel: messages.Channel, orders: messages.Orders) -> None:
    memory = handoff.send(orders.__dict__)
    try:
        # In this order: the one that is shared must not become 3 or 4, which the container's first process needs.
        descriptors = [memory, orders.lock, *([orders.shared] if orders.shared >= 0 else [])]
        descriptors += [number for sockets in orders.bound_sockets.values() for number in sockets]
        channel.send(messages.ORDERS, fds=descriptors)
    finally:
        os.close(memory)


def _receive(channel: messages.Channel) -> messages.Orders | None:
    """None if the other side has ended without sending any, or while it sent them."""
    message = channel.receive(longest=1)
    if message.kind != messages.ORDERS:
        return None
    given = iter(message.fds)
    orders = messages.Orders(**handoff.receive(next(given)))
    orders.lock = next(given)
    if orders.shared >= 0:
        orders.shared = next(given)
    orders.bound_sockets = {text: [next(given) for _ in sockets] for text, sockets in orders.bound_sockets.items()}
    return orders
