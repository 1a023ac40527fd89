"""What `run --explain`, `run --dry-run` and `explain` print: a container's birth, each step with its shell equivalent.

trace.py's head describes a trace's spans. Here a step is a span with `shell` and `section` filled in, in order of time.
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.cli.output import emit, printable, shorten, terminal_width, width
from mydocker.errors import CorruptRecord, InvalidArgument
from mydocker.network import ops as network
from mydocker.network import resolver_op
from mydocker.ops import cgroup, namespaces, process, rootfs
from mydocker.ops.base import quote, revive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.runtime.plan import Plan

    Step = dict[str, Any]

DEFINE_OPS = (cgroup, namespaces, process, rootfs, network, resolver_op)  # imported: revive() knows what they define
_PIPE_WIDTH = 80
_WIDEST = 110  # a line that is longer than this is hard to read
_INDENT = 12  # of what stands under a step's name
_SLOWEST = 5  # steps in the summary
_WAITS = "wait"  # what a span's name begins with if its side only waited for the other
_BLOCKS = "▏▎▍▌▋▊▉█"


def print_trace(trace: dict[str, Any], form: str | None = None, descriptor: int = 2) -> None:
    """A start as it went. form: None (for people), "json" or "trace" (for Perfetto).

    Raises InvalidArgument for another form, CorruptRecord for what is no trace.
    """
    steps = trace_steps(trace)
    if form == "json":
        emit(jsontext.pretty({**trace, "spans": steps}) + "\n", descriptor)
    elif form == "trace":
        emit(jsontext.dumps(perfetto(trace, steps)) + "\n", descriptor)
    else:
        _check(form, "json or trace")
        emit(trace_text(trace, steps, *_paper(descriptor)), descriptor)


def print_plan(plan: Plan, form: str | None = None) -> None:
    """What a start would do. form: None (for people) or "json". Raises InvalidArgument."""
    steps = [_filled(row) for row in plan.outline()]
    if form == "json":
        emit(jsontext.pretty(steps) + "\n")
    else:
        _check(form, "json")
        container_id = os.path.basename(plan.spec["linux"]["cgroupsPath"])
        emit(plan_text(steps, container_id, *_paper(1)))


def _check(form: str | None, known: str) -> None:
    if form not in (None, "", "text"):
        raise InvalidArgument(f"unknown format '{form}'", known)


def _paper(descriptor: int) -> tuple[int | None, bool]:
    """The columns of the terminal, None without one, and whether it may have colours."""
    columns = terminal_width(descriptor)
    return columns, columns is not None and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def trace_steps(trace: dict[str, Any]) -> list[Step]:
    """Both sides' steps in order of time. Raises CorruptRecord: that is no trace."""
    try:
        steps = [_filled(span) for span in trace["spans"]]
        if not steps:
            raise ValueError("no steps")
        for step in steps:
            step["start"], step["end"] = int(step["start"]), int(step["end"])
        return sorted(steps, key=lambda step: (step["start"], -step["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecord(f"this is no trace of a start: {error!r}", "it is written anew at the next start") from None


def _filled(span: dict[str, Any]) -> Step:
    """A step: the span, and what its op says of itself. An op that this version does not know keeps its name only."""
    try:
        op = revive(span["op"], span["args"]) if span.get("op") else None
        shell, section = (op.shell(), op.section) if op else (span.get("shell"), "")
    except (KeyError, TypeError, ValueError, AttributeError):
        shell, section = span.get("shell"), ""
    return {**span, "side": str(span["side"]), "name": str(span["name"]), "section": section, "shell": str(shell or "")}


# --- for people -------------------------------------------------------------------------------------------------------


class _Page:
    """Lines for a terminal of so many columns, or for a pipe (None), where nothing is broken or cut.

    names: abbreviations().
    """

    def __init__(self, columns: int | None, colours: bool, names: list[tuple[str, str, str]]) -> None:
        self.columns = columns
        self.width = min(columns or _PIPE_WIDTH, _WIDEST)
        self.colours = colours
        self.names = names
        self.lines: list[str] = []

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colours and text else text

    def named(self, text: str) -> str:
        return abbreviated(text, self.names)

    def definitions(self) -> None:
        for name, _, definition in reversed(self.names):
            self.lines.append(self.paint("2", f"{name}={definition}"))

    def rule(self, title: str, right: str = "") -> None:
        """A line across the page, with a title at its left and something short at its right end."""
        right = f" {right}" if right else ""
        dashes = "─" * max(self.width - width(title) - len(right) - 4, 2)
        line = self.paint("2", "── ") + self.paint("1", title) + " " + self.paint("2", dashes)
        self.lines.append(line + self.paint("1", right))

    def heading(self, step: Step, before: Step | None) -> None:
        if before is None or (step["side"], step["section"]) != (before["side"], before["section"]):
            self.rule(" · ".join(filter(None, (step["side"], step["section"]))))

    def step(self, left: str, step: Step, right: str = "", slow: bool = False) -> None:
        name = printable(self.named(step["name"]))
        room = self.width - _INDENT - len(right) - 2
        if self.columns:
            name = shorten(name, room)
        line = self.paint("2", f"{left:>{_INDENT - 2}}") + "  " + name
        if right:
            line += " " * max(room - width(name), 0) + "  " + self.paint("1;33" if slow else "2", right)
        self.lines.append(line)
        for command in step["shell"].split("\n"):
            self.lines += [" " * _INDENT + self.paint("2", row) for row in self.shell(printable(command))]
        if step.get("error"):
            self.lines.append(" " * _INDENT + self.paint("1;31", f"failed: {printable(str(step['error']))}"))

    def shell(self, command: str) -> list[str]:
        """A command in rows: broken, where the page is too narrow for it, as a shell puts it together again."""
        rows = [""]
        comment = False
        for number, word in enumerate(_words(command)):
            comment = comment or word.startswith("#")
            word = word if "'" in word else self.named(word)
            # Two columns for the backslash.
            if self.columns and number and width(f"{rows[-1]} {word}") > self.width - _INDENT - 2:
                if not comment:
                    rows[-1] += " \\"
                elif not word.startswith("#"):
                    word = f"# {word}"
                rows.append(f"  {word}")
            else:
                rows[-1] += f" {word}" if number else word
        return rows if command else []


def _words(command: str) -> list[str]:
    """Cut at the spaces that are outside quotes."""
    words = [""]
    quoted = ""
    for char in command:
        if char == " " and not quoted:
            words.append("")
            continue
        if char == quoted:
            quoted = ""
        elif char in "'\"" and not quoted:
            quoted = char
        words[-1] += char
    return words


def abbreviations(steps: list[Step], container_id: str) -> list[tuple[str, str, str]]:
    """Shell variables for the paths that come often: $R, the root; $C, the container's directory; $ID; $L1…, its
    layers.

    Each is (variable, what it stands for, how that is defined), a path before what it begins with.
    """
    store = _store(steps, container_id)
    names: list[tuple[str, str, str]] = []
    for step in steps:
        for part in step["shell"].split(f"{store}/layers/")[1:]:
            layer = f"{store}/layers/{part[:64]}"
            if layer not in [value for _, value, _ in names]:
                names.append((f"L{len(names) + 1}", layer, layer))
    if container_id:
        directory = f"{store}/containers/{container_id}"
        names.append(("R", f"{directory}/rootfs", "$C/rootfs"))
        names.append(("C", directory, f"{store}/containers/$ID"))
        names.append(("ID", container_id, container_id))
    return names


def _store(steps: list[Step], container_id: str) -> str:
    """Where the store was at that time: what the steps have before /containers/<id>."""
    for step in steps:
        before, found, _ = step["shell"].partition(f"/containers/{container_id}")
        if found:
            return str(before[max(before.rfind(mark) for mark in " =:,") + 1 :])
    return paths.ROOT


def abbreviated(text: str, names: list[tuple[str, str, str]]) -> str:
    for name, value, _ in names:
        text = text.replace(value, f"${name}")
    return text


def trace_text(trace: dict[str, Any], steps: list[Step], columns: int | None = None, colours: bool = False) -> str:
    """The time line, then where the time went. columns: the terminal's, None for a pipe."""
    origin = steps[0]["start"]
    total = max(step["end"] for step in steps) - origin
    page = _Page(columns, colours, abbreviations(steps, str(trace.get("id", ""))))
    command = " ".join(quote(str(word)) for word in trace.get("command") or [])
    page.lines.append(page.paint("1", printable(str(trace.get("name", "")))) + "  " + printable(command))
    page.definitions()
    for before, step in zip([None, *steps], steps):
        page.heading(step, before)
        took = step["end"] - step["start"]
        slow = took * 10 > total and not step["name"].startswith(_WAITS)
        page.step(f"{(step['start'] - origin) / 1e6:.3f} ms", step, _duration(took), slow)
    _summary(page, steps, total)
    return "\n".join(page.lines) + "\n"


def _summary(page: _Page, steps: list[Step], total: int) -> None:
    waiting = [step for step in steps if step["name"].startswith(_WAITS)]
    busy = [step for step in steps if step not in waiting]
    sums = {side: sum(s["end"] - s["start"] for s in busy if s["side"] == side) for side in ("host", "container")}
    between = max(total - sum(sums.values()), 0)
    page.rule("total", _duration(total))

    def row(ns: int, text: str) -> str:
        return f"{_duration(ns):>{_INDENT - 2}}  {text}"

    for name, ns, about in (
        ("host", sums["host"], _count(busy, "host")),
        ("container", sums["container"], _count(busy, "container")),
        ("between them", between, "Python, and the scheduler"),
    ):
        page.lines.append(row(ns, f"{name:<13} {_bar(ns, total, 20):<20}  ") + page.paint("2", about))
    if waiting:
        waited = sum(step["end"] - step["start"] for step in waiting)
        page.lines.append(page.paint("2", row(waited, "of it the host waited for the container")))
    page.lines.append("the slowest steps")
    for step in sorted(busy, key=lambda step: step["start"] - step["end"])[:_SLOWEST]:
        line = row(step["end"] - step["start"], f"{step['side']:<10} {printable(page.named(step['name']))}")
        page.lines.append(shorten(line, page.width) if page.columns else line)


def _count(steps: list[Step], side: str) -> str:
    return f"{sum(step['side'] == side for step in steps)} steps"


def _bar(part: int, whole: int, columns: int) -> str:
    """A bar of up to so many columns, to an eighth of one."""
    eighths = part * columns * 8 // max(whole, 1)
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8 - 1] if eighths % 8 else "")


def _duration(ns: int) -> str:
    return f"{ns / 1e6:.2f} ms" if ns >= 1e6 else f"{ns / 1e3:.0f} µs"


def plan_text(steps: list[Step], container_id: str, columns: int | None = None, colours: bool = False) -> str:
    page = _Page(columns, colours, abbreviations(steps, container_id))
    page.definitions()
    for before, step in zip([None, *steps], steps):
        page.heading(step, before)
        page.step(str(step["number"] or ""), step)
    page.rule("nothing was done")
    page.lines.append(f"{_count(steps, 'host')} on the host, {_count(steps, 'container')} in the container")
    return "\n".join(page.lines) + "\n"


# --- for programs -----------------------------------------------------------------------------------------------------


def perfetto(trace: dict[str, Any], steps: list[Step]) -> dict[str, Any]:
    """Chrome's trace-event format, which ui.perfetto.dev opens: a track a side, times in µs from the first step on."""
    origin = steps[0]["start"]
    tracks = {"host": 1, "container": 2}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": f"mydocker {trace.get('name', '')}"}}
    ]
    for side, track in tracks.items():
        events.append({"ph": "M", "name": "thread_name", "pid": 1, "tid": track, "args": {"name": side}})
        events.append({"ph": "M", "name": "thread_sort_index", "pid": 1, "tid": track, "args": {"sort_index": track}})
    for step in steps:
        details = {"shell": step["shell"], **(step.get("args") or {})}
        if step.get("error"):
            details["error"] = step["error"]
        events.append(
            {
                "ph": "X",
                "name": step["name"],
                "cat": step["section"],
                "pid": 1,
                "tid": tracks.get(step["side"], 2),
                "ts": (step["start"] - origin) / 1e3,
                "dur": (step["end"] - step["start"]) / 1e3,
                "args": details,
            }
        )
    return {"displayTimeUnit": "ms", "traceEvents": events}
