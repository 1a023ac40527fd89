"""Detach keys: the option --detach-keys, and the search for the keys in what the user types."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

DEFAULT = b"\x10\x11"  # Ctrl-P Ctrl-Q
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"  # the keys that give the bytes 0 to 31 together with Ctrl


def parse(text: str | None) -> bytes:
    """Parse docker's notation to the bytes that the keys send; DEFAULT if it is None or empty. Raises
    InvalidArgument."""
    return bytes(map(_key, text.split(","))) if text else DEFAULT


def _key(name: str) -> int:
    if name == "DEL":
        return 127
    if len(name) == 1 and " " <= name <= "~":
        return ord(name)
    before, _, letter = name.partition("ctrl-")
    if before or len(letter) != 1 or letter not in _CONTROL:
        raise InvalidArgument(
            f"invalid detach key: '{name}'", "keys such as ctrl-p,ctrl-q: a character, ctrl- with a-z @ [ \\ ] ^ _, DEL"
        )
    return _CONTROL.index(letter)


class Search:
    """Finds the keys in a stream of bytes. held: bytes that may be the beginning of the keys, and were not passed on.

    Held bytes are passed on by release() if nothing is typed for a while: so a lone Ctrl-P arrives, though late. Keys
    that are typed more slowly than that still count.
    """

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self.held = b""
        self._matched = 0  # bytes of the keys that were just typed

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes to pass on, and whether all keys were typed: what follows them is dropped."""
        if not self._matched and self.keys[0] not in data:
            return data, False
        passed = bytearray()
        for number in data:
            self._matched = self._advance(number)
            self.held += bytes([number])
            if self._matched == len(self.keys):
                passed += self.held[: -self._matched]
                return bytes(passed), True
            keep = min(self._matched, len(self.held))
            passed += self.held[: len(self.held) - keep]
            self.held = self.held[len(self.held) - keep :]
        return bytes(passed), False

    def release(self) -> bytes:
        """Return the held bytes, which are passed on now."""
        held, self.held = self.held, b""
        return held

    def _advance(self, number: int) -> int:
        """Return the length of the longest beginning of the keys that ends with this byte."""
        typed = self.keys[: self._matched] + bytes([number])
        return next(
            length for length in range(len(typed), -1, -1) if typed[len(typed) - length :] == self.keys[:length]
        )
