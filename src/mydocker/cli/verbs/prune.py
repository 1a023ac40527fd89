"""container prune and system prune."""

from __future__ import annotations

from mydocker.cli import ask, removal
from mydocker.engine import pruning
from mydocker.errors import FAILED, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SURE = "\nAre you sure you want to continue?"


def containers(params: dict[str, Any]) -> int:
    stopped = pruning.find(params["filter"])
    question = f"WARNING! This will remove all stopped containers.{_SURE}"
    gone, reclaimed = removal.pruned(params, question, lambda dry_run: pruning.delete(stopped, dry_run))
    removal.tell_pruned("Containers", gone, params["dry_run"])
    removal.tell_reclaimed(reclaimed, params["dry_run"])
    return 0


def everything(params: dict[str, Any]) -> int:
    """system prune. To a dry run, what only a container uses that would go is in use."""
    _check(params)
    dry_run = params["dry_run"]
    return _prune(params, dry_run) if dry_run or params["force"] or ask.agreed(_question(params)) else 0


def _check(params: dict[str, Any]) -> None:
    """Raise InvalidArgument for a filter before the question is asked."""
    from mydocker.engine.images import check_prune_filters

    keys = [text.partition("=")[0].strip().lower() for text in params["filter"]]
    if params["volumes"] and "until" in keys:
        raise InvalidArgument("the filter until and --volumes exclude each other", "volumes have no time", FAILED)
    pruning.find(params["filter"])
    check_prune_filters(params["filter"])


def _question(params: dict[str, Any]) -> str:
    everything = params["all"]
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
        "  - all anonymous volumes not used by at least one container" if params["volumes"] else "",
        f"  - all {'images without at least one container associated to them' if everything else 'dangling images'}",
        f"  - {'all' if everything else 'unused'} build cache",
    ]
    if params["filter"]:
        lines += ["", "  Items to be pruned will be filtered with:", *(f"  - {text}" for text in params["filter"])]
    return "\n".join(line for line in lines if line) + "\n" + _SURE


def _prune(params: dict[str, Any], dry_run: bool) -> int:
    """Remove all kinds, and tell each at once. Returns the exit code."""
    from mydocker.cli.verbs import images, networks, volumes
    from mydocker.engine import images as engine
    from mydocker.engine.build import pruning as cache

    filters, every = params["filter"], params["all"]
    gone, total = pruning.delete(pruning.find(filters), dry_run)
    removal.tell_pruned("Containers", gone, dry_run)
    idle, code = networks.find_idle(filters)
    removal.tell_pruned("Networks", networks.delete(idle, dry_run)[0], dry_run)
    if params["volumes"]:
        unused, failed = volumes.find_unused(filters, False)
        gone, size = volumes.delete(unused, dry_run)
        removal.tell_pruned("Volumes", gone, dry_run)
        code, total = max(code, failed), total + size
    lines, size = engine.prune(every, filters, dry_run)
    images.tell_pruned(lines, dry_run)
    # docker's builder has no labels either: with such a filter, nothing of the cache is removed.
    of_cache = [text for text in filters if text.partition("=")[0].strip().lower() == "until"]
    gone, cached = cache.prune(every, of_cache, 0, dry_run) if len(of_cache) == len(filters) else ([], 0)
    removal.tell_pruned("build cache objects", gone, dry_run)
    removal.tell_reclaimed(total + size + cached, dry_run)
    return code
