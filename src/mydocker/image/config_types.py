"""The types of an image config's values. Go programs refuse a config that has others, so no tool writes one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# [kind]: a list of it; (kind,): an object with any keys and such values; {key: kind}: an object of which these keys are
# read. Any value may be null or missing, but not those in lists and objects with any keys.
_CONFIG = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir", "MacAddress", "StopSignal"), str),
    **{key: [str] for key in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell")},
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), bool),
    **dict.fromkeys(("ArgsEscaped", "NetworkDisabled"), bool),
    **{key: ({},) for key in ("ExposedPorts", "Volumes")},
    "Labels": (str,),
    "StopTimeout": int,
    "Healthcheck": {
        "Test": [str],
        **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"), int),
    },
}
_DOCUMENT = {
    **dict.fromkeys(("created", "author", "architecture", "os", "variant", "os.version", "comment"), str),
    "os.features": [str],
    "config": _CONFIG,
    "rootfs": {"type": str, "diff_ids": [str]},
    "history": [{**dict.fromkeys(("created", "created_by", "author", "comment"), str), "empty_layer": bool}],
}
_NUMBERS = range(-(1 << 63), 1 << 63)


def check(document: dict[str, Any]) -> None:
    """Check the whole config of an image. Raises ValueError, which names the first value of another type."""
    wrong = _wrong(document, _DOCUMENT)
    if wrong:
        raise ValueError(f"its {wrong[1:]} is malformed")


def _wrong(value: Any, kind: Any, optional: bool = True) -> str:
    """Return the place of a value that is not of its kind, such as `.config.Env`; "" if there is none."""
    if value is None and optional:
        return ""
    if kind is str:
        return "" if isinstance(value, str) and _is_text(value) else "."
    if isinstance(kind, type):
        right = type(value) is kind and (kind is not int or value in _NUMBERS)
        return "" if right else "."
    if isinstance(kind, list):
        if not isinstance(value, list):
            return "."
        return "." if any(_wrong(item, kind[0], False) for item in value) else ""
    if not isinstance(value, dict):
        return "."
    if isinstance(kind, tuple):
        right = all(_is_text(key) and not _wrong(item, kind[0], False) for key, item in value.items())
        return "" if right else "."
    for key, inner in kind.items():
        wrong = _wrong(value.get(key), inner)
        if wrong:
            return f".{key}{'' if wrong == '.' else wrong}"
    return ""


def _is_text(value: str) -> bool:
    """False for a NUL, which neither a path nor an argument can have, and for half a surrogate pair, which is no
    character: JSON can hold both."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
