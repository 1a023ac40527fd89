"""JSON without `import json`, which brings `re` and `enum` and costs 4 to 7 ms on every start.

CPython's json module is a thin layer over the C accelerators used here; they have kept one signature from
Python 3.9 to 3.14, and a unit test holds both against the json module.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Decoder:
    """The settings object that the C scanner reads its options from."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)


_scan = make_scanner(_Decoder())  # type: ignore[arg-type]


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)


def loads(text: str | bytes) -> Any:
    """Parse one JSON value. Raises ValueError on anything else, trailing text included."""
    if isinstance(text, bytes):
        text = text.decode()
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except (StopIteration, SystemError):
        # Up to Python 3.11 the scanner looks for json.decoder's error class in sys.modules, where it is not.
        raise ValueError("no JSON value") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if end != len(text):
        raise ValueError(f"text after the JSON value at {end}")
    return value


def dumps(value: Any) -> str:
    """One line of JSON, ASCII only. Raises TypeError for a value that JSON does not have."""
    return "".join(_encode(value, 0))


def pretty(value: Any, indent: str = "") -> str:
    """JSON for people: four spaces a level, as docker prints it."""
    inner = indent + "    "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{dumps(str(key))}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and value:
        return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + f"\n{indent}]"
    return dumps(value)
