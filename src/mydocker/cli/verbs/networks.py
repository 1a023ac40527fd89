"""network create, ls, inspect, rm, prune, connect, disconnect, check, reload."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mydocker import jsontext
from mydocker.cli import ask, output, rows
from mydocker.cli.streams import tell
from mydocker.cli.verbs.inspect import show
from mydocker.engine import builtin, listing
from mydocker.engine import inspect as inspection
from mydocker.engine.network import lifecycle, networks
from mydocker.engine.network import reload as reloading
from mydocker.errors import Conflict, InvalidArgument, MydockerError, NotFound
from mydocker.model.network import BUILTIN, DEFAULT, Network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.engine.network.compare import Finding


def create(params: dict[str, Any]) -> int:
    made, remarks = lifecycle.create(params)
    _remark([*remarks, *reloading.in_the_way(made)])
    print(made.id)
    return 0


def ls(params: dict[str, Any]) -> int:
    return _list(output.NETWORKS, params)


def list_(params: dict[str, Any]) -> int:
    """The book's spelling of it, with the book's column IpRange."""
    return _list(output.NETWORKS_OF_THE_BOOK, params)


def _list(kind: output.Listing, params: dict[str, Any]) -> int:
    trunc = not params["no_trunc"]
    found = [rows.network(each, trunc) for each in _filtered(params["filter"])]
    columns = output.terminal_width()
    output.emit(output.listing(kind, found, params["format"], params["quiet"], trunc, columns))
    return _tell_broken()


def _tell_broken() -> int:
    """Name what can't be read, beside what could; the exit code."""
    return max(map(tell, networks.broken().values()), default=0)


def _filtered(filters: list[str]) -> list[Network]:
    wanted = listing.parse(filters, _FILTERS)
    known = sorted([*networks.networks(), *builtin.both()], key=lambda each: each.name)
    return [each for each in known if listing.fits(each, wanted)]


def _is_own(found: Network) -> bool:
    return found.name != DEFAULT and found.name not in BUILTIN


def _is_idle(found: Network) -> bool:
    return _is_own(found) and not networks.users(found.name)


_FILTERS: dict[str, listing.Maker] = {
    "name": listing.pattern(lambda found: str(found.name)),
    "id": listing.pattern(lambda found: str(found.id)),
    "driver": lambda value: lambda found: found.driver == value,
    "label": listing.label,
    "scope": lambda value: lambda _: value == "local",
    "type": listing.choice("type", "builtin custom", lambda found, value: _is_own(found) == (value == "custom")),
    "dangling": listing.truth("dangling", lambda found: _is_idle(found)),
}


def inspect(params: dict[str, Any]) -> int:
    return show(params["networks"], params["format"], lambda name: ("network", inspection.network(name)))


def _removed(name: str) -> list[str]:
    builtin.check_removable(name)
    return lifecycle.remove(lifecycle.find_for_removal(name))


def rm(params: dict[str, Any]) -> int:
    code = 0
    for name in params["networks"]:
        try:
            _remark(_removed(name))
            print(name)
        except NotFound as error:
            if not params["force"]:
                code = tell(error)
        except MydockerError as error:
            code = tell(error)
    return code


def prune(params: dict[str, Any]) -> int:
    idle = [each for each in _filtered(params["filter"]) if _is_idle(each)]
    code = _tell_broken()
    question = f"Remove {len(idle)} network{'s' if len(idle) > 1 else ''}?"
    if idle and not params["force"] and not ask.agreed(question):
        return code
    deleted = []
    for each in idle:
        try:
            _remark(lifecycle.remove(each))
        except (Conflict, NotFound):
            continue  # a container has come to it, or somebody else has removed it meanwhile
        deleted.append(each.name)
    if deleted:
        print("Deleted Networks:", *deleted, "", sep="\n")
    return code


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
    mended, left = engine.repair() if params["repair"] else ([], [(each, "") for each in engine.check()])
    broken = _tell_broken()
    if params["format"]:
        told = [_finding(each, True, "") for each in mended] + [_finding(each, False, error) for each, error in left]
        output.emit(jsontext.pretty(told) + "\n")
        return 1 if left or broken else 0
    lines = [f"{each.about}: {each.wrong}: {each.remedy}" for each in mended]
    for each, error in left:
        help = f"not {each.remedy}: {error}" if error else f"--repair: {each.remedy}" if each.mendable else each.remedy
        lines.append(f"{each.about}: {each.wrong} ({help})")
    if not lines and not broken:
        lines = ["everything is as recorded"]
    output.emit("".join(f"{output.printable(line)}\n" for line in lines))
    return 1 if left or broken else 0


def _finding(found: Finding, repaired: bool, error: str) -> dict[str, Any]:
    return {
        "about": found.about,
        "wrong": found.wrong,
        "remedy": found.remedy,
        "repairable": found.mendable,
        "repaired": repaired,
        "error": error,
    }


def reload(_: dict[str, Any]) -> int:
    _remark(reloading.reload())
    return 0


def _remark(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"mydocker: {output.printable(line)}", file=sys.stderr)  # it may name what others have in the firewall
