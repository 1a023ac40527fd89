"""Values with a Go type: what a template sees of a document whose types are known (dockertypes.py).

Strings, numbers and booleans are Python's own. The document is taken apart as far as a template looks into it.
"""

from __future__ import annotations

from mydocker.gotemplate.dockertypes import DOCUMENTS, NAMED, STRUCTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Field = tuple[str, str, str, bool, bool]  # name, key in JSON, type, left out of JSON when empty, embedded

_SCALARS: dict[str, Any] = {"string": "", "bool": False, "interface{}": None}  # the others are numbers
_STRINGS = {"units.Ulimit": "{Name}={Soft}:{Hard}"}
_NEVER = "0001-01-01T00:00:00Z"


def document(kind: str, json: dict[str, Any]) -> Struct:
    """The inspected thing, as docker's client sees it. kind: of DOCUMENTS."""
    return Struct(DOCUMENTS[kind], json)


def of(kind: str, json: Any) -> Any:
    """The value of this Go type that has this JSON. null, and what is missing, is the type's zero value."""
    base = NAMED.get(kind, kind)
    if base.startswith("*"):
        if json is None:
            return Nil(kind)
        value = of(base[1:], json)
        if not isinstance(value, Struct):
            return Pointer(kind, value)
        value.pointed = True
        return value
    if base.startswith("["):
        length, _, inner = base[1:].partition("]")
        if json is None and not length:
            return Nil(kind)
        return Slice(kind, [of(inner, item) for item in json or [None] * int(length or 0)])
    if base.startswith("map["):
        return Nil(kind) if json is None else Map(kind, json)
    if base in STRUCTS:
        return Struct(kind, json or {})
    if base == "time.Time":
        return Time(json or _NEVER)
    return _SCALARS.get(base, 0) if json is None else json


class Nil:
    """A nil pointer, slice or map."""

    def __init__(self, type: str) -> None:
        self.type = type
        self.base = NAMED.get(type, type)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    @property
    def is_pointer(self) -> bool:
        return self.base.startswith("*")

    @property
    def is_map(self) -> bool:
        return self.base.startswith("map[")

    def __str__(self) -> str:
        return "map[]" if self.is_map else "<nil>" if self.is_pointer else "[]"


class Pointer:
    """A pointer to a string, number or boolean. It is true whatever it points to. (fmt prints the address where one
    stands inside of something else; here it is the value.)"""

    def __init__(self, type: str, value: Any) -> None:
        self.type = type
        self.value = value


class Slice(list):  # type: ignore[type-arg]
    def __init__(self, type: str, items: list[Any]) -> None:
        super().__init__(items)
        self.type = type


class Map(dict):  # type: ignore[type-arg]
    """A map with string keys, in their order, as encoding/json writes them. One that it lacks is no error: `<no value>`
    as a field, the zero value by index."""

    def __init__(self, type: str, json: dict[str, Any]) -> None:
        inner = NAMED.get(type, type).partition("]")[2]
        super().__init__((key, of(inner, value)) for key, value in sorted(json.items()))
        self.type = type
        self.inner = inner

    def zero(self) -> Any:
        return of(self.inner, None)


class Time:
    """time.Time, of RFC 3339 in UTC. str() is as Go prints it."""

    type = "time.Time"

    def __init__(self, json: str) -> None:
        self.json = json

    def __str__(self) -> str:
        day, _, rest = self.json.partition("T")
        clock, _, fraction = rest.rstrip("Z").partition(".")
        fraction = fraction.rstrip("0")
        return f"{day} {clock}{'.' if fraction else ''}{fraction} +0000 UTC"


class Struct:
    """pointed: it was reached by a pointer, which Go's templates follow by themselves."""

    def __init__(self, type: str, json: dict[str, Any], pointed: bool = False) -> None:
        self.base = type
        self.json = json
        self.pointed = pointed

    @property
    def type(self) -> str:
        return ("*" if self.pointed else "") + self.base

    def field(self, name: str) -> Any:
        """By its name in Go, or by its key in JSON (where docker reads the whole template a second time). Raises
        KeyError."""
        fields = _fields(self.base)
        for each in fields:
            if each[0] == name:
                return self._value(each)
        for each in fields:
            if each[4]:
                try:
                    inner: Struct = self._value(each)
                    return inner.field(name)
                except KeyError:
                    continue
            if each[1] == name:
                return self._value(each)
        raise KeyError(name)

    def string(self) -> str:
        """The text that its String() in Go returns, which fmt prints; "" if it has none."""
        return _STRINGS.get(self.base, "").format_map(self.to_json())

    def values(self) -> list[Any]:
        return [self._value(each) for each in _fields(self.base)]

    def to_json(self) -> dict[str, Any]:
        """As encoding/json orders it: the fields of embedded structs in their place, what is empty left out if the
        declaration says so."""
        made: dict[str, Any] = {}
        for each in _fields(self.base):
            value = self._value(each)
            if each[4]:
                made.update(value.to_json())
            elif not each[3] or isinstance(value, (Struct, Pointer)) or value:
                made[each[1]] = value
        return made

    def _value(self, field: Field) -> Any:
        _, key, kind, _, embedded = field
        return of(kind, self.json if embedded else self.json.get(key))


_parsed: dict[str, list[Field]] = {}


def _fields(struct: str) -> list[Field]:
    if struct not in _parsed:
        lines = (line.split() for line in STRUCTS[struct].split("\n"))
        _parsed[struct] = [_field(words) for words in lines if words and words != ["+"]]
    return _parsed[struct]


def _field(words: list[str]) -> Field:
    if len(words) == 1:
        return words[0].rpartition(".")[2], "", words[0], False, True
    name, colon, key = words[0].partition(":")
    return name, key if colon else name, words[1], "?" in words, False
