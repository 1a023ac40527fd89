"""The progress of a build, on stderr: BuildKit's plain lines, or on a terminal one line a step.

#5 [2/4] RUN make          a step: its number, the stage's name if it has one, its place in the stage
#5 0.123 cc -c a.c         what it has written, with seconds since its start
#5 DONE 0.3s               or CACHED, or ERROR
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from mydocker.model.options.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

_SHOWN_OUTPUT = 5  # lines of a running step on a terminal
_LONGEST_LINE = 64 << 10  # bytes of output: a longer line is shown in pieces, as a program need never end one
_KEPT_OUTPUT = 50  # lines of a step that has failed
_SHOWN_LAYERS = 10  # of a pull on a terminal, those that are on their way
_OFTEN = 0.1  # seconds between two drawings for layers
_SHORT = 12  # digits of a digest
_DIM, _RED, _GREEN, _BLUE, _PLAIN = "\033[2m", "\033[31m", "\033[32m", "\033[34m", "\033[0m"


def view(form: str) -> View:
    """form: auto, plain, tty or quiet."""
    if form == "quiet":
        return View()
    if form == "tty":
        return Terminal()
    if form == "auto" and os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb":
        return Terminal()
    return Plain()


class _Layer:
    """A layer that is pulled: its line, and whether it is there."""

    def __init__(self, digest: str, size: int) -> None:
        self.digest, self.size, self.is_there = digest[7:][:_SHORT], size, False
        self.line = f"{self.digest}: Waiting"

    def advance(self, state: str, count: int) -> None:
        """state, count: as in image/intake.py."""
        self.is_there = state in ("exists", "done")
        text = {"exists": "Already exists", "done": "Pull complete"}.get(state)
        text = text or ("Extracting" if count >= self.size else f"{human_size(count)}/{human_size(self.size)}")
        self.line = f"{self.digest}: {text}"


class _Step:
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.began = monotonic()
        self.unfinished = b""  # of its last line
        self.lines: list[str] = []
        self.layers: list[_Layer] = []

    @property
    def seconds(self) -> float:
        return monotonic() - self.began

    def add(self, data: bytes) -> list[str]:
        """Add output. Returns the lines that are complete now."""
        *rows, self.unfinished = (self.unfinished + data).split(b"\n")
        if len(self.unfinished) > _LONGEST_LINE:
            rows.append(self.unfinished)
            self.unfinished = b""
        return self._keep([_printable(row) for row in rows])

    def take_unfinished(self) -> list[str]:
        """Return the last line, if it has no end."""
        last, self.unfinished = self.unfinished, b""
        return self._keep([_printable(last)] if last else [])

    def last_lines(self) -> list[str]:
        """Return the end of its output, or the layers of a pull that are on their way."""
        if self.layers:
            return [layer.line for layer in self.layers if not layer.is_there][:_SHOWN_LAYERS]
        return [*self.lines, *([_printable(self.unfinished)] if self.unfinished else [])][-_SHOWN_OUTPUT:]

    def _keep(self, lines: list[str]) -> list[str]:
        self.lines = [*self.lines, *lines][-_KEPT_OUTPUT:]
        return lines


def _printable(row: bytes) -> str:
    """Return a line of output without control characters; of a line that was drawn over, the last text."""
    text = row.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace").expandtabs()
    return "".join(char for char in _without_colours(text) if char.isprintable())


def _without_colours(text: str) -> str:
    if "\033" not in text:
        return text
    import re

    return re.sub(r"\033(\[[0-?]*[ -/]*[@-~]|\][^\007\033]*(\007|\033\\)?|.)", "", text)


class View:
    """Collects the steps, and shows nothing (-q). moves: it has to be told of the time by tick()."""

    moves = False

    def __init__(self) -> None:
        self._count = 0
        self._steps: dict[str, _Step] = {}  # of each stage, the running one

    def report(self, stage: str, event: Json | None, data: bytes) -> None:
        """Show an event of a stage, or a piece of its step's output."""
        if event is None:
            step = self._steps.get(stage)
            if step and (lines := step.add(data)):
                self._show_output(step, lines)
        elif event["event"] == "start":
            self._count += 1
            self._steps[stage] = _Step(self._count, event["name"])
            self._show_start(self._steps[stage])
        elif event["event"] == "note":
            self._show_note(event["text"])
        elif event["event"] == "layers":
            self._steps[stage].layers = [_Layer(*row) for row in event["layers"]]
        elif event["event"] == "layer":
            layer = self._steps[stage].layers[event["at"]]
            layer.advance(event["state"], event["count"])
            self._show_layer(self._steps[stage], layer)
        else:
            step = self._steps.pop(stage)
            if lines := step.take_unfinished():
                self._show_output(step, lines)
            self._show_end(step, event["event"], event.get("text", ""))

    def tick(self) -> None:
        """Show the time that has passed."""

    def failed(self, stage: str, quiet: bool) -> None:
        """End the view after an error in a stage. quiet: show the last output of its step, as nothing has been."""
        step = self._steps.pop(stage, None)
        if step:
            if lines := step.take_unfinished():
                self._show_output(step, lines)
            self._show_end(step, "error", "")
            if quiet:
                _write("".join(f"{line}\n" for line in step.lines))
        self.close()

    def close(self) -> None:
        """End the view: what runs is not shown any more."""

    def _show_start(self, step: _Step) -> None:
        pass

    def _show_output(self, step: _Step, lines: list[str]) -> None:
        pass

    def _show_layer(self, step: _Step, layer: _Layer) -> None:
        pass

    def _show_end(self, step: _Step, how: str, text: str) -> None:
        pass

    def _show_note(self, text: str) -> None:
        pass


