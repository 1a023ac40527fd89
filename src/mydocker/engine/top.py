"""top: a container's processes, as the host's ps shows them."""

from __future__ import annotations

import os

from mydocker import state
from mydocker.engine.bundle import load_spec
from mydocker.errors import FAILED, HostError, InvalidArgument
from mydocker.kernel import cgroups, programs
from mydocker.model.container import not_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

_DEFAULT = "-ef"
_PID = "PID"


def top(reference: str, options: list[str]) -> list[list[str]]:
    """Return the rows of ps, the headings first, for the processes of a running container. options: of ps, with -ef as
    the default. Raises Conflict for a container that does not run, InvalidArgument for options without PIDs."""
    container = state.find(reference)
    text = " ".join(options) or _DEFAULT
    _check(text)
    if not state.is_running(container):
        raise not_running(container)
    pids = processes(container)
    lines = _ps(text.split(" "), pids).splitlines()
    titles = lines[0].split() if lines else []
    if _PID not in titles:
        raise InvalidArgument("ps shows no column PID", "add 'pid' to the columns of -o", FAILED)
    return [titles, *_rows(lines[1:], len(titles), titles.index(_PID), {str(pid) for pid in pids})]


def _check(text: str) -> None:
    """Refuse a heading that would be taken for that of the PIDs, as docker does."""
    if "=" not in text:
        return
    import re

    wrong = re.search(r"\s([^\s]*)=\s*(PID[^\s]*)", f" {text}")
    if wrong:
        raise InvalidArgument(f"'{wrong[1]}={wrong[2]}' is not allowed", "only PIDs may have that heading", FAILED)


def processes(container: Container) -> list[int]:
    """List the PIDs of a running container, as the host sees them."""
    layout, path = cgroups.layout(), load_spec(container)["linux"]["cgroupsPath"]
    top, own = _namespace(container.pid), _namespace("self")
    # The other end of an exec is in the container's cgroup, but not in its PID namespace.
    return [
        pid for pid in cgroups.all_processes(layout.directory("pids") + path) if top == own or _namespace(pid) != own
    ]


def _namespace(pid: int | str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _ps(words: list[str], pids: list[int]) -> str:
    """Run ps for these processes only; for all where its options do not go with that."""
    if pids:
        try:
            return programs.run(["ps", *words, f"-q{','.join(map(str, pids))}"], package="procps")
        except OSError:
            pass
    try:
        return programs.run(["ps", *words], package="procps")
    except OSError as error:
        said = (error.strerror or "").removeprefix("error: ").partition(" Usage: ")[0]
        raise HostError(f"ps: {said}", "see 'man ps'") from None


def _rows(lines: list[str], columns: int, at: int, pids: set[str]) -> list[list[str]]:
    rows, shown = [], False
    for line in lines:
        fields = line.split(None, columns - 1)
        if len(fields) <= at:
            continue
        if fields[at] != "-":  # a thread, with -m, belongs to the process above it
            shown = fields[at] in pids
        if shown:
            rows.append(fields)
    return rows
