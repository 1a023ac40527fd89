"""The monitor: one process a container that starts it, keeps its log, answers for names, reaps it and clears
up. It needs no daemon and no terminal.

It is forked by `run` or `start` and outlives them. Towards the command line it speaks one way, in messages on a socket:

    S + {"pid"}      started, with two descriptors: a pidfd, and its stdin (pipe or terminal) or nothing
    F + error        not started; everything is taken back
    T + trace        the steps of the start, just after S or before F, if they are wanted
    o, e + bytes     output, for an attached command line
    X + code         ended, recorded and cleared up

What the command line wants of the container it does itself through the descriptors: it writes to stdin, sets the
terminal's size, sends signals. If it goes away, the container stays.
Imports are restricted: this is on the way of every start.
"""

from __future__ import annotations

import _signal
import errno
import os
import select
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
from time import monotonic_ns, time_ns

from mydocker import jsontext, state
from mydocker.errors import HostError, MydockerError, StepFailed, from_details
from mydocker.kernel import cgroups, process
from mydocker.kernel.files import write_atomic
from mydocker.record import record
from mydocker.runtime import init
from mydocker.runtime.crilog import LogWriter
from mydocker.runtime.plan import CLONE, EXECUTE, Plan
from mydocker.trace import Trace, describe, step_failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.network import Network
    from mydocker.network.plan import Wires
    from mydocker.network.resolver import Resolver
    from mydocker.runtime.control import Control

_PIECE = 65536
_RLIMIT_CPU, _RLIMIT_FSIZE = 0, 1
_MESSAGE = 1 << 18


@record
class Wiring:
    """How the container's streams are connected. attach: the caller wants its output. stdin: the caller's goes in.
    explain: it wants the trace of the start. log_size: bytes a file. wires: its networks. held: the sockets of each
    published port. shared: a descriptor of the network namespace that it joins, or -1. dns: --dns."""

    attach: bool
    stdin: bool
    explain: bool = False
    log_size: int = 10_000_000
    log_files: int = 3
    wires: Wires | None = None
    held: dict[str, list[int]] = {}
    shared: int = -1
    dns: list[str] = []


