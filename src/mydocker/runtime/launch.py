"""Fork a monitor before the request is parsed, so that both halves of a start load in parallel.

The command line loads cli and engine, plans, and writes the bundle. The monitor loads runtime and network meanwhile,
and then waits for its orders. messages.py draws what follows. What this module imports is loaded once, for both.
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
# More modules for a container on a network; the monitor loads them while it waits for its orders.
_NETWORK = ["mydocker.network.plan", "mydocker.network.leases", "mydocker.kernel.rtnetlink"]
_IGNORED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE, _signal.SIGTSTP)


@record
class _Forked:
    pid: int
    channel: messages.Channel
    began: int
    ended: int


_ahead: list[_Forked] = []


def fork_ahead(networks: bool) -> None:
    """Fork a monitor for the next launch(). networks: its container is likely to be on networks."""
    _ahead.append(_fork(_NETWORK if networks else []))


def launch(orders: messages.Orders) -> tuple[int, messages.Channel]:
    """Send the orders to a monitor, with copies of all descriptors. Returns its PID and the channel to it.

    Raises StepFailed if the monitor has ended.
    """
    if not _ahead:
        from mydocker.runtime import starter  # noqa: F401  now: an upgrade could replace the files before the fork

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
        raise StepFailed("the monitor ended before it got its orders", "was it killed? see dmesg") from None
    return forked.pid, forked.channel


def _fork(needed: list[str]) -> _Forked:
    """Fork a monitor that waits for orders. needed: the modules that it loads meanwhile."""
    ours, theirs = messages.pair()
    began = monotonic_ns()
    layout = cgroups.layout()
    # On v2 it leaves the caller's cgroup: otherwise the end of a service or a session would kill it.
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
    """Detach from the caller: new session, closed descriptors, default signals, own limits."""
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
    _signal.pthread_sigmask(_signal.SIG_SETMASK, (_signal.SIGTERM, _signal.SIGALRM))  # until handle_signals()
    for resource in (_RLIMIT_CPU, _RLIMIT_FSIZE):
        process.raise_limit(resource)  # the caller's limits are for the caller
    return messages.channel_of(3)


# --- the orders -------------------------------------------------------------------------------------------------------


def _send(channel: messages.Channel, orders: messages.Orders) -> None:
    memory = handoff.send(orders.__dict__)
    try:
        # In this order: the shared namespace must not become 3 or 4, which the container's first process needs.
        descriptors = [memory, orders.lock, *([orders.shared] if orders.shared >= 0 else [])]
        descriptors += orders.joined.values()
        descriptors += [number for sockets in orders.bound_sockets.values() for number in sockets]
        channel.send(messages.ORDERS, fds=descriptors)
    finally:
        os.close(memory)


def _receive(channel: messages.Channel) -> messages.Orders | None:
    """Receive the orders. None if the command line has ended before it sent all of them."""
    message = channel.receive(longest=1)
    if message.kind != messages.ORDERS:
        return None
    given = iter(message.fds)
    orders = messages.Orders(**handoff.receive(next(given)))
    orders.lock = next(given)
    if orders.shared >= 0:
        orders.shared = next(given)
    orders.joined = {kind: next(given) for kind in orders.joined}
    orders.bound_sockets = {text: [next(given) for _ in sockets] for text, sockets in orders.bound_sockets.items()}
    return orders
