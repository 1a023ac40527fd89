"""From a container, an image or a network to its row in a table, in docker's words."""

from __future__ import annotations

from time import localtime, strftime

from mydocker.cli.output import shorten
from mydocker.model.options.times import ago, human_duration, parse_rfc3339
from mydocker.model.options.units import human_size
from mydocker.model.timestamp import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.cli.output import Row
    from mydocker.image.store import Image
    from mydocker.model.container import Container
    from mydocker.model.network import Network

_SHORT_ID = 12
_UNDATED = "1970-01-01T00:00:00"  # of images that are made reproducibly, such as busybox
_COMMAND = 20  # columns that are left of a command, and of a mount
_MOUNT = 15


def container(found: Container, now: int, trunc: bool = True, images: dict[str, str] | None = None) -> Row:
    """The fields of output.CONTAINERS. now: nanoseconds since 1970. trunc: with short IDs, commands and mounts. images:
    listing.image_ids(); without it an image is shown as it was named."""
    running = found.is_up()
    command = " ".join(f"'{word}'" if " " in word else word for word in found.command)
    return {
        "ID": found.id[:_SHORT_ID] if trunc else found.id,
        "Image": found.image if images is None else _image(found, trunc, images),
        "Command": '"' + _one_line(shorten(command, _COMMAND) if trunc else command) + '"',
        "CreatedAt": _local(found.created),
        "RunningFor": ago(found.created, now),
        "Status": _status(found, now),
        "State": found.status,
        "Pid": str(found.pid) if running else "",
        "Names": found.name,
        "Name": found.name,
        "Labels": found.labels,
        "Mounts": ",".join(shorten(mount, _MOUNT) if trunc else mount for mount in found.mounts),
        "LocalVolumes": str(sum(not mount.startswith("/") for mount in found.mounts)),
        "Networks": ",".join(endpoint["network"] for endpoint in found.networks) or found.network,
        "Ports": _ports(found) if running else "",
        "Size": "",
    }


def _image(found: Container, trunc: bool, images: dict[str, str]) -> str:
    """The image as it was named; by its ID where another image has the name now, or none."""
    digits = found.image.rpartition(":")[2]
    if images.get(found.image) == found.image_id or found.image_id[7:].startswith(digits):
        return digits[:_SHORT_ID] if trunc and found.image_id[7:].startswith(digits) else found.image
    return found.image_id[7:][:_SHORT_ID] if trunc else found.image_id


def size(found: Container) -> str:
    """The field that costs something: all of a container's files are looked at."""
    from mydocker.engine import sizes

    written, image = sizes.of(found)
    return f"{human_size(written, 3)} (virtual {human_size(written + image, 3)})"


def _ports(found: Container) -> str:
    if not found.networks or not (found.bound_ports or found.exposed):
        return ""
    from mydocker.model.options.ports import parse_published, summary

    return summary(parse_published(found.bound_ports), found.exposed)


def image(found: Image, now: int, trunc: bool = True) -> list[Row]:
    """The fields of output.IMAGES, once for each of its names."""
    rows = []
    dated = found.created and not found.created.startswith(_UNDATED)
    for name in found.names or ["<none>:<none>"]:
        repository, _, tag = name.rpartition(":")
        rows.append(
            {
                "Repository": repository,
                "Tag": tag,
                "ID": found.id.rpartition(":")[2][:_SHORT_ID] if trunc else found.id,
                "CreatedAt": _local(found.created) if dated else "N/A",
                "CreatedSince": ago(found.created, now) if dated else "N/A",
                "Size": human_size(found.size, 3),
                "Digest": found.manifest,
                **dict.fromkeys(("Containers", "SharedSize", "UniqueSize"), "N/A"),  # only docker's `system df` knows
                "VirtualSize": human_size(found.size),
            }
        )
    return rows


def network(found: Network, trunc: bool = True) -> Row:
    """The fields of output.NETWORKS."""
    return {
        "ID": found.id[:_SHORT_ID] if trunc else found.id,
        "Name": found.name,
        "IpRange": ", ".join(filter(None, (found.subnet, found.subnet6))),
        "Driver": found.driver,
        "Scope": "local",
        "IPv6": str(bool(found.subnet6)).lower(),
        "Internal": str(found.internal).lower(),
        "Labels": found.labels,
        "CreatedAt": _local(found.created),
    }


def _local(time: str) -> str:
    """RFC 3339 -> as Go prints a time, in the local zone, in whole seconds."""
    return strftime("%Y-%m-%d %H:%M:%S %z %Z", localtime(parse_rfc3339(time) // SECOND))


def _status(found: Container, now: int) -> str:
    if found.is_up():
        return f"Up {human_duration(now - parse_rfc3339(found.started_at))}"
    if found.is_restarting():
        return f"Restarting ({found.exit_code}) {ago(found.finished_at, now)}"
    if found.status == "exited":
        why = " (out of memory)" if found.oom_killed else ""
        when = f" {ago(found.finished_at, now)}" if found.finished_at else ""
        return f"Exited ({found.exit_code}){when}{why}"
    return "Created"


def _one_line(text: str) -> str:
    """As Go quotes it. Few commands need that: the rest does not load it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    from mydocker.gotemplate.formats import quote

    return quote(text)[1:-1]
