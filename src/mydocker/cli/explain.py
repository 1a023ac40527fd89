"""Print the start of a container, each step with its shell equivalent: `run --explain`, `run --dry-run`, `explain`.

trace.py defines spans and steps. Here a row is a span with `shell`, `section` and `number` filled in; `number` is
None unless the span is a step. For people, rows that are alike are folded into one line; it counts as all of them.
"""

from __future__ import annotations

import os
from itertools import groupby

from mydocker import jsontext, paths
from mydocker.cli.output import emit, printable, shorten, terminal_width, width
from mydocker.errors import CorruptRecord, InvalidArgument
from mydocker.network.ops import bridges, ports, resolver, rules, veths
from mydocker.ops import cgroup, erofs, namespaces, process, resources, rootfs, sharing, volumes
from mydocker.ops.base import CLONE, EXECUTE, quote, revive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.runtime.plan import Plan

    Row = dict[str, Any]

DEFINE_OPS = (
    cgroup, erofs, namespaces, process, resources, rootfs, sharing, volumes, veths, bridges, rules, ports, resolver,
)  # fmt: skip
_PIPE_WIDTH = 80
_WIDEST = 110  # a line that is longer than this is hard to read
_INDENT = 12  # of the lines below a row's name
_SLOWEST = 5  # rows in the summary
_WAITS = "wait"  # the first word of a row whose side only waited for the other
_BLOCKS = "▏▎▍▌▋▊▉█"
_SIDES = ("host", "container")


def print_trace(trace: dict[str, Any], form: str | None = None, descriptor: int = 2, every: bool = False) -> None:
    """Print a start as it went. form: None (for people), "json" or "trace" (for Perfetto). every: fold nothing.

    Raises InvalidArgument for another form, CorruptRecord for a damaged trace.
    """
    rows = trace_rows(trace)
    if form == "json":
        emit(jsontext.pretty({**trace, "spans": rows}) + "\n", descriptor)
    elif form == "trace":
        emit(jsontext.dumps(perfetto(trace, rows)) + "\n", descriptor)
    else:
        _check(form, "json or trace")
        emit(trace_text(trace, rows, *_paper(descriptor), every), descriptor)


def print_plan(plan: Plan, form: str | None = None, every: bool = False) -> None:
    """Print the plan of a start. form: None (for people) or "json". every: fold nothing. Raises InvalidArgument."""
    rows = [_filled(row) for row in plan.outline()]
    if form == "json":
        emit(jsontext.pretty(rows) + "\n")
    else:
        _check(form, "json")
        container_id = os.path.basename(plan.spec["linux"]["cgroupsPath"])
        emit(plan_text(rows, container_id, *_paper(1), every))


def _check(form: str | None, known: str) -> None:
    if form not in (None, "", "text"):
        raise InvalidArgument(f"unknown format '{form}'", known)


