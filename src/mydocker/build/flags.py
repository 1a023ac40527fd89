"""The flags of an instruction, `--name=value`: known ones become values, any other is an error that names it."""

from __future__ import annotations

from mydocker.build.failure import Malformed, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Flags:
    """The flags that one instruction was given, checked against those it knows.

    texts, switches, lists: the names of flags with a text, of `--name` or `--name=true|false`, and of those that may
    come several times. Raises Malformed.
    """

    def __init__(
        self, words: list[str], texts: Iterable[str] = (), switches: Iterable[str] = (), lists: Iterable[str] = ()
    ) -> None:
        self._texts: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        texts, switches, lists = set(texts), set(switches), set(lists)
        for word in words:
            name, sign, value = word[2:].partition("=")
            if name not in texts | switches | lists:
                raise Malformed(f"unknown flag: --{name}", did_you_mean(name, texts | switches | lists))
            if name in self._texts:
                raise Malformed(f"duplicate flag specified: --{name}")
            if not (sign if name not in switches else value or not sign):
                raise Malformed(f"missing a value on flag: --{name}")
            if name in lists:
                self._lists.setdefault(name, []).append(value)
            elif name in switches and value.lower() not in ("", "true", "false"):
                raise Malformed(f"expecting boolean value for flag --{name}, not: {value}")
            else:
                self._texts[name] = value if name in texts else value.lower() or "true"

    def text(self, name: str) -> str:
        """Return the flag's value, or ""."""
        return self._texts.get(name, "")

    def switch(self, name: str) -> bool | None:
        """Return the flag's value, or None if it is not given."""
        return self._texts[name] == "true" if name in self._texts else None

    def list(self, name: str) -> list[str]:
        """Return all values of the flag."""
        return self._lists.get(name, [])
