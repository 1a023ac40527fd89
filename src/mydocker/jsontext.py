"""JSON without `import json`, which imports `re` and `enum` and would cost 4 to 7 ms on every start.

CPython's json module is a thin layer over the C accelerators that this module calls. Their signatures have not changed
from Python 3.9 to 3.14, and a unit test compares the results with the json module's.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Decoder:
    """The object from which the C scanner reads its options."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)


class _NumberlessDecoder(_Decoder):
    parse_float = parse_int = staticmethod(len)  # type: ignore[assignment]


_scan = make_scanner(_Decoder())  # type: ignore[arg-type]
_scan_numberless = make_scanner(_NumberlessDecoder())  # type: ignore[arg-type]


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)


def loads(text: str | bytes, numbers: bool = True) -> Any:
    """Parse one JSON value. Raises ValueError for anything else, also for trailing text. numbers: if False, the values
    of numbers do not matter, and those too long for int() are no error."""
    if isinstance(text, bytes):
        text = text.decode()
    text = text.strip(" \t\r\n")
    try:
        value, end = (_scan if numbers else _scan_numberless)(text, 0)
    except (StopIteration, SystemError):
        # Up to Python 3.11 the scanner looks in sys.modules for the error class of json.decoder, which is not loaded.
        raise ValueError("not a JSON value") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if end != len(text):
        raise ValueError(f"text after the JSON value at {end}")
    return value


def dumps(value: Any) -> str:
    """Return one line of JSON, ASCII only. Raises TypeError for a value that JSON can't express."""
    return "".join(_encode(value, 0))


def pretty(value: Any, indent: str = "") -> str:
    """Return JSON for people: indented by four spaces, as docker prints it."""
    inner = indent + "    "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{dumps(str(key))}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and value:
        return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + f"\n{indent}]"
    return dumps(value)
