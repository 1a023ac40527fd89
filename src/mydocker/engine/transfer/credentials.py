"""Passwords of registries: docker's file and its credential helpers, and the file of skopeo and podman.

    ${DOCKER_CONFIG:-~/.docker}/config.json          {"auths": {HOST: {"auth": base64 of USER:PASSWORD}},
                                                      "credHelpers": {HOST: NAME}, "credsStore": NAME, …}
    ${XDG_RUNTIME_DIR:-/run}/containers/auth.json    {"auths": …}; podman's and skopeo's own, gone after a reboot

docker reads the first file only, and there `credHelpers` of the registry, even if it is "", before `credsStore`. A
helper is the program docker-credential-NAME; its protocol, as docker 20.10 speaks it, with one word and its stdin:

    get      HOST                                                  {"ServerURL": HOST, "Username": …, "Secret": …}
    store    {"ServerURL": HOST, "Username": …, "Secret": …}
    erase    HOST

It fails with an exit code and a line on stdout. The user `<token>` means that the secret is an identity token. skopeo
would read the second file first, and does not know `credsStore`. So what docker's file has is looked up here, unless
the second file has the registry, too; skopeo gets it as a file of its own in memory.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from mydocker.errors import HostError
from mydocker.kernel import files, programs
from mydocker.record import record

if TYPE_CHECKING:
    from typing import Any

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_HUB_KEY = "https://index.docker.io/v1/"  # docker's name for the Hub in its file
_PATIENCE = 60  # seconds for a credential helper
TOKEN = "<token>"
_NONE = "credentials not found in native keychain"


@record
class Credentials:
    """user: `<token>` if secret is an identity token."""

    user: str
    secret: str


def find(host: str) -> Credentials | None:
    """Return what docker would send to a registry. Raises HostError if the helper that keeps it is missing or fails."""
    name = helper_of(host)
    if name:
        return _get(name, _key(host))
    row = next((row for key in _keys(host) if (row := _read(docker_file()).get("auths", {}).get(key))), None)
    if not isinstance(row, dict):
        return None
    if row.get("identitytoken"):
        return Credentials(TOKEN, str(row["identitytoken"]))
    try:
        user, colon, password = base64.b64decode(row.get("auth") or "").decode().partition(":")
    except ValueError:
        return None
    return Credentials(user, password) if colon else None


def for_skopeo(host: str) -> bytes | None:
    """Return the file of passwords that skopeo is to read; None if it finds its own. Raises HostError as find()."""
    if os.environ.get("REGISTRY_AUTH_FILE") or _has(runtime_file(), host):
        return None
    known = find(host)
    if known is None:
        return b"{}" if helper_of(host) else None
    token = {"identitytoken": known.secret} if known.user == TOKEN else {}
    pair = f"{known.user}:{'' if token else known.secret}"
    return json.dumps({"auths": {host: {"auth": base64.b64encode(pair.encode()).decode(), **token}}}).encode()


def keep(host: str, user: str, password: str) -> str:
    """Keep a password where docker does. Returns the file if it is there, unencrypted; "" if a helper has it."""
    name = helper_of(host)
    if name:
        _call(name, "store", json.dumps({"ServerURL": _key(host), "Username": user, "Secret": password}))
        row = {}
    else:
        row = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    _replace(docker_file(), host, row, make=True)
    _replace(runtime_file(), host, None)
    return "" if name else docker_file()


def forget(host: str) -> bool:
    """Forget the passwords of a registry. Returns False if there was none."""
    name = helper_of(host)
    known = [_remove(name, key) for key in _keys(host) if name]
    known += [_replace(path, host, None) for path in (docker_file(), runtime_file())]
    return any(known)


# --- the files --------------------------------------------------------------------------------------------------------


def docker_file() -> str:
    return f"{os.environ.get('DOCKER_CONFIG') or os.path.expanduser('~/.docker')}/config.json"


def runtime_file() -> str:
    given = os.environ.get("XDG_RUNTIME_DIR")
    return f"{given or f'/run/containers/{os.geteuid()}'}/{'containers/' if given else ''}auth.json"


def _key(host: str) -> str:
    return _HUB_KEY if host == HUB else host


def _keys(host: str) -> list[str]:
    """List the names under which files may have a registry."""
    return [_key(host), *(HUB_NAMES if host == HUB else (f"https://{host}", f"http://{host}"))]


def _has(path: str, host: str) -> bool:
    """True if a file has a registry, or a part of it: skopeo's may have HOST/NAMESPACE."""
    return any(key in _keys(host) or key.startswith(f"{host}/") for key in _read(path).get("auths") or {})


def _read(path: str) -> dict[str, Any]:
    try:
        document = json.loads(files.read_regular(path) or b"{}")
        if isinstance(document, dict) and document.get("auths") is None:
            document.pop("auths", None)  # for Go, null is an empty map
        if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
            raise ValueError("not an object with auths")
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HostError(f"can't read {path}: {reason}", "repair the file, or move it away") from None
    return document


def _replace(path: str, host: str, row: dict[str, str] | None, make: bool = False) -> bool:
    """Replace a registry's entry in a file; None removes it. make: even if there is no file. Returns whether the file
    had one. All else in the file stays."""
    document = _read(path)
    auths = document.get("auths") or {}
    had = [auths.pop(key) for key in _keys(host) if key in auths]
    if had or make:
        if row is not None:
            auths[_key(host)] = row
        document["auths"] = auths
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        real = os.path.realpath(path)
        files.write_atomic(real, json.dumps(document, indent="\t").encode(), 0o600)
    return bool(had)


# --- credential helpers -----------------------------------------------------------------------------------------------


def helper_of(host: str) -> str:
    """Return the name of the helper that keeps a registry's password by docker's file, "" for none."""
    document = _read(docker_file())
    helpers = document.get("credHelpers")
    own = [helpers[key] for key in _keys(host) if key in helpers] if isinstance(helpers, dict) else []
    name = own[0] if own else document.get("credsStore") or ""
    if not isinstance(name, str) or "/" in name:
        raise HostError(f"{docker_file()} names a credential helper {name!r}", "a NAME, for docker-credential-NAME")
    return name


def _get(name: str, key: str) -> Credentials | None:
    try:
        row = json.loads(_call(name, "get", key) or "null")
        return Credentials(row["Username"], row["Secret"]) if row and row["Secret"] else None
    except (ValueError, KeyError, TypeError):
        raise HostError(f"docker-credential-{name} get: its answer is malformed", f"see {docker_file()}") from None


def _remove(name: str, key: str) -> bool:
    """Erase a password. Returns False if the helper has none: many fail then."""
    known = _get(name, key) is not None
    if known:
        _call(name, "erase", key)
    return known


def _call(name: str, action: str, text: str) -> str:
    """Call a helper. Returns its answer, "" if it has none. Its program may be anywhere in the caller's PATH, whose own
    file names it, and it has the caller's environment: it may need a key ring."""
    program = programs.find(f"docker-credential-{name}") or shutil.which(f"docker-credential-{name}")
    if not program:
        raise HostError(f"the credential helper docker-credential-{name} is not installed", f"see {docker_file()}")
    try:
        done = subprocess.run([program, action], input=text.encode(), capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise HostError(f"docker-credential-{name} {action} did not end within {_PATIENCE} s") from None
    said = done.stdout.decode(errors="replace")
    if not done.returncode:
        return said
    text = " ".join((said + done.stderr.decode(errors="replace")).split())
    if action == "get" and text == _NONE:
        return ""
    raise HostError(f"docker-credential-{name} {action}: {text or f'exit code {done.returncode}'}")
