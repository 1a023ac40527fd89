"""Supervise a running container: keep its log, answer for names, and wait until it ends.

A monitor that was forked by a command line has everything in memory that a start needs. So, once its container has run
for a while and nobody is attached, it executes itself as a bare interpreter with little more than this module. When its
networks are changed, or the container has ended, it becomes a full monitor again in the same way:

    forked monitor ──▶ bare monitor ── request, or end ──▶ full monitor ──▶ bare monitor …
                                                                └─ end, and a restart ──▶ engine.restarting

It stays the same process, the container's parent, with its descriptors open. One passes `state()` to the next in a
memfd, by marshal, which reads the formats of older Pythons. As nothing else is shared, mydocker and Python may be
upgraded meanwhile. This module imports `posix`, the C module below `os`: os itself would take 0.25 MB more.
"""

from __future__ import annotations

import _signal
import errno
import posix as os
import select
import sys
from time import monotonic, sleep

from mydocker.kernel.title import set_title
from mydocker.runtime import handoff
from mydocker.runtime.crilog import LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.network.resolver import Resolver
    from mydocker.runtime.client import Client

ENDED, REQUESTED, IDLE = "ended", "requested", "idle"
BARE, FULL = "mydocker.runtime.supervise", "mydocker.runtime.monitor"
RESTARTING = "mydocker.engine.restarting"  # a name only: the runtime may not import the engine
_PIECE = 65536
_LINGER = 200  # ms to wait for more output after the end, as other processes may hold the pipe
_LONGEST_DRAIN = 10.0  # seconds
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from {} import resume; resume(int(sys.argv[2]))"
_HELD_BACK = (_signal.SIGTERM, _signal.SIGALRM)


