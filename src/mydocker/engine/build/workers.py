"""Run the stages of a build side by side, each in a process of its own.

A worker says what it does in lines of JSON; what its steps' programs write comes through another pipe:

    worker                                this process
      │ ── {"event": …} ───────────────────▶ │ shown
      │ ── output of a step ───────────────▶ │ shown, before the next event of that worker
      │ ── {"wait": STAGE} ────────────────▶ │ it needs the result of another stage …
      │ ◀───────────────── {"result": …} ── │ … which has ended (end of file: it failed)
      │ ── {"result": …}, or {"error": …} ─▶ │ its own end

A worker is killed with this process. Its step's container is killed with the worker (`build` in the record).
"""

from __future__ import annotations

import _signal
import os
import select

from mydocker import jsontext
from mydocker.errors import FAILED, HostError, MydockerError
from mydocker.kernel import files, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]
    # Shows an event of a stage: its name, the event, or None with a piece of a step's output.
    Report = Callable[[str, "Json | None", bytes], None]
    Tick = Callable[[], None]  # called ten times a second, if it is given

_PIECE = 65536
_TICK = 0.1  # seconds


class StageFailed(MydockerError):
    """A stage has failed. excerpt: the lines of the Dockerfile, marked, or ""."""

    def __init__(self, stage: str, error: Json, excerpt: str = "") -> None:
        super().__init__(error["message"], error["hint"], FAILED)
        self.stage, self.excerpt = stage, excerpt


class Line:
    """A worker's side: `send` to the process that started it."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._reader = write, os.fdopen(read, "rb")

    def send(self, message: Json) -> None:
        files.write_all(self._write, jsontext.dumps(message).encode() + b"\n")

    def result_of(self, stage: str) -> Json:
        """Wait for another stage. Raises MydockerError if it failed."""
        self.send({"wait": stage})
        row = self._reader.readline()
        if not row:
            raise MydockerError(f"stage {stage} failed")
        result: Json = jsontext.loads(row)["result"]
        return result


class _Worker:
    """A running worker: pid, and our ends of its pipes. waits: the stage whose result it needs."""

    def __init__(
        self, stage: str, work: Callable[[str, Line, dict[str, Json]], Json], results: dict[str, Json]
    ) -> None:
        self.stage, self.waits = stage, ""
        self._unread = b""
        self.events, events = os.pipe()
        self.output, output = os.pipe()
        answers, self.answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_worker(
                lambda line: work(stage, line, results),
                Line(events, answers),
                output,
                [self.events, self.output, self.answers],
            )
        for descriptor in (events, output, answers):
            os.close(descriptor)
        os.set_blocking(self.output, False)

    def messages(self) -> list[Json] | None:
        """Read what has come. None: the worker has ended."""
        data = os.read(self.events, _PIECE)
        if not data:
            return None
        *rows, self._unread = (self._unread + data).split(b"\n")
        return [jsontext.loads(row) for row in rows]

    def read_output(self) -> bytes:
        try:
            return os.read(self.output, _PIECE)
        except BlockingIOError:
            return b""

    def answer(self, result: Json) -> None:
        self.waits = ""
        files.write_all(self.answers, jsontext.dumps({"result": result}).encode() + b"\n")

    def end(self) -> None:
        """Kill it, if it runs."""
        try:
            os.kill(self.pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        for descriptor in (self.events, self.output, self.answers):
            os.close(descriptor)


def _be_worker(work: Callable[[Line], Json], line: Line, output: int, others: list[int]) -> None:
    """Do the work in the new process. Does not return."""
    try:
        process.die_with_parent()
        os.setpgid(0, 0)  # Ctrl-C is for the process that ends all workers
        for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_DFL)
        for descriptor in others:
            os.close(descriptor)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        line.send({"result": work(line)})
    except MydockerError as error:
        line.send({"error": error.details(), "excerpt": getattr(error, "excerpt", "")})
    except Exception as error:
        if os.environ.get("MYDOCKER_DEBUG"):
            import traceback

            traceback.print_exc()
        line.send({"error": HostError(f"the build failed: {type(error).__name__}: {error}").details()})
    finally:
        os._exit(0)


def run(
    stages: list[str],
    needs: dict[str, str],
    work: Callable[[str, Line, dict[str, Json]], Json],
    report: Report,
    tick: Tick | None = None,
) -> dict[str, Json]:
    """Run the stages. needs: the stage that another begins from, which has to end before. work: does one, in a worker,
    and gets its name, its line to this process and the results so far. Returns the results. Raises StageFailed at the
    first error."""
    results: dict[str, Json] = {}
    waiting = list(stages)
    running: dict[str, _Worker] = {}
    try:
        while waiting or running:
            for stage in [each for each in waiting if needs.get(each, "") in ("", *results)]:
                waiting.remove(stage)
                running[stage] = _Worker(stage, work, results)
            for worker in _ready(list(running.values()), report, tick):
                _hear(worker, results, running, report)
            for worker in running.values():
                if worker.waits in results:
                    worker.answer(results[worker.waits])
    finally:
        for worker in running.values():
            worker.end()
    return results


def _ready(workers: list[_Worker], report: Report, tick: Tick | None) -> list[_Worker]:
    """Wait. Shows the output that has come, and returns the workers that have said something."""
    poller = select.poll()
    for worker in workers:
        poller.register(worker.events, select.POLLIN)
        poller.register(worker.output, select.POLLIN)
    ready = {descriptor for descriptor, _ in poller.poll(int(_TICK * 1000) if tick else None)}
    if tick:
        tick()
    for worker in workers:
        if worker.output in ready:
            data = worker.read_output()
            if data:
                report(worker.stage, None, data)
    return [worker for worker in workers if worker.events in ready]


def _hear(worker: _Worker, results: dict[str, Json], running: dict[str, _Worker], report: Report) -> None:
    messages = worker.messages()
    while data := worker.read_output():  # written before the message
        report(worker.stage, None, data)
    if messages is None:
        raise StageFailed(worker.stage, HostError("a process of the build was killed", "see dmesg").details())
    for message in messages:
        if "error" in message:
            raise StageFailed(worker.stage, message["error"], message.get("excerpt", ""))
        if "result" in message:
            results[worker.stage] = message["result"]
            del running[worker.stage]
            worker.end()
            return
        if "wait" in message:
            worker.waits = message["wait"]
        else:
            report(worker.stage, message, b"")
