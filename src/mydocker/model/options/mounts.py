"""The mounts and devices of a container: -v, --mount, --tmpfs, --device, in docker's syntax."""

from __future__ import annotations

import os

from mydocker.errors import InvalidArgument
from mydocker.model.options import names, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypedDict

    class _Rare(TypedDict, total=False):
        """Fields of a mount that has such an option."""

        labels: dict[str, str]  # volume: of a new one
        volume_options: dict[str, str]  # volume: of a new one, see volumes.py
        subpath: str  # volume: what of it is mounted, without `..`
        bind_recursive: str  # bind, read-only: writable or readonly, about the mounts below it

    class Mount(_Rare):
        type: str  # bind, volume or tmpfs
        source: str  # bind: a host path. volume: its name. tmpfs: ""
        target: str  # in the container, normalised
        read_only: bool
        recursive: bool  # bind: include the mounts below the source
        propagation: str  # [r]private, [r]slave
        copy: bool  # volume: if it is empty, fill it with the image's files at the target
        anonymous: bool  # volume: new for this container, with a random name
        options: list[str]  # tmpfs: in OCI's words
        option: str  # its origin: volume, mount, tmpfs or image
        mode: str  # as written: "ro,z" of -v a:b:ro,z, or the options of --tmpfs

    class Device(TypedDict):
        source: str
        target: str
        access: str  # of r(ead), w(rite), m(knod)


# Mode of -v SOURCE:TARGET:MODE -> its subject; a mode may have one word for each subject. SELinux labels (z, Z) and
# consistency have no effect, as with docker on a host without SELinux.
_MODES = {"ro": "access", "rw": "access", "z": "label", "Z": "label", "nocopy": "copy"}
_MODES.update(dict.fromkeys(("consistent", "cached", "delegated", "default"), "consistency"))
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave")
_MODES.update(dict.fromkeys(_PROPAGATIONS, "propagation"))

_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SWITCHES = ("readonly", "volume-nocopy", "bind-nonrecursive")
_SETTINGS = (
    "type", "source", "target", "consistency", "bind-propagation", "bind-recursive", "volume-driver", "volume-subpath",
    "tmpfs-size", "tmpfs-mode",
)  # fmt: skip
_LISTS = ("volume-opt", "volume-label")  # may be repeated

# tmpfs's flags and their opposites, which are the kernel's defaults; the first three are docker's defaults.
_TMPFS_FLAGS = {
    "noexec": "exec", "nosuid": "suid", "nodev": "dev", "ro": "rw", "noatime": "atime", "nodiratime": "diratime",
    "relatime": "norelatime", "strictatime": "nostrictatime", "sync": "async",
}  # fmt: skip
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")

# The files of /proc that lxcfs replaces: nothing else may be mounted there, as with runc.
_PROC_FILES = ("cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime")


def parse(volumes: list[str], mounts: list[str], tmpfs: list[str], cwd: str) -> list[Mount]:
    """Parse all of -v, --mount and --tmpfs. cwd: the directory to which a source that begins with `.` is relative.

    As with docker, a repeated -v counts once, the last --tmpfs on a target counts, and any other mount on the target of
    an anonymous volume (-v /a) replaces it. All other duplicates are errors.
    """
    all_mounts = [volume(text, cwd) for text in dict.fromkeys(volumes)]
    all_mounts += [mount(text, cwd) for text in mounts]
    all_mounts += {each["target"]: each for each in map(tmpfs_mount, tmpfs)}.values()
    by_target: dict[str, Mount] = {}
    for each in all_mounts:
        other = by_target.setdefault(each["target"], each)
        if _is_replaceable(other):
            by_target[each["target"]] = each
        elif other is not each and not _is_replaceable(each):
            raise InvalidArgument(f"duplicate mount point: {each['target']}", "one mount would hide the other")
    return list(by_target.values())


def _is_replaceable(mount: Mount) -> bool:
    return mount["anonymous"] and mount["option"] == "volume"


