"""Values as Go prints them: the parts of Go's fmt, strconv and encoding/json that `--format` templates need.

Values are those of JSON (None, bool, int, float, str, list, dict) and those of values.py, which know their types.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder

from mydocker.gotemplate.values import Nil, Pointer, Struct, Time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}
_MAX_WIDTH = 1_000_000  # fmt's own limit for a width or a precision


def type_name(value: object) -> str:
    """The Go type of a value. A value of JSON has the type that encoding/json gives it."""
    known: str = getattr(value, "type", "")
    if known:
        return known.replace("struct{}", "struct {}").replace("struct{Name}", "struct { Name string }")
    if isinstance(value, (list, tuple)):
        return "[]interface {}"
    if isinstance(value, dict):
        return "map[string]interface {}"
    return {bool: "bool", int: "int", float: "float64", str: "string"}.get(type(value), "<nil>")


def text(value: object) -> str:
    """fmt's %v: `map[a:1 b:2]` in the order of the keys, `[a b]`, `true`, `<nil>`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(text, value)) + "]"
    if isinstance(value, Pointer):
        return text(value.value)
    if isinstance(value, Struct):
        return value.string() or "{" + " ".join(map(text, value.values())) + "}"
    return str(value)


def _shortest(value: float) -> str:
    """fmt's %g without a precision: the fewest digits that read back as the same number, as in Python's repr."""
    if value - value != 0:  # infinite or not a number
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    mantissa, _, power = repr(abs(value)).partition("e")
    integer, _, fraction = mantissa.partition(".")
    digits = (integer + fraction).lstrip("0")
    exponent = int(power or 0) + len(digits) - len(fraction) - 1 if digits else 0
    digits = digits.rstrip("0") or "0"
    sign = "-" if repr(value).startswith("-") else ""
    if exponent < -4 or exponent >= 6:
        return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{exponent:+03}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    integer, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{integer}{'.' if fraction else ''}{fraction}"


def quote(value: str, mark: str = '"', ascii_only: bool = False) -> str:
    """strconv.Quote: always one line. A byte that is not UTF-8 shows as `\\x80`."""
    return mark + "".join(_quoted(char, mark, ascii_only) for char in value) + mark


def _quoted(char: str, mark: str, ascii_only: bool) -> str:
    code = ord(char)
    if char == mark:
        return "\\" + char
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable() and (code < 0x80 or not ascii_only):
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape's stand-in for a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _string(value: str) -> str:
    """A JSON string as Go writes it, in UTF-8. Unprintable characters are escaped, as JSON allows, for terminals."""
    encoded: str = encode_basestring(value)
    if encoded.isprintable():
        return encoded
    return "".join(char if char.isprintable() else _unicode(ord(char)) for char in encoded)


