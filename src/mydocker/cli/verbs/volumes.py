"""volume create, ls, inspect, rm, prune."""

from __future__ import annotations

import os

from mydocker.cli import ask, output
from mydocker.cli.removal import remove_each
from mydocker.cli.streams import tell
from mydocker.cli.verbs.inspect import show
from mydocker.engine import inspect as inspection
from mydocker.engine import listing, volumes
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.model.options import keyvalue, names, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def create(params: dict[str, Any]) -> int:
    if params["driver"] not in (None, "", "local"):
        raise InvalidArgument(f"unknown volume driver '{params['driver']}'", "known: local")
    given = params["volume"]
    name = names.volume_name(given) if given else os.urandom(32).hex()
    print(volumes.ensure(name, keyvalue.labels(params["label"], []), anonymous=not given).name)
    return 0


def ls(params: dict[str, Any]) -> int:
    matching, broken = _filtered(params["filter"])
    rows = [
        {
            "Driver": "local",
            "Name": each.name,
            "Mountpoint": each.path,
            "Scope": "local",
            "Labels": each.labels,
            "Links": "N/A",  # only docker's `system df` knows
            "Size": "N/A",
        }
        for each in matching
    ]
    columns = output.terminal_width()
    output.emit(output.listing(output.VOLUMES, rows, params["format"], params["quiet"], columns=columns))
    return max(map(tell, broken), default=0)


def _filtered(filters: list[str]) -> tuple[list[volumes.Volume], list[CorruptRecord]]:
    """The volumes that match, and an error for each that can't be read."""
    tests = listing.parse(filters, _FILTERS)
    every, broken = volumes.volumes()
    return [each for each in every if listing.passes(each, tests)], broken


def _dangling(value: str) -> listing.Test:
    used = volumes.users()
    return listing.truth("dangling", lambda volume: volume.name not in used)(value)


_FILTERS: dict[str, listing.Maker] = {
    "name": listing.pattern(lambda volume: str(volume.name)),
    "driver": lambda value: lambda _: value == "local",
    "label": listing.label,
    "dangling": _dangling,
}


def inspect(params: dict[str, Any]) -> int:
    return show(params["volumes"], params["format"], lambda name: ("volume", inspection.volume(name)))


def rm(params: dict[str, Any]) -> int:
    return remove_each(params["volumes"], volumes.remove, params["force"])


def prune(params: dict[str, Any]) -> int:
    used = volumes.users()
    matching, broken = _filtered(params["filter"])
    code = max(map(tell, broken), default=0)
    unused = [each for each in matching if each.name not in used and (params["all"] or each.anonymous)]
    question = f"Remove {len(unused)} volume{'s' if len(unused) > 1 else ''} and all data in them?"
    if unused and not params["force"] and not ask.agreed(question):
        unused = []
    deleted, reclaimed = [], 0
    for each in unused:
        size = volumes.size(each.name)
        try:
            volumes.remove(each.name)
        except (Conflict, NotFound):
            continue  # meanwhile a container uses it, or it has been removed
        deleted.append(each.name)
        reclaimed += size
    if deleted:
        print("Deleted Volumes:", *deleted, "", sep="\n")
    print(f"Total reclaimed space: {units.human_size(reclaimed)}")
    return code