def image_volumes(targets: list[str], mounts: list[Mount]) -> list[Mount]:
    """Return an anonymous volume for each of the image's VOLUMEs on which nothing in `mounts` is mounted."""
    taken = {each["target"] for each in mounts}
    return [_volume("", target, "image") for target in dict.fromkeys(map(_target, targets)) if target not in taken]


def volume(text: str, cwd: str) -> Mount:
    """Parse -v [SOURCE:]TARGET[:MODE]. An absolute or ./relative source is a host path, any other a volume's name."""
    parts = text.split(":")
    if len(parts) == 1 and text.startswith("/"):
        return _volume("", _target(text), "volume")
    if len(parts) not in (2, 3) or not all(parts):
        raise InvalidArgument(f"invalid volume '{text}'", "SOURCE:TARGET or SOURCE:TARGET:ro, such as /srv/data:/data")
    modes = _modes(parts[2] if len(parts) == 3 else "")
    if _is_path(parts[0]):
        new = _bind(parts[0], _target(parts[1]), "volume", cwd)
        refused, why = "copy", "only a volume is filled from the image"
    else:
        new = _volume(parts[0], _target(parts[1]), "volume")
        refused, why = "propagation", "only a bind mount has one"
    if refused in modes:
        raise InvalidArgument(f"invalid mode '{modes[refused]}' of volume '{text}'", why)
    new["mode"] = ",".join(parts[2:])
    new["read_only"] = modes.get("access") == "ro"
    new["copy"] = new["copy"] and "copy" not in modes
    new["propagation"] = modes.get("propagation", new["propagation"])
    return new


def _modes(text: str) -> dict[str, str]:
    """Parse a mode to {subject: word}."""
    words: dict[str, str] = {}
    for word in text.split(",") if text else []:
        subject = _MODES.get(word, "")
        if word in ("shared", "rshared"):
            raise _no_sharing(word)
        if not subject or subject in words:
            raise InvalidArgument(
                f"invalid volume mode '{text}'", "one of each: ro or rw, nocopy, rprivate or rslave, z or Z"
            )
        words[subject] = word
    return words


def _no_sharing(word: str) -> InvalidArgument:
    return InvalidArgument(
        f"propagation '{word}' is not supported", "the container could mount on the host; use rslave"
    )


def mount(text: str, cwd: str) -> Mount:
    """Parse --mount type=bind|volume|tmpfs,source=…,target=…[,readonly][,…], a row of CSV. The default type is
    volume."""
    given, lists = _fields(text)
    kind = given.get("type", "volume")
    source = given.get("source", "")
    if kind not in ("bind", "volume", "tmpfs"):
        raise InvalidArgument(f"unknown mount type '{kind}'", "bind, volume or tmpfs")
    if "target" not in given:
        raise InvalidArgument(f"mount '{text}' has no target", "add target=PATH, a path in the container")
    for key in (*given, *lists):
        owner = key.partition("-")[0]
        if owner != key and owner != kind:
            raise InvalidArgument(f"'{key}' is not an option of mounts of type {kind}", f"it is one of type={owner}")
    target = _target(given["target"])
    if kind == "bind":
        if not _is_path(source):
            raise InvalidArgument(f"invalid mount source '{source}'", "an absolute path, or one that begins with ./")
        new = _bind(source, target, "mount", cwd)
        new["recursive"] = "bind-nonrecursive" not in given
        new["propagation"] = given.get("bind-propagation", "rprivate")
        if new["propagation"] in ("shared", "rshared"):
            raise _no_sharing(new["propagation"])
        if new["propagation"] not in _PROPAGATIONS:
            raise InvalidArgument(f"unknown propagation '{new['propagation']}'", "one of " + " ".join(_PROPAGATIONS))
        if "bind-recursive" in given:
            _set_recursive(new, given)
    elif kind == "volume":
        new = _volume(source, target, "mount")
        new["copy"] = "volume-nocopy" not in given
        if given.get("volume-driver", "local") != "local":
            raise InvalidArgument(f"unknown volume driver '{given['volume-driver']}'", "known: local")
        if "volume-subpath" in given:
            new["subpath"] = _subpath(given["volume-subpath"], source)
        if "volume-label" in lists:
            new["labels"] = {key: value for key, _, value in (each.partition("=") for each in lists["volume-label"])}
        if "volume-opt" in lists:
            new["volume_options"] = dict(_option(each, text) for each in lists["volume-opt"])
        if not source and "readonly" in given:
            raise InvalidArgument(
                f"an anonymous volume on '{target}' can't be read-only", "it would always be empty; add source=NAME"
            )
    else:
        if source:
            raise InvalidArgument("a tmpfs has no source", "leave source= out")
        new = _mount("tmpfs", "", target, "mount")
        words = ["ro"] if "readonly" in given else []
        size = units.size(given.get("tmpfs-size", "0"), "tmpfs-size")
        if size:  # 0 means "not set" to docker, but "no limit" to the kernel
            words.append(f"size={size}")
        if "tmpfs-mode" in given:
            words.append(f"mode={given['tmpfs-mode']}")
        new["options"] = tmpfs_options(",".join(words))
    new["read_only"] = "readonly" in given
    return new


