"""Start a container: a monitor that has its orders starts it, and reports the outcome to the command line.

messages.py draws what the monitor, the command line and the container's first process say to each other. From then on
the monitor runs monitor.py.
"""

from __future__ import annotations

import _signal
import os
from time import monotonic_ns, time_ns

from mydocker import jsontext, state
from mydocker.errors import HostError, MydockerError, StepFailed
from mydocker.kernel import cgroups, process
from mydocker.kernel.files import write_atomic
from mydocker.model.container import Container
from mydocker.ops.base import CLONE, EXECUTE
from mydocker.runtime import control, handoff, init, messages, supervise
from mydocker.runtime.client import Client
from mydocker.runtime.crilog import LogWriter
from mydocker.runtime.monitor import Monitor
from mydocker.runtime.plan import plan
from mydocker.trace import Trace, dumped, step_failed, undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def start(orders: messages.Orders, client: messages.Channel, layout: cgroups.Layout) -> int:
    """Start the container of the orders, and be its monitor until its end. Returns an exit code."""
    record = Container(**orders.record)
    try:
        supervise.show_title(record.id, record.name)
        freezer = cgroups.freezer(layout, orders.spec["linux"]["cgroupsPath"])
        container = supervise.Supervised(record.id, record.name, record.stop_signal, record.stop_timeout, freezer)
        container.clients, container.bound_sockets = [Client(client)], orders.bound_sockets
        container.dns, container.networks = orders.dns, orders.networks
        container.ends_with_client = bool(record.build)
        container.handle_signals()
        monitor = Monitor(record, layout, container, Trace("host", notes=orders.notes))
        error = Starter(monitor, orders).run()
        if not error:
            monitor.supervise()
        return error.exit_code if error else 0
    except BaseException as error:
        messages.report_crash(error, client, record.directory)
        return 125


