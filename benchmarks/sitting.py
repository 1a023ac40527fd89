"""One sitting: the contestants take turns, so that a machine that is busy for a moment is so for all of them."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from peers import RUNTIMES, Failure, Peer

OURS = "mydocker"
SCALE = {"µs": 1e6, "ms": 1e3, "s": 1.0, "MB": 1e-6, "Gbit/s": 1e-9}  # from seconds, bytes, bits a second
MORE_IS_BETTER = {"Gbit/s"}


@dataclass
class Row:
    """One thing measured.

    targets: contestant -> how many times its cost mydocker may cost at most
    base, growth: how many times mydocker's cost in the row `base` it may cost at most here
    values: contestant -> each measurement, in seconds, bytes or bits a second
    missing: contestant -> why it has no value
    """

    case: str
    what: str
    unit: str
    targets: dict[str, float] = field(default_factory=dict)
    base: Row | None = None
    growth: float = 0.0
    values: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        """In the row's unit; None where nothing was measured."""
        values = self.values.get(name)
        return statistics.median(values) * SCALE[self.unit] if values else None

    def cost(self, name: str) -> float | None:
        """mydocker's cost, as a multiple of that contestant's; None where there is no such number."""
        return ratio(self.unit, self.median(OURS), self.median(name))

    def verdicts(self) -> list[tuple[str, float, float | None]]:
        """Compared with whom, how many times its cost, and how many times it may be at most, if that is laid down."""
        names = [name for name in self.values if name != OURS]
        found = [(name, cost, self.targets.get(name)) for name in names if (cost := self.cost(name)) is not None]
        if self.base is not None:
            grown = ratio(self.unit, self.median(OURS), self.base.median(OURS))
            if grown is not None:
                found.append((self.base.what, grown, self.growth))
        return found


def ratio(unit: str, ours: float | None, theirs: float | None) -> float | None:
    if ours is None or theirs is None:
        return None
    top, bottom = (theirs, ours) if unit in MORE_IS_BETTER else (ours, theirs)
    return top / bottom if bottom else None


class Sitting:
    """rows: what was measured; notes: what else is to be told; details: name -> data, for the JSON.

    absent: contestant -> why it takes no part; few: rounds of what takes seconds.
    """

    def __init__(self, peers: list[Peer], absent: dict[str, str], rounds: int) -> None:
        self.peers, self.absent, self.rounds = peers, absent, rounds
        self.few = (rounds + 1) // 2
        self.engines = [peer for peer in peers if peer.name not in RUNTIMES]
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.details: dict[str, Any] = {}
        self.case = ""
        self.broken: dict[str, str] = {}

    def play(self, cases: Mapping[str, Callable[[Any], None]]) -> None:
        """Measure these. Whoever failed in one takes part in the next; nobody brings a container along."""
        for self.case, case in cases.items():
            print(f"{self.case} …", file=sys.stderr)
            self.broken = {}
            try:
                self.prepare(lambda peer: peer.clear())
                case(self)
            except (Failure, OSError) as problem:
                self.notes.append(f"{self.case} broke off: {problem}")

    def prepare(self, action: Callable[[Peer], Any], peers: Iterable[Peer] = ()) -> dict[str, Any]:
        """What the action gives for each of them. Who fails is out of this case."""
        found = {}
        for peer in peers or self.engines:
            if peer.name not in self.broken:
                try:
                    found[peer.name] = action(peer)
                except Failure as problem:
                    self.broken[peer.name] = str(problem)
        return found

    def more(self, count: int, *verb: str) -> dict[str, float]:
        """So many containers more, that sleep; the seconds that it took each. `{}` in verb is a container's number."""
        return self.prepare(lambda peer: peer.many(count, *verb))

    def measure(
        self,
        what: str,
        unit: str,
        action: Callable[[Peer], list[float]],
        targets: dict[str, float] | None = None,
        *,
        bare: bool = False,
        rounds: int = 0,
        base: Row | None = None,
        growth: float = 0.0,
    ) -> Row:
        """A new row: the action's values, round by round. bare: the bare runtimes take part."""
        row = Row(self.case, what, unit, targets or {}, base, growth)
        self.rows.append(row)
        peers = self.peers if bare else self.engines
        for turn in range(rounds or self.rounds):
            for peer in peers[:: -1 if turn % 2 else 1]:  # who comes first may be better or worse off
                os.sync()  # what one has left to be written is not the next one's to wait for
                for name, values in self.prepare(action, [peer]).items():
                    row.values.setdefault(name, []).extend(values)
        row.values = {peer.name: row.values[peer.name] for peer in peers if peer.name in row.values}
        row.missing = {
            name: why
            for name, why in {**self.absent, **self.broken}.items()
            if name not in row.values and (bare or name not in RUNTIMES)
        }
        return row
