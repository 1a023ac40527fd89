"""Containers, images, their history, and networks as rows of a table, in docker's words."""

from __future__ import annotations

from time import localtime, strftime

from mydocker.cli.output import shorten
from mydocker.model.options.references import repository
from mydocker.model.options.times import ago, human_duration, parse_rfc3339
from mydocker.model.options.units import binary_size, human_size
from mydocker.model.timestamp import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.cli.output import Row
    from mydocker.engine.build.pruning import Entry
    from mydocker.engine.history import Step
    from mydocker.engine.stats import Usage
    from mydocker.engine.volumes import Volume
    from mydocker.image.store import Image
    from mydocker.model.container import Container
    from mydocker.model.network import Network

_SHORT_ID = 12
_UNDATED = "1970-01-01T00:00:00"  # images that are built reproducibly, such as busybox
_COMMAND = 20  # columns for a command, and for a mount
_MOUNT = 15
_CREATED_BY = 45
_NONE = "<none>"


def container(container: Container, now: int, trunc: bool = True, images: dict[str, str] | None = None) -> Row:
    """The fields of output.CONTAINERS.

    now: nanoseconds since 1970. trunc: shorten IDs, commands and mounts. images: listing.image_ids(); without it an
    image is shown by the name that the user gave.
    """
    running = container.is_up()
    command = " ".join(f"'{word}'" if " " in word else word for word in container.command)
    return {
        "ID": container.id[:_SHORT_ID] if trunc else container.id,
        "Image": container.image if images is None else _image(container, trunc, images),
        "Command": '"' + _one_line(shorten(command, _COMMAND) if trunc else command) + '"',
        "CreatedAt": _local(container.created),
        "RunningFor": ago(container.created, now),
        "Status": _status(container, now),
        "State": container.status,
        "Pid": str(container.pid) if running else "",
        "Names": container.name,
        "Name": container.name,
        "Labels": container.labels,
        "Mounts": ",".join(shorten(mount, _MOUNT) if trunc else mount for mount in container.mounts),
        "LocalVolumes": str(sum(not mount.startswith("/") for mount in container.mounts)),
        "Networks": ",".join(endpoint["network"] for endpoint in container.networks) or container.network,
        "Ports": _ports(container) if running else "",
        "Size": "",
    }


def _image(container: Container, trunc: bool, images: dict[str, str]) -> str:
    """The image by the name that the user gave, or by its ID if the name is gone or is another image's now."""
    digits = container.image.rpartition(":")[2]
    if images.get(container.image) == container.image_id or container.image_id[7:].startswith(digits):
        return digits[:_SHORT_ID] if trunc and container.image_id[7:].startswith(digits) else container.image
    return container.image_id[7:][:_SHORT_ID] if trunc else container.image_id


def size(container: Container) -> str:
    """The field Size. It is expensive: all files of the container are counted."""
    from mydocker.engine import sizes

    written, image = sizes.of(container)
    return f"{human_size(written, 3)} (virtual {human_size(written + image, 3)})"


def _ports(container: Container) -> str:
    if not container.networks or not (container.bound_ports or container.exposed):
        return ""
    from mydocker.model.options.ports import parse_published, summary

    return summary(parse_published(container.bound_ports), container.exposed)


def image(image: Image, size: int, now: int, trunc: bool = True, digests: bool = False) -> list[Row]:
    """The fields of output.IMAGES, in one row for each name of the image. size: bytes. digests: a name has a row for
    each digest by which a registry knows it."""
    dated = _is_dated(image.created)
    common = {
        "ID": _image_id(image.id, trunc),
        "CreatedAt": _local(image.created) if dated else "N/A",
        "CreatedSince": _ago(image.created, now) if dated else "N/A",
        "Size": human_size(size, 3),
        **dict.fromkeys(("Containers", "SharedSize", "UniqueSize"), "N/A"),  # only `system df` knows
        "VirtualSize": human_size(size),
    }
    names = _names(image, digests) or [(_NONE, _NONE, _NONE)]
    return [{"Repository": name, "Tag": tag, "Digest": digest, **common} for name, tag, digest in names]


def _names(image: Image, digests: bool) -> list[tuple[str, str, str]]:
    """Return docker's rows of an image: (repository, tag, digest), sorted. A repository without a tag has digests
    only."""
    known: dict[str, list[str]] = {}
    for each in image.repo_digests:
        known.setdefault(repository(each), []).append(each.partition("@")[2])
    shown = []
    for name in image.names:
        of_name = known.get(repository(name)) if digests else None
        shown += [(repository(name), name.rpartition(":")[2], digest) for digest in of_name or [_NONE]]
    for name in set(known) - {repository(name) for name in image.names}:
        shown += [(name, _NONE, digest) for digest in (known[name] if digests else [""])]
    return sorted(shown)


