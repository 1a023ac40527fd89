"""The monitor: one process a container that keeps its log, answers for names, reaps it, clears up and tells its end.
It needs no daemon and no terminal.

It is forked by `run` or `start` (launch.py), which it outlives, and starts the container first (birth.py). While
nothing happens, it is a bare interpreter (watch.py).
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
from mydocker.runtime import init, watch
from mydocker.runtime.launch import last_words
from mydocker.runtime.plan import Plan, plan
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.network import Endpoint, Network, Wires
    from mydocker.runtime.control import Control

_PATIENCE_AT_END = 30  # seconds for what was killed to end
_PATIENCE = 3.0  # seconds until a monitor makes itself small: what starts many at once has better use for the processor


def resume(descriptor: int) -> None:
    """A bare monitor has become a full one again: watch.py. Its container is wanted, or has ended."""
    code = 125
    life = watch.adopt(descriptor)
    found = state.load(life.container_id)
    try:
        monitor = Monitor(found, cgroups.layout(), life, Trace("host"))
        monitor.adopt(jsontext.loads(read_regular(f"{found.directory}/config.json")))
        monitor.live()
        code = 0
    except BaseException as error:
        last_words(error, None, found.directory)
    finally:
        os._exit(code)


def _wires(found: state.Record, life: watch.Watch) -> Wires | None:
    """None for who never joins a network; who is on none now may be on one later."""
    if is_mode(found.network):
        return None
    from mydocker.model.network import Network, Wires

    networks = [Network(**each) for each in life.networks]
    return Wires(found.id, found.name, list(zip(networks, found.endpoints)), found.ports)


def _versions(wires: Wires) -> list[bool]:
    """Whether its ports' rules are of IPv6 too; empty if there are none."""
    return [bool(wires.outward[1].address6)] if wires.ports and wires.outward else []


class Monitor:
    """watch: the container from its parent's side, in the long time when nothing happens; it goes from one interpreter
    to the next."""

    def __init__(self, found: state.Record, layout: cgroups.Layout, life: watch.Watch, trace: Trace) -> None:
        self.found, self.layout, self.life, self.trace = found, layout, life, trace
        self.wires = _wires(found, life)
        self.plan: Plan
        self.control: Control | None = None

    def say(self, kind: bytes, value: Any, descriptors: list[int] | None = None) -> None:
        if self.life.client:
            self.life.client.say(kind, value, descriptors)

    # --- life ---------------------------------------------------------------------------------------------------------

    def adopt(self, spec: dict[str, Any]) -> None:
        """Its container runs: another interpreter has started it."""
        self.plan = plan(spec, self.found.directory, self.layout, name=self.found.name, wires=self.wires)
        self.trace.adopt([*self.plan.host, *self.plan.links, *self.plan.published])
        self.tell_pid()
        if self.life.control >= 0:
            self.listen(self.life.control)

    def tell_pid(self) -> None:
        """To the steps that are planned before there is one."""
        for op in (*self.plan.links, *self.plan.published):
            if "pid" in op._fields:
                op.pid = self.life.pid  # type: ignore[attr-defined]

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
            self.take_back()
            raise

    def listen(self, descriptor: int) -> None:
        from mydocker.runtime.control import Control

        self.life.control, self.control = descriptor, Control(descriptor, self)

    def update(self, message: dict[str, Any], joined: list[Network], descriptors: list[int]) -> None:
        """What control.py is told: networks and ports of now, and the sockets that hold them."""
        found, life = self.found, self.life
        found.networks, found.published = message["networks"], message["published"]
        found.ports = message["ports"]
        for text, count in message["held"]:
            life.held[text] = life.held.get(text, []) + descriptors[:count]
            descriptors = descriptors[count:]
        for text in [text for text in life.held if text not in found.ports]:
            for descriptor in life.held.pop(text):
                os.close(descriptor)
        assert self.wires
        self._rewire(self.wires, list(zip(joined, found.endpoints)))
        life.networks = message["joined"]
        if descriptors:
            if life.resolver:  # of networks with names that it has left since
                life.resolver.close()
            life.open_resolver(descriptors)
        elif life.resolver:
            life.resolver.networks = joined

    def _rewire(self, wires: Wires, joined: list[tuple[Network, Endpoint]]) -> None:
        """What it has not done itself it has to undo at the end all the same."""
        from mydocker.network import plan as network

        links, versions = {end.link for _, end in wires.joined}, _versions(wires)
        wires.joined, wires.ports = joined, self.found.ports
        self.trace.adopt([network.plug(of, end) for of, end in joined if end.link not in links])
        if _versions(wires) != versions:
            self.trace.adopt(network.publish(wires))
        if _versions(wires) == [False]:
            from mydocker.network.ports import without_ipv6

            self.life.held = {text: without_ipv6(sockets) for text, sockets in self.life.held.items()}

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

    def take_back(self) -> None:
        """End the child, undo the host's steps."""
        self.life.signal(_signal.SIGKILL)
        if self.life.pid > 0:
            try:
                if process.ends_within(self.life.pidfd, _PATIENCE_AT_END):  # else nobody could ever ask for it again
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
        except MydockerError:
            on_disk = []  # damaged, or gone
        try:
            leases.release_all(self.found.id, [*self.found.endpoints, *on_disk])
        except (OSError, MydockerError) as error:
            return [f"could not give its addresses back: {error}"]
        self.found.networks = [end.asked().to_json() for end in self.found.endpoints]
        self.found.ports = []
        return []

    def _record_end(self, code: int, problems: str) -> None:
        found = self.found
        with state.lock(found) as held:
            found.status, found.pid, found.exit_code = "exited", 0, code
            found.finished_at, found.error = state.now(), problems
            state.leave_code(held, found)
            self._hear_record()
            if found.auto_remove and found.ended_by != restart.BY_RESTART:
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
        state.hide(found.id, found.name)
        self._say_ended(code)
        state.erase(found.id, found.own_volumes)  # nobody waits for that

    def _say_ended(self, code: int) -> None:
        if self.life.client:
            self.life.client.set_blocking(True)
            self.life.client.flush()
            self.say(b"X", code)
            self.life.client.drop()

    def _hear_record(self) -> None:
        """What was asked for while it ran."""
        found = self.found
        try:
            on_disk = state.stored(found.id)
            found.restart, found.ended_by = on_disk.restart, on_disk.ended_by
            # What came too late for this life is for the next.
            found.networks, found.published = [end.asked().to_json() for end in on_disk.endpoints], on_disk.published
        except CorruptRecord:
            pass

    def _rest_or_end(self) -> None:
        """Whether it lives again, by its restart policy."""
        found = self.found
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
            # Its directory is gone, or the disk is full and it has no spare. Nobody can start it again then, and
            # without a monitor it counts as exited.
            self.found.status = "exited"