def launch(
    found: state.Record, plan: Plan, layout: cgroups.Layout, wiring: Wiring, trace: Trace, lock: state.Lock
) -> tuple[int, socket]:
    """Fork the monitor; return its PID and the socket to it. The lock on the container and the trace go over to it."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    began = monotonic_ns()
    # On v2 it leaves the caller's cgroup: a service or a session that ends shall not take it along.
    pid, pidfd = process.clone_into(layout.mounts.get("unified", ""), 0)
    if pid:
        os.close(pidfd)
        theirs.close()
        lock.release()
        return pid, ours
    code = 125
    try:
        ours.close()
        os.setsid()
        process.set_name("mydocker")
        process.set_title(f"mydocker: monitor of {found.name} ({found.id[:12]})")
        monitor = _Monitor(found, plan, layout, wiring, theirs, lock, trace)
        trace.span("fork the monitor", "setsid …  # fork(2): it outlives the command line", began)
        code = monitor.run()
    except BaseException as error:
        _last_words(found, theirs, error)
    finally:
        os._exit(code)


def _last_words(found: state.Record, client: socket, error: BaseException) -> None:
    """An error that nobody foresaw: the caller hears of it, the container's folder keeps it."""
    what = describe(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    text = f"the monitor failed: {what}"
    try:
        client.setblocking(False)
        client.send(b"F" + jsontext.dumps(MydockerError(text).details()).encode())
        with open(f"{found.folder}/monitor.err", "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError:
        pass


class _Monitor:
    def __init__(
        self,
        found: state.Record,
        plan: Plan,
        layout: cgroups.Layout,
        wiring: Wiring,
        client: socket,
        lock: state.Lock,
        trace: Trace,
    ) -> None:
        self.found, self.plan, self.layout, self.wiring, self.lock = found, plan, layout, wiring, lock
        self.client: socket | None = client
        self.trace = trace
        self.child_spans: list[dict[str, Any]] = []
        self.pending: list[bytes] = []
        self.outputs: dict[int, bytes] = {}
        self.pid = self.pidfd = self.stdin = -1
        self.told = 0  # when the child said what it had done: from then on it becomes the program
        self.running = False
        self.resolver: Resolver | None = None
        self.control: Control | None = None

    def run(self) -> int:
        self._detach()
        try:
            self._start()
            self._record_start()
        except Exception as cause:
            error = cause if isinstance(cause, MydockerError) else step_failed("start the container", cause)
            self._take_back()
            self._record_failure(error)
            self._keep_trace()
            self.lock.release()
            self._say(b"F", error.details())
            return error.exit_code
        try:
            self._say_started()
            self._watch()
        except BaseException:
            self._take_back()
            raise
        return 0

    def _detach(self) -> None:
        """Nothing of the caller's stays open: only the socket, the lock and /dev/null as 0, 1, 2."""
        assert self.client
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor, inheritable=False)
        keep = {0, 1, 2, self.client.fileno(), self.lock.descriptor, self.wiring.shared}
        keep.update(descriptor for sockets in self.wiring.held.values() for descriptor in sockets)
        for entry in os.listdir("/proc/self/fd"):
            if int(entry) not in keep:
                try:
                    os.close(int(entry))
                except OSError:
                    pass  # the listing's own descriptor
        for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE, _signal.SIGTSTP):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        for resource in (_RLIMIT_CPU, _RLIMIT_FSIZE):
            process.raise_limit(resource)  # the caller's were meant for the caller
        _signal.set_wakeup_fd(-1)
        # Who ends the monitor politely (a shutdown does) wants the container to stop; before it runs, only SIGKILL can.
        _signal.signal(_signal.SIGTERM, lambda *_: self._stop())
        _signal.signal(_signal.SIGALRM, lambda *_: self._signal(9))

    def _stop(self) -> None:
        """The stop signal, then SIGKILL after the container's own time for it (negative: never)."""
        self._signal(self.found.stop_signal if self.running else 9)
        if self.found.stop_timeout >= 0:
            _signal.alarm(max(1, self.found.stop_timeout))

    def _signal(self, number: int) -> None:
        if self.pidfd >= 0:
            try:
                _signal.pidfd_send_signal(self.pidfd, number)
            except OSError:
                pass

    # --- birth --------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Everything up to the running program. Raises MydockerError; then _take_back() has to follow."""
        self.log = LogWriter(f"{self.found.folder}/container.log", self.wiring.log_size, self.wiring.log_files)
        self.trace.run(self.plan.host)
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        streams = [] if self.found.tty else self._pipes()
        flags = 0
        for kind in self.plan.clone:
            flags |= process.NAMESPACES[kind]
        began = monotonic_ns()
        try:
            self.pid, self.pidfd = process.clone_into(self.plan.birthplace, flags)
        except OSError as error:
            hint = "is a limit on processes or namespaces reached?"
            raise StepFailed(
                f"clone the container's first process: {os.strerror(error.errno or 0)}", hint, "clone"
            ) from None
        if self.pid == 0:
            process.set_title("mydocker: init")  # the container sees it: nothing of the host's command line
            ahead = len(self.plan.links) + len(self.plan.published)  # the monitor counts on meanwhile
            init.main(init.container(self.plan), streams, theirs.fileno(), self.trace.number + ahead)
        self.trace.span(CLONE, self.plan.clone_shell(), began)
        theirs.close()
        for descriptor in streams:
            os.close(descriptor)
        self._wire(ours)
        began = monotonic_ns()
        self._hear(ours)
        self.trace.span("wait until the program runs", "wait  # end of file on the socket: exec closed it", began)
        if self.wiring.wires:
            self._settle([end.link for _, end in self.wiring.wires.joined])

    def _wire(self, channel: socket) -> None:
        """The host's side of its networks. The child waits for its links, and builds its root during the rest."""
        for op in (*self.plan.links, *self.plan.published):
            if "pid" in op._fields:
                op.pid = self.pid  # type: ignore[attr-defined]
        try:
            self.trace.run(self.plan.links)
            if self.plan.links:
                channel.send(b"N")
            self.trace.run(self.plan.published)
        except (OSError, MydockerError):
            self._signal(9)
            failure = self._told(channel)  # if it had failed before, that is why
            if failure:
                raise failure from None
            raise

    def _settle(self, links: list[str]) -> None:
        """The bridges let its packets through from now on."""
        from mydocker.kernel import rtnetlink

        began = monotonic_ns()
        for link in links:
            rtnetlink.settle(link)
        self.trace.span("have the bridge see the link", f"cat {' '.join(map(rtnetlink.carrier, links))}", began)

    def _pipes(self) -> list[int]:
        """The child's ends for 0, 1, 2; the monitor's go to self."""
        if self.found.open_stdin:
            stdin, self.stdin = os.pipe()
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        streams = [stdin]
        for name in (b"stdout", b"stderr"):
            ours, theirs = os.pipe()
            self.outputs[ours] = name
            streams.append(theirs)
        return streams

    def _hear(self, channel: socket) -> None:
        """What the child reports, until it has become the program. Raises what it failed of."""
        failure = self._told(channel)
        if failure:
            raise failure
        # The socket also closes when the child is killed on its way; then its program never ran.
        if not self.child_spans:
            oom = cgroups.oom_kills(self.layout, self.plan.spec["linux"]["cgroupsPath"])
            why = "its memory limit is too low for it" if oom else "it was killed"
            raise StepFailed(
                f"the container ended before its program ran: {why}", "give it more with -m" if oom else ""
            )
        self.child_spans.append(
            {
                "side": "container",
                "name": EXECUTE,
                "op": None,
                "args": None,
                "shell": self.plan.exec_shell(),
                "start": self.told,
                "end": monotonic_ns(),
                "error": None,
            }
        )

    def _told(self, channel: socket) -> MydockerError | None:
        """Take the child's messages until it closes its end; what it failed of."""
        failure: MydockerError | None = None
        while True:
            try:
                data, ancillary, _, _ = channel.recvmsg(_MESSAGE, CMSG_SPACE(16), MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                continue  # it has ended without hearing us; what it said comes after this one error
            if not data:
                break
            if data[:1] == b"P":
                self.stdin = unpack("i", ancillary[0][2][:4])[0]
                self.outputs[self.stdin] = b"stdout"
            elif data[:1] == b"D":
                self._open_resolver(list(unpack(f"{len(ancillary[0][2]) // 4}i", ancillary[0][2])))
            elif data[:1] == b"T":
                self.child_spans, self.told = jsontext.loads(data[1:]), monotonic_ns()
            elif data[:1] == b"E":
                failure = from_details(jsontext.loads(data[1:]))
            elif len(data) == 8:
                failure = init.exec_failed(self.plan.spec["process"]["args"][0], -unpack("q", data)[0])
        channel.close()
        return failure

    def _open_resolver(self, descriptors: list[int]) -> None:
        from mydocker.network.resolver import HostServers, adopt

        assert self.wiring.wires
        networks = [network for network, _ in self.wiring.wires.joined]
        self.resolver = adopt(descriptors, networks, HostServers(self.wiring.dns))

    def _take_back(self) -> None:
        """End the child, undo the host's steps."""
        self._signal(9)
        if self.pid > 0:
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass  # it was reaped before
        self._clear_up()

    def _clear_up(self) -> list[str]:
        """Of a container that has ended, all but its record and its log. What can't be undone is returned."""
        if self.control:
            self.control.close()  # whoever is about to change its networks hears that it is too late
            self.control = None
        if self.resolver:
            self.resolver.close()  # its sockets keep the namespace
            self.resolver = None
        problems = self.trace.unwind()
        if self.wiring.wires:
            problems += self._unwire()
        return problems

    def _unwire(self) -> list[str]:
        """Ports and addresses are free again."""
        from mydocker.network import leases

        for sockets in self.wiring.held.values():
            for descriptor in sockets:
                os.close(descriptor)
        self.wiring.held.clear()
        try:
            # The record may tell of a network that a command line was killed in the middle of joining.
            on_disk = state.load(self.found.id).endpoints
            leases.release_all(self.found.id, [*self.found.endpoints, *on_disk])
        except (OSError, MydockerError) as error:
            return [f"could not give its addresses back: {error}"]
        self.found.networks = [end.asked().to_json() for end in self.found.endpoints]
        self.found.ports = []
        return []

    def _record_start(self) -> None:
        found = self.found
        self.running = True
        found.status, found.pid, found.pid_start = "running", self.pid, process.start_time(self.pid)
        if not found.pid_start:  # it is a zombie already: the start of the process is what its monitor saw of it
            found.pid_start = 1
        found.monitor_pid, found.monitor_start = os.getpid(), process.start_time(os.getpid())
        found.boot_id, found.started_at, found.finished_at = state.boot_id(), state.now(), ""
        found.exit_code, found.oom_killed, found.error = 0, False, ""
        if self.wiring.wires:
            from mydocker.runtime.control import Control

            self.control = Control(found.folder, self)
        state.save(found)
        state.publish(found)

    def _record_failure(self, error: MydockerError) -> None:
        found = self.found
        found.status = "exited" if found.finished_at else "created"
        found.networks, found.ports = [end.asked().to_json() for end in found.endpoints], []
        found.pid, found.exit_code, found.error = 0, error.exit_code, str(error)
        try:
            state.save(found)
        except (OSError, HostError):
            pass  # the disk is full, or the container's folder is gone: the caller hears of the first error

    def _say_started(self) -> None:
        found = self.found
        self.lock.release()
        # The pidfd always; stdin to whom it belongs. A detached `-i` keeps it open here, as docker does.
        descriptors = [self.pidfd]
        hand_over = self.wiring.stdin and self.stdin >= 0
        if hand_over or (self.wiring.attach and found.tty):
            descriptors.append(self.stdin)
        self._say(b"S", {"pid": self.pid}, descriptors)
        if hand_over and not found.tty:
            os.close(self.stdin)
            self.stdin = -1
        self._keep_trace()
        if not self.wiring.attach:
            self._drop_client()

    # --- life ---------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Pump the output until the container has ended, then record that and clear up."""
        if self.client:
            self.client.setblocking(False)
        status: int | None = None
        while status is None or self.outputs:
            ready = self._poll(running=status is None)
            if status is not None and not ready:
                break  # somebody outside still holds the pipe
            if self.pidfd in ready:
                _, status = os.waitpid(self.pid, 0)
                oom = cgroups.oom_kills(self.layout, self.plan.spec["linux"]["cgroupsPath"])
                self.found.oom_killed = oom > 0
                # This also ends what may live on without its first process (--pid host).
                problems = self._clear_up()
            for descriptor in ready:
                if descriptor in self.outputs:
                    self._pump(descriptor)
                elif self.resolver and descriptor in self.resolver.descriptors():
                    self.resolver.ready(descriptor)
                elif self.control and descriptor == self.control.descriptor:
                    self.control.serve()
        assert status is not None
        self.log.close()
        if self.log.dropped:
            problems.append(f"{self.log.dropped} bytes of its output could not be logged: {self.log.why}")
        self._record_end(init.exit_code(status), "; ".join(problems))

    def _poll(self, running: bool) -> list[int]:
        """The descriptors that have something to say. Output is left in the pipes while the caller is behind."""
        poller = select.poll()
        if running:
            poller.register(self.pidfd, select.POLLIN)
            for descriptor in self._others():
                poller.register(descriptor, select.POLLIN)
        if not self.pending or not running:
            for descriptor in self.outputs:
                poller.register(descriptor, select.POLLIN)
        if self.client:
            poller.register(self.client.fileno(), select.POLLOUT if self.pending else 0)
        ready = []
        seconds = self.resolver.timeout() if self.resolver else None
        patience = None if seconds is None else int(seconds * 1000) + 1
        for descriptor, events in poller.poll(patience if running else 200):
            if self.client and descriptor == self.client.fileno():
                if events & (select.POLLHUP | select.POLLERR):
                    self._drop_client()
                else:
                    self._flush()
            else:
                ready.append(descriptor)
        return ready

    def update(self, message: dict[str, Any], joined: list[Network], descriptors: list[int]) -> None:
        """What control.py is told: networks and ports of now, and the sockets that hold them."""
        found, held = self.found, self.wiring.held
        had_ports = bool(found.ports)
        found.networks, found.published = message["networks"], message["published"]
        found.ports = message["ports"]
        for text, count in message["held"]:
            held[text], descriptors = descriptors[:count], descriptors[count:]
        for text in [text for text in held if text not in found.ports]:
            for descriptor in held.pop(text):
                os.close(descriptor)
        assert self.wiring.wires
        wires = self.wiring.wires
        wires.joined, wires.ports = list(zip(joined, found.endpoints)), found.ports
        if descriptors:
            if self.resolver:  # of networks with names that it has left since
                self.resolver.close()
            self._open_resolver(descriptors)
        elif self.resolver:
            self.resolver.networks = joined
        if found.ports and not had_ports:  # then nothing that it has done withdraws them at the end
            from mydocker.network import plan as network

            self.trace.adopt(network.publish(wires))

    def _others(self) -> list[int]:
        """Where somebody may want something of the monitor itself."""
        found = self.resolver.descriptors() if self.resolver else []
        return [*found, self.control.descriptor] if self.control else found

    def _pump(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal that nobody has open any more
                raise
            data = b""
        name = self.outputs[descriptor]
        if not data:
            del self.outputs[descriptor]
            if descriptor == self.stdin:
                self.stdin = -1
            os.close(descriptor)
            return
        self.log.write(name, data)
        if self.client:
            self.pending.append((b"o" if name == b"stdout" else b"e") + data)
            self._flush()

    # --- death --------------------------------------------------------------------------------------------------------

    def _record_end(self, code: int, problems: str) -> None:
        found = self.found
        with state.lock(found):
            found.status, found.pid, found.exit_code = "exited", 0, code
            found.finished_at, found.error = state.now(), problems
            if found.auto_remove:
                state.save_last(found)
                state.forget(found.id, found.name, found.own_volumes)
            else:
                self._save_end()
        if self.client:
            self.client.setblocking(True)
            self._flush()
            self._say(b"X", code)

    def _save_end(self) -> None:
        try:
            state.save(self.found, durable=True)
        except (OSError, HostError):
            state.save_last(self.found)  # a full disk: the old record's place is still there

    def _keep_trace(self) -> None:
        """What `explain` shows later, and `run --explain` now. A container that vanishes at its end keeps none."""
        if self.found.auto_remove and not self.wiring.explain:
            return
        trace = {
            "schema": 1,
            "id": self.found.id,
            "name": self.found.name,
            "command": self.found.command,
            "wall": time_ns() / 1e9,
            "origin": monotonic_ns(),
            "spans": self.trace.spans() + self.child_spans,
        }
        if self.wiring.explain:
            self._say(b"T", trace)
        try:
            write_atomic(f"{self.found.folder}/trace.json", jsontext.dumps(trace).encode())
        except (OSError, HostError):
            pass  # a full disk is no reason to end a container that runs

    # --- the caller ---------------------------------------------------------------------------------------------------

    def _say(self, kind: bytes, value: Any, descriptors: list[int] | None = None) -> None:
        if not self.client:
            return
        rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
        try:
            self.client.sendmsg([kind + jsontext.dumps(value).encode()], rights)
        except OSError:
            self._drop_client()

    def _flush(self) -> None:
        while self.pending and self.client:
            try:
                self.client.send(self.pending[0])
            except BlockingIOError:
                return
            except OSError:
                self._drop_client()
                return
            del self.pending[0]

    def _drop_client(self) -> None:
        if self.client:
            self.client.close()
        self.client = None
        self.pending.clear()
