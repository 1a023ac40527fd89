"""The layers of an image on their way, in docker's words: one line each, which a terminal rewrites."""

from __future__ import annotations

import os

from mydocker.cli import output
from mydocker.model.options import references
from mydocker.model.options.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.options.references import Reference

_BAR = 50  # columns, if the terminal has twice as many
_SHORT = 12  # digits of a digest


class Quiet:
    """Show nothing."""

    def begin(self, *_: object) -> None:
        pass

    def advance(self, *_: object) -> None:
        pass


class _Lines:
    """Lines `ID: TEXT`. stream: the descriptor to write to."""

    def __init__(self, stream: int = 1) -> None:
        self._stream = stream
        columns = output.terminal_width(stream)
        self._columns = columns or 80
        self.rewritten = columns is not None
        self._ids: list[str] = []
        self._texts: list[str] = []

    def say(self, text: str) -> None:
        output.emit(f"{text}\n", self._stream)

    def start(self, digests: list[str], texts: list[str]) -> None:
        self._ids, self._texts = [digest[7:][:_SHORT] for digest in digests], texts
        if self.rewritten and len(texts) >= os.get_terminal_size(self._stream).lines:
            self.rewritten = False  # what has scrolled away can't be rewritten
        for number in range(len(texts)):
            self.say(self._line(number))

    def show(self, number: int, text: str) -> None:
        if text == self._texts[number]:
            return
        self._texts[number] = text
        if self.rewritten:
            up = len(self._texts) - number
            output.emit(f"\x1b[{up}A\x1b[2K\r{self._line(number)}\r\x1b[{up}B", self._stream)
        else:
            self.say(self._line(number))

    def bar(self, count: int, size: int) -> str:
        """Return how much of a layer has come, with a bar if there is room."""
        done = min(_BAR, _BAR * count // max(size, 1))
        bar = f"[{'=' * done}>{' ' * (_BAR - done)}] " if self._columns > 2 * _BAR else ""
        return f"{bar}{human_size(count):>8}/{human_size(size)}"

    def _line(self, number: int) -> str:
        line = f"{self._ids[number]}: {self._texts[number]}"
        return line[: self._columns - 1] if self.rewritten else line


class Pulling(_Lines):
    """Show images that are pulled."""

    def begin(self, reference: Reference, layers: list[dict[str, Any]]) -> None:
        """layers: descriptors, bottom first."""
        whole = references.full(references.Reference(reference.name, "x")).removesuffix(":x")
        self.say(f"{reference.tag or reference}: Pulling from {whole.partition('/')[2]}")
        self._layers = layers
        self._there: set[int] = set()
        self._started = False

    def advance(self, at: int, state: str, count: int) -> None:
        """Take note of a layer. state: as in image/intake.py. Nothing is shown of an image whose layers are all there,
        as with docker."""
        if state == "exists":
            self._there.add(at)
            return
        if not self._started:
            self._started = True
            texts = [
                "Already exists" if number in self._there else "Pulling fs layer" for number in range(len(self._layers))
            ]
            self.start([layer["digest"] for layer in self._layers], texts)
        if state == "done":
            self.show(at, "Pull complete")
        elif self.rewritten and count:
            size = self._layers[at]["size"]
            self.show(at, "Extracting" if count >= size else f"Downloading {self.bar(count, size)}")


class Loading(_Lines):
    """Show images that are loaded, on a terminal only: the layers that the store lacks."""

    def begin(self, layers: list[tuple[str, int]]) -> None:
        """layers: diff IDs and sizes of the blobs, bottom first."""
        self._layers = layers
        self._lines: dict[int, int] = {}  # a layer's place -> its line
        self._there: set[int] = set()

    def advance(self, at: int, state: str, count: int) -> None:
        """state: as in image/taking.py."""
        if state == "exists":
            self._there.add(at)
        elif self.rewritten:
            if not self._lines:
                missing = [place for place in range(len(self._layers)) if place not in self._there]
                self._lines = {place: line for line, place in enumerate(missing)}
                self.start([self._layers[place][0] for place in missing], ["Loading layer"] * len(missing))
            size = self._layers[at][1]
            self.show(self._lines[at], f"Loading layer {self.bar(size if state == 'done' else count, size)}")


class Pushing(_Lines):
    """Show images that are pushed: the top layer first."""

    def begin(self, layers: list[str]) -> None:
        """layers: diff IDs, bottom first."""
        self.start(layers[::-1], ["Preparing"] * len(layers))

    def advance(self, at: int, state: str) -> None:
        """state: as in engine/transfer/push.py."""
        self.show(len(self._ids) - 1 - at, "Layer already exists" if state == "exists" else "Pushed")