class Supervised:
    """A running container, as its parent sees it.

    container_id, name, stop_signal, stop_timeout: as in its record. freezer: as cgroups.freezer() names it. outputs:
    descriptor -> b"stdout" or b"stderr", or b"" for the terminal of an exec that was left: its output is discarded.
    stdin: the descriptor of its stdin, or -1; a terminal is both. clients: the attached command lines. is_fed: one of
    them has, or had, its stdin; stdin_once: close that after the last of these. ends_with_client: kill it if the first
    of them hangs up, which started it. bound_sockets: those of each published port. control: the listening socket for
    requests, or -1. status: from waitpid, None while it runs.
    """

    def __init__(self, container_id: str, name: str, stop_signal: int, stop_timeout: int, freezer: str = "") -> None:
        self.container_id, self.name, self.freezer = container_id, name, freezer
        self.stop_signal, self.stop_timeout = stop_signal, stop_timeout
        self.pid = self.pidfd = self.stdin = self.control = -1
        self.running = self.stop_requested = self.ends_with_client = self.stdin_once = self.is_fed = False
        self.status: int | None = None
        self.outputs: dict[int, bytes] = {}
        self.bound_sockets: dict[str, list[int]] = {}
        self.networks: list[dict[str, Any]] = []  # those that it is on, as JSON
        self.dns: list[str] = []
        self.log: LogWriter
        self.clients: list[Client] = []
        self.resolver: Resolver | None = None

    # --- signals ------------------------------------------------------------------------------------------------------

    def handle_signals(self) -> None:
        """Stop the container at SIGTERM, which a shutdown sends to every process; SIGALRM ends the time to stop."""
        _signal.signal(_signal.SIGTERM, lambda *_: self._stop())
        _signal.signal(_signal.SIGALRM, lambda *_: self.signal(_signal.SIGKILL))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _HELD_BACK)

    def _stop(self) -> None:
        """Send the stop signal, and SIGKILL after the stop timeout (negative: never). A start is killed at once."""
        self.stop_requested = True
        self.signal(self.stop_signal if self.running else _signal.SIGKILL)
        if self.stop_timeout >= 0:
            _signal.alarm(max(1, self.stop_timeout))

    def signal(self, number: int) -> None:
        """Send a signal that is to end it; a paused container goes on, so that it can."""
        if self.pidfd >= 0 and self.status is None:
            try:
                _signal.pidfd_send_signal(self.pidfd, number)
                self._thaw()
            except OSError:
                pass

    def _thaw(self) -> None:
        """Do what kernel/freezer.py does, with what a bare monitor has loaded."""
        descriptor = os.open(self.freezer, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0" if self.freezer.endswith("/cgroup.freeze") else b"THAWED")
        finally:
            os.close(descriptor)

    # --- names --------------------------------------------------------------------------------------------------------

    def open_resolver(self, descriptors: list[int]) -> None:
        """Answer for the names of its networks on these sockets, which are in the container's namespace."""
        from mydocker.model.network import Network
        from mydocker.network.resolver import HostServers
        from mydocker.network.resolver import adopt as adopt_sockets

        networks = [Network(**each) for each in self.networks]
        self.resolver = adopt_sockets(descriptors, networks, HostServers(self.dns))

    # --- output -------------------------------------------------------------------------------------------------------

    def wait(self, patience: float | None = None) -> str:
        """Pump the output. Returns ENDED when the container has ended and is reaped, REQUESTED when a command line
        connects to the control socket, or IDLE if nobody is attached and nothing is pending after `patience`
        seconds."""
        deadline = None if patience is None else monotonic() + patience
        while True:
            ready = self._poll(deadline)
            if self.pidfd in ready:
                _, self.status = os.waitpid(self.pid, 0)
                return ENDED
            for descriptor in ready:
                if descriptor in self.outputs:
                    self._pump(descriptor)
                elif descriptor == self.control:
                    return REQUESTED
                elif self.resolver:
                    self.resolver.ready(descriptor)
            if deadline is not None and monotonic() >= deadline and self._is_idle():
                return IDLE

    def _is_idle(self) -> bool:
        return not self.clients and not (self.resolver and self.resolver.busy())

    def drain(self) -> None:
        """Pump the remaining output of a container that has ended. A process outside may hold the pipes and go on
        writing, so this is bounded."""
        deadline = monotonic() + _LONGEST_DRAIN
        while self.outputs and monotonic() < deadline:
            ready = self._poll()
            if not ready:
                return  # a process outside still holds the pipe
            for descriptor in ready:
                self._pump(descriptor)

    def _poll(self, deadline: float | None = None) -> list[int]:
        """Wait for readable descriptors. Output stays in the pipes while an attached command line is behind."""
        if self.clients:
            self._note_clients()
        poller = select.poll()
        running = self.status is None
        clients = {client.fileno(): client for client in self.clients}
        behind = any(client.behind for client in self.clients)
        if running:
            for descriptor in self._listening():
                poller.register(descriptor, select.POLLIN)
        if not behind or not running:
            for descriptor in self.outputs:
                poller.register(descriptor, select.POLLIN)
        for descriptor, client in clients.items():
            poller.register(descriptor, select.POLLIN | (select.POLLOUT if client.behind else 0))
        ready = []
        for descriptor, events in poller.poll(self._patience(deadline) if running else _LINGER):
            if descriptor in clients:
                clients[descriptor].react(events)
            else:
                ready.append(descriptor)
        return ready

    def _note_clients(self) -> None:
        """Forget the command lines that have hung up, and close the container's stdin after the last that fed it."""
        remaining = [client for client in self.clients if not client.gone]
        if self.stdin_once and self.is_fed and not any(client.feeds for client in remaining):
            self.close_stdin()
        if self.clients[0].gone and self.ends_with_client:
            self.signal(_signal.SIGKILL)
        self.clients = remaining

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def _listening(self) -> list[int]:
        resolver = self.resolver.descriptors() if self.resolver else []
        return [self.pidfd, *resolver, self.control] if self.control >= 0 else [self.pidfd, *resolver]

    def _patience(self, deadline: float | None) -> int | None:
        """Return the milliseconds until the next timer, None if there is none."""
        times = [] if deadline is None or self.clients else [max(0.0, deadline - monotonic())]
        due = self.resolver.timeout() if self.resolver else None
        if due is not None:
            times.append(due)
        return int(min(times) * 1000) + 1 if times else None

    def _pump(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: no process has the terminal open any more
                raise
            data = b""
        name = self.outputs[descriptor]
        if not data:
            del self.outputs[descriptor]
            if descriptor == self.stdin:
                self.stdin = -1
            os.close(descriptor)
            return
        if not name:
            return
        self.log.write(name, data)
        for client in self.clients:
            client.output(name, data)

    # --- from one interpreter to the next -----------------------------------------------------------------------------

    def become(self, module: str) -> None:
        """Execute a new interpreter, in which `module` takes over this container. Returns only if that fails."""
        execute(module, self.state(), self._descriptors())

    def _descriptors(self) -> list[int]:
        """Return all descriptors that the next interpreter needs."""
        every = [self.pidfd, self.stdin, self.control, *self.outputs]
        every += [number for sockets in self.bound_sockets.values() for number in sockets]
        every += self.resolver.sockets() if self.resolver else []
        return [number for number in every if number >= 0]

    def state(self) -> dict[str, Any]:
        """Return the whole state, for adopt()."""
        return {
            "container": [self.container_id, self.name, self.stop_signal, self.stop_timeout, self.freezer],
            "process": [self.pid, self.pidfd, self.stdin, self.control],
            "status": [self.status, self.stop_requested],
            "outputs": [[descriptor, name.decode()] for descriptor, name in self.outputs.items()],
            "log": self.log.state(),
            "bound_sockets": self.bound_sockets,
            "networks": self.networks,
            "dns": self.dns,
            "resolver": self.resolver.sockets() if self.resolver else [],
        }


def execute(module: str, state: Any, kept: list[int]) -> None:
    """Execute a new interpreter, in which `module` resumes with the descriptors `kept` and a memfd that holds `state`.
    Returns only if that fails."""
    memory = handoff.send(state)
    kept = [0, 1, 2, memory, *kept]
    root = __file__.rpartition("/mydocker/")[0]
    words = [sys.executable, "-ISXutf8", "-c", _PROGRAM.format(module), root, str(memory)]
    environment = {name: value for name, value in os.environ.items() if name.startswith(b"MYDOCKER_")}
    try:
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _HELD_BACK)  # until adopt() handles them again
        os.execve(sys.executable, words, environment)
    except OSError:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _HELD_BACK)
        for descriptor in kept:
            os.set_inheritable(descriptor, False)
        os.close(memory)


def adopt(descriptor: int) -> Supervised:
    """Rebuild the container from the state() of another interpreter."""
    state = handoff.receive(descriptor)
    container = Supervised(*state["container"])
    container.running = True
    container.pid, container.pidfd, container.stdin, container.control = state["process"]
    container.status, container.stop_requested = state["status"]
    container.handle_signals()
    container.outputs = {number: name.encode() for number, name in state["outputs"]}
    container.bound_sockets, container.networks, container.dns = state["bound_sockets"], state["networks"], state["dns"]
    container.log = LogWriter(**state["log"])
    if state["resolver"]:
        container.open_resolver(state["resolver"])
    for number in (0, 1, 2, *container._descriptors()):
        os.set_inheritable(number, False)
    show_title(container.container_id, container.name)
    return container


def show_title(container_id: str, name: str) -> None:
    set_title(f"mydocker: monitor of {name} ({container_id[:12]})", "mydocker")


def resume(descriptor: int) -> None:
    """Main loop of the minimal monitor; becomes the full monitor when there is more to do."""
    container = adopt(descriptor)
    while True:
        if container.status is None:
            container.wait()
        container.become(FULL)
        sleep(1)  # memory is short, or Python is being upgraded: try again
