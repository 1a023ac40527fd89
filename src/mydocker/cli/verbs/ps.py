"""ps. Imports are restricted: this is a hot command."""

from __future__ import annotations

from time import time_ns

from mydocker import state
from mydocker.cli import output
from mydocker.cli.streams import tell
from mydocker.engine import listing
from mydocker.errors import InvalidArgument
from mydocker.model import times, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 10**6
_COMMAND = 20  # characters of a command that docker shows


def ps(params: dict[str, Any]) -> int:
    if params["last"] is not None and params["latest"]:
        raise InvalidArgument("--last and --latest contradict each other", "leave one out")
    last = 1 if params["latest"] else -1 if params["last"] is None else units.whole(params["last"], "number", -1, _MOST)
    found, broken = listing.containers(params["all"], params["filter"], last)
    now = time_ns()
    rows = [_row(each, now, not params["no_trunc"]) for each in found]
    columns = output.terminal_width()
    text = output.listing(output.CONTAINERS, rows, params["format"], params["quiet"], not params["no_trunc"], columns)
    output.emit(text)
    return max(map(tell, broken), default=0)


def _row(found: state.Record, now: int, trunc: bool) -> dict[str, Any]:
    command = " ".join(found.command)
    if trunc:
        command = output.shorten(command, _COMMAND)
    volumes = [source for source in found.mounts if not source.startswith("/")]
    return {
        "ID": found.id[:12] if trunc else found.id,
        "Image": found.image,
        "Command": f'"{command}"',
        "CreatedAt": found.created,
        "RunningFor": times.ago(found.created, now),
        "Status": status(found, now),
        "State": found.status,
        "Pid": str(found.pid) if found.status == "running" else "-",
        "Names": found.name,
        "Name": found.name,
        "Ports": "",
        "Labels": found.labels,
        "Mounts": ",".join(found.mounts),
        "LocalVolumes": str(len(volumes)),
        "Networks": found.network,
    }


def status(found: state.Record, now: int) -> str:
    """docker's phrase: Created; Up 3 seconds; Exited (137) 2 minutes ago, and why if the kernel ended it."""
    if found.status == "created":
        return "Created"
    if found.status == "running":
        return f"Up {times.human_duration(now - times.parse_rfc3339(found.started_at))}"
    when = f" {times.ago(found.finished_at, now)}" if found.finished_at else ""
    return f"Exited ({found.exit_code}){when}" + (" (out of memory)" if found.oom_killed else "")
