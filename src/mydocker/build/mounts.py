"""`RUN --mount=`: comma-separated KEY=VALUE, as docker reads them once their variables are expanded."""

from __future__ import annotations

import posixpath
from _csv import Error, reader

from mydocker.build.failure import Malformed, did_you_mean
from mydocker.build.instructions import Mount
from mydocker.errors import InvalidArgument
from mydocker.gotemplate.formats import quote
from mydocker.model.options.units import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_TYPES = ("bind", "cache", "secret", "ssh", "tmpfs")
_SHARING = ("locked", "private", "shared")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    "type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "mode", "uid", "gid",
    "size", "env", *_ALIASES,
)  # fmt: skip
_SWITCHES = ("readonly", "readwrite", "required")
_WITH_OWNER = ("cache", "secret", "ssh")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_SECRETS = "/run/secrets"


def from_stage(text: str) -> str:
    """Return the `from` of a mount's raw text, or "". Raises Malformed for a variable in it."""
    stage = ""
    for field in _fields(text):
        key, sign, value = field.partition("=")
        if key.lower() == "from" and sign:
            if any(value[at + 1 : at + 2] not in ("", "\n") for at, char in enumerate(value) if char == "$"):
                raise Malformed("'from' doesn't support variable expansion, define alias stage instead")
            stage = value
    return stage


def parse(text: str, expand: Callable[[str], str], directory: str) -> Mount:
    """Parse a mount. expand: expands the variables of a value. directory: relative targets are within it.

    The target is made absolute; a secret's is /run/secrets/ID by default, or "" if there is an env. Raises Malformed.
    """
    values: dict[str, str] = {}
    for field in _fields(text):
        key, sign, value = field.partition("=")
        key = key.lower()
        if key not in _KEYS:
            raise Malformed(f"unexpected key '{key}' in '{field}'", did_you_mean(key, _KEYS))
        key = _ALIASES.get(key, key)
        if not sign and key not in _SWITCHES:
            raise Malformed(f"invalid field '{field}' must be a key=value pair")
        values[key] = (value if key == "from" else expand(value)) if sign else "true"
        if key in ("readonly", "readwrite"):
            values["access"] = "true" if _switch(key, values[key]) == (key == "readonly") else "false"
    mount = Mount(type=values.get("type", "bind").lower())
    if mount.type not in _TYPES:
        raise Malformed(f"unsupported mount type {quote(values['type'])}", did_you_mean(mount.type, _TYPES))
    _fill(mount, values)
    _check(mount, values)
    _complete(mount, directory)
    return mount


def _fields(text: str) -> list[str]:
    """Split at commas that are not quoted, by CSV's rules."""
    try:
        rows = list(reader([text], strict=True))
    except Error as error:
        raise Malformed(f"failed to parse csv mounts: {error}") from None
    return rows[0] if rows else []


def _fill(mount: Mount, values: dict[str, str]) -> None:
    mount.from_stage = values.get("from", "")
    mount.source = values.get("source", "")
    mount.target = values.get("target", "")
    mount.id = values.get("id", "")
    mount.env = values.get("env", "")
    mount.sharing = values.get("sharing", "").lower()
    mount.required = "required" in values and _switch("required", values["required"])
    mount.read_only = values["access"] == "true" if "access" in values else mount.type not in ("cache", "tmpfs")
    if "sharing" in values and mount.sharing not in _SHARING:
        raise Malformed(f"unsupported sharing value {quote(values['sharing'])}", did_you_mean(mount.sharing, _SHARING))
    mount.mode = _number("mode", values["mode"], 8, 0o7777) if "mode" in values else None
    mount.uid = _number("uid", values["uid"], 10, (1 << 32) - 2) if "uid" in values else None
    mount.gid = _number("gid", values["gid"], 10, (1 << 32) - 2) if "gid" in values else None
    if "size" in values:
        try:
            mount.size = size(values["size"])
        except InvalidArgument as error:
            raise Malformed(f"invalid value for size: {values['size']}", error.hint) from None


def _check(mount: Mount, values: dict[str, str]) -> None:
    """Refuse keys that mean nothing for the type. Raises Malformed."""
    allowed = {"required": ("secret", "ssh"), "size": ("tmpfs",), "env": ("secret",)}
    for key, types in allowed.items():
        if key in values and mount.type not in types:
            raise Malformed(f"unexpected key '{key}' for mount type '{mount.type}'")
    for key in ("mode", "uid", "gid"):
        if key in values and mount.type not in _WITH_OWNER:
            raise Malformed(f"{key} not allowed for {quote(mount.type)} type mounts")
    if mount.sharing and mount.type != "cache":
        raise Malformed(f"invalid cache sharing set for {mount.type} mount")
    if mount.type == "secret":
        if mount.from_stage:
            raise Malformed("secret mount should not have a from")
        if not (mount.source or mount.target or mount.id):
            raise Malformed("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise Malformed("both source and id can't be set")


def _complete(mount: Mount, directory: str) -> None:
    """Fill in the target and a secret's id. Raises Malformed for a target that is the root."""
    if mount.type == "secret":
        mount.id = mount.id or mount.source or posixpath.basename(mount.target)
        if not mount.target and not mount.env:
            mount.target = f"{_SECRETS}/{posixpath.basename(mount.id)}"
    if mount.target or mount.type in ("bind", "cache", "tmpfs"):
        mount.target = "/" + posixpath.normpath(posixpath.join("/", directory, mount.target)).lstrip("/")
    if mount.target == "/":
        raise Malformed(f"invalid mount target {quote(mount.target)}", "target=PATH")


def _switch(key: str, value: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise Malformed(f"invalid value for {key}: {value}", "true or false")
    return value in _TRUE


def _number(key: str, text: str, base: int, largest: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if text and len(text) <= 20 and not text.strip(digits) and int(text, base) <= largest:
        return int(text, base)
    raise Malformed(f"invalid value {text} for {key}", "an octal number" if base == 8 else "a number")
