"""ps: the list of containers; and docker's --filter, for every list."""

from __future__ import annotations

from time import time_ns

from mydocker import state
from mydocker.errors import FAILED, OWN, Conflict, CorruptRecord, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.image.store import Image
    from mydocker.model.container import Container

    Test = Callable[[Any], bool]  # True if a thing passes the filter
    Maker = Callable[[str], Test]  # makes the test for a filter's value. Raises InvalidArgument

_LAST_PORT = 65535


def containers(everything: bool, filters: list[str], last: int = -1) -> tuple[list[Container], list[CorruptRecord]]:
    """Return (the records, newest first; an error for each that can't be read). everything: also those that do not run.
    filters: KEY=VALUE as typed. last: at most so many, running or not; -1: all."""
    tests = parse(filters)
    if "publish" in tests and "expose" in tests:  # docker takes these two as alternatives
        tests["publish"] += tests.pop("expose")
    matches, broken = [], []
    everything = everything or last >= 0 or "status" in tests or "exited" in tests
    for container_id in state.ids():
        try:
            container = state.load(container_id)
            listed = (everything or container.is_active()) and not container.build  # steps of a build are not shown
            if listed and passes(container, tests):
                matches.append(container)
        except CorruptRecord as error:
            broken.append(error)
        except NotFound:
            continue  # removed meanwhile
    matches.sort(key=lambda container: container.created, reverse=True)
    return matches[:last] if last >= 0 else matches, broken


def image_ids(containers: list[Container]) -> dict[str, str]:
    """Return the ID that each container's image name has now."""
    from mydocker.image import store

    try:
        return store.ids_of({container.image for container in containers})
    except CorruptRecord:  # `images` reports it
        return {container.image: container.image_id for container in containers}


# --- filters ----------------------------------------------------------------------------------------------------------


