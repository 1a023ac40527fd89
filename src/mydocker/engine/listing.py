"""ps: which containers there are; and docker's --filter, for whatever is listed."""

from __future__ import annotations

from mydocker import state
from mydocker.errors import FAILED, OWN, Conflict, CorruptRecord, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.image.store import Image
    from mydocker.model.container import Container

    Test = Callable[[Any], bool]  # whether a filter lets the thing through
    Maker = Callable[[str], Test]  # from a filter's value to its test. Raises InvalidArgument

_LAST_PORT = 65535


def containers(everything: bool, filters: list[str], last: int = -1) -> tuple[list[Container], list[CorruptRecord]]:
    """(the records, newest first; those that can't be read). everything: those that do not run, too. filters:
    KEY=VALUE as typed. last: at most that many, running or not; -1: all."""
    wanted = parse(filters)
    if "publish" in wanted and "expose" in wanted:  # one of either will do
        wanted["publish"] += wanted.pop("expose")
    found, broken = [], []
    everything = everything or last >= 0 or "status" in wanted or "exited" in wanted
    for container_id in state.ids():
        try:
            each = state.load(container_id)
            if (everything or each.is_active()) and fits(each, wanted):
                found.append(each)
        except CorruptRecord as error:
            broken.append(error)
        except NotFound:
            continue  # removed meanwhile
    found.sort(key=lambda each: each.created, reverse=True)
    return found[:last] if last >= 0 else found, broken


def image_ids(found: list[Container]) -> dict[str, str]:
    """Names of their images -> the ID of the image that has the name now."""
    from mydocker.image import store

    try:
        return store.ids_of({each.image for each in found})
    except CorruptRecord:  # told where images are asked for
        return {each.image: each.image_id for each in found}


# --- filters ----------------------------------------------------------------------------------------------------------


def parse(filters: list[str], makers: dict[str, Maker] | None = None) -> dict[str, list[Test]]:
    """KEY=VALUE as typed -> key: its tests. makers: by key; without them a container's. Raises InvalidArgument for an
    unknown key or an impossible value."""
    makers = makers or _CONTAINERS
    wanted: dict[str, list[Test]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals or key not in makers:
            raise invalid(text, f"KEY=VALUE, with {', '.join(makers)} as the key")
        wanted.setdefault(key, []).append(makers[key](value))
    return wanted


def invalid(text: str, hint: str) -> InvalidArgument:
    """docker's client refuses what has no `=`, its daemon the rest: so are the exit codes."""
    return InvalidArgument(f"invalid filter '{text}'", hint, FAILED if "=" in text else OWN)


def fits(thing: object, wanted: dict[str, list[Test]]) -> bool:
    """docker's rule: one key's values are alternatives, but for labels; several keys must all fit."""
    return all((all if key == "label" else any)(test(thing) for test in tests) for key, tests in wanted.items())


def pattern(of: Callable[[Any], str]) -> Maker:
    """A regular expression that is found in the text of a thing; a plain word needs no `re`."""

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
    """One of a few words. test: of the thing and the word."""

    def make(value: str) -> Test:
        if value not in values.split():
            raise invalid(f"{key}={value}", f"{key} is one of {', '.join(values.split())}")
        return lambda thing: test(thing, value)

    return make


def truth(key: str, test: Test) -> Maker:
    return choice(key, "true false 1 0", lambda thing, value: test(thing) == (value in ("true", "1")))


def label(value: str) -> Test:
    return lambda thing: has_label(thing.labels, value)


def has_label(labels: dict[str, str], text: str) -> bool:
    """text: KEY or KEY=VALUE."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _name(value: str) -> Test:
    """With its leading slash, as `inspect` prints it, or without."""
    bare, slashed = pattern(lambda found: str(found.name))(value), pattern(lambda found: f"/{found.name}")(value)
    return lambda found: bare(found) or slashed(found)


def _exited(value: str) -> Test:
    if not (value.isascii() and value.lstrip("+-").isdigit()):
        raise invalid(f"exited={value}", "an exit code, 0 to 255")
    code = int(value)
    return lambda found: found.status == "exited" and found.exit_code == code


def _ancestor(value: str) -> Test:
    """A name, with its tag or without, or an ID: of the container's image, or of one that it was committed from."""
    from mydocker.image import store

    try:
        wanted = store.resolve(value)
    except (NotFound, Conflict, InvalidArgument):
        return lambda found: False
    ids = {image.id for image in store.images() if _descends(image, wanted)} | {wanted.id}
    return lambda found: found.image_id in ids


def _descends(image: Image, above: Image) -> bool:
    """True if all that one image was made of stands at the beginning of another's layers and history."""
    older, newer = above.config.get("history") or [], image.config.get("history") or []
    begins_so = newer[: len(older)] == older and image.layers[: len(above.layers)] == above.layers
    return begins_so and len(newer) > len(older)


def _volume(value: str) -> Test:
    """A volume's name, a path of the host, or a mount point in the container."""

    def test(found: Container) -> bool:
        if value in found.mounts or not value.startswith("/"):
            return value in found.mounts
        from mydocker.engine import bundle

        mounts = bundle.load_request(found).mounts
        return any(mount["target"] == value and mount["option"] != "tmpfs" for mount in mounts)

    return test


def _network(value: str) -> Test:
    """A network's name, or its ID or the beginning of one."""
    names = {value}
    if value and set(value) <= set("0123456789abcdef"):
        from mydocker.engine import builtin
        from mydocker.engine.network import networks

        names |= {each.name for each in networks.networks() + builtin.both() if each.id.startswith(value)}
    return lambda found: not value or not names.isdisjoint(_networks(found))


def _networks(found: Container) -> list[str]:
    return [found.network] if found.network in ("none", "host") else [each["network"] for each in found.networks]


def _publish(value: str) -> Test:
    """A port of the host, or a range of them, that leads to a running container."""
    span, protocol = _ports("publish", value)

    def test(found: Container) -> bool:
        if not found.is_up() or not found.networks:  # without a network there is no port to reach
            return False
        from mydocker.model.options.ports import parse_published

        return any(port.host in span and port.protocol == protocol for port in parse_published(found.bound_ports))

    return test


def _expose(value: str) -> Test:
    """A port of a running container, published or not, or a range of them."""
    span, protocol = _ports("expose", value)

    def test(found: Container) -> bool:
        if not found.is_up() or not found.networks:  # without a network there is no port to reach
            return False
        from mydocker.model.options.ports import parse_published

        targets = [*found.exposed, *(port.target for port in parse_published(found.bound_ports))]
        pairs = [target.partition("/") for target in targets]
        return any(kind == protocol and number.isdigit() and int(number) in span for number, _, kind in pairs)

    return test


def _ports(key: str, value: str) -> tuple[range, str]:
    """PORT or FIRST-LAST, and /PROTOCOL after it."""
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
    return lambda found: found.created < created


def _since(value: str) -> Test:
    created = state.find(value).created
    return lambda found: found.created > created


_CONTAINERS: dict[str, Maker] = {
    "id": pattern(lambda found: found.id),
    "name": _name,
    "label": label,
    "status": choice(
        "status", "created running paused restarting removing exited dead", lambda found, value: found.status == value
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