def step(step: Step, now: int, trunc: bool = True, human: bool = True) -> Row:
    """The fields of output.STEPS. human: sizes and times are rounded."""
    moment = _local_rfc3339(step.created) if _is_dated(step.created) else "N/A"
    created_by = step.created_by.replace("\t", " ")
    return {
        "ID": _image_id(step.image_id, trunc),
        "CreatedSince": _ago(step.created, now) if human and moment != "N/A" else moment,
        "CreatedAt": moment,
        "CreatedBy": shorten(created_by, _CREATED_BY) if trunc else created_by,
        "Size": human_size(step.size, 3) if human else str(step.size),
        "Comment": step.comment,
    }


def _image_id(image_id: str, trunc: bool) -> str:
    return image_id.rpartition(":")[2][:_SHORT_ID] if trunc else image_id


def _ago(created: str, now: int) -> str:
    """Say how long ago an image was made. docker counts from the whole second."""
    return f"{human_duration(now - parse_rfc3339(created) // SECOND * SECOND)} ago"


def _is_dated(created: str) -> bool:
    return bool(created) and not created.startswith(_UNDATED)


def volume(volume: Volume, links: str = "N/A", size: str = "N/A") -> Row:
    """The fields of output.VOLUMES. links, size: of use on the disk, which only `system df` knows."""
    return {
        "Driver": "local",
        "Name": volume.name,
        "Mountpoint": volume.path,
        "Scope": "local",
        "Labels": volume.labels,
        "Links": links,
        "Size": size,
    }


def cached(entry: Entry, now: int, in_use: bool, trunc: bool = True) -> Row:
    """The fields of output.CACHE_USED."""
    return {
        "ID": entry.id[:_SHORT_ID] if trunc else entry.id,
        "CacheType": entry.type,
        "Size": human_size(entry.size, 3),
        "CreatedSince": ago(entry.step.created, now) if entry.step else "N/A",
        "LastUsedSince": f"{human_duration(now - entry.used)} ago",
        "Shared": str(entry.shared).lower(),
        "InUse": str(in_use).lower(),
        "Description": entry.about,
    }


def usage(container: Container, usage: Usage, typed: str = "", trunc: bool = True) -> Row:
    """The fields of output.STATS. typed: the name as the user typed it, "" for none."""
    container_id = container.id[:_SHORT_ID] if trunc else container.id
    return {
        "Container": typed or container_id,
        "ID": container_id,
        "Name": container.name,
        "CPUPerc": f"{usage.cpu:.2f}%",
        "MemUsage": f"{binary_size(usage.memory)} / {binary_size(usage.limit)}",
        "MemPerc": f"{usage.memory_percent:.2f}%",
        "NetIO": f"{human_size(usage.received, 3)} / {human_size(usage.sent, 3)}",
        "BlockIO": f"{human_size(usage.read, 3)} / {human_size(usage.written, 3)}",
        "PIDs": str(usage.pids),
    }


def network(network: Network, trunc: bool = True) -> Row:
    """The fields of output.NETWORKS."""
    return {
        "ID": network.id[:_SHORT_ID] if trunc else network.id,
        "Name": network.name,
        "IpRange": ", ".join(filter(None, (network.subnet, network.subnet6))),
        "Driver": network.driver,
        "Scope": "local",
        "IPv6": str(bool(network.subnet6)).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": network.labels,
        "CreatedAt": _local(network.created),
    }


def _local(time: str) -> str:
    """Convert RFC 3339 to Go's format of a time, in the local zone, in whole seconds."""
    return strftime("%Y-%m-%d %H:%M:%S %z %Z", localtime(parse_rfc3339(time) // SECOND))


def _local_rfc3339(time: str) -> str:
    """Convert RFC 3339 to the local zone, in whole seconds."""
    local = localtime(parse_rfc3339(time) // SECOND)
    zone = strftime("%z", local)
    return strftime("%Y-%m-%dT%H:%M:%S", local) + (f"{zone[:3]}:{zone[3:]}" if local.tm_gmtoff else "Z")


def _status(container: Container, now: int) -> str:
    if container.is_up():
        paused = " (Paused)" if container.is_paused() else ""
        return f"Up {human_duration(now - parse_rfc3339(container.started_at))}{paused}"
    if container.is_restarting():
        return f"Restarting ({container.exit_code}) {ago(container.finished_at, now)}"
    if container.status == "exited":
        why = " (out of memory)" if container.oom_killed else ""
        when = f" {ago(container.finished_at, now)}" if container.finished_at else ""
        return f"Exited ({container.exit_code}){when}{why}"
    return "Created"


def _one_line(text: str) -> str:
    """Escape a command as Go's quotes do. Few commands need it, so the code for it is not always loaded."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    from mydocker.gotemplate.formats import quote

    return quote(text)[1:-1]
