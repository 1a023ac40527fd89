"""Log in to registries: skopeo tries the password, and docker's file, or the helper that it names, keeps it."""

from __future__ import annotations

import tempfile

from mydocker import paths
from mydocker.engine.transfer import credentials
from mydocker.engine.transfer.skopeo import Skopeo
from mydocker.errors import InvalidArgument
from mydocker.kernel.files import make_private

HUB = credentials.HUB


def host_of(server: str) -> str:
    """Return the registry's host for what was typed: a host, or docker's form, an address."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    if not host or not host.isprintable() or " " in host or host[0] in "-.":
        raise InvalidArgument(f"invalid registry '{server}'", "HOST or HOST:PORT; none is Docker Hub")
    return HUB if host in credentials.HUB_NAMES else host


def login(host: str, user: str, password: str) -> str:
    """Try the user's password and keep it. Returns where, for a warning: "" if a helper has it. Raises HostError if the
    registry refuses it, or if the helper is missing."""
    credentials.find(host)  # an error of the helper comes before the password is sent
    registry = Skopeo(host)
    make_private(paths.RUN)
    # In memory: skopeo writes the password into a file.
    with tempfile.TemporaryDirectory(prefix=".login.", dir=paths.RUN) as directory:
        options = [*registry.tls(), f"--authfile={directory}/auth.json", f"--username={user}", "--password-stdin", host]
        registry.run("login", options, f"login to {host}", password.encode())
    return credentials.keep(host, user, password)