def _paper(descriptor: int) -> tuple[int | None, bool]:
    """The columns of the terminal, None without one, and whether it may have colours."""
    columns = terminal_width(descriptor)
    return columns, columns is not None and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def trace_rows(trace: dict[str, Any]) -> list[Row]:
    """Both sides' rows in order of time, with the numbers of the steps. Raises CorruptRecord for a damaged trace."""
    try:
        rows = [_filled(span) for span in trace["spans"]]
        if not rows:
            raise ValueError("no steps")
        for row in rows:
            row["start"], row["end"] = int(row["start"]), int(row["end"])
        rows.sort(key=lambda row: (row["start"], -row["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecord(f"damaged trace of a start: {error!r}", "the next start writes a new one") from None
    steps = [row for side in _SIDES for row in rows if row["side"] == side and _is_step(row)]
    numbers = {id(row): number for number, row in enumerate(steps, 1)}
    return [{**row, "number": numbers.get(id(row))} for row in rows]


def _is_step(row: Row) -> bool:
    return bool(row.get("op")) or row["name"] in (CLONE, EXECUTE)


def _filled(span: dict[str, Any]) -> Row:
    """The span, with shell and section from its op. An op that this version does not know keeps its name only."""
    try:
        op = revive(span["op"], span["args"]) if span.get("op") else None
        shell, section = (op.shell(), op.section) if op else (span.get("shell"), "")
    except (KeyError, TypeError, ValueError, AttributeError):
        shell, section = span.get("shell"), ""
    return {**span, "side": str(span["side"]), "name": str(span["name"]), "section": section, "shell": str(shell or "")}


def count(rows: list[Row]) -> str:
    """The number of steps, in words: the one way to count them."""
    host, container = (sum(1 for row in rows if row["number"] and row["side"] == side) for side in _SIDES)
    return f"{host + container} steps, {host} on the host and {container} in the container"


# --- folding ----------------------------------------------------------------------------------------------------------

# Ops that a start has many of -> the line for a series of them, and the field that tells them apart.
_SERIES = {
    "MakeDevice": ("make {} devices", "path"),
    "MakeLink": ("make {} links", "path"),
    "MaskPath": ("hide {} paths", "path"),
    "ReadOnlyPath": ("make {} paths read-only", "path"),
    "SetLimit": ("set {} limits", "name"),
    "Mount cgroup": ("mount {} cgroup hierarchies", "target"),
}
_FEWEST = 3  # rows that make a series


def fold(rows: list[Row]) -> list[Row]:
    """Fold each series of rows into one. Rows of the other side do not end a series: they were only done meanwhile."""
    folded: list[tuple[int, Row]] = []
    for side in _SIDES:
        own = [(place, row) for place, row in enumerate(rows) if row["side"] == side]
        for kind, pairs in groupby(own, key=lambda pair: _kind(pair[1])):
            series = list(pairs)
            if kind and len(series) >= _FEWEST:
                series = [(series[0][0], _folded(kind, [row for _, row in series]))]
            folded += series
    return [row for _, row in sorted(folded, key=lambda pair: pair[0])]


def _kind(row: Row) -> str:
    """The row's key in _SERIES, "" if it is never folded."""
    args = row.get("args")
    if row.get("error") or not isinstance(args, dict):
        return ""
    kind = f"{row['op']} {args.get('fstype', '')}".rstrip()
    return kind if kind in _SERIES and _SERIES[kind][1] in args else ""


def _folded(kind: str, series: list[Row]) -> Row:
    title, field = _SERIES[kind]
    items = [str(row["args"][field]) for row in series]
    names = ", ".join(item[7:].lower() if item.startswith("RLIMIT_") else item for item in items)
    first, last = series[0], series[-1]
    return {
        **first,
        "name": f"{title.format(len(series))}: {names}",
        "shell": f"{first['shell']}  # and {len(series) - 1} more",
        "last": last["number"],
        "took": sum(map(_took, series)),
    }


def _took(row: Row) -> int:
    """The nanoseconds of a row; a plan's rows take none."""
    took: int = row.get("took", row.get("end", 0) - row.get("start", 0))
    return took


# --- for people -------------------------------------------------------------------------------------------------------


class _Page:
    """The lines of the output. columns: the terminal's, to which long lines are broken or cut; None for a pipe, where
    they are not. names: abbreviations()."""

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

    def heading(self, row: Row, before: Row | None) -> None:
        if before is None or (row["side"], row["section"]) != (before["side"], before["section"]):
            self.rule(" · ".join(filter(None, (row["side"], row["section"]))))

    def row(self, left: str, row: Row, right: str = "", slow: bool = False) -> None:
        name = printable(self.named(row["name"]))
        room = self.width - _INDENT - len(right) - 2
        if self.columns:
            name = shorten(name, room)
        line = self.paint("2", f"{left:>{_INDENT - 2}}") + "  " + name
        if right:
            line += " " * max(room - width(name), 0) + "  " + self.paint("1;33" if slow else "2", right)
        self.lines.append(line)
        for command in row["shell"].split("\n"):
            self.lines += [" " * _INDENT + self.paint("2", part) for part in self.shell(printable(command))]
        if row.get("error"):
            self.lines.append(" " * _INDENT + self.paint("1;31", f"failed: {printable(str(row['error']))}"))

    def fold_hint(self, folded: bool) -> None:
        if folded:
            self.lines.append(self.paint("2", "'run --explain=all' and 'explain --all' show the folded steps, too"))

    def shell(self, command: str) -> list[str]:
        """A command in lines, broken as a shell puts it together again where the page is too narrow."""
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


def abbreviations(rows: list[Row], container_id: str) -> list[tuple[str, str, str]]:
    """Shell variables for the paths that come often: $R, the root; $C, the container's directory; $ID; $L1…, its
    layers.

    Each is (variable, its value, its definition in shell). A longer path comes before a path that it begins with.
    """
    store = _store(rows, container_id)
    names: list[tuple[str, str, str]] = []
    for row in rows:
        for part in row["shell"].split(f"{store}/layers/")[1:]:
            layer = f"{store}/layers/{part[:64]}"
            if layer not in [value for _, value, _ in names]:
                names.append((f"L{len(names) + 1}", layer, layer))
    if container_id:
        directory = f"{store}/containers/{container_id}"
        names.append(("R", f"{directory}/rootfs", "$C/rootfs"))
        names.append(("C", directory, f"{store}/containers/$ID"))
        names.append(("ID", container_id, container_id))
    return names


def _store(rows: list[Row], container_id: str) -> str:
    """The store's directory at that time: the part of a path before /containers/<id>."""
    for row in rows:
        before, container, _ = row["shell"].partition(f"/containers/{container_id}")
        if container:
            return str(before[max(before.rfind(mark) for mark in " =:,") + 1 :])
    return paths.ROOT


def abbreviated(text: str, names: list[tuple[str, str, str]]) -> str:
    for name, value, _ in names:
        text = text.replace(value, f"${name}")
    return text


def trace_text(
    trace: dict[str, Any], rows: list[Row], columns: int | None = None, colours: bool = False, every: bool = False
) -> str:
    """The time line, then where the time went. columns: the terminal's, None for a pipe."""
    origin = rows[0]["start"]
    total = max(row["end"] for row in rows) - origin
    page = _Page(columns, colours, abbreviations(rows, str(trace.get("id", ""))))
    command = " ".join(quote(str(word)) for word in trace.get("command") or [])
    page.lines.append(page.paint("1", printable(str(trace.get("name", "")))) + "  " + printable(command))
    page.definitions()
    shown = rows if every else fold(rows)
    for before, row in zip([None, *shown], shown):
        page.heading(row, before)
        slow = _took(row) * 10 > total and not row["name"].startswith(_WAITS)
        page.row(f"{(row['start'] - origin) / 1e6:.3f} ms", row, _duration(_took(row)), slow)
    _summary(page, rows, total)
    page.fold_hint(len(shown) < len(rows))
    return "\n".join(page.lines) + "\n"


def _summary(page: _Page, rows: list[Row], total: int) -> None:
    waiting = [row for row in rows if row["name"].startswith(_WAITS)]
    busy = [row for row in rows if row not in waiting]
    host, container = (sum(_took(row) for row in busy if row["side"] == side) for side in _SIDES)
    page.rule(f"total: {count(rows)}", _duration(total))

    def line(ns: int, text: str) -> str:
        return f"{_duration(ns):>{_INDENT - 2}}  {text}"

    for name, ns in (("host", host), ("container", container), ("between them", max(total - host - container, 0))):
        about = "Python, and the scheduler" if name == "between them" else ""
        bar = line(ns, f"{name:<13} {_bar(ns, total, 20):<20}  ") + page.paint("2", about)
        page.lines.append(bar.rstrip())
    if waiting:
        page.lines.append(page.paint("2", line(sum(map(_took, waiting)), "of it the host waited for the container")))
    page.lines.append("the slowest")
    for row in sorted(busy, key=_took, reverse=True)[:_SLOWEST]:
        text = line(_took(row), f"{row['side']:<10} {printable(page.named(row['name']))}")
        page.lines.append(shorten(text, page.width) if page.columns else text)


def _bar(part: int, total: int, columns: int) -> str:
    """A bar of up to so many columns, to an eighth of one."""
    eighths = part * columns * 8 // max(total, 1)
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8 - 1] if eighths % 8 else "")


def _duration(ns: int) -> str:
    return f"{ns / 1e6:.2f} ms" if ns >= 1e6 else f"{ns / 1e3:.0f} µs"


def plan_text(
    rows: list[Row], container_id: str, columns: int | None = None, colours: bool = False, every: bool = False
) -> str:
    """The plan, each step with its number. Steps before the start have none."""
    page = _Page(columns, colours, abbreviations(rows, container_id))
    page.definitions()
    shown = rows if every else fold(rows)
    for before, row in zip([None, *shown], shown):
        page.heading(row, before)
        page.row("-".join(str(number) for number in (row["number"], row.get("last")) if number), row)
    page.rule("nothing was done")
    page.lines.append(count(rows))
    page.fold_hint(len(shown) < len(rows))
    return "\n".join(page.lines) + "\n"


# --- for programs -----------------------------------------------------------------------------------------------------


def perfetto(trace: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """Chrome's trace-event format, which ui.perfetto.dev opens: a track a side, times in µs from the first row on."""
    origin = rows[0]["start"]
    tracks = {"host": 1, "container": 2}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": f"mydocker {trace.get('name', '')}"}}
    ]
    for side, track in tracks.items():
        events.append({"ph": "M", "name": "thread_name", "pid": 1, "tid": track, "args": {"name": side}})
        events.append({"ph": "M", "name": "thread_sort_index", "pid": 1, "tid": track, "args": {"sort_index": track}})
    for row in rows:
        details = {"shell": row["shell"], **(row.get("args") or {})}
        if row.get("error"):
            details["error"] = row["error"]
        events.append(
            {
                "ph": "X",
                "name": row["name"],
                "cat": row["section"],
                "pid": 1,
                "tid": tracks.get(row["side"], 2),
                "ts": (row["start"] - origin) / 1e3,
                "dur": (row["end"] - row["start"]) / 1e3,
                "args": details,
            }
        )
    return {"displayTimeUnit": "ms", "traceEvents": events}
