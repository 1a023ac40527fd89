"""container prune: the containers that do not run."""

from __future__ import annotations

from mydocker import state
from mydocker.engine import lifecycle, listing, sizes
from mydocker.errors import Conflict, NotFound
from mydocker.model.options import times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container


def find(filters: list[str]) -> list[Container]:
    """Return the containers that do not run, but for the steps of a build. filters: KEY=VALUE as typed. Raises
    InvalidArgument for one that is unknown."""
    tests = listing.parse(filters, _FILTERS)
    return [
        each for each in state.readable() if not each.is_active() and not each.build and listing.passes(each, tests)
    ]


def delete(stopped: list[Container], dry_run: bool = False) -> tuple[list[str], int]:
    """Remove them; their volumes stay. dry_run: remove nothing. Returns (the IDs of those that are gone, the bytes that
    they had written)."""
    gone, reclaimed = [], 0
    for each in stopped:
        size = sizes.written(each)
        try:
            if not dry_run:
                lifecycle.remove(each.id)
        except (Conflict, NotFound):
            continue  # meanwhile it has been started, or removed
        gone.append(each.id)
        reclaimed += size
    return gone, reclaimed


_FILTERS: dict[str, listing.Maker] = {
    "label": listing.label,
    "label!": listing.no_label,
    "until": listing.until(lambda container: times.parse_rfc3339(container.created)),
}