def _subpath(text: str, volume: str) -> str:
    path = os.path.normpath(text)
    if path.startswith(("/", "../")) or path == ".." or "\0" in path:
        raise InvalidArgument(f"invalid volume-subpath '{text}'", "a relative path in the volume, such as cache/web")
    if not volume:
        raise InvalidArgument("an anonymous volume has no subpath", "it is empty; add source=NAME")
    return path


def _set_recursive(new: Mount, given: dict[str, str]) -> None:
    """Set what bind-recursive says. A read-only mount is read-only with all below it, unless that is writable."""
    how = given["bind-recursive"]
    if how not in ("enabled", "disabled", "writable", "readonly"):
        raise InvalidArgument(f"invalid bind-recursive '{how}'", "enabled, disabled, writable or readonly")
    if how in ("writable", "readonly"):
        if "readonly" not in given:
            raise InvalidArgument(f"'bind-recursive={how}' needs a read-only mount", "add readonly")
        if how == "readonly" and new["propagation"] != "rprivate":
            raise InvalidArgument("'bind-recursive=readonly' needs bind-propagation=rprivate", "which is the default")
        if not new["recursive"]:
            raise InvalidArgument(f"'bind-recursive={how}' and 'bind-nonrecursive' exclude each other", "give one")
        new["bind_recursive"] = how
    elif how == "disabled":
        new["recursive"] = False


