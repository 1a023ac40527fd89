"""The picture: bars for each contestant's median, a group for each thing measured; readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from report import shown
from sitting import OURS, Row

WIDTH, LEFT, RIGHT = 960, 300, 640  # where bars begin, and where the longest one ends
BAR, GAP, TOP = 13, 15, 112  # a bar's distance from the next, a group's, and where the first is
TIMES = "\N{MULTIPLICATION SIGN}"

# A renderer that knows no media queries shows the light ones.
LIGHT = {
    "page": "#ffffff", "edge": "#d1d9e0", "ink": "#1f2328", "dim": "#656d76", "met": "#1a7f37", "missed": "#cf222e",
    "c0": "#0969da", "c1": "#8c959f", "c2": "#a475f9", "c3": "#bf8700", "c4": "#bc4c00",
}  # fmt: skip
DARK = {
    "page": "#0d1117", "edge": "#30363d", "ink": "#e6edf3", "dim": "#8d96a0", "met": "#3fb950", "missed": "#f85149",
    "c0": "#58a6ff", "c1": "#6e7681", "c2": "#8957e5", "c3": "#9e6a03", "c4": "#bd561d",
}  # fmt: skip
SHAPES = """
    text { font: 11px -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", Helvetica, Arial, sans-serif }
    .title { font-size: 17px; font-weight: 600 } .what { font-size: 12px; font-weight: 600 }"""


def picture(rows: Sequence[Row], names: Sequence[str], about: str) -> str:
    """Draw the rows. names: the contestants, mydocker first. about: a line on the machine and the day."""
    parts = [
        text(24, 38, "mydocker beside its peers", "title"),
        text(24, 58, f"{about}. Medians; shorter is better.", "dim"),
        text(24, 74, "The stroke on mydocker's bar is where it must end; ratios are mydocker's cost to theirs.", "dim"),
    ]
    for number, name in enumerate(names):
        x = 24 + number * 90
        parts.append(f'<rect class="c{number}" x="{x}" y="86" width="10" height="10" rx="2"/>')
        parts.append(text(x + 15, 95, name))
    y = float(TOP)
    for row in rows:
        parts += group(row, names, y)
        y += BAR * len(shown_names(row, names)) + GAP
    return document("\n".join(f"  {part}" for part in parts), y + 8)


def shown_names(row: Row, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in row.values or name in row.missing]


def group(row: Row, names: Sequence[str], top: float) -> list[str]:
    """One thing measured: its name, a bar a contestant, and the ratios."""
    medians = {name: row.median(name) for name in row.values}
    most = limit(row) if OURS in medians else None
    scale = (RIGHT - LEFT) / (max(most or 0.0, *(value or 0.0 for value in medians.values())) or 1.0)
    parts = [text(24, top + 10, row.what, "what")]
    verdicts = {other: (cost, most) for other, cost, most in row.verdicts()}
    for line, name in enumerate(shown_names(row, names)):
        y = top + line * BAR
        value = medians.get(name)
        if value is None:
            parts.append(text(LEFT, y + 9, f"n/a: {name}: {row.missing[name]}"[:100], "dim"))
            continue
        width = max(value * scale, 1.0)
        about = f"<title>{escape(name)}: {shown(value)} {row.unit}</title>"
        colour = f'class="c{names.index(name)}"'
        parts.append(
            f'<rect {colour} x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 3}" rx="2">{about}</rect>'
        )
        end = LEFT + width
        if name == OURS and most is not None:
            stroke = LEFT + most * scale
            parts.append(f'<path class="limit" d="M{stroke:.1f} {y - 2:.1f}v{BAR + 1}"/>')
            if end < stroke < end + 60:
                end = stroke
        parts.append(text(end + 6, y + 9, f"{shown(value)} {row.unit}"))
        if name in verdicts:
            parts.append(judged(name, *verdicts[name], y + 9))
    return parts


def limit(row: Row) -> float | None:
    """The maximum that all targets together allow mydocker, in the row's unit."""
    return min(
        (most * (row.median(name) or 0.0) for name, most in row.targets.items() if name in row.values), default=None
    )


def judged(other: str, cost: float, most: float | None, y: float) -> str:
    words = f"{cost:.2f} {TIMES} {other}"
    if most is None:
        return text(720, y, words, "dim")
    met = cost <= most
    return text(720, y, f"{words}, at most {most:.2f}: {'met' if met else 'missed'}", "met" if met else "missed")


def text(x: float, y: float, words: str, classes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{escape(words)}</text>'


def document(body: str, height: float) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
  <title>mydocker beside its peers</title>
  <style>{SHAPES}{colours(LIGHT)}
    @media (prefers-color-scheme: dark) {{{colours(DARK)}
    }}
  </style>
  <rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10"/>
{body}
</svg>
"""


def colours(of: dict[str, str]) -> str:
    fills = " ".join(f".{name} {{ fill: {of[name]} }}" for name in of if name not in ("page", "edge", "ink"))
    return f"""
    text {{ fill: {of["ink"]} }} .page {{ fill: {of["page"]}; stroke: {of["edge"]} }}
    {fills} .limit {{ stroke: {of["ink"]}; stroke-width: 2 }}"""
