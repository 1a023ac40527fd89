"""Apply the Dockerfile instructions of `--change` to an image's config, as docker's import and commit do."""

from __future__ import annotations

import json
import os

from mydocker.errors import InvalidArgument
from mydocker.model.options import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_HINT = "one of CMD ENTRYPOINT ENV EXPOSE LABEL STOPSIGNAL USER VOLUME WORKDIR, as in a Dockerfile"
_BLANK = " \t\r\n"


def apply_changes(config: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Return the config (an OCI image config's "config") after the instructions. Raises InvalidArgument."""
    config = dict(config)
    cmd_set = False
    for change in changes:
        word, _, arguments = change.strip().partition(" ")
        instruction = word.upper()
        if instruction not in _INSTRUCTIONS or not arguments.strip():
            raise InvalidArgument(f"invalid change '{change}'", _HINT)
        try:
            _INSTRUCTIONS[instruction](config, arguments.strip())
        except ValueError as error:
            raise InvalidArgument(f"invalid change '{change}': {error}", _HINT) from None
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid change '{change}': {error.message}", error.hint) from None
        cmd_set = cmd_set or instruction == "CMD"
        if instruction == "ENTRYPOINT" and not cmd_set:
            config.pop("Cmd", None)  # its arguments were for the old entrypoint
    return config


def _cmd(config: dict[str, Any], text: str) -> None:
    config["Cmd"] = _command(text)


def _entrypoint(config: dict[str, Any], text: str) -> None:
    config["Entrypoint"] = _command(text)


def _env(config: dict[str, Any], text: str) -> None:
    rows = list(config.get("Env") or [])
    for key, value in _pairs(text, _variables(config)):
        rows = [row for row in rows if row.partition("=")[0] != key] + [f"{key}={value}"]
    config["Env"] = rows


def _expose(config: dict[str, Any], text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in words(text, _variables(config)):
        numbers, _, protocol = word.partition("/")
        first, dash, last = numbers.partition("-")
        protocol = protocol.lower() or "tcp"
        if protocol not in ("tcp", "udp", "sctp") or not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"'{word}' is not a port")
        if not 0 < int(first) <= int(last or first) < 65536:
            raise ValueError(f"'{word}' is not a port")
        ports.update({f"{port}/{protocol}": {} for port in range(int(first), int(last or first) + 1)})
    config["ExposedPorts"] = ports


def _label(config: dict[str, Any], text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(text, _variables(config)))}


def _stopsignal(config: dict[str, Any], text: str) -> None:
    signal = _value(config, text)
    signals.number(signal)
    config["StopSignal"] = signal


def _user(config: dict[str, Any], text: str) -> None:
    config["User"] = _value(config, text)


def _volume(config: dict[str, Any], text: str) -> None:
    paths = _list(text) or words(text, _variables(config))
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _workdir(config: dict[str, Any], text: str) -> None:
    path = os.path.join("/", config.get("WorkingDir") or "/", _value(config, text))
    config["WorkingDir"] = "/" + os.path.normpath(path).lstrip("/")


_INSTRUCTIONS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _command(text: str) -> list[str]:
    """Parse a command: exec form, a JSON list of strings, or shell form, which may begin with `[ ` (test)."""
    listed = _list(text)
    if listed is None and text.startswith("[") and not text.startswith("[ "):
        raise ValueError("this is not a JSON list of strings")
    return ["/bin/sh", "-c", text] if listed is None else listed


def _list(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(word, str) for word in value) else None


def _value(config: dict[str, Any], text: str) -> str:
    values = words(text, _variables(config), split=False)
    if not values or not values[0]:
        raise ValueError("it is empty")
    return values[0]


def _pairs(text: str, variables: dict[str, str]) -> list[tuple[str, str]]:
    """Parse `KEY=VALUE KEY="VALUE WITH BLANKS" …`, or the old form `KEY VALUE UP TO THE END`."""
    key, _, value = text.partition(" ")
    if "=" not in key and not key.startswith(('"', "'")):
        if not value.strip():
            raise ValueError("a value is missing")
        pairs = [(key, words(value.strip(), variables, split=False)[0])]
    else:
        pairs = []
        for word in words(text, variables):
            key, sign, value = word.partition("=")
            if not sign:
                raise ValueError(f"'{word}' is not KEY=VALUE")
            pairs.append((key, value))
    if not all(key for key, _ in pairs):
        raise ValueError("a key is empty")
    return pairs


def _variables(config: dict[str, Any]) -> dict[str, str]:
    return dict(row.partition("=")[::2] for row in config.get("Env") or [])


def words(text: str, variables: dict[str, str], split: bool = True) -> list[str]:
    """Parse words as in a Dockerfile: quotes, backslashes, $NAME and ${NAME} of `variables`. split: False for one word,
    blanks included. Raises ValueError for a quote or brace that is not closed."""
    complete: list[str] = []
    word: list[str] | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and split and char in _BLANK:
            if word is not None:
                complete.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == "\\" and quote != "'" and at < len(text) and (not quote or text[at] in '"$\\'):
            word.append(text[at])
            at += 1
        elif char == "$" and quote != "'":
            name, at = _variable(text, at)
            word.append(variables.get(name, "") if name else "$")
        else:
            word.append(char)
    if quote:
        raise ValueError(f"a {quote} is not closed")
    return complete if word is None else [*complete, "".join(word)]


def _variable(text: str, at: int) -> tuple[str, int]:
    """Return the name after the `$` before `at`, "" if there is none, and the offset behind it."""
    if text[at : at + 1] == "{":
        end = text.find("}", at)
        name = text[at + 1 : end]
        if end < 0 or not name.isidentifier():
            raise ValueError("a ${ that is not ${NAME}")
        return name, end + 1
    end = at
    while end < len(text) and text[at : end + 1].isidentifier():
        end += 1
    return text[at:end], end
