"""ps: which containers there are, and docker's --filter. Imports are restricted: this is a hot command."""

from __future__ import annotations

from mydocker import state
from mydocker.errors import CorruptRecord, InvalidArgument, NotFound
from mydocker.model import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILTERS = ("id", "name", "label", "status", "exited", "ancestor", "volume", "before", "since", "network")


def containers(everything: bool, filters: list[str], last: int = -1) -> tuple[list[state.Record], list[CorruptRecord]]:
    """(the records, newest first; those that can't be read). everything: those that do not run, too. filters:
    KEY=VALUE as typed: one key's are alternatives, several keys must all fit. last: at most that many, running or not;
    -1: all."""
    wanted = parse(filters)
    found, broken = [], []
    for container_id in state.ids():
        try:
            found.append(state.load(container_id))
        except CorruptRecord as error:
            broken.append(error)
        except NotFound:
            continue  # removed meanwhile
    found.sort(key=lambda each: each.created, reverse=True)
    everything = everything or last >= 0 or "status" in wanted or "exited" in wanted
    kept = [each for each in found if (everything or each.status in state.BUSY) and _fits(each, wanted)]
    return kept[:last] if last >= 0 else kept, broken


def parse(filters: list[str]) -> dict[str, list[str]]:
    """Raises InvalidArgument for an unknown key or an impossible value."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in FILTERS:
            raise InvalidArgument(f"invalid filter '{text}'", f"KEY=VALUE, with {', '.join(FILTERS)} as the key")
        if key == "status" and value not in state.STATUSES:
            raise InvalidArgument(f"invalid filter '{text}'", f"a status is {', '.join(state.STATUSES)}")
        if key == "exited":
            units.whole(value, "exit code", 0, 255)
        if key in ("id", "name"):
            check_pattern(value)
        if key in ("before", "since"):
            value = state.find(value).created
        wanted.setdefault(key, []).append(value)
    return wanted


def check_pattern(pattern: str) -> None:
    try:
        has("", pattern)
    except Exception as error:  # re.error, without importing re for it
        raise InvalidArgument(
            f"invalid filter pattern '{pattern}': {error}", "a regular expression, or a plain word"
        ) from None


def _fits(found: state.Record, wanted: dict[str, list[str]]) -> bool:
    return all(
        (all if key == "label" else any)(_MATCH[key](found, v) for v in values) for key, values in wanted.items()
    )


def has(text: str, pattern: str) -> bool:
    """docker's names and IDs are matched by regular expressions; a plain word needs no `re`."""
    if not any(char in "^$.*+?[](){}|\\" for char in pattern):
        return pattern in text
    import re

    return re.search(pattern, text) is not None


def has_label(labels: dict[str, str], text: str) -> bool:
    """text: KEY or KEY=VALUE."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _has_ancestor(found: state.Record, text: str) -> bool:
    digest = text[len("sha256:") :] if text.startswith("sha256:") else text
    return found.image in (text, f"{text}:latest") or (len(digest) > 3 and found.image_id[7:].startswith(digest))


_MATCH: dict[str, Callable[[state.Record, str], bool]] = {
    "id": lambda found, value: has(found.id, value),
    "name": lambda found, value: has(found.name, value) or has(f"/{found.name}", value),
    "label": lambda found, text: has_label(found.labels, text),
    "status": lambda found, value: found.status == value,
    "exited": lambda found, value: found.status == "exited" and found.exit_code == int(value),
    "ancestor": _has_ancestor,
    "volume": lambda found, value: value in found.mounts,
    "network": lambda found, value: value in (found.network, *(end["network"] for end in found.networks)),
    "before": lambda found, created: found.created < created,
    "since": lambda found, created: found.created > created,
}
