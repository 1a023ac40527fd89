"""Log in to registries: skopeo tries the password, and docker's file keeps it.

    ${DOCKER_CONFIG:-~/.docker}/config.json          {"auths": {HOST: {"auth": base64 of USER:PASSWORD}}, …}
    ${XDG_RUNTIME_DIR:-/run}/containers/auth.json    the same; podman's and skopeo's own, gone after a reboot

skopeo, and with it every pull and push, reads the second one first; docker reads the first only. A login is written to
docker's file, where both find it, and what the other one says of the registry is removed.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

from mydocker.engine.transfer.skopeo import Skopeo
from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel import files, programs

if TYPE_CHECKING:
    from typing import Any

HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"  # docker's name for the Hub in its file
_HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_PATIENCE = 60  # seconds for a credential helper


def host_of(server: str) -> str:
    """Return the registry's host for what was typed: a host, or docker's form, an address."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    if not host or not host.isprintable() or " " in host or host[0] in "-.":
        raise InvalidArgument(f"invalid registry '{server}'", "HOST or HOST:PORT; none is Docker Hub")
    return HUB if host in _HUB_NAMES else host


def login(host: str, user: str, password: str) -> str:
    """Try the user's password and keep it. Returns where, for a warning: "" if a helper has it. Raises HostError if the
    registry refuses it."""
    registry = Skopeo(host)
    with tempfile.TemporaryDirectory(prefix="mydocker.") as directory:
        options = [*registry.tls(), f"--authfile={directory}/auth.json", f"--username={user}", "--password-stdin", host]
        registry.run("login", options, f"login to {host}", password.encode())
    helper = _helper(host)
    if helper:
        secret = json.dumps({"ServerURL": _key(host), "Username": user, "Secret": password})
        _call(helper, "store", secret)
        _replace(_docker_file(), host, None)
    else:
        _replace(_docker_file(), host, {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}, make=True)
    _replace(_runtime_file(), host, None)
    return "" if helper else _docker_file()


def logout(host: str) -> bool:
    """Forget the password. Returns False if there was none."""
    helper = _helper(host)
    if helper:
        _call(helper, "erase", _key(host))
    known = [_replace(path, host, None) for path in (_docker_file(), _runtime_file())]
    return bool(helper) or any(known)


def user_of(host: str) -> str:
    """Return the user who is logged in by docker's file; "" for nobody, or if a helper knows."""
    row = next((_read(_docker_file()).get("auths", {}).get(key) for key in _keys(host)), None) or {}
    try:
        return base64.b64decode(row.get("auth") or "").decode().partition(":")[0]
    except ValueError:
        return ""


# --- the files --------------------------------------------------------------------------------------------------------


def _docker_file() -> str:
    return f"{os.environ.get('DOCKER_CONFIG') or os.path.expanduser('~/.docker')}/config.json"


def _runtime_file() -> str:
    given = os.environ.get("XDG_RUNTIME_DIR")
    return f"{given or f'/run/containers/{os.geteuid()}'}/{'containers/' if given else ''}auth.json"


def _key(host: str) -> str:
    return _HUB_KEY if host == HUB else host


def _keys(host: str) -> list[str]:
    """List the names under which files may have a registry."""
    return [_key(host), *(_HUB_NAMES if host == HUB else (f"https://{host}", f"http://{host}"))]


def _read(path: str) -> dict[str, Any]:
    try:
        document = json.loads(files.read_regular(path) or b"{}")
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


def _helper(host: str) -> str:
    """Return the program that keeps the registry's password by docker's file, "" for none. `credsStore`, which would be
    for all registries, is not obeyed: skopeo does not read it."""
    helpers = _read(_docker_file()).get("credHelpers")
    name = next((helpers[key] for key in _keys(host) if key in helpers), "") if isinstance(helpers, dict) else ""
    if not name:
        return ""
    program = programs.find(f"docker-credential-{name}") if isinstance(name, str) and "/" not in name else ""
    if not program:
        raise HostError(f"the credential helper docker-credential-{name} of {host} is missing", f"see {_docker_file()}")
    return program


def _call(helper: str, action: str, text: str) -> None:
    try:
        done = subprocess.run([helper, action], input=text.encode(), capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise HostError(f"{helper} {action} did not end within {_PATIENCE} s") from None
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).decode(errors="replace").split())
        raise HostError(f"{helper} {action}: {said or f'exit code {done.returncode}'}")
