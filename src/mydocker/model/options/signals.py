"""Signals by name and number, without the signal module, which imports enum. Linux's numbers for x86 and ARM."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

# By number, from 1.
_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT "
    "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
_ALIASES = {"IOT": 6, "CLD": 17, "POLL": 29, "RTMIN": 34, "RTMAX": 64}
_RTMIN, _RTMAX = 34, 64  # glibc uses 32 and 33 itself


def number(text: str) -> int:
    """Return the number, 1 to 64, for TERM, SIGTERM, sigterm, 15, RTMIN+3 or RTMAX-1."""
    name = text.upper().removeprefix("SIG") if text.isascii() else ""
    result, known = 0, _NAMES.split()
    if name in known:
        result = known.index(name) + 1
    elif name in _ALIASES:
        result = _ALIASES[name]
    elif text.isascii() and text.isdigit() and len(text) <= 2:
        result = int(text)
    elif name[:6] in ("RTMIN+", "RTMAX-") and name[6:].isdigit() and len(name) <= 8:
        result = _RTMIN + int(name[6:]) if name[3:5] == "IN" else _RTMAX - int(name[6:])
        result = result if _RTMIN <= result <= _RTMAX else 0
    if not 1 <= result <= _RTMAX:
        raise InvalidArgument(f"invalid signal '{text}'", "a name such as TERM or SIGUSR1, or a number from 1 to 64")
    return result


def name(number: int) -> str:
    """Return SIGTERM for 15, SIGRTMIN+3 for 37."""
    if number < _RTMIN - 2:
        return f"SIG{_NAMES.split()[number - 1]}"
    return "SIGRTMIN" if number == _RTMIN else f"SIGRTMIN{number - _RTMIN:+d}"
