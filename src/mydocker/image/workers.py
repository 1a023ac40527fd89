"""Jobs side by side in forked processes: Python's lock would let threads take turns.

A worker sends lines of JSON through a pipe: {"count": N} while it works, {"done": RESULT} or {"error": DETAILS, "kind":
CLASS} at the end. It ends with its parent at the latest.
"""

from __future__ import annotations

import os
import select
from signal import SIGKILL

from mydocker import jsontext
from mydocker.errors import CorruptRecord, HostError, InvalidArgument, MydockerError, from_details
from mydocker.kernel import files, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Callable, Protocol

    class Job(Protocol):
        def prepare(self) -> None:
            """Called in the parent before the worker is forked: open what the worker reads."""

        def work(self, report: Callable[[int], None]) -> Any:
            """Called in the worker. report: sends a number to advance(). Returns what JSON can hold."""

        def advance(self, count: int) -> None:
            """Called in the parent for each report."""

        def done(self, result: Any) -> None:
            """Called in the parent with what work() has returned."""

        def close(self) -> None:
            """Called in the parent when the worker has ended, also by an error: close what prepare() has opened."""


_READ = 64 << 10


def run(jobs: Sequence[Job], limit: int = 0) -> None:
    """Run the jobs, `limit` of them at a time (0: as many as there are processors), in order.

    The first error of a job, or of prepare(), ends all workers and is raised: a MydockerError, as in this process."""
    limit = limit or len(os.sched_getaffinity(0))
    running: dict[int, _Worker] = {}
    poll = select.poll()
    todo = iter(jobs)
    try:
        while True:
            while len(running) < limit and (job := next(todo, None)):
                worker = _Worker(job)
                running[worker.pipe] = worker
                poll.register(worker.pipe, select.POLLIN)
            if not running:
                return
            for pipe, _ in poll.poll():
                worker = running[pipe]
                if worker.read():
                    continue
                del running[pipe]
                poll.unregister(pipe)
                worker.end()
    finally:
        for worker in running.values():
            worker.kill()


class _Worker:
    """A job in its process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._unread = b""
        self._outcome: dict[str, Any] = {}
        try:
            job.prepare()
            self.pipe, theirs = os.pipe()
            parent = os.getpid()
            self.pid = os.fork()
        except BaseException:
            job.close()
            raise
        if self.pid == 0:
            _work(job, theirs, parent)
        os.close(theirs)

    def read(self) -> bool:
        """Take in what the worker has sent. Returns False at the end."""
        data = os.read(self.pipe, _READ)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            message = jsontext.loads(line)
            if "count" in message:
                self.job.advance(message["count"])
            else:
                self._outcome = message
        return bool(data)

    def end(self) -> None:
        self._reap()
        if "error" in self._outcome:
            raise _rebuilt(self._outcome)
        if "done" not in self._outcome:
            raise HostError("a process that unpacked a layer was killed", "is there enough memory?")
        self.job.done(self._outcome["done"])

    def kill(self) -> None:
        os.kill(self.pid, SIGKILL)
        self._reap()

    def _reap(self) -> None:
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        self.job.close()


def _work(job: Job, pipe: int, parent: int) -> None:
    """Do the job in the worker, and end it."""

    def send(message: dict[str, Any]) -> None:
        files.write_all(pipe, jsontext.dumps(message).encode() + b"\n")

    def fail(error: MydockerError) -> None:
        send({"error": error.details(), "kind": type(error).__name__})

    try:
        process.die_with_parent()
        if os.getppid() != parent:
            return  # it died before the line above
        send({"done": job.work(lambda count: send({"count": count}))})
    except MydockerError as error:
        fail(error)
    except OSError as error:
        fail(host_error(error))
    except Exception as error:
        fail(HostError(f"can't take in the layer: {type(error).__name__}: {error}"))
    finally:
        os._exit(0)


_KINDS = {kind.__name__: kind for kind in (CorruptRecord, HostError, InvalidArgument)}


def _rebuilt(outcome: dict[str, Any]) -> MydockerError:
    """Return a worker's error. Those of the kinds that callers tell apart keep their class."""
    details = outcome["error"]
    if outcome["kind"] in _KINDS:
        return _KINDS[outcome["kind"]](details["message"], details["hint"], details["exit_code"])
    return from_details(details)


def host_error(error: OSError) -> MydockerError:
    """Say what kept a layer from coming into the store."""
    if error.errno in files.NO_SPACE:
        return files.no_space(str(error.filename or "the layer"), error)
    where = f" {error.filename}" if error.filename else ""
    return HostError(f"can't take in the layer:{where} {os.strerror(error.errno or 0).lower()}")
