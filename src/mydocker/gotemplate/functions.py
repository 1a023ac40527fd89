"""The functions of `--format` templates, Go's own and docker's, on values of JSON's types or of Go's.

Each raises ValueError, worded as Go's error, if its arguments are invalid.
"""

from __future__ import annotations

from mydocker.gotemplate import formats
from mydocker.gotemplate.values import Map, Nil, Pointer, Struct, Time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Function = tuple[str, Callable[..., Any]]  # the kinds of its arguments, the function
    Functions = dict[str, Function]

_MAX_PAD = 1_000_000


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _title(text: str) -> str:
    """strings.Title: the first letter of each word in upper case, the others unchanged."""
    return "".join(
        char if before.isalnum() or before == "_" else char.title() for before, char in zip(" " + text, text)
    )


def _pad(text: str, before: int, after: int) -> str:
    if not (0 <= before <= _MAX_PAD and 0 <= after <= _MAX_PAD):
        raise ValueError(f"padding out of range: {before}, {after}")
    return text and " " * before + text + " " * after


def _truncate(text: str, length: int) -> str:
    if length < 0:
        raise ValueError(f"length out of range: {length}")
    return to_text(to_bytes(text)[:length])


def _html(*values: object) -> str:
    text = formats.sprint(*values)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        text = text.replace(char, entity)
    return text


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(to_bytes(value))
    if isinstance(value, (list, dict)) or (isinstance(value, Nil) and not value.is_pointer):
        return len(value)
    raise ValueError("len of nil pointer" if value is None else f"len of type {formats.type_name(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for place, key in enumerate(keys):
        if value is None:
            raise ValueError("index of nil pointer" if place else "index of untyped nil")
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise ValueError(f"value has type {formats.type_name(key)}; should be string")
            value = value[key] if key in value else value.zero() if isinstance(value, Map) else None
        elif isinstance(value, Nil) and value.is_map:
            value = value.empty_map().zero()
        elif isinstance(value, Nil) and not value.is_pointer:
            raise ValueError(f"index out of range: {key}")
        elif isinstance(value, (list, str)):
            if type(key) is not int:
                raise ValueError(f"cannot index slice/array with type {formats.type_name(key)}")
            items = to_bytes(value) if isinstance(value, str) else value
            if not 0 <= key < len(items):
                raise ValueError(f"index out of range: {key}")
            value = items[key]
        else:
            raise ValueError(f"can't index item of type {formats.type_name(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if isinstance(value, Nil) and not value.is_pointer and not value.is_map:
        value = []
    if value is None:
        raise ValueError("slice of untyped nil")
    if not isinstance(value, (list, str)):
        raise ValueError(f"can't slice item of type {formats.type_name(value)}")
    if len(bounds) > 3:
        raise ValueError(f"too many slice indexes: {len(bounds)}")
    if len(bounds) == 3 and isinstance(value, str):
        raise ValueError("cannot 3-index slice a string")
    items = to_bytes(value) if isinstance(value, str) else value
    for bound in bounds:
        if type(bound) is not int:
            raise ValueError(f"cannot index slice/array with type {formats.type_name(bound)}")
        if not 0 <= bound <= len(items):
            raise ValueError(f"index out of range: {bound}")
    for low, high in zip(bounds, bounds[1:]):
        if low > high:
            raise ValueError(f"invalid slice index: {low} > {high}")
    start, stop = (*bounds, len(items))[:2] if bounds else (0, len(items))
    part = items[start:stop]
    return to_text(part) if isinstance(part, bytes) else part


def _same_type(first: Any, second: Any) -> None:
    for each in (first, second):
        if isinstance(each, (Nil, Pointer, Struct, Time)):
            raise ValueError("invalid type for comparison")
    if type(first) is not type(second):
        raise ValueError("incompatible types for comparison")
    if isinstance(first, (list, dict)):
        raise ValueError(f"non-comparable type {formats.text(first)}: {formats.type_name(first)}")


def _eq(first: Any, *others: Any) -> bool:
    """True if first equals any of the others."""
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if first is not None and other is not None:
            _same_type(first, other)
        if first == other:
            return True
    return False


def _lt(first: Any, second: Any) -> bool:
    if first is None or isinstance(first, (bool, list, dict)):
        raise ValueError("invalid type for comparison")
    _same_type(first, second)
    return bool(first < second)


def _first(value: Any, *_: object) -> Any:
    return value


# Kinds of arguments: s: string, i: int, l: list of strings, a: anything, *: any number of others.
FUNCTIONS: Functions = {
    "and": ("a*", lambda *values: values[-1]),  # nodes.Call evaluates the arguments of and, or one by one
    "or": ("a*", lambda *values: values[-1]),
    "not": ("a", lambda value: not value),
    "eq": ("a*", _eq),
    "ne": ("aa", lambda first, second: not _eq(first, second)),
    "lt": ("aa", _lt),
    "le": ("aa", lambda first, second: _lt(first, second) or first == second),
    "gt": ("aa", lambda first, second: not _lt(first, second) and first != second),
    "ge": ("aa", lambda first, second: not _lt(first, second)),
    "len": ("a", _len),
    "index": ("a*", _index),
    "slice": ("a*", _slice),
    "print": ("*", formats.sprint),
    "println": ("*", formats.sprintln),
    "printf": ("s*", formats.sprintf),
    "html": ("*", _html),
    "json": ("a", formats.json),
    "join": ("ls", lambda items, separator: separator.join(items)),
    "split": ("ss", lambda text, separator: text.split(separator) if separator else list(text)),
    "lower": ("s", str.lower),
    "upper": ("s", str.upper),
    "title": ("s", _title),
    "pad": ("sii", _pad),
    "truncate": ("si", _truncate),
}

# Functions that leave a table's headings unchanged, so that `table {{upper .ID}}` has the heading of ID.
HEADING_FUNCTIONS: Functions = {
    **FUNCTIONS,
    **dict.fromkeys(("json", "join", "split", "title", "lower", "upper", "truncate"), ("a*", _first)),
}
