"""The monitor: a process for each container that keeps its log, answers for names, reaps it, cleans up after it and
records its end. There is no daemon.

`run` or `start` forks the monitor (launch.py), which outlives them, and starts the container first (starter.py). While
nothing happens, the monitor is a bare interpreter (supervise.py).
"""

from __future__ import annotations

import _signal
import os
from time import sleep

from mydocker import jsontext, state
from mydocker.errors import CorruptRecord, HostError, MydockerError
from mydocker.kernel import cgroups, process
from mydocker.kernel.files import read_regular
from mydocker.model.options import restart
from mydocker.model.options.netmode import is_mode
from mydocker.model.options.times import parse_rfc3339
from mydocker.runtime import init, messages, supervise
from mydocker.runtime.client import Client
from mydocker.runtime.control import Control
from mydocker.runtime.plan import Plan, plan
from mydocker.trace import Trace, attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mydocker.model.attachments import Attachments
    from mydocker.model.container import Container
    from mydocker.model.network import Network

_PATIENCE_AT_END = 30  # seconds for killed processes to end
_PATIENCE = 3.0  # seconds before a monitor makes itself small: not while many containers may be starting


def resume(descriptor: int) -> None:
    """Go on as a full monitor after a bare one (supervise.py): there is a request, or the container has ended."""
    code = 125
    container = supervise.adopt(descriptor)
    record = state.load(container.container_id)
    try:
        monitor = Monitor(record, cgroups.layout(), container, Trace("host"))
        monitor.adopt(jsontext.loads(read_regular(f"{record.directory}/config.json")))
        monitor.supervise()
        code = 0
    except BaseException as error:
        messages.report_crash(error, None, record.directory)
    finally:
        os._exit(code)


def _attachments(record: Container, container: supervise.Supervised) -> Attachments | None:
    """None for a container that never joins a network; one that is on none now may join one later."""
    if is_mode(record.network):
        return None
    from mydocker.model.attachments import recorded
    from mydocker.model.network import Network

    attachments = recorded(record, [Network(**each) for each in container.networks])
    if container.bound_sockets.keys() <= set(record.bound_ports):
        return attachments
    # A command line was killed after it had removed ports from the record, perhaps before it removed their rules.
    from mydocker.model.options.ports import parse_published

    texts = dict.fromkeys([*record.bound_ports, *container.bound_sockets])
    return attachments.with_ports([port for text in texts for port in parse_published([text])])


