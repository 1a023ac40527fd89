"""volume create, ls, inspect, rm, prune."""

from __future__ import annotations

import os

from mydocker.cli import output, removal, rows
from mydocker.cli.streams import tell
from mydocker.cli.verbs.inspect import show
from mydocker.engine import inspect as inspection
from mydocker.engine import listing, volumes
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, NotFound
from mydocker.model.options import keyvalue, names
from mydocker.model.options import volumes as volume_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def create(params: dict[str, Any]) -> int:
    if params["driver"] not in (None, "", "local"):
        raise InvalidArgument(f"unknown volume driver '{params['driver']}'", "known: local")
    given = params["volume"]
    name = names.volume_name(given) if given else os.urandom(32).hex()
    labels, options = keyvalue.labels(params["label"], []), volume_options.parse(params["opt"])
    print(volumes.ensure(name, labels, not given, options).name)
    return 0


def ls(params: dict[str, Any]) -> int:
    matching, broken = _filtered(params["filter"])
    columns = output.terminal_width()
    output.emit(
        output.listing(
            output.VOLUMES, [rows.volume(each) for each in matching], params["format"], params["quiet"], columns=columns
        )
    )
    return max(map(tell, broken), default=0)


def _filtered(
    filters: list[str], makers: dict[str, listing.Maker] | None = None
) -> tuple[list[volumes.Volume], list[CorruptRecord]]:
    """The volumes that match, and an error for each that can't be read."""
    tests = listing.parse(filters, makers or _FILTERS)
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
_PRUNE_FILTERS: dict[str, listing.Maker] = {**_FILTERS, "label!": listing.no_label}


def inspect(params: dict[str, Any]) -> int:
    return show(params["volumes"], params["format"], lambda name: ("volume", inspection.volume(name)))


def rm(params: dict[str, Any]) -> int:
    return removal.remove_each(params["volumes"], volumes.remove, params["force"])


def prune(params: dict[str, Any]) -> int:
    unused, code = find_unused(params["filter"], params["all"])
    question = f"Remove {len(unused)} volume{'s' if len(unused) > 1 else ''} and all data in them?"
    deleted, reclaimed = (
        removal.pruned(params, question, lambda dry_run: delete(unused, dry_run)) if unused else ([], 0)
    )
    removal.tell_pruned("Volumes", deleted, params["dry_run"])
    removal.tell_reclaimed(reclaimed, params["dry_run"])
    return code


def find_unused(filters: list[str], everything: bool) -> tuple[list[volumes.Volume], int]:
    """Return (the volumes that no container uses, the exit code). everything: named ones, too; never those with
    options, whose data are elsewhere. Those that can't be read are reported."""
    used = volumes.users()
    matching, broken = _filtered(filters, _PRUNE_FILTERS)
    code = max(map(tell, broken), default=0)
    own = [each for each in matching if not each.options and (everything or each.anonymous)]
    return [each for each in own if each.name not in used], code


def delete(unused: list[volumes.Volume], dry_run: bool = False) -> tuple[list[str], int]:
    """Remove volumes that no container uses. Returns (the names of those that are gone, their bytes)."""
    deleted, reclaimed = [], 0
    for each in unused:
        size = volumes.size(each.name)
        try:
            if not dry_run:
                volumes.remove(each.name)
        except (Conflict, NotFound):
            continue  # meanwhile a container uses it, or it has been removed
        deleted.append(each.name)
        reclaimed += size
    return deleted, reclaimed
