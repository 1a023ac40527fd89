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
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from _struct import pack, unpack
from time import monotonic_ns

from mydocker import jsontext, shortcut, state  # noqa: F401  state: both halves need it
from mydocker.errors import MydockerError, StepFailed
from mydocker.kernel import cgroups, process
from mydocker.record import record
from mydocker.runtime import handoff
from mydocker.trace import Trace, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

_RLIMIT_CPU, _RLIMIT_FSIZE = 0, 1
# What a container on a network needs besides, and the monitor loads while there is nothing else to do.
_NETWORK = ["mydocker.network.plan", "mydocker.network.leases", "mydocker.kernel.rtnetlink", "mydocker.runtime.control"]
_AT_ONCE = 200  # descriptors in a message; the kernel takes 253
_IGNORED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE, _signal.SIGTSTP)


@record
class Orders:
    """A container to start.

    record: model.container.Container's fields. spec: its config.json. program: its seccomp filter, compiled. networks:
    those that it joins, as JSON; its ends of them are in the record. size: rows and columns of its terminal. fresh: it
    was just made, so nothing can be left of an earlier start. attach: the caller wants its output. stdin: the caller's
    goes in. explain: it wants the trace of the start. log_size: bytes a file. dns: --dns. notes: what the caller has
    done, as Trace has it. Descriptors: lock, the one on the container; shared, the network namespace that it joins, or
    -1; bound_sockets, those of each published port."""

    record: dict[str, Any]
    spec: dict[str, Any]
    program: bytes
    networks: list[dict[str, Any]]
    size: tuple[int, int]
    fresh: bool
    attach: bool
    stdin: bool
    explain: bool
    log_size: int
    log_files: int
    dns: list[str]
    notes: list[Any]
    lock: int
    shared: int = -1
    bound_sockets: dict[str, list[int]] = {}


@record
class _Forked:
    pid: int
    channel: socket
    began: int
    ended: int


_ahead: list[_Forked] = []


def fork_ahead(networks: bool) -> None:
    """Have a monitor at hand for the next launch(). networks: whether its container is likely to be on some."""
    _ahead.append(_fork(_NETWORK if networks else []))


def launch(orders: Orders) -> tuple[int, socket]:
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
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
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
        ours.detach()
        channel = _leave_caller(theirs)
        code = _serve(channel, layout, needed)
    except BaseException as error:
        report_crash(error, channel)
    finally:
        os._exit(code)


def _serve(channel: socket, layout: Layout, needed: list[str]) -> int:
    shortcut.bring("mydocker.runtime.starter")
    if needed:
        shortcut.bring(*needed)
    from mydocker.runtime import starter

    orders = _receive(channel)
    return starter.start(orders, channel, layout) if orders else 0


def _leave_caller(channel: socket) -> socket:
    """Nothing of the caller's stays: only the socket is open, and /dev/null as 0, 1, 2."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor, inheritable=False)
    kept = channel.detach()
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
    return socket(AF_UNIX, SOCK_SEQPACKET, 0, 3)


def report_crash(error: BaseException, client: socket | None, directory: str = "") -> None:
    """An error that nobody foresaw: the caller hears of it, the container's directory keeps it."""
    what = reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    text = f"the monitor failed: {what}"
    try:
        if client:
            client.setblocking(False)
            client.send(b"F" + jsontext.dumps(MydockerError(text).details()).encode())
    except OSError:
        pass
    try:
        if directory:
            with open(f"{directory}/monitor.err", "w", encoding="utf-8") as file:
                file.write(text + "\n")
    except OSError:
        pass


# --- the orders -------------------------------------------------------------------------------------------------------


def _send(channel: socket, orders: Orders) -> None:
    memory = handoff.send(orders.__dict__)
    try:
        # In this order: the one that is shared shall not become 3 or 4, which the container's first process needs.
        descriptors = [memory, orders.lock, *([orders.shared] if orders.shared >= 0 else [])]
        descriptors += [number for sockets in orders.bound_sockets.values() for number in sockets]
        while descriptors:
            some, descriptors = descriptors[:_AT_ONCE], descriptors[_AT_ONCE:]
            channel.sendmsg([b"O" if descriptors else b"L"], [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(some)}i", *some))])
    finally:
        os.close(memory)


def _receive(channel: socket) -> Orders | None:
    """None if the other side has ended without any, or in the middle of them."""
    descriptors: list[int] = []
    kind = b""
    while kind != b"L":
        kind, ancillary, _, _ = channel.recvmsg(1, CMSG_SPACE(4 * _AT_ONCE), MSG_CMSG_CLOEXEC)
        if not kind:
            return None
        descriptors += unpack(f"{len(ancillary[0][2]) // 4}i", ancillary[0][2])
    memory, *rest = descriptors
    orders = Orders(**handoff.receive(memory))
    given = iter(rest)
    orders.lock = next(given)
    if orders.shared >= 0:
        orders.shared = next(given)
    orders.bound_sockets = {text: [next(given) for _ in sockets] for text, sockets in orders.bound_sockets.items()}
    return orders
