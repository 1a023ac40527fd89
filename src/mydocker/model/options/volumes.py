"""The options of a volume: `volume create -o` and volume-opt of --mount, as those of docker's local driver.

type    none for a bind mount, or tmpfs
device  what is mounted: a directory of the host; of a tmpfs, a word
o       options of mount(8), separated by commas
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import mounts, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class VolumeMount(TypedDict):
        """A mount on a volume's directory, made when a container starts."""

        volume: str
        type: str
        device: str
        options: list[str]  # of mount(8)


_KEYS = ("type", "device", "o")
_BIND_WORDS = ("bind", "rbind", "ro", "rw")


def parse(texts: list[str]) -> dict[str, str]:
    """Parse KEY=VALUE of -o. The last of a key counts, as with docker. Raises InvalidArgument for what can't be
    mounted."""
    options: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        options[key] = value
    check(options)
    return options


def check(options: dict[str, str]) -> None:
    """Raises InvalidArgument for what can't be mounted."""
    for key, value in options.items():
        if key not in _KEYS or "\0" in value:
            raise InvalidArgument(f"invalid volume option '{key}={value}'", "type=TYPE, device=DEVICE and o=OPTION,…")
    if options:
        mount("", options)


def mount(volume: str, options: dict[str, str]) -> VolumeMount:
    """Return how the volume is mounted. Raises InvalidArgument."""
    for key in ("device", "type"):
        if not options.get(key):
            raise InvalidArgument(
                f"missing volume option '{key}'",
                "such as -o type=none -o o=bind -o device=/srv/data, or -o type=tmpfs -o device=tmpfs",
            )
    kind, device = options["type"], options["device"]
    words = [word for word in options.get("o", "").split(",") if word]
    if "bind" in words or "rbind" in words:
        for word in words:
            if word not in _BIND_WORDS:
                raise InvalidArgument(f"invalid option '{word}' of a bind mount", "bind or rbind, and ro")
        return {"volume": volume, "type": "bind", "device": names.absolute_path(device, "device"), "options": words}
    if kind == "tmpfs":
        words = mounts.tmpfs_options(options.get("o", ""), ())
        if "ro" in words:
            raise InvalidArgument("a tmpfs volume can't be read-only", "it would always be empty; use -v NAME:/PATH:ro")
        return {"volume": volume, "type": "tmpfs", "device": device, "options": words}
    if kind in ("none", "bind"):
        raise InvalidArgument(f"volume type '{kind}' needs o=bind", "such as -o o=bind, or -o o=bind,ro")
    raise InvalidArgument(
        f"volume type '{kind}' is not supported",
        "mount it on the host, and bind it: -o type=none -o o=bind -o device=/PATH",
    )
