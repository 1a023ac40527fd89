"""network create, ls, inspect, rm, prune, connect, disconnect, check, reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mydocker import jsontext
from mydocker.cli import output, removal, rows
from mydocker.cli.streams import note, tell
from mydocker.cli.verbs.inspect import show
from mydocker.engine import builtin, listing
from mydocker.engine import inspect as inspection
from mydocker.engine.network import lifecycle, networks
from mydocker.engine.network import reload as reloading
from mydocker.errors import Conflict, InvalidArgument, NotFound
from mydocker.model.network import BUILTIN, DEFAULT, Network
from mydocker.model.options import times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.engine.network.compare import Finding


def create(params: dict[str, Any]) -> int:
    network, remarks = lifecycle.create(params)
    _remark([*remarks, *reloading.in_the_way(network)])
    print(network.id)
    return 0


def ls(params: dict[str, Any]) -> int:
    return _list(output.NETWORKS, params)


def list_(params: dict[str, Any]) -> int:
    """`network list`, the book's spelling of ls, with the book's column IpRange."""
    return _list(output.NETWORKS_OF_THE_BOOK, params)


def _list(kind: output.Listing, params: dict[str, Any]) -> int:
    trunc = not params["no_trunc"]
    listed = [rows.network(each, trunc) for each in _filtered(params["filter"])]
    columns = output.terminal_width()
    output.emit(output.listing(kind, listed, params["format"], params["quiet"], trunc, columns))
    return _tell_broken()


def _tell_broken() -> int:
    """Report the networks whose record can't be read. Returns the exit code."""
    return max(map(tell, networks.broken().values()), default=0)


def _filtered(filters: list[str], makers: dict[str, listing.Maker] | None = None) -> list[Network]:
    tests = listing.parse(filters, makers or _FILTERS)
    known = sorted([*networks.networks(), *builtin.both()], key=lambda each: each.name)
    return [each for each in known if listing.passes(each, tests)]


def _is_custom(network: Network) -> bool:
    return network.name != DEFAULT and network.name not in BUILTIN


def _is_idle(network: Network) -> bool:
    return _is_custom(network) and not networks.users(network.name)


_FILTERS: dict[str, listing.Maker] = {
    "name": listing.pattern(lambda network: str(network.name)),
    "id": listing.pattern(lambda network: str(network.id)),
    "driver": lambda value: lambda network: network.driver == value,
    "label": listing.label,
    "scope": lambda value: lambda _: value == "local",
    "type": listing.choice("type", "builtin custom", lambda network, value: _is_custom(network) == (value == "custom")),
    "dangling": listing.truth("dangling", lambda network: _is_idle(network)),
}
_PRUNE_FILTERS: dict[str, listing.Maker] = {
    **_FILTERS,
    "label!": listing.no_label,
    "until": listing.until(lambda network: times.parse_rfc3339(network.created)),
}


def inspect(params: dict[str, Any]) -> int:
    return show(params["networks"], params["format"], lambda name: ("network", inspection.network(name)))


def rm(params: dict[str, Any]) -> int:
    return removal.remove_each(params["networks"], _remove, params["force"])


def _remove(name: str) -> None:
    builtin.check_removable(name)
    _remark(lifecycle.remove(lifecycle.find_for_removal(name)))


def prune(params: dict[str, Any]) -> int:
    idle, code = find_idle(params["filter"])
    question = f"Remove {len(idle)} network{'s' if len(idle) > 1 else ''}?"
    deleted, _ = removal.pruned(params, question, lambda dry_run: delete(idle, dry_run)) if idle else ([], 0)
    removal.tell_pruned("Networks", deleted, params["dry_run"])
    return code


def find_idle(filters: list[str]) -> tuple[list[Network], int]:
    """Return (the networks that no running container uses, the exit code). Those that can't be read are reported."""
    idle = [each for each in _filtered(filters, _PRUNE_FILTERS) if _is_idle(each)]
    return idle, _tell_broken()


def delete(idle: list[Network], dry_run: bool = False) -> tuple[list[str], int]:
    """Remove networks that no running container uses. Returns (the names of those that are gone, 0 bytes)."""
    deleted = []
    for each in idle:
        try:
            if not dry_run:
                _remark(lifecycle.remove(each))
        except (Conflict, NotFound):
            continue  # a container has joined it, or another command removed it, meanwhile
        deleted.append(each.name)
    return deleted, 0


def connect(params: dict[str, Any]) -> int:
    from mydocker.engine.network import connect as connection

    _remark(connection.connect(params["network"], params["container"], params["ip"] or "", params["alias"]))
    return 0


def disconnect(params: dict[str, Any]) -> int:
    from mydocker.engine.network import connect as connection

    connection.disconnect(params["network"], params["container"], params["force"])
    return 0


def check(params: dict[str, Any]) -> int:
    from mydocker.engine.network import check as engine

    if params["format"] not in (None, "json"):
        raise InvalidArgument(f"unknown format '{params['format']}'", "json")
    repaired, left = engine.repair() if params["repair"] else ([], [(each, "") for each in engine.check()])
    broken = _tell_broken()
    if params["format"]:
        report = [_finding(each, True, "") for each in repaired] + [
            _finding(each, False, error) for each, error in left
        ]
        output.emit(jsontext.pretty(report) + "\n")
        return 1 if left or broken else 0
    lines = [f"{each.about}: {each.wrong}: {each.remedy}" for each in repaired]
    for each, error in left:
        lines.append(f"{each.about}: {each.wrong} ({_help(each, error)})")
    if not lines and not broken:
        lines = ["everything is as recorded"]
    output.emit("".join(f"{output.printable(line)}\n" for line in lines))
    return 1 if left or broken else 0


def _help(finding: Finding, error: str) -> str:
    if error:
        return f"not {finding.remedy}: {error}"
    return f"--repair: {finding.remedy}" if finding.repairable else finding.remedy


def _finding(finding: Finding, repaired: bool, error: str) -> dict[str, Any]:
    return {
        "about": finding.about,
        "wrong": finding.wrong,
        "remedy": finding.remedy,
        "repairable": finding.repairable,
        "repaired": repaired,
        "error": error,
    }


def reload(_: dict[str, Any]) -> int:
    _remark(reloading.reload())
    return 0


def _remark(lines: Iterable[str]) -> None:
    for line in lines:
        note(output.printable(line))  # it may name other programs' rules
