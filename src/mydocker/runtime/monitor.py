"""The monitor: one process a container that starts it, keeps its log, answers for names, reaps it and clears
up. It needs no daemon and no terminal.

It is forked by `run` or `start` (launch.py) and outlives them. Towards the command line it speaks one way, in messages
on a socket:

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
import os
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from _struct import unpack
from time import monotonic_ns, sleep, time_ns

from mydocker import jsontext, state
from mydocker.errors import CorruptRecord, HostError, MydockerError, StepFailed, from_details
from mydocker.kernel import cgroups, process
from mydocker.kernel.files import write_atomic
from mydocker.kernel.title import set_title
from mydocker.model import restart
from mydocker.model.times import parse_rfc3339
from mydocker.runtime import init, watch
from mydocker.runtime.client import Client
from mydocker.runtime.crilog import LogWriter
from mydocker.runtime.launch import Orders, last_words
from mydocker.runtime.plan import CLONE, EXECUTE, Plan, plan
from mydocker.trace import Trace, step_failed, take_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.network import Network, Wires
    from mydocker.runtime.control import Control

_MESSAGE = 1 << 18
_PATIENCE = 3.0  # seconds until a monitor makes itself small: what starts many at once has better use for the processor


def start(orders: Orders, client: socket, layout: cgroups.Layout) -> int:
    """Start the container that the orders are about, and be its monitor until its end; an exit code."""
    found = state.Record(**orders.record)
    try:
        watch.show_title(found.id, found.name)
        life = watch.Watch(found.id, found.name, found.stop_signal, found.stop_timeout)
        life.client, life.held, life.dns, life.networks = Client(client), orders.held, orders.dns, orders.networks
        life.hear_signals()
        return _Monitor(found, layout, life, Trace("host", notes=orders.notes)).run(orders)
    except BaseException as error:
        last_words(error, client, found.folder)
        return 125


def resume(descriptor: int) -> None:
    """A bare monitor has become a full one again: watch.py. Its container is wanted, or has ended."""
    code = 125
    life = watch.adopt(descriptor)
    found = state.load(life.container_id)
    try:
        monitor = _Monitor(found, cgroups.layout(), life, Trace("host"))
        with open(f"{found.folder}/config.json", "rb") as file:
            monitor.adopt(jsontext.loads(file.read()))
        monitor.live()
        code = 0
    except BaseException as error:
        last_words(error, None, found.folder)
    finally:
        os._exit(code)


def _wires(found: state.Record, life: watch.Watch) -> Wires | None:
    if not life.networks:
        return None
    from mydocker.model.network import Network, Wires

    networks = [Network(**each) for each in life.networks]
    return Wires(found.id, found.name, list(zip(networks, found.endpoints)), found.ports)


class _Monitor:
    """watch: the container from its parent's side, in the long time when nothing happens; it goes from one interpreter
    to the next."""

    def __init__(self, found: state.Record, layout: cgroups.Layout, life: watch.Watch, trace: Trace) -> None:
        self.found, self.layout, self.life, self.trace = found, layout, life, trace
        self.wires = _wires(found, life)
        self.plan: Plan
        self.child_spans: list[dict[str, Any]] = []
        self.told = 0  # when the child said what it had done: from then on it becomes the program
        self.control: Control | None = None

    def run(self, orders: Orders) -> int:
        """From its start to its end."""
        try:
            self._start(orders)
            self._record_start()
        except Exception as cause:
            error = cause if isinstance(cause, MydockerError) else step_failed("start the container", cause)
            self._take_back()
            self._record_failure(error)
            self._keep_trace(orders)
            os.close(orders.lock)
            self._say(b"F", error.details())
            return error.exit_code
        os.close(orders.lock)
        self._say_started(orders)
        self.live()
        return 0

    def adopt(self, spec: dict[str, Any]) -> None:
        """Its container runs: another interpreter has started it."""
        self.plan = plan(spec, self.found.folder, self.layout, name=self.found.name, wires=self.wires)
        self.trace.adopt([*self.plan.host, *self.plan.links, *self.plan.published])
        self.tell_pid()
        if self.life.control >= 0:
            self.listen(self.life.control)

    def live(self) -> None:
        """Until the container has ended, and all is recorded and cleared up; or as another interpreter."""
        life = self.life
        patience: float | None = _PATIENCE
        try:
            while life.status is None:
                event = life.wait(patience)
                if event == watch.WANTED and self.control:
                    self.control.serve()
                elif event == watch.SETTLED:
                    life.become(watch.BARE)
                    patience = None  # it can't be: then it stays as it is
            self._end()
        except BaseException:
            self._take_back()
            raise

    # --- birth --------------------------------------------------------------------------------------------------------

    def _start(self, orders: Orders) -> None:
        """Everything up to the running program. Raises MydockerError; then _take_back() has to follow."""
        found, began = self.found, monotonic_ns()
        self.plan = plan(
            orders.spec, found.folder, self.layout, orders.size, found.name, self.wires, orders.shared, orders.program
        )
        if not orders.fresh:
            take_back(self.plan.host)  # what a monitor that was killed could not
        self.trace.span("plan every step", f"cat {found.folder}/config.json", began)
        self.life.log = LogWriter(f"{found.folder}/container.log", orders.log_size, orders.log_files)
        self.trace.run(self.plan.host)
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        streams = [] if found.tty else self._pipes()
        flags = 0
        for kind in self.plan.clone:
            flags |= process.NAMESPACES[kind]
        began = monotonic_ns()
        try:
            self.life.pid, self.life.pidfd = process.clone_into(self.plan.birthplace, flags)
        except OSError as error:
            hint = "is a limit on processes or namespaces reached?"
            raise StepFailed(
                f"clone the container's first process: {os.strerror(error.errno or 0)}", hint, "clone"
            ) from None
        if self.life.pid == 0:
            set_title("mydocker: init")  # the container sees it: nothing of the host's command line
            ahead = len(self.plan.links) + len(self.plan.published)  # the monitor counts on meanwhile
            number = self.trace.number + ahead
            init.main(init.container(self.plan), streams, theirs.fileno(), number, tells=self._is_traced(orders))
        self.trace.span(CLONE, self.plan.clone_shell(), began)
        if self.life.told_to_end:  # when there was nobody yet to tell
            self.life.signal(_signal.SIGKILL)
        theirs.close()
        for descriptor in streams:
            os.close(descriptor)
        self._wire(ours)
        began = monotonic_ns()
        self._hear(ours)
        self.trace.span("wait until the program runs", "wait  # end of file on the socket: exec closed it", began)
        if self.wires:
            self._settle([end.link for _, end in self.wires.joined])

    def _wire(self, channel: socket) -> None:
        """The host's side of its networks. The child waits for its links, and builds its root during the rest; that is
        done before it becomes the program."""
        self.tell_pid()
        try:
            self.trace.run(self.plan.links)
            if self.plan.links:
                channel.send(b"N")
            self.trace.run(self.plan.published)
        except (OSError, MydockerError):
            self.life.signal(9)
            failure = self._told(channel)  # if it had failed before, that is why
            if failure:
                raise failure from None
            raise
        if self.plan.published:
            try:
                channel.send(b"G")
            except OSError:
                pass  # it has ended; _hear() finds out why

    def tell_pid(self) -> None:
        """To the steps that are planned before there is one."""
        for op in (*self.plan.links, *self.plan.published):
            if "pid" in op._fields:
                op.pid = self.life.pid  # type: ignore[attr-defined]

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
            stdin, self.life.stdin = os.pipe()
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        streams = [stdin]
        for name in (b"stdout", b"stderr"):
            ours, theirs = os.pipe()
            self.life.outputs[ours] = name
            streams.append(theirs)
        return streams

    def _hear(self, channel: socket) -> None:
        """What the child reports, until it has become the program. Raises what it failed of."""
        failure = self._told(channel)
        if failure:
            raise failure
        # The socket also closes when the child is killed on its way; then its program never ran.
        if not self.told:
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
                self.life.stdin = unpack("i", ancillary[0][2][:4])[0]
                self.life.outputs[self.life.stdin] = b"stdout"
            elif data[:1] == b"D":
                self.life.open_resolver(list(unpack(f"{len(ancillary[0][2]) // 4}i", ancillary[0][2])))
            elif data[:1] == b"T":
                self.child_spans, self.told = jsontext.loads(data[1:]), monotonic_ns()
            elif data[:1] == b"E":
                failure = from_details(jsontext.loads(data[1:]))
            elif len(data) == 8:
                failure = init.exec_failed(self.plan.spec["process"]["args"][0], -unpack("q", data)[0])
        channel.close()
        return failure

    def _take_back(self) -> None:
        """End the child, undo the host's steps."""
        self.life.signal(9)
        if self.life.pid > 0:
            try:
                os.waitpid(self.life.pid, 0)
            except ChildProcessError:
                pass  # it was reaped before
        self._clear_up()

    def _clear_up(self) -> list[str]:
        """Of a container that has ended, all but its record and its log. What can't be undone is returned."""
        if self.control:
            self.control.close()  # whoever is about to change its networks hears that it is too late
            self.control = None
        if self.life.resolver:
            self.life.resolver.close()  # its sockets keep the namespace
            self.life.resolver = None
        problems = self.trace.unwind()
        if self.wires:
            problems += self._unwire()
        return problems

    def _unwire(self) -> list[str]:
        """Ports and addresses are free again."""
        from mydocker.network import leases

        for sockets in self.life.held.values():
            for descriptor in sockets:
                os.close(descriptor)
        self.life.held.clear()
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
        found, pid = self.found, self.life.pid
        self.life.running = True
        found.status, found.pid, found.pid_start = "running", pid, process.start_time(pid)
        if not found.pid_start:  # it is a zombie already: the start of the process is what its monitor saw of it
            found.pid_start = 1
        found.monitor_pid, found.monitor_start = os.getpid(), process.start_time(os.getpid())
        found.boot_id, found.started_at, found.finished_at = state.boot_id(), state.now(), ""
        found.oom_killed, found.error = False, ""  # the exit code stays that of the life before: `wait` may look late
        if self.wires:
            from mydocker.runtime import control

            self.listen(control.listen(found.folder))
        state.save(found)
        state.publish(found)

    def listen(self, descriptor: int) -> None:
        from mydocker.runtime.control import Control

        self.life.control, self.control = descriptor, Control(descriptor, self)

    def _record_failure(self, error: MydockerError) -> None:
        found = self.found
        found.status = "exited" if found.finished_at else "created"
        found.networks, found.ports = [end.asked().to_json() for end in found.endpoints], []
        found.pid, found.exit_code, found.error = 0, error.exit_code, str(error)
        try:
            state.save(found)
        except (OSError, HostError):
            pass  # the disk is full, or the container's folder is gone: the caller hears of the first error

    def _say_started(self, orders: Orders) -> None:
        life = self.life
        # The pidfd always; stdin to whom it belongs. A detached `-i` keeps it open here, as docker does.
        descriptors = [life.pidfd]
        hand_over = orders.stdin and life.stdin >= 0
        if hand_over or (orders.attach and self.found.tty):
            descriptors.append(life.stdin)
        self._say(b"S", {"pid": life.pid}, descriptors)
        if hand_over and not self.found.tty:
            os.close(life.stdin)
            life.stdin = -1
        self._keep_trace(orders)
        if life.client and orders.attach:
            life.client.channel.setblocking(False)
        elif life.client:
            life.client.drop()
            life.client = None

    # --- life ---------------------------------------------------------------------------------------------------------

    def update(self, message: dict[str, Any], joined: list[Network], descriptors: list[int]) -> None:
        """What control.py is told: networks and ports of now, and the sockets that hold them."""
        found, life = self.found, self.life
        had_ports = bool(found.ports)
        found.networks, found.published = message["networks"], message["published"]
        found.ports = message["ports"]
        for text, count in message["held"]:
            life.held[text], descriptors = descriptors[:count], descriptors[count:]
        for text in [text for text in life.held if text not in found.ports]:
            for descriptor in life.held.pop(text):
                os.close(descriptor)
        assert self.wires
        wires = self.wires
        wires.joined, wires.ports = list(zip(joined, found.endpoints)), found.ports
        life.networks = message["joined"]
        if descriptors:
            if life.resolver:  # of networks with names that it has left since
                life.resolver.close()
            life.open_resolver(descriptors)
        elif life.resolver:
            life.resolver.networks = joined
        if found.ports and not had_ports:  # then nothing that it has done withdraws them at the end
            from mydocker.network import plan as network

            self.trace.adopt(network.publish(wires))

    # --- death --------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        oom = cgroups.oom_kills(self.layout, self.plan.spec["linux"]["cgroupsPath"])
        self.found.oom_killed = oom > 0
        problems = self._clear_up()  # this also ends what may live on without its first process (--pid host)
        self.life.drain()
        log, status = self.life.log, self.life.status
        log.close()
        if log.dropped:
            problems.append(f"{log.dropped} bytes of its output could not be logged: {log.why}")
        assert status is not None
        self._record_end(init.exit_code(status), "; ".join(problems))

    def _record_end(self, code: int, problems: str) -> None:
        found = self.found
        with state.lock(found):
            found.status, found.pid, found.exit_code = "exited", 0, code
            found.finished_at, found.error = state.now(), problems
            if found.auto_remove:
                self._vanish(code)
                return
            self._rest_or_end()
            self._save_end()
        self._say_ended(code)  # not under the lock: a command line that is behind may want it before it listens
        while found.status == "restarting":
            watch.execute(watch.REST, found.id, [])
            sleep(1)  # memory is short, or Python is just being upgraded

    def _vanish(self, code: int) -> None:
        found = self.found
        state.save_last(found)
        state.hide(found.id, found.name)
        self._say_ended(code)
        state.erase(found.id, found.own_volumes)  # nobody waits for that

    def _say_ended(self, code: int) -> None:
        if self.life.client:
            self.life.client.channel.setblocking(True)
            self.life.client.flush()
            self._say(b"X", code)
            self.life.client.drop()

    def _rest_or_end(self) -> None:
        """Whether it lives again, by its restart policy and what was asked for meanwhile."""
        found = self.found
        try:
            on_disk = state.stored(found.id)
            found.restart, found.ended_by = on_disk.restart, on_disk.ended_by
        except CorruptRecord:
            pass
        if self.life.told_to_end and not found.ended_by:
            found.ended_by = restart.BY_SHUTDOWN
        lived = (parse_rfc3339(found.finished_at) - parse_rfc3339(found.started_at)) // 10**6
        rest = restart.rest(found.restart, found.ended_by, found.exit_code, found.restart_count, found.rest, lived)
        if rest:
            found.status, found.rest, found.restart_count = "restarting", rest, found.restart_count + 1
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)  # from now on it ends the waiting

    def _save_end(self) -> None:
        try:
            state.save(self.found, durable=self.found.ended_by != restart.BY_REMOVAL)
        except (OSError, HostError):
            state.save_last(self.found)  # a full disk: the old record's place is still there

    def _is_traced(self, orders: Orders) -> bool:
        """A container that vanishes at its end keeps no trace."""
        return orders.explain or not self.found.auto_remove

    def _keep_trace(self, orders: Orders) -> None:
        """What `explain` shows later, and `run --explain` now."""
        if not self._is_traced(orders):
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
        if orders.explain:
            self._say(b"T", trace)
        try:
            write_atomic(f"{self.found.folder}/trace.json", jsontext.dumps(trace).encode())
        except (OSError, HostError):
            pass  # a full disk is no reason to end a container that runs

    def _say(self, kind: bytes, value: Any, descriptors: list[int] | None = None) -> None:
        if self.life.client:
            self.life.client.say(kind, value, descriptors)
