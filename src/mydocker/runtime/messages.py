"""Messages between a command line, a monitor and a container's first process: who sends what to whom, and when.

A message is one packet on a SOCK_SEQPACKET socket: a letter for its kind, a body, and descriptors (SCM_RIGHTS).

    command line                     monitor                             container's first process
         │ ── ORDERS ──────────────────▶ │ (the lock, the ports' sockets)     .
         │                               │ clone ───────────────────────────▶ │
         │                               │ ── NETWORK_READY ────────────────▶ │ (on networks: the veths are made)
         │                               │ ◀───────────────────── RESOLVER ── │ (on networks with names: its sockets)
         │                               │ ◀───────────────────── LINKS_UP ── │ (on networks)
         │                               │ ◀───────────────────── TERMINAL ── │ (with -t: the terminal's master)
         │                               │ ── GO ───────────────────────────▶ │ (all on the host is done)
         │                               │ ◀──────────────────────── TRACE ── │ (its steps)
         │                               │ ◀────────────────── end of file ── │ success: exec has closed the socket
         │                               │ ◀──────── FAILED, or exec_status ─ │ failure: an error of ours, or -errno
         │ ◀── STARTED ───────────────── │ (a pidfd; stdin, if it is ours)
         │ ◀── FAILED ────────────────── │ (instead: everything is undone)
         │ ◀── TRACE ─────────────────── │ (with --explain: a memfd; after STARTED, before FAILED)
         │ ◀── STDOUT, STDERR … ──────── │ (attached)
         │ ── STDIN_ENDED ─────────────▶ │ (attached: its stdin has ended, and it has closed the container's)
         │ ◀── EXITED ────────────────── │ (attached: the exit code; the end is recorded)

If the command line hangs up before ORDERS, the monitor ends: it has done nothing. If it hangs up later, the container
stays. The command line itself writes to the container's stdin, resizes its terminal and sends it signals.

A later command line attaches through the socket `control` in the container's directory (control.py):

    command line                     monitor
         │ ── ATTACH ──────────────────▶ │ (with stdin, or without)
         │ ◀── STARTED ───────────────── │ (a pidfd; stdin, if it is ours), and so on as above

`exec` has no monitor. Its first process is a joiner, cloned into the container's cgroup:

    command line                         joiner                              child
         │ clone ──────────────────────────▶ │ enter the namespaces
         │ ◀── TERMINAL, TRACE, FAILED ───── │ as above
         │                                   │ execve: trampoline ── clone ─▶ │
         │ ◀── exec_status: the PID ──────── │ wait                           │ execve: the program
         │ ◀── end of file, or exec_status: -errno ────────────────────────── │
         │ ◀── exit, with the child's code ─ │ ◀────────────────────── exit ─ │

A command line that leaves an exec with a terminal gives that to the container's monitor, through the socket `control`:

    command line                     monitor
         │ ── TERMINAL ────────────────▶ │ keep it open, and discard its output
         │ ◀───────────────────── DONE ─ │

A change of a running container's networks or ports (control.py) is made by a command line, and noted by the monitor:

    command line                     monitor
         │ ── UPDATE ──────────────────▶ │ (networks and ports; new sockets)
         │ ◀───────────────── PREPARED ─ │ it is well-formed
         │ ── COMMIT ──────────────────▶ │ take the sockets, close those of ports that are gone
         │ ◀───────────────────── DONE ─ │
"""

from __future__ import annotations

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

from mydocker import jsontext
from mydocker.errors import MydockerError, from_details
from mydocker.record import record
from mydocker.trace import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ORDERS = b"O"
STARTED, EXITED = b"S", b"X"
STDOUT, STDERR = b"o", b"e"
FAILED, TRACE = b"F", b"T"
NETWORK_READY, GO = b"N", b"G"
TERMINAL, RESOLVER, LINKS_UP = b"P", b"D", b"U"
STDIN_ENDED = b"i"
UPDATE, PREPARED, COMMIT, DONE = b"u", b"p", b"c", b"d"
ATTACH = b"a"
_MORE = b"+"  # descriptors of the message that follows

