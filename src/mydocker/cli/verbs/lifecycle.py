"""start, stop, kill, restart, pause, unpause, rename, rm, wait.

Each takes several containers. An error on one is reported and does not stop the others; the exit code is that of the
last error. As with docker, only `run` has exit codes of its own for a command that is missing or can't be executed.
"""

from __future__ import annotations

import sys

from mydocker import state
from mydocker.cli.streams import tell
from mydocker.engine import lifecycle
from mydocker.errors import FAILED, InvalidArgument, MydockerError, NotFound
from mydocker.model.options import signals, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.model.container import Container

_MAX_TIMEOUT = 10**9


def start(params: dict[str, Any]) -> int:
    from mydocker.engine import start as starting

    if params["attach"] or params["interactive"]:
        if len(params["containers"]) > 1:
            raise InvalidArgument(
                "can't attach to more than one container", "leave out -a and -i, or start them one by one"
            )
        container = state.find(params["containers"][0])
        try:
            stdin = params["interactive"] and container.open_stdin
            attach = starting.Attaching(stdin, detach_keys=_detach_keys(params))
            run = starting.attach_to if state.is_running(container) else starting.start
            result = run(container, attach)
        except MydockerError as error:
            error.exit_code = _code(error)
            raise
        return result.exit_code or 0

    def one(reference: str) -> None:
        container = state.find(reference)
        # docker's start of a running container prints its name and does nothing else.
        if container.is_paused() or (not container.is_restarting() and not state.is_running(container)):
            starting.start(container)
        print(reference)

    return each(params["containers"], one)


def attach(params: dict[str, Any]) -> int:
    """Attach to a running container. Returns its exit code."""
    from mydocker.engine import start as starting

    container = state.find(params["container"])
    stdin = container.open_stdin and not params["no_stdin"]
    attach = starting.Attaching(stdin, detach_keys=_detach_keys(params), sig_proxy=params["sig_proxy"])
    result = starting.attach_to(container, attach)
    if result.detached:
        raise MydockerError("read escape sequence", f"container {container.name} goes on")
    return result.exit_code or 0


def _detach_keys(params: dict[str, Any]) -> bytes:
    from mydocker.model.options import detach

    return detach.parse(params["detach_keys"])


def stop(params: dict[str, Any]) -> int:
    timeout, signal = _timeout(params), _signal_number(params)

    def one(reference: str) -> None:
        lifecycle.stop(state.find(reference), timeout, signal)
        print(reference)

    return each(params["containers"], one)


def kill(params: dict[str, Any]) -> int:
    signal = _signal_number(params) or signals.number("KILL")

    def one(reference: str) -> None:
        lifecycle.kill(state.find(reference), signal)
        print(reference)

    return each(params["containers"], one)


def restart(params: dict[str, Any]) -> int:
    from mydocker.engine import start as starting

    timeout, signal = _timeout(params), _signal_number(params)

    def one(reference: str) -> None:
        container = state.find(reference)
        lifecycle.stop_to_restart(container, timeout, signal)
        starting.start(container)
        print(reference)

    return each(params["containers"], one)


def pause(params: dict[str, Any]) -> int:
    from mydocker.engine import pausing

    return each(params["containers"], lambda reference: _done(reference, pausing.pause))


def unpause(params: dict[str, Any]) -> int:
    from mydocker.engine import pausing

    return each(params["containers"], lambda reference: _done(reference, pausing.unpause))


def _done(reference: str, action: Callable[[Container], None]) -> None:
    action(state.find(reference))
    print(reference)


def rename(params: dict[str, Any]) -> int:
    from mydocker.engine import renaming

    try:
        renaming.rename(params["container"], params["name"])
    except InvalidArgument as error:
        error.exit_code = FAILED
        raise
    return 0


def rm(params: dict[str, Any]) -> int:
    def one(reference: str) -> None:
        try:
            lifecycle.remove(reference, params["force"], params["volumes"])
        except NotFound as error:
            if not params["force"] or not reference.strip("/"):  # "": an unset variable of a script
                raise
            tell(error)  # but the exit code is 0, as docker's, so that scripts under `set -e` continue
            return
        print(reference)

    return each(params["containers"], one)


def wait(params: dict[str, Any]) -> int:
    def one(reference: str) -> None:
        print(lifecycle.wait(state.find(reference)))

    return each(params["containers"], one)


def each(references: list[str], action: Callable[[str], None]) -> int:
    """Do it for each container, and report what fails. Returns the exit code."""
    code = 0
    for reference in references:
        try:
            action(reference)
            sys.stdout.flush()
        except MydockerError as error:
            tell(error)
            code = _code(error)
    return code


def _code(error: MydockerError) -> int:
    return FAILED if error.exit_code in (126, 127) else error.exit_code


def _timeout(params: dict[str, Any]) -> int | None:
    """The timeout in seconds; -1 waits for ever."""
    return None if params["time"] is None else units.integer(params["time"], "timeout", -1, _MAX_TIMEOUT)


def _signal_number(params: dict[str, Any]) -> int | None:
    return None if params["signal"] is None else signals.number(params["signal"])
