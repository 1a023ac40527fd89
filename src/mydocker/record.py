"""`@record`: the part of dataclasses that mydocker needs, without the import.

`import dataclasses` costs about 10 ms, more than half of a bare interpreter's start, and every start of a container
would pay it. Type checkers see the real dataclass; at run time a record has `__init__`, `__eq__`, `__repr__` and
`_fields`, made from the class's annotations. All files have `from __future__ import annotations`, so that reading
annotations evaluates nothing.

A mutable default is copied for each instance, so `labels: dict[str, str] = {}` is safe here.
"""

from __future__ import annotations

__all__ = ["copied", "from_json", "record"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as record
    from typing import Any, TypeVar

    T = TypeVar("T")
else:

    def record(cls):
        names = tuple(getattr(cls, "_fields", ())) + tuple(cls.__dict__.get("__annotations__", ()))
        defaults = {name: getattr(cls, name) for name in names if hasattr(cls, name)}

        def __init__(self, *values, **named):
            if len(values) > len(names):
                raise TypeError(f"{cls.__name__} takes {len(names)} values, got {len(values)}")
            given = dict(zip(names, values))
            for name in named:
                if name not in names or name in given:
                    raise TypeError(f"{cls.__name__} has no free field {name!r}")
            given.update(named)
            for name in names:
                if name in given:
                    value = given[name]
                elif name in defaults:
                    value = defaults[name]
                    if isinstance(value, (list, dict)):
                        value = value.copy()
                else:
                    raise TypeError(f"{cls.__name__} needs {name!r}")
                setattr(self, name, value)

        def __eq__(self, other):
            return type(self) is type(other) and self.__dict__ == other.__dict__

        def __repr__(self):
            return f"{cls.__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"

        cls._fields = names
        cls.__init__, cls.__eq__, cls.__repr__ = __init__, __eq__, __repr__
        cls.__hash__ = None
        return cls


def copied(thing: T) -> T:
    """Return a shallow copy of a record."""
    twin = object.__new__(type(thing))
    twin.__dict__.update(thing.__dict__)
    return twin


_LARGEST = (1 << 63) - 1  # what the kernel takes


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# How from_json() checks a field, by its annotation.
_IS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST,
    "bool": lambda value: isinstance(value, bool),
    "list[str]": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "list[dict[str, Any]]": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}


def from_json(kind: type[T], values: dict[str, Any]) -> T:
    """Make a @record of an object of a JSON file. Raises TypeError or ValueError for a field that is missing or of
    another type. Other keys are ignored: a newer version that knows more fields may have written the file."""
    fields = kind.__annotations__
    thing = kind(**{name: value for name, value in values.items() if name in fields})
    for name, annotation in fields.items():
        if not _IS[annotation](getattr(thing, name)):
            raise ValueError(f"{name} is not {annotation}")
    return thing
