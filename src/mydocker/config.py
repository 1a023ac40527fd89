"""/etc/mydocker/config.yaml: the host's defaults.

Importing yaml costs more than starting a container, so the file is compiled to JSON beside the store, and compiled
again when its inode, size, mtime or ctime differs. An unknown key or a value of the wrong type is an error that names
the key.
"""

from __future__ import annotations

import os

from mydocker import jsontext, paths
from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel.files import make_private, read_regular, write_atomic
from mydocker.model.options.addresses import IPV4, cidr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIN_LOG = 4096  # bytes
# keys of numbers of which 0 would make no sense
_AT_LEAST_ONE = (
    "image_size",
    "image_entries",
    "image_depth",
    "image_layers",
    "build_cache_size",
    "build_cache_results",
)
_DRIVERS = ("overlay", "erofs", "aufs", "copy")  # those of image/drivers/choice.py

# key -> (default, meaning)
KEYS: dict[str, tuple[Any, str]] = {
    "storage_driver": (
        "",
        f"{', '.join(_DRIVERS[:-1])} or {_DRIVERS[-1]}; empty: the first of these that works here",
    ),
    "log_size": (10_000_000, "bytes at which a container's log is rotated"),
    "log_files": (3, "number of log files kept for a container"),
    "cgroup_parent": ("", "the cgroup or slice of all containers; empty: mydocker.slice or, without systemd, mydocker"),
    "network_pool": ("10.200.0.0/13", "the pool for the subnets of networks created without --subnet"),
    "network_size": (20, "the prefix length of these subnets"),
    "registries": ({}, "registries with a CA of their own or plain http: HOST[:PORT] with ca: FILE or insecure: true"),
    "registry_timeout": (60, "seconds that a registry may be silent"),
    "image_size": (100_000_000_000, "bytes that an image from elsewhere may take on the disk"),
    "image_entries": (5_000_000, "files, directories and links that an image from elsewhere may have"),
    "image_depth": (2048, "directories within directories in a path of an image"),
    "image_layers": (500, "layers that an image may have"),
    "build_cache_size": (20_000_000_000, "bytes of layers in the build cache that a build leaves"),
    "build_cache_results": (2000, "results of steps in the build cache that a build leaves"),
}
_KINDS = {int: "an integer", str: "text", dict: "a list of `key: value` lines"}
_REGISTRY = {"insecure": bool, "ca": str}


def load() -> dict[str, Any]:
    """Return every key with its value. Raises InvalidArgument for an invalid file."""
    try:
        status = os.stat(paths.CONFIG)
    except (FileNotFoundError, NotADirectoryError):
        return {key: default for key, (default, _) in KEYS.items()}
    stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    cache = f"{paths.ROOT}/config.json"
    try:
        known = jsontext.loads(read_regular(cache))
        if known["stamp"] == stamp and known["path"] == paths.CONFIG and known["values"].keys() == KEYS.keys():
            values: dict[str, Any] = known["values"]
            return values
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    values = _compile()
    try:
        make_private(paths.ROOT)
        write_atomic(cache, jsontext.dumps({"path": paths.CONFIG, "stamp": stamp, "values": values}).encode())
    except (OSError, HostError):
        pass  # then the next command compiles it again
    return values


def _compile() -> dict[str, Any]:
    from mydocker.libraries import reach

    reach()
    import yaml

    try:
        given = yaml.safe_load(read_regular(paths.CONFIG).decode()) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        text = (error.strerror if isinstance(error, OSError) else "") or " ".join(str(error).split())
        raise InvalidArgument(f"can't read {paths.CONFIG}: {text}", "repair the file, or move it away") from None
    if not isinstance(given, dict):
        raise InvalidArgument(f"{paths.CONFIG} is not a list of `key: value` lines", "repair the file, or move it away")
    values = {key: default for key, (default, _) in KEYS.items()}
    for key, value in given.items():
        if key not in KEYS:
            raise InvalidArgument(f"unknown key '{key}' in {paths.CONFIG}", f"known keys: {', '.join(KEYS)}")
        if type(value) is not type(KEYS[key][0]):
            kind = _KINDS[type(KEYS[key][0])]
            raise InvalidArgument(f"{key} in {paths.CONFIG} is {kind}, not '{value}'", KEYS[key][1])
        values[key] = value
    _check(values)
    return values


def _check(values: dict[str, Any]) -> None:
    if values["storage_driver"] not in ("", *_DRIVERS):
        raise InvalidArgument(
            f"unknown storage_driver '{values['storage_driver']}' in {paths.CONFIG}", ", ".join(_DRIVERS)
        )
    if values["log_size"] < _MIN_LOG or values["log_files"] < 1:
        raise InvalidArgument(
            f"log_size and log_files in {paths.CONFIG} are too small", f"at least {_MIN_LOG} bytes, 1 file"
        )
    for key in _AT_LEAST_ONE:
        if values[key] < 1:
            raise InvalidArgument(f"{key} in {paths.CONFIG} is too small", "at least 1")
    parent = values["cgroup_parent"]
    if parent and (not parent.isprintable() or not {"", ".", ".."}.isdisjoint(parent.removeprefix("/").split("/"))):
        raise InvalidArgument(
            f"cgroup_parent in {paths.CONFIG} is not a cgroup's path: '{parent}'",
            "such as lab.slice, or lab/containers",
        )
    pool = cidr(values["network_pool"], f"network_pool in {paths.CONFIG}")
    if pool.bits != IPV4 or not max(pool.prefix, 8) <= values["network_size"] <= 30:
        raise InvalidArgument(
            f"network_pool {pool} in {paths.CONFIG} has no IPv4 subnets of size /{values['network_size']}",
            "network_size is 8 to 30, and not below the pool's own",
        )
    if values["registry_timeout"] < 1:
        raise InvalidArgument(f"registry_timeout in {paths.CONFIG} is too small", "at least 1 second")
    for host, row in values["registries"].items():
        _check_registry(host, row)


def _check_registry(host: Any, row: Any) -> None:
    text = f"registries in {paths.CONFIG}"
    if not isinstance(host, str) or "/" in host or not host or host[0] == "." or not host.isprintable():
        raise InvalidArgument(f"'{host}' is not a registry's HOST or HOST:PORT: {text}", "such as reg.example:5000")
    if not isinstance(row, dict) or not row or any(type(value) is not _REGISTRY.get(key) for key, value in row.items()):
        raise InvalidArgument(f"{host} is malformed: {text}", "such as {insecure: true}, or {ca: /etc/ssl/own.pem}")
    if not row.get("ca", "/").startswith("/"):
        raise InvalidArgument(f"the CA of {host} is not an absolute path: {text}", "such as /etc/ssl/own.pem")
