"""Values with a Go type: what a template sees of a document whose types are known.

Strings, numbers and booleans are Python's own. A document is converted only as far as a template looks into it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Field = tuple[str, str, str, bool, bool]  # name, key in JSON, type, left out of JSON when empty, embedded

_SCALARS: dict[str, Any] = {"string": "", "bool": False, "interface{}": None}  # the others are numbers
_NEVER = "0001-01-01T00:00:00Z"


class Types:
    """Go's type declarations, in the notation of model/docker_types.py.

    named: the name of a type that is not a struct -> the type it stands for. structs: the name of a struct -> its
    fields. strings: the name of a struct with a String() method -> its text, with fields in braces.
    """

    def __init__(self, named: dict[str, str], structs: dict[str, str], strings: dict[str, str]) -> None:
        self.named = named
        self.structs = structs
        self.strings = strings
        self._parsed: dict[str, list[Field]] = {}

    def base(self, type: str) -> str:
        return self.named.get(type, type)

    def value(self, type: str, json: Any) -> Any:
        """Return the value of a Go type with this JSON. null, or what is missing, is the type's zero value."""
        base = self.base(type)
        if base.startswith("*"):
            if json is None:
                return Nil(self, type)
            value = self.value(base[1:], json)
            if not isinstance(value, Struct):
                return Pointer(type, value)
            value.pointed = True
            return value
        if base.startswith("["):
            length, _, inner = base[1:].partition("]")
            if json is None and not length:
                return Nil(self, type)
            return Slice(type, [self.value(inner, item) for item in json or [None] * int(length or 0)])
        if base.startswith("map["):
            return Nil(self, type) if json is None else Map(self, type, json)
        if base in self.structs:
            return Struct(self, type, json or {})
        if base == "time.Time":
            return Time(json or _NEVER)
        return _SCALARS.get(base, 0) if json is None else json

    def fields(self, struct: str) -> list[Field]:
        if struct not in self._parsed:
            declarations = [text.split() for text in self.structs[struct].split(",")]
            self._parsed[struct] = [_field(words) for words in declarations if words and words != ["+"]]
        return self._parsed[struct]


def _field(words: list[str]) -> Field:
    if len(words) == 1:
        return words[0].rpartition(".")[2], "", words[0], False, True
    name, colon, key = words[0].partition(":")
    return name, key if colon else name, words[1], "?" in words, False


class Nil:
    """A nil pointer, slice or map."""

    def __init__(self, types: Types, type: str) -> None:
        self.types = types
        self.type = type
        self.base = types.base(type)

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

    def empty_map(self) -> Map:
        return Map(self.types, self.type, {})

    def __str__(self) -> str:
        return "map[]" if self.is_map else "<nil>" if self.is_pointer else "[]"


class Pointer:
    """A pointer to a string, number or boolean; true, whatever it points to.

    Inside of other values Go's fmt prints its address, and this prints the value.
    """

    def __init__(self, type: str, value: Any) -> None:
        self.type = type
        self.value = value


class Slice(list):  # type: ignore[type-arg]
    def __init__(self, type: str, items: list[Any]) -> None:
        super().__init__(items)
        self.type = type


class Map(dict):  # type: ignore[type-arg]
    """A map with string keys, in their order, as encoding/json writes them.

    A missing key is not an error: it is `<no value>` as a field, and the zero value by index.
    """

    def __init__(self, types: Types, type: str, json: dict[str, Any]) -> None:
        inner = types.base(type).partition("]")[2]
        super().__init__((key, types.value(inner, value)) for key, value in sorted(json.items()))
        self.types = types
        self.type = type
        self.inner = inner

    def zero(self) -> Any:
        return self.types.value(self.inner, None)


class Time:
    """time.Time, from RFC 3339 in UTC. str() is as Go prints it."""

    type = "time.Time"

    def __init__(self, json: str) -> None:
        self.json = json

    def __str__(self) -> str:
        day, _, time = self.json.partition("T")
        clock, _, fraction = time.rstrip("Z").partition(".")
        fraction = fraction.rstrip("0")
        return f"{day} {clock}{'.' if fraction else ''}{fraction} +0000 UTC"


class Struct:
    """pointed: it was reached by a pointer, which Go's templates follow by themselves."""

    def __init__(self, types: Types, type: str, json: dict[str, Any], pointed: bool = False) -> None:
        self.types = types
        self.base = type
        self.json = json
        self.pointed = pointed

    @property
    def type(self) -> str:
        return ("*" if self.pointed else "") + self.base

    def field(self, name: str) -> Any:
        """Return a field, by its name in Go or by its key in JSON: docker renders a template that fails with the Go
        names a second time, with JSON's. Raises KeyError."""
        fields = self.types.fields(self.base)
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
        """The text that its String() method returns in Go, which fmt prints; "" if it has none."""
        return self.types.strings.get(self.base, "").format_map(self.to_json())

    def values(self) -> list[Any]:
        return [self._value(each) for each in self.types.fields(self.base)]

    def to_json(self) -> dict[str, Any]:
        """Its JSON, in encoding/json's order: fields of embedded structs in their place, empty ones left out if the
        declaration says so."""
        json: dict[str, Any] = {}
        for each in self.types.fields(self.base):
            value = self._value(each)
            if each[4]:
                json.update(value.to_json())
            elif not each[3] or isinstance(value, (Struct, Pointer)) or value:
                json[each[1]] = value
        return json

    def _value(self, field: Field) -> Any:
        _, key, kind, _, embedded = field
        return self.types.value(kind, self.json if embedded else self.json.get(key))