def _option(text: str, mount: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise InvalidArgument(f"invalid volume-opt '{text}' in mount '{mount}'", "such as volume-opt=type=tmpfs")
    return key, value


def _fields(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Parse --mount to {key by its long name: value}, switches that are off are left out; and {key of _LISTS: its
    values}."""
    from _csv import Error, reader  # the C half of csv, which would import re

    try:
        row = next(iter(reader([text], strict=True)), [])
    except Error:
        row = []
    given: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for field in row:
        key, sign, value = field.partition("=")
        key = _KEYS.get(key.lower(), key.lower())
        if key in _SWITCHES:
            if value.lower() not in ("true", "1", "false", "0") and sign:
                raise InvalidArgument(f"invalid value '{value}' of '{key}' in mount '{text}'", "true or false")
            if value.lower() in ("false", "0"):
                continue
        elif key in _LISTS and value:
            lists.setdefault(key, []).append(value)
            continue
        elif key not in _SETTINGS + _LISTS:
            known = " ".join(_SETTINGS + _LISTS + _SWITCHES)
            raise InvalidArgument(f"unknown key '{key}' in mount '{text}'", f"known: {known}")
        elif not value:
            raise InvalidArgument(f"'{key}' without a value in mount '{text}'", f"{key}=VALUE")
        if key in given:
            raise InvalidArgument(f"'{key}' is given twice in mount '{text}'", "give it once")
        given[key] = value
    if not row:
        raise InvalidArgument(
            f"invalid mount '{text}'", "KEY=VALUE,… such as type=bind,source=/srv,target=/srv,readonly"
        )
    return given, lists


def tmpfs_mount(text: str) -> Mount:
    """Parse --tmpfs TARGET[:OPTIONS], OPTIONS as in `mount -t tmpfs -o OPTIONS`."""
    target, _, options = text.partition(":")
    new = _mount("tmpfs", "", _target(target), "tmpfs")
    new["mode"] = options
    new["options"] = tmpfs_options(options)
    new["read_only"] = "ro" in new["options"]
    return new


def tmpfs_options(text: str, defaults: Iterable[str] = _TMPFS_DEFAULTS) -> list[str]:
    """Return the options in `text`, and those of the default flags (docker's noexec, nosuid and nodev) that it does not
    revoke."""
    flags = dict.fromkeys(defaults, True)
    data: dict[str, str] = {}
    for word in text.split(",") if text else []:
        key, sign, value = word.partition("=")
        if word in _TMPFS_FLAGS:
            flags[word] = True
        elif word in _TMPFS_FLAGS.values():
            flags[next(flag for flag, opposite in _TMPFS_FLAGS.items() if opposite == word)] = False
        elif sign and _is_tmpfs_value(key, value):
            data[key] = word
        else:
            raise InvalidArgument(f"invalid tmpfs option '{word}'", "such as size=64m, mode=1777, uid=0, exec, ro")
    return [flag for flag, is_set in flags.items() if is_set] + list(data.values())


def _is_tmpfs_value(key: str, value: str) -> bool:
    """True if the kernel accepts it: a size is a number with k, m or g, or a percentage of the memory."""
    if key == "mode":
        return 0 < len(value) <= 5 and frozenset("01234567").issuperset(value)
    if key in ("uid", "gid"):
        return units.is_number(value) and int(value) < 2**31
    if key == "size" and value.endswith("%"):
        return units.is_number(value[:-1])
    return key in ("size", "nr_blocks", "nr_inodes") and units.is_number(
        value[:-1] if value[-1:] in "kKmMgG" else value
    )


def device(text: str) -> Device:
    """Parse --device SOURCE[:TARGET][:ACCESS]. By default the target is the source's path, the access rwm."""
    parts = text.split(":")
    access = parts.pop() if len(parts) == 3 or (len(parts) == 2 and _is_access(parts[1])) else "rwm"
    if len(parts) > 2 or not parts[0].startswith("/") or not _is_access(access):
        raise InvalidArgument(f"invalid device '{text}'", "/dev/NAME, /dev/NAME:/dev/NAME or /dev/NAME:/dev/NAME:rwm")
    source = names.absolute_path(parts[0], "device")
    return {"source": source, "target": _target(parts[1]) if len(parts) == 2 else source, "access": access}


def _is_access(text: str) -> bool:
    return text != "" and len(set(text)) == len(text) and set(text) <= set("rwm")


def _is_path(source: str) -> bool:
    return source.startswith(("/", "."))


def _target(text: str) -> str:
    path = names.absolute_path(text, "mount target")
    if path == "/":
        raise InvalidArgument("destination can't be '/'", "choose a directory below it")
    if path == "/proc" or (path.startswith("/proc/") and path[6:] not in _PROC_FILES):
        raise InvalidArgument(f"destination can't be '{path}'", "the container's view of the kernel depends on it")
    return path


def _bind(source: str, target: str, option: str, cwd: str) -> Mount:
    return _mount("bind", names.absolute_path(os.path.join(cwd, source), "mount source"), target, option)


def _volume(name: str, target: str, option: str) -> Mount:
    new = _mount("volume", names.volume_name(name) if name else os.urandom(32).hex(), target, option)
    new["copy"] = True
    new["anonymous"] = not name
    return new


def _mount(kind: str, source: str, target: str, option: str) -> Mount:
    return {
        "type": kind,
        "source": source,
        "target": target,
        "read_only": False,
        "recursive": True,
        "propagation": "rprivate",
        "copy": False,
        "anonymous": False,
        "options": [],
        "option": option,
        "mode": "",
    }