class Starter:
    """The start of one container.

    steps: what the child has done, as Trace.dump() gives it. reported_at: when the child reported its steps, just
    before execve. running_at: when execve succeeded.
    """

    def __init__(self, monitor: Monitor, orders: messages.Orders) -> None:
        self.monitor, self.orders = monitor, orders
        self.record, self.container, self.trace = monitor.record, monitor.container, monitor.trace
        self.steps = b""
        self.reported_at = self.running_at = 0

    def run(self) -> MydockerError | None:
        """Start the program and record it. On failure, undo everything and return the error."""
        try:
            self._start()
            self._record_start()
        except Exception as cause:
            error = cause if isinstance(cause, MydockerError) else step_failed("start the container", cause)
            self.monitor.abort()
            self._keep_trace()
            state.save_failure(self.record, str(error), error.exit_code)
            os.close(self.orders.lock)
            self.monitor.say(messages.FAILED, messages.encode(error.details()))
            return error
        os.close(self.orders.lock)
        try:
            self._report_started()
        except BaseException:
            self.monitor.abort()
            raise
        return None

    def _start(self) -> None:
        record, orders, began = self.record, self.orders, monotonic_ns()
        attachments, layout = self.monitor.attachments, self.monitor.layout
        self.plan = self.monitor.plan = plan(
            orders.spec,
            record.directory,
            layout,
            orders.size,
            record.name,
            attachments,
            orders.shared,
            orders.program,
            joined=orders.joined,
        )
        if not orders.fresh:
            undo_all(self.plan.host)  # of an earlier start, whose monitor was killed
        self.trace.span("plan every step", f"cat {record.directory}/config.json", began)
        self.container.log = LogWriter(f"{record.directory}/container.log", orders.log_size, orders.log_files)
        self.trace.run(self.plan.host)
        channel = self._clone()
        self._set_up_network(channel)
        self._identify()
        began = monotonic_ns()
        self._await_program(channel)
        self.trace.span("wait until the program runs", "wait  # end of file on the socket: exec closed it", began)

    def _clone(self) -> messages.Channel:
        """Clone the container's first process; return the channel to it."""
        ours, theirs = messages.pair()
        streams = [] if self.record.tty else self._pipes()
        self.trace.count(CLONE)
        flags = 0
        for kind in self.plan.clone:
            flags |= process.NAMESPACES[kind]
        began = monotonic_ns()
        try:
            self.container.pid, self.container.pidfd = process.clone_into(self.plan.clone_cgroup, flags)
        except OSError as error:
            hint = "is a limit on processes or namespaces reached?"
            raise StepFailed(f"{CLONE}: {os.strerror(error.errno or 0)}", hint, "clone") from None
        if self.container.pid == 0:
            ahead = len(self.plan.links) + len(self.plan.published)  # the monitor does these meanwhile
            number = self.trace.number + ahead
            init.main(init.container(self.plan), streams, theirs.fileno(), number, traced=self._is_traced())
        self.trace.span(CLONE, self.plan.clone_shell(), began)
        if self.container.stop_requested:  # before there was a child to kill
            self.container.signal(_signal.SIGKILL)
        theirs.close()
        for descriptor in streams:
            os.close(descriptor)
        return ours

    def _set_up_network(self, channel: messages.Channel) -> None:
        """Do the host's side of its networks. The child waits for its veths, then builds its root during the other
        steps, and waits for their end before it becomes the program."""
        self.trace.pid = self.container.pid
        try:
            self.trace.run(self.plan.links)
            if self.plan.links:
                channel.send(messages.NETWORK_READY)
            self.trace.run(self.plan.published)
        except (OSError, MydockerError):
            ended = os.waitid(os.P_PID, self.container.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self.container.signal(_signal.SIGKILL)
            self._receive(channel)  # a failure of the child comes first: it may be the cause
            if ended:
                raise self._ended_early() from None
            raise
        if self.plan.links and self._await_links(channel):
            self._sync_bridges()
        if self.plan.published:
            try:
                channel.send(messages.GO)
            except OSError:
                pass  # the child has ended; _await_program() finds out why

    def _await_links(self, channel: messages.Channel) -> bool:
        """Wait until the child has set its links up. Returns False if it has ended."""
        began = monotonic_ns()
        up = self._receive(channel, messages.LINKS_UP)
        self.trace.span("wait until its links are up", "wait  # for a message on the socket", began)
        return up

    def _sync_bridges(self) -> None:
        """Make the bridges forward the container's packets before the program starts."""
        from mydocker.kernel import rtnetlink

        assert self.monitor.attachments
        links = [endpoint.veth for endpoint in self.monitor.attachments.endpoints]
        began = monotonic_ns()
        for link in links:
            rtnetlink.flush_linkwatch(link)
        self.trace.span("have the bridge see the link", f"cat {' '.join(map(rtnetlink.carrier, links))}", began)

    def _pipes(self) -> list[int]:
        """Open the streams. Returns the child's ends, for 0, 1 and 2; the monitor's are kept in self.container."""
        if self.record.open_stdin:
            stdin, self.container.stdin = os.pipe()
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        streams = [stdin]
        for name in (b"stdout", b"stderr"):
            ours, theirs = os.pipe()
            self.container.outputs[ours] = name
            streams.append(theirs)
        return streams

    def _await_program(self, channel: messages.Channel) -> None:
        """Wait until the child has become the program. Raises the child's error."""
        self._receive(channel)
        channel.close()
        # The socket is also closed when the child is killed before: then its program never ran.
        if not self.reported_at:
            raise self._ended_early()
        if self.container.stop_requested:  # the child was killed, perhaps just before it became the program
            raise StepFailed("the start was interrupted")
        self.running_at = monotonic_ns()

    def _ended_early(self) -> StepFailed:
        oom = cgroups.oom_kills(self.monitor.layout, self.plan.spec["linux"]["cgroupsPath"])
        why = "its memory limit is too low for it" if oom else "it was killed"
        return StepFailed(f"the container ended before its program ran: {why}", "give it more with -m" if oom else "")

    def _receive(self, channel: messages.Channel, last: bytes = b"") -> bool:
        """Receive the child's messages until `last`, or until the child closes its end: then return False.

        Raises the child's error.
        """
        failure: MydockerError | None = None
        while True:
            try:
                message = channel.receive()
            except ConnectionResetError:
                continue  # the child has ended with a message of ours unread; its own messages follow this error
            if not message.kind:
                break
            if message.kind == messages.TERMINAL:
                (self.container.stdin,) = message.fds
                self.container.outputs[self.container.stdin] = b"stdout"
            elif message.kind == messages.RESOLVER:
                self.container.open_resolver(message.fds)
            elif message.kind == messages.TRACE:
                self.steps, self.reported_at = message.body, monotonic_ns()
            elif message.kind == messages.FAILED:
                failure = message.error()
            elif message.kind == last:
                return True
            elif number := messages.exec_status(message):
                failure = init.exec_failed(self.plan.spec["process"]["args"][0], -number)
        if failure:
            raise failure
        return False

    def _identify(self) -> None:
        """Read what identifies the two processes in the record, while the child builds its root."""
        # A child that is a zombie already has no start time; its end will be recorded by this monitor.
        self.pid_start = process.start_time(self.container.pid) or 1
        self.monitor_start, self.boot_id = process.start_time(os.getpid()), state.boot_id()

    def _record_start(self) -> None:
        record, container = self.record, self.container
        container.running = True
        record.status, record.pid, record.pid_start = "running", container.pid, self.pid_start
        record.monitor_pid, record.monitor_start = os.getpid(), self.monitor_start
        record.boot_id, record.started_at, record.finished_at = self.boot_id, state.now(), ""
        record.oom_killed, record.error = False, ""  # a late `wait` still needs the exit code of the run before
        self.monitor.listen(control.listen(record.directory))
        state.save(record)
        state.link_in_run(record)

    def _report_started(self) -> None:
        container, orders = self.container, self.orders
        (client,) = container.clients
        if orders.attach:
            self.monitor.admit(client, orders.stdin)
        else:
            client.say(messages.STARTED, b"", [container.pidfd])
        self._keep_trace()
        if not orders.attach:
            client.drop()
            container.clients.clear()

    def _is_traced(self) -> bool:
        """Return False if nobody could read the trace: the container is removed at its end."""
        return self.orders.explain or not self.record.auto_remove

    def _keep_trace(self) -> None:
        """Keep the trace for `explain`, and send it to `run --explain`."""
        if not self._is_traced():
            return
        trace = {
            "schema": 1,
            "id": self.record.id,
            "name": self.record.name,
            "command": self.record.command,
            "wall": time_ns() / 1e9,
            "origin": monotonic_ns(),
            "spans": self.trace.spans() + self._child_spans(),
        }
        if self.orders.explain:
            memory = handoff.send(trace)  # the trace of 600 mounts would not fit into a message
            self.monitor.say(messages.TRACE, b"", [memory])
            os.close(memory)
        try:
            write_atomic(f"{self.record.directory}/trace.json", jsontext.dumps(trace).encode())
        except (OSError, HostError):
            pass  # a full disk is not a reason to end a running container

    def _child_spans(self) -> list[dict[str, Any]]:
        child = Trace("container", notes=dumped(self.steps) if self.steps else ())
        if self.running_at:
            child.span(EXECUTE, self.plan.exec_shell(), self.reported_at, self.running_at)
        return child.spans()