class Plain(View):
    def __init__(self) -> None:
        super().__init__()
        self._last: _Step | None = None  # whose lines were printed last, if it runs

    def _show_start(self, step: _Step) -> None:
        self._turn_to(step)

    def _show_output(self, step: _Step, lines: list[str]) -> None:
        self._turn_to(step)
        seconds = step.seconds
        _write("".join(f"#{step.number} {seconds:.3f} {line}\n" for line in lines))

    def _show_layer(self, step: _Step, layer: _Layer) -> None:
        if layer.is_there:
            self._show_output(step, [layer.line])

    def _show_end(self, step: _Step, how: str, text: str) -> None:
        self._turn_to(step)
        rows = "".join(f"#{step.number} {line}\n" for line in text.splitlines())
        end = {"cached": "CACHED", "error": "ERROR"}.get(how) or f"DONE {step.seconds:.1f}s"
        _write(f"{rows}#{step.number} {end}\n\n")
        self._last = None

    def _show_note(self, text: str) -> None:
        if self._last:
            _write(f"#{self._last.number} ...\n\n")
            self._last = None
        _write(f"{text}\n\n")

    def _turn_to(self, step: _Step) -> None:
        """Print the step's name, unless its lines were the last."""
        if self._last is step:
            return
        if self._last:
            _write(f"#{self._last.number} ...\n\n")
        _write(f"#{step.number} {step.name}\n")
        self._last = step


class Terminal(View):
    """Steps that have ended stay, one line each. Below them those that run, with their last lines of output."""

    moves = True

    def __init__(self) -> None:
        super().__init__()
        self._drawn = 0  # lines below those that stay
        self._drawn_at = 0.0

    def tick(self) -> None:
        self._draw("")

    def close(self) -> None:
        self._steps.clear()
        self._draw("")

    def _show_start(self, step: _Step) -> None:
        self._draw("")

    def _show_output(self, step: _Step, lines: list[str]) -> None:
        pass  # with the next tick

    def _show_layer(self, step: _Step, layer: _Layer) -> None:
        if monotonic() - self._drawn_at >= _OFTEN:  # nothing else ticks while images are pulled
            self._draw("")

    def _show_end(self, step: _Step, how: str, text: str) -> None:
        mark, colour = {"cached": ("=", _BLUE), "error": ("x", _RED)}.get(how, ("+", _GREEN))
        time = "cached" if how == "cached" else f"{step.seconds:.1f}s"
        rows = [self._row(f"{colour}{mark}{_PLAIN} ", 2, step.name, time)]
        rows += [f"  {_fit(line, self._columns() - 2)}" for line in text.splitlines()]
        self._draw("".join(f"{row}\n" for row in rows))

    def _show_note(self, text: str) -> None:
        self._draw(f"{_printable_text(text)}\n")

    def _columns(self) -> int:
        return self._size().columns or 80

    def _size(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(2)
        except OSError:
            return os.terminal_size((80, 24))

    def _row(self, head: str, width: int, name: str, time: str) -> str:
        room = self._columns() - width - len(time) - 2
        return f"{head}{_fit(name, room).ljust(room)} {time}"

    def _draw(self, above: str) -> None:
        """Print lines that stay, and draw those of the running steps anew."""
        rows: list[str] = []
        for step in self._steps.values():
            rows.append(self._row("> ", 2, step.name, f"{step.seconds:.1f}s"))
            rows += [f"  {_DIM}{_fit(line, self._columns() - 2)}{_PLAIN}" for line in step.last_lines()]
        del rows[max(self._size().lines - 1, 1) :]  # what has scrolled away can't be drawn anew
        up = f"\033[{self._drawn}A" if self._drawn else ""
        _write(f"{up}\r\033[J{above}" + "".join(f"{row}\n" for row in rows))
        self._drawn, self._drawn_at = len(rows), monotonic()


def _fit(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def _printable_text(text: str) -> str:
    return "\n".join(_printable(line.encode()) for line in text.split("\n"))


def _write(text: str) -> None:
    if text:
        sys.stderr.write(text)
        sys.stderr.flush()
