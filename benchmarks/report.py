"""What is printed and written: a table, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sitting import OURS, Row, Sitting

MODULES = 15  # of the imports' profile


def table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """A line a row: medians, then what mydocker costs as a multiple of the others' cost."""
    width = max([len(label(row)) for row in rows], default=0)
    lines = [f"{'medians':{width}}" + "".join(f"{name:>10}" for name in names) + "   mydocker's cost, as a multiple of"]
    for row in rows:
        cells = "".join(f"{cell(row, name):>10}" for name in names)
        verdicts = ", ".join(verdict(*found) for found in row.verdicts())
        lines.append(f"{label(row):{width}}{cells}   {verdicts}")
    return "\n".join(lines)


def label(row: Row) -> str:
    return f"{row.what}, {row.unit}"


def cell(row: Row, name: str) -> str:
    median = row.median(name)
    return ("n/a" if name in row.missing else "") if median is None else shown(median)


def shown(value: float) -> str:
    """Three digits or so."""
    return f"{value:.0f}" if value >= 100 or not value else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(other: str, cost: float, most: float | None) -> str:
    if most is None:
        return f"{other} {cost:.2f}"
    return f"{other} {cost:.2f} (at most {most:.2f}{': met' if cost <= most else ': NOT MET'})"


def reasons(rows: Sequence[Row]) -> list[str]:
    """Why there are cells without a figure, a line each."""
    return [f"n/a: {name}, {row.what}: {why}" for row in rows for name, why in row.missing.items()]


def missed(rows: Sequence[Row]) -> list[str]:
    """The targets that are not met, a line each; a row without a figure of mydocker's meets none."""
    failed = [f"{row.what}: no figure" for row in rows if OURS in row.missing]
    return failed + [
        f"{row.what}: {verdict(other, cost, most)}"
        for row in rows
        for other, cost, most in row.verdicts()
        if most is not None and cost > most
    ]


def profile(details: dict[str, Any]) -> str:
    """The two lists of anatomy.py."""
    lines = []
    for title, most in (("imports", MODULES), ("phases", None)):
        if title in details:
            found = details[title]
            lines += ["", f"{title} of run --rm --net none, ms"]
            lines += [f"{value:8.2f}  {name}" for name, value in found[:most]]
            lines += [f"{sum(value for _, value in found):8.2f}  in all ({len(found)})"]
    return "\n".join(lines)


def as_json(sitting: Sitting, about: dict[str, Any]) -> dict[str, Any]:
    """All that was measured: values in seconds, bytes or bits a second, medians in the row's unit."""
    rows = [
        {
            "case": row.case,
            "what": row.what,
            "unit": row.unit,
            "medians": {name: row.median(name) for name in row.values},
            "cost": [
                {"of": other, "times": cost, "at_most": most, "met": None if most is None else cost <= most}
                for other, cost, most in row.verdicts()
            ],
            "missing": row.missing,
            "values": row.values,
        }
        for row in sitting.rows
    ]
    return {**about, "rows": rows, "notes": sitting.notes, **sitting.details}