class Monitor:
    """container: the container's I/O and descriptors; they move from one interpreter to the next."""

    def __init__(
        self, record: Container, layout: cgroups.Layout, container: supervise.Supervised, trace: Trace
    ) -> None:
        self.record, self.layout, self.container, self.trace = record, layout, container, trace
        container.stdin_once = record.stdin_once and not record.tty
        self.attachments = _attachments(record, container)
        self.plan: Plan
        self.control: Control | None = None

    def say(self, kind: bytes, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        for client in self.container.clients:
            client.say(kind, body, descriptors)

    # --- while it runs ------------------------------------------------------------------------------------------------

    def adopt(self, spec: dict[str, Any]) -> None:
        """Take over a container that another interpreter has started."""
        record, pid = self.record, self.container.pid
        self.plan = plan(spec, record.directory, self.layout, name=record.name, pid=pid)
        self.trace.adopt([*self.plan.host, *self.plan.published])  # _detach() undoes the attachments
        if self.container.control >= 0:
            self.listen(self.container.control)

    def supervise(self) -> None:
        """Supervise the container until its end is recorded, or until this is executed as another interpreter."""
        container = self.container
        patience: float | None = _PATIENCE
        try:
            while container.status is None:
                event = container.wait(patience)
                if event == supervise.REQUESTED and self.control:
                    self.control.serve()
                elif event == supervise.IDLE:
                    container.become(supervise.BARE)
                    patience = None  # it failed: stay a full monitor
            self._end()
        except BaseException:
            self.abort()
            raise

    def listen(self, descriptor: int) -> None:
        self.container.control, self.control = descriptor, Control(descriptor, self)

    def admit(self, client: Client, stdin: bool) -> None:
        """Report the running container to a command line that attaches to it. stdin: it forwards its own."""
        container = self.container
        descriptors = [container.pidfd]
        if container.stdin >= 0 and (stdin or self.record.tty):  # a terminal is also for its size
            descriptors.append(container.stdin)
            client.feeds = stdin
        client.say(messages.STARTED, b"", descriptors)
        client.set_blocking(False)
        container.is_fed |= client.feeds

    def attach(self, channel: messages.Channel, stdin: bool) -> None:
        """Adopt a command line that attaches to the running container."""
        client = Client(channel)
        self.admit(client, stdin)
        self.container.clients.append(client)

    def keep_terminal(self, master: int) -> None:
        """Keep the terminal of an exec that its command line has left, and discard its output."""
        self.container.outputs[master] = b""

    def update(self, message: dict[str, Any], networks: list[Network], descriptors: list[int]) -> None:
        """Adopt a command line's change: the current name, networks and ports, and the sockets that are bound to the
        ports."""
        from mydocker.model.attachments import recorded

        record, container = self.record, self.container
        self._take_name(message["name"])
        record.networks, record.requested_ports = message["networks"], message["requested_ports"]
        record.bound_ports = message["bound_ports"]
        self.attachments, container.networks = recorded(record, networks), message["network_records"]
        resolver = self._take_sockets(self.attachments, message["bound_sockets"], descriptors)
        if resolver:
            if container.resolver:  # for the networks that it was on before
                container.resolver.close()
            container.open_resolver(resolver)
        elif container.resolver:
            container.resolver.networks = networks

    def _take_sockets(self, attachments: Attachments, new: list[tuple[str, int]], descriptors: list[int]) -> list[int]:
        """Take the new sockets, and close those of ports, or versions of IP, that are no longer published. Returns the
        other descriptors."""
        from mydocker.network import ports

        sockets = self.container.bound_sockets
        for text, count in new:
            sockets[text] = sockets.get(text, []) + descriptors[:count]
            descriptors = descriptors[count:]
        versions = {port.text: attachments.versions_of(port) for port in attachments.bindings}
        self.container.bound_sockets = {
            text: kept for text, each in sockets.items() if (kept := ports.only(each, versions.get(text, [])))
        }
        return descriptors

    def _take_name(self, name: str) -> None:
        """Note that the container has been renamed."""
        if name == self.record.name:
            return
        from mydocker.ops.namespaces import ShowNamespace

        self.record.name = self.container.name = name
        self.trace.adopt([ShowNamespace(name, self.container.pid)])
        supervise.show_title(self.container.container_id, name)

    # --- at its end ---------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._take_name(self._recorded_name())  # without a network, no command line tells it
        oom = cgroups.oom_kills(self.layout, self.plan.spec["linux"]["cgroupsPath"])
        self.record.oom_killed = oom > 0
        problems = self._cleanup()  # also ends processes that outlive the first one (--pid host)
        self.container.drain()
        log, status = self.container.log, self.container.status
        log.close()
        if log.dropped:
            problems.append(f"{log.dropped} bytes of its output could not be logged: {log.why}")
        assert status is not None
        self._record_end(init.exit_code(status), "; ".join(problems))

    def _recorded_name(self) -> str:
        try:
            return state.stored(self.record.id).name
        except MydockerError:
            return self.record.name  # damaged, or gone

    def abort(self) -> None:
        """Kill the child, and undo the host's steps."""
        self.container.signal(_signal.SIGKILL)
        if self.container.pid > 0:
            try:
                if process.ends_within(self.container.pidfd, _PATIENCE_AT_END):
                    os.waitpid(self.container.pid, 0)
            except ChildProcessError:
                pass  # it has been reaped already
        self._cleanup()

    def _cleanup(self) -> list[str]:
        """Clean up after a container that has ended; its record and log stay. Returns what could not be undone."""
        if self.control:
            self.control.close()  # a command line in the middle of a change gets an end of file
            self.control = None
        if self.container.resolver:
            self.container.resolver.close()  # its sockets keep the namespace
            self.container.resolver = None
        problems = self._detach() if self.attachments else []
        problems += self.trace.undo_all()
        return problems + (self._release() if self.attachments else [])

    def _detach(self) -> list[str]:
        """Remove the rules of its ports, detach its veths, and give the ports up."""
        from mydocker.network import plan as network

        steps = network.transition(self.attachments, None)
        problems = attempt([*steps.redirect, *steps.detach])
        for sockets in self.container.bound_sockets.values():
            for descriptor in sockets:
                os.close(descriptor)
        self.container.bound_sockets.clear()
        return problems

    def _release(self) -> list[str]:
        """Release its addresses."""
        from mydocker.network import leases

        try:
            # A command line may have been killed while it connected a network: then only the record names it.
            on_disk = state.load(self.record.id).endpoints
        except MydockerError:
            on_disk = []  # damaged, or gone
        try:
            leases.release_all(self.record.id, [*self.record.endpoints, *on_disk])
        except (OSError, MydockerError) as error:
            return [f"could not release its addresses: {error}"]
        self.record.networks, self.record.bound_ports = self.record.requested_networks, []
        return []

    def _record_end(self, code: int, problems: str) -> None:
        record = self.record
        with state.lock(record) as lock:
            record.status, record.pid, record.exit_code = "exited", 0, code
            record.finished_at, record.error = state.now(), problems
            state.leave_code(lock, record)
            self._read_record()
            abandoned = record.build and not self.container.clients  # the build has been killed
            if abandoned or (record.auto_remove and record.ended_by != restart.BY_RESTART):
                self._remove(code)
                return
            self._restart_or_end()
            self._save_end()
        self._report_end(code)  # without the lock: a command line that is behind may take it before it reads on
        while record.is_restarting():
            supervise.execute(supervise.RESTARTING, record.id, [])
            sleep(1)  # memory is short, or Python is being upgraded: try again

    def _remove(self, code: int) -> None:
        record = self.record
        state.unlist(record.id, record.name)
        self._report_end(code)
        state.remove_files(record.id, record.own_volumes)  # last, as the command line need not wait for it

    def _report_end(self, code: int) -> None:
        """Give every attached command line its last output, and the exit code. One that is behind does not
        keep the others waiting."""
        for client in sorted(self.container.clients, key=lambda client: len(client.behind)):
            client.set_blocking(True)
            client.flush()
            client.say(messages.EXITED, b"%d" % code)
            client.drop()

    def _read_record(self) -> None:
        """Read the requests that were recorded while the container ran."""
        record = self.record
        try:
            on_disk = state.stored(record.id)
            record.name, record.restart, record.ended_by = on_disk.name, on_disk.restart, on_disk.ended_by
            # Networks and ports that came too late for this run are for the next.
            record.networks = on_disk.requested_networks
            record.requested_ports = on_disk.requested_ports
        except CorruptRecord:
            pass

    def _restart_or_end(self) -> None:
        """Decide by the restart policy whether to restart the container."""
        record = self.record
        if self.container.stop_requested and not record.ended_by:
            record.ended_by = restart.BY_SHUTDOWN
        uptime = (parse_rfc3339(record.finished_at) - parse_rfc3339(record.started_at)) // 10**6
        delay = restart.restart_delay(
            record.restart, record.ended_by, record.exit_code, record.restart_count, record.restart_delay, uptime
        )
        if delay:
            record.status, record.restart_delay, record.restart_count = "restarting", delay, record.restart_count + 1
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)  # from now on it ends the waiting

    def _save_end(self) -> None:
        try:
            state.save(self.record, durable=self.record.ended_by != restart.BY_REMOVAL and not self.record.build)
        except (OSError, HostError):
            # The directory is gone, or the disk is full and there is no spare record. Then it can't be restarted, and
            # without a monitor it counts as exited.
            self.record.status = "exited"
