"""pull, push, login, logout."""

from __future__ import annotations

import os
import sys

from mydocker.cli import output, progress
from mydocker.cli.streams import note
from mydocker.engine.transfer import credentials
from mydocker.engine.transfer import login as logins
from mydocker.engine.transfer import pull as pulling
from mydocker.engine.transfer import push as pushing
from mydocker.errors import HostError, InvalidArgument
from mydocker.model.options import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.options.references import Reference


def pull(params: dict[str, Any]) -> int:
    text, platform, quiet = params["image"], params["platform"] or "", params["quiet"]
    reference = pulling.parse(text, params["all_tags"])
    if not params["all_tags"]:
        fetch(text, platform, quiet)
        output.emit(f"{references.full(reference)}\n")
        return 0
    name, new = reference.name, False
    for tag in pulling.tags(name):
        new = _fetch(references.Reference(name, tag), platform, quiet, 1) or new
    if not quiet:
        output.emit(_status(name, new))
    output.emit(f"{references.full(reference).rpartition(':')[0]}\n")
    return 0


def fetch(text: str, platform: str, quiet: bool, stream: int = 1) -> None:
    """Pull one image, and say so as docker does. stream: the descriptor to write to."""
    reference = pulling.parse(text)
    if not quiet and not reference.digest and ":" not in text.rpartition("/")[2] and stream == 1:
        output.emit("Using default tag: latest\n", stream)
    new = _fetch(reference, platform, quiet, stream)
    if not quiet:
        output.emit(_status(str(reference), new), stream)


def _fetch(reference: Reference, platform: str, quiet: bool, stream: int) -> bool:
    shown = progress.Quiet() if quiet else progress.Pulling(stream)
    pulled = pulling.pull(reference, platform, shown)
    if not quiet:
        output.emit(f"Digest: {pulled.digest}\n", stream)
    return pulled.new


def _status(name: str, new: bool) -> str:
    return f"Status: {'Downloaded newer image' if new else 'Image is up to date'} for {name}\n"


def push(params: dict[str, Any]) -> int:
    text, quiet, all_tags = params["image"], params["quiet"], params["all_tags"]
    reference = pulling.parse(text, all_tags)
    tagged = ":" in text.rpartition("/")[2]
    names = pushing.names(text, all_tags)
    if not quiet:
        if not all_tags and not tagged:
            output.emit("Using default tag: latest\n")
        output.emit(f"The push refers to repository [{references.full(reference).rpartition(':')[0]}]\n")
    for each in names:
        pushed = pushing.push(each, progress.Quiet() if quiet else progress.Pushing())
        if not quiet:
            output.emit(f"{each.tag}: digest: {pushed.digest} size: {pushed.size}\n")
    if quiet:
        whole = references.full(reference)
        output.emit(f"{whole.rpartition(':')[0] if all_tags else whole}\n")
    return 0


def login(params: dict[str, Any]) -> int:
    host = logins.host_of(params["server"] or logins.HUB)
    user, password = params["username"], params["password"]
    if params["password_stdin"]:
        if password is not None:
            raise InvalidArgument("--password and --password-stdin are mutually exclusive", "leave one out")
        if not user:
            raise InvalidArgument("must provide --username with --password-stdin", "-u NAME")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password is not None:
        note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if user is None and password is None and _login_again(host):
        return 0
    if not user or password is None:
        user, password = _ask(host, user, password)
    if not password:
        raise InvalidArgument("the password is empty", "give one")
    _login(host, user, password)
    return 0


def _login_again(host: str) -> bool:
    """Log in with the password that is known. Returns False if there is none, or if the registry refuses it."""
    known = credentials.find(host)
    if known is None or not known.user or known.user == credentials.TOKEN:
        return False
    output.emit("Authenticating with existing credentials...\n")
    try:
        _login(host, known.user, known.secret)
    except HostError as error:
        if not os.isatty(0):
            raise
        note(f"Login did not succeed, error: {error}")
        return False
    return True


def _login(host: str, user: str, password: str) -> None:
    where = logins.login(host, user, password)
    if where:
        note(f"WARNING! Your password will be stored unencrypted in {where}. A credential helper would avoid that.")
    output.emit("Login Succeeded\n")


def _ask(host: str, user: str | None, password: str | None) -> tuple[str, str]:
    """Ask for what is missing. Raises InvalidArgument without a terminal."""
    if not os.isatty(0):
        raise InvalidArgument("cannot perform an interactive login from a non TTY device", "-u NAME --password-stdin")
    if not user:
        account = credentials.find(host)
        known = account.user if account and account.user != credentials.TOKEN else ""
        output.emit(f"Username{f' ({known})' if known else ''}: ")
        user = sys.stdin.readline().strip() or known
        if not user:
            raise InvalidArgument("the user name is empty", "give one")
    if password is None:
        from getpass import getpass

        password = getpass("Password: ")
    return user, password


def logout(params: dict[str, Any]) -> int:
    host = logins.host_of(params["server"] or logins.HUB)
    known = credentials.forget(host)
    output.emit(f"Removing login credentials for {host}\n" if known else f"Not logged in to {host}\n")
    return 0
