"""The one place that knows where mydocker keeps things. Plain strings: pathlib costs 8 ms to import.

MYDOCKER_ROOT and MYDOCKER_RUN move everything elsewhere (tests, a second store on another disk).
"""

from __future__ import annotations

import os

ROOT = os.path.abspath(os.environ.get("MYDOCKER_ROOT") or "/var/lib/mydocker")
RUN = os.path.abspath(os.environ.get("MYDOCKER_RUN") or "/run/mydocker")
CONFIG = os.environ.get("MYDOCKER_CONFIG") or "/etc/mydocker/config.yaml"

IMAGES = f"{ROOT}/images"  # one OCI image layout
LAYERS = f"{ROOT}/layers"  # <chain id>/: an unpacked layer
CONTAINERS = f"{ROOT}/containers"  # <id>/: bundle, record, upper, work, log
NAMES = f"{ROOT}/names"  # <name> -> ../containers/<id>: a name is reserved by making its link
VOLUMES = f"{ROOT}/volumes"  # <name>/_data
NETWORKS = f"{ROOT}/networks"  # <name>/network.json


def is_entry(name: str) -> bool:
    """Whether the text can be the name of a thing in one of these directories, and leads nowhere else."""
    return bool(name) and len(name) <= 255 and not name.startswith(".") and "/" not in name and "\0" not in name


def container(container_id: str) -> str:
    return f"{CONTAINERS}/{container_id}"


def layer(chain_id: str) -> str:
    """The directory of an unpacked layer; chain_id with or without its `sha256:`."""
    return f"{LAYERS}/{chain_id.rpartition(':')[2]}"


def volume(name: str) -> str:
    return f"{VOLUMES}/{name}"


def network(name: str) -> str:
    return f"{NETWORKS}/{name}"


def leases(name: str) -> str:
    """The directory of a network's leases, one file an address; gone after a reboot."""
    return f"{RUN}/_networks/{name}"