def parse(filters: list[str], makers: dict[str, Maker] | None = None) -> dict[str, list[Test]]:
    """Parse KEY=VALUE as typed to {key: tests}. makers: by key, a container's by default. Raises InvalidArgument for an
    unknown key or an impossible value."""
    makers = makers or _CONTAINERS
    tests: dict[str, list[Test]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals or key not in makers:
            raise invalid(text, f"KEY=VALUE, with {', '.join(makers)} as the key")
        tests.setdefault(key, []).append(makers[key](value))
    return tests


def invalid(text: str, hint: str) -> InvalidArgument:
    """Exit with docker's codes: its client rejects a filter without `=`, its daemon all others."""
    return InvalidArgument(f"invalid filter '{text}'", hint, FAILED if "=" in text else OWN)


def passes(thing: object, tests: dict[str, list[Test]]) -> bool:
    """Apply docker's rule: all keys must match; of one key any value, but of label and label! all."""
    return all(
        (all if key in ("label", "label!") else any)(test(thing) for test in of_key) for key, of_key in tests.items()
    )


def pattern(of: Callable[[Any], str]) -> Maker:
    """Search a thing's text for a regular expression; a plain word needs no `re`."""

    def make(value: str) -> Test:
        if not any(char in "^$.*+?[](){}|\\" for char in value):
            return lambda thing: value in of(thing)
        import re

        try:
            search = re.compile(value).search
        except re.error as error:
            raise InvalidArgument(
                f"invalid filter pattern '{value}': {error}", "a regular expression, or a plain word", FAILED
            ) from None
        return lambda thing: search(of(thing)) is not None

    return make


def choice(key: str, values: str, test: Callable[[Any, str], bool]) -> Maker:
    """Accept one of a few words. test: takes the thing and the word."""

    def make(value: str) -> Test:
        if value not in values.split():
            raise invalid(f"{key}={value}", f"{key} is one of {', '.join(values.split())}")
        return lambda thing: test(thing, value)

    return make


def truth(key: str, test: Test) -> Maker:
    return choice(key, "true false 1 0", lambda thing, value: test(thing) == (value in ("true", "1")))


def label(value: str) -> Test:
    return lambda thing: has_label(thing.labels, value)


def no_label(value: str) -> Test:
    return lambda thing: not has_label(thing.labels, value)


def until(created: Callable[[Any], int]) -> Maker:
    """Match what was made until a time. created: nanoseconds since 1970 of a thing."""

    def make(value: str) -> Test:
        from mydocker.model.options import times

        try:
            limit = times.moment(value, time_ns())
        except InvalidArgument as error:
            raise InvalidArgument(error.message, error.hint, FAILED) from None
        return lambda thing: created(thing) <= limit

    return make


def has_label(labels: dict[str, str], text: str) -> bool:
    """text: KEY or KEY=VALUE."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _name(value: str) -> Test:
    """Match with the leading slash, as `inspect` prints it, or without."""
    bare = pattern(lambda container: str(container.name))(value)
    slashed = pattern(lambda container: f"/{container.name}")(value)
    return lambda container: bare(container) or slashed(container)


def _exited(value: str) -> Test:
    if not (value.isascii() and value.lstrip("+-").isdigit()):
        raise invalid(f"exited={value}", "an exit code, 0 to 255")
    code = int(value)
    return lambda container: container.status == "exited" and container.exit_code == code


def _ancestor(value: str) -> Test:
    """Match the container's image, or an image that it was committed from. value: a name, with or without tag; an
    ID."""
    from mydocker.image import store

    try:
        ancestor = store.resolve(value)
    except (NotFound, Conflict, InvalidArgument):
        return lambda container: False
    ids = {image.id for image in store.images() if _descends(image, ancestor)} | {ancestor.id}
    return lambda container: container.image_id in ids


def _descends(image: Image, ancestor: Image) -> bool:
    """True if the layers and the history of an image begin with its ancestor's."""
    older, newer = ancestor.config.get("history") or [], image.config.get("history") or []
    begins_so = newer[: len(older)] == older and image.layers[: len(ancestor.layers)] == ancestor.layers
    return begins_so and len(newer) > len(older)


def _volume(value: str) -> Test:
    """Match a volume's name, a path of the host, or a mount point in the container."""

    def test(container: Container) -> bool:
        if value in container.mounts or not value.startswith("/"):
            return value in container.mounts
        from mydocker.engine import bundle

        mounts = bundle.load_request(container).mounts
        return any(mount["target"] == value and mount["option"] != "tmpfs" for mount in mounts)

    return test


def _network(value: str) -> Test:
    """Match a network's name, its ID, or a prefix of one."""
    names = {value}
    if value and set(value) <= set("0123456789abcdef"):
        from mydocker.engine import builtin
        from mydocker.engine.network import networks

        names |= {each.name for each in networks.networks() + builtin.both() if each.id.startswith(value)}
    return lambda container: not value or not names.isdisjoint(_networks(container))


def _networks(container: Container) -> list[str]:
    return (
        [container.network]
        if container.network in ("none", "host")
        else [each["network"] for each in container.networks]
    )


def _publish(value: str) -> Test:
    """Match published ports of running containers. value: a port of the host, or a range."""
    span, protocol = _ports("publish", value)

    def test(container: Container) -> bool:
        if not container.is_up() or not container.networks:  # without a network no port can be reached
            return False
        from mydocker.model.options.ports import parse_published

        return any(port.host in span and port.protocol == protocol for port in parse_published(container.bound_ports))

    return test


def _expose(value: str) -> Test:
    """Match ports of running containers, published or not. value: a port of the container, or a range."""
    span, protocol = _ports("expose", value)

    def test(container: Container) -> bool:
        if not container.is_up() or not container.networks:  # without a network no port can be reached
            return False
        from mydocker.model.options.ports import parse_published

        targets = [*container.exposed, *(port.target for port in parse_published(container.bound_ports))]
        pairs = [target.partition("/") for target in targets]
        return any(kind == protocol and number.isdigit() and int(number) in span for number, _, kind in pairs)

    return test


def _ports(key: str, value: str) -> tuple[range, str]:
    """Parse PORT or FIRST-LAST, each also with /PROTOCOL."""
    numbers, _, protocol = value.partition("/")
    first, dash, last = numbers.partition("-")
    bounds = [first, last if dash else first]
    if not all(text.isascii() and text.isdigit() and int(text) <= _LAST_PORT for text in bounds):
        raise invalid(f"{key}={value}", "PORT[-LAST][/PROTOCOL], such as 80, 8000-8009 or 53/udp")
    span = range(int(bounds[0]), int(bounds[1]) + 1)
    if not span:
        raise invalid(f"{key}={value}", "a range begins with the lower port")
    return span, protocol or "tcp"


def _before(value: str) -> Test:
    created = state.find(value).created
    return lambda container: container.created < created


def _since(value: str) -> Test:
    created = state.find(value).created
    return lambda container: container.created > created


_CONTAINERS: dict[str, Maker] = {
    "id": pattern(lambda container: container.id),
    "name": _name,
    "label": label,
    "status": choice(
        "status",
        "created running paused restarting removing exited dead",
        lambda container, value: container.status == value,
    ),
    "exited": _exited,
    "ancestor": _ancestor,
    "volume": _volume,
    "network": _network,
    "publish": _publish,
    "expose": _expose,
    "health": choice("health", "none starting healthy unhealthy", lambda _, value: value == "none"),
    "before": _before,
    "since": _since,
    "is-task": choice("is-task", "true false", lambda _, value: value == "false"),
}