AT_ONCE = 250  # descriptors in one packet: the kernel's SCM_MAX_FD is 253
_LONGEST = 1 << 18  # bytes of a packet; a socket's default send buffer takes less
_EXEC_STATUS = range(-4095, 1 << 22)  # a negative errno, or a PID


@record
class Message:
    """A received message. kind: empty if the other side has hung up."""

    kind: bytes
    body: bytes
    fds: list[int]

    def json(self) -> Any:
        return jsontext.loads(self.body)

    def error(self) -> MydockerError:
        return from_details(self.json())


class Channel:
    """One end of a socket that carries messages."""

    def __init__(self, endpoint: socket) -> None:
        self.socket = endpoint

    def send(self, kind: bytes, body: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send a message, with copies of the descriptors: the caller's own stay open. Raises OSError."""
        while len(fds) > AT_ONCE:
            self.socket.sendmsg([_MORE], _rights(fds[:AT_ONCE]))
            fds = fds[AT_ONCE:]
        if fds:
            self.socket.sendmsg([kind, body], _rights(fds))
        else:
            self.socket.send(kind + body)

    def receive(self, longest: int = _LONGEST) -> Message:
        """Wait for a message. The descriptors are the caller's to close. Raises OSError.

        longest: bytes of it; memory for the default costs four system calls, which a message without a body saves.
        """
        fds: list[int] = []
        try:
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(longest, CMSG_SPACE(4 * AT_ONCE), MSG_CMSG_CLOEXEC)
                for _, _, packed in ancillary:
                    fds += unpack(f"{len(packed) // 4}i", packed)
                if data != _MORE:
                    return Message(data[:1], data[1:], fds)
        except BaseException:
            for descriptor in fds:
                os.close(descriptor)
            raise

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()


def pair() -> tuple[Channel, Channel]:
    """Make a socket pair. Both ends are closed on exec."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    return Channel(ours), Channel(theirs)


def channel_of(descriptor: int) -> Channel:
    """Make a channel of a socket's descriptor, which the channel owns from then on."""
    return Channel(socket(AF_UNIX, SOCK_SEQPACKET, 0, descriptor))


def _rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    return [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(fds)}i", *fds))]


def encode(value: Any) -> bytes:
    """Encode a value as a body for Message.json()."""
    return jsontext.dumps(value).encode()


def exec_status(message: Message) -> int:
    """Return the PID or -errno that the trampoline has sent, as 8 bytes without a letter; 0 for any other message."""
    data = message.kind + message.body
    number = int(unpack("q", data)[0]) if len(data) == 8 else 0
    return number if number in _EXEC_STATUS else 0


@record
class Orders:
    """All that a monitor needs to start a container.

    record: model.container.Container's fields. spec: its config.json. program: its seccomp filter, compiled. networks:
    those that it joins, as JSON; its endpoints are in the record. size: rows and columns of its terminal. fresh: it
    was just created, so an earlier start can't have left anything. attach: the caller wants its output. stdin: the
    caller's stdin is forwarded to it. explain: the caller wants the trace of the start. log_size: bytes a file. dns:
    --dns. notes: what the caller has done, as Trace has it. Descriptors: lock, the one on the container; shared, the
    network namespace that it joins, or -1; joined, pidfds of the containers whose PID or IPC namespace it joins, by the
    kind; bound_sockets, those of each published port."""

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
    joined: dict[str, int] = {}
    bound_sockets: dict[str, list[int]] = {}


def report_crash(error: BaseException, client: Channel | None, directory: str = "") -> None:
    """Report an unforeseen error: to the caller, and in a file in the container's directory."""
    what = reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    text = f"the monitor failed: {what}"
    try:
        if client:
            client.socket.setblocking(False)
            client.send(FAILED, encode(MydockerError(text).details()))
    except OSError:
        pass
    try:
        if directory:
            with open(f"{directory}/monitor.err", "w", encoding="utf-8") as file:
                file.write(text + "\n")
    except OSError:
        pass