def _unicode(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        return "\\ufffd"  # a byte that is not UTF-8
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _plain(value: object) -> Any:
    """The JSON of a value that has a Go type."""
    if isinstance(value, Nil):
        return None
    if isinstance(value, Pointer):
        return value.value
    if isinstance(value, Struct):
        return value.to_json()
    if isinstance(value, Time):
        return value.json
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode = make_encoder(None, _plain, _string, None, ":", ",", False, False, False)


def json(value: object) -> str:
    """encoding/json without HTML escapes: one line, no spaces, keys in their own order."""
    return "".join(_encode(value, 0))


def sprint(*values: object) -> str:
    """fmt.Sprint: a space between two operands if neither is a string."""
    parts: list[str] = []
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            parts.append(" ")
        parts.append(text(value))
    return "".join(parts)


def sprintln(*values: object) -> str:
    return " ".join(map(text, values)) + "\n"


def sprintf(form: str, *values: object) -> str:
    """fmt.Sprintf: flags, width and precision (numbers or `*`), `[n]`, and the verbs for JSON's types.

    As in Go nothing fails: the result shows a mismatch, `%!d(string=hi)`, `%!s(MISSING)`, `%!(EXTRA int=1)`.
    """
    out: list[str] = []
    left = list(values)

    def size(place: int, bad: str) -> tuple[str, int]:
        """Parse a width or precision at `place`. Returns its digits, and where it ends. A too large one is ignored."""
        end = place
        if form[place : place + 1] == "*":
            end += 1
            star = left.pop(0) if left else None
            number = star if type(star) is int else _MAX_WIDTH + 1
        else:
            while "0" <= form[end : end + 1] <= "9":
                end += 1
            number = int(form[place : min(end, place + 8)] or -1)
            if number < 0:
                return "", end
        if abs(number) > _MAX_WIDTH:
            out.append(f"%!({bad})")
            return "", end
        return str(number), end

    place = 0
    in_order = True  # until a value is chosen by its number
    while True:
        percent = form.find("%", place)
        if percent < 0:
            out.append(form[place:])
            break
        out.append(form[place:percent])
        place = start = percent + 1
        while form[place : place + 1] in ("+", "-", "#", " ", "0"):
            place += 1
        flags = form[start:place]
        width, place = size(place, "BADWIDTH")
        precision = ""
        if form[place : place + 1] == ".":
            precision, place = size(place + 1, "BADPREC")
            precision = precision or "0"
        chosen, _, after = form[place + 1 :].partition("]") if form.startswith("[", place) else ("", "", "")
        if chosen.isdecimal() and len(chosen) < 8 and 0 < int(chosen) <= len(values):
            left = list(values[int(chosen) - 1 :])
            place = len(form) - len(after)
            in_order = False
        verb = form[place : place + 1]
        place += 1
        if verb == "%":
            out.append("%")
        elif not verb:
            out.append("%!(NOVERB)")
        elif left:
            out.append(_verb(verb, flags, width, precision, left.pop(0)))
        else:
            out.append(f"%!{verb}(MISSING)")
    if left and in_order:
        out.append("%!(EXTRA " + ", ".join(map(_with_type, left)) + ")")
    return "".join(out)


def _with_type(value: object) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={text(value)}"


def _verb(verb: str, flags: str, width: str, precision: str, value: object) -> str:
    """Format one value. Python's % agrees with Go's wherever both have the verb for the type."""
    if verb == "T":
        return type_name(value)
    if isinstance(value, Nil) and not value.is_pointer:
        return str(value)
    if isinstance(value, Pointer):
        return _verb(verb, flags, width, precision, value.value)
    if isinstance(value, Struct):
        inner = " ".join(_verb(verb, flags, width, precision, each) for each in value.values())
        return f"{'&' if value.pointed else ''}{{{inner}}}"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_verb(verb, flags, width, precision, item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = ((_verb(verb, flags, width, precision, part) for part in pair) for pair in sorted(value.items()))
        return "map[" + " ".join(map(":".join, pairs)) + "]"
    if verb == "v":
        flags = flags.replace("+", "").replace("#", "")
    number = "%" + flags + width + ("." + precision if precision else "")
    string = "%" + ("-" if "-" in flags else "") + width + "s"
    if isinstance(value, str):
        value_cut = value[: int(precision)] if precision else value
        if verb in "vs":
            return string % value_cut
        if verb == "q":
            return string % quote(value_cut, ascii_only="+" in flags)
        if verb in "xX":
            digits = value_cut.encode("utf-8", "surrogateescape").hex(*(" " if " " in flags else ""))
            return string % (digits if verb == "x" else digits.upper())
    elif isinstance(value, bool):
        if verb in "vt":
            return string % text(value)
    elif isinstance(value, int):
        if verb in "vdxX":
            return (number + ("d" if verb == "v" else verb)) % value
        if verb in "ob":
            return string % format(value, verb)
        if verb in "cqU":
            char = chr(value) if 0 <= value < 0xD800 or 0xE000 <= value < 0x110000 else "\ufffd"
            return string % {"c": char, "q": quote(char, "'"), "U": f"U+{value:04X}"}[verb]
    elif isinstance(value, float):
        if verb in "eEfF" or (verb in "gG" and precision):
            return (number + verb) % value
        if verb in "vgG":
            return string % (_shortest(value).upper() if verb == "G" else _shortest(value))
    elif verb == "v":
        return string % text(value)
    if value is None:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={_verb('v', flags, width, precision, value)})"
