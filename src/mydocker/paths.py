"""The paths of everything that mydocker keeps. Plain strings: importing pathlib costs 8 ms.

MYDOCKER_ROOT and MYDOCKER_RUN choose other places (for tests, or a second store on another disk).
"""

from __future__ import annotations

import os

ROOT = os.path.abspath(os.environ.get("MYDOCKER_ROOT") or "/var/lib/mydocker")
RUN = os.path.abspath(os.environ.get("MYDOCKER_RUN") or "/run/mydocker")
CONFIG = os.environ.get("MYDOCKER_CONFIG") or "/etc/mydocker/config.yaml"

IMAGES = f"{ROOT}/images"  # one OCI image layout
LAYERS = f"{ROOT}/layers"  # <chain id>/: an unpacked layer
CONTAINERS = f"{ROOT}/containers"  # <id>/: bundle, record, upper, work, log
NAMES = f"{ROOT}/names"  # <name> -> ../containers/<id>: creating the link reserves the name
VOLUMES = f"{ROOT}/volumes"  # <name>/_data
NETWORKS = f"{ROOT}/networks"  # <name>/network.json
BUILD = f"{ROOT}/build"  # the build cache: steps/, mounts/, running/


def is_entry(name: str) -> bool:
    """True if the text can be the name of an entry in one of these directories and of nothing outside."""
    return bool(name) and len(name) <= 255 and not name.startswith(".") and "/" not in name and "\0" not in name


def container(container_id: str) -> str:
    return f"{CONTAINERS}/{container_id}"


def layer(chain_id: str, form: str = "") -> str:
    """Return the directory of an unpacked layer. chain_id: with or without `sha256:`. form: that of a storage driver
    that keeps layers in another form."""
    path = f"{LAYERS}/{chain_id.rpartition(':')[2]}"
    return f"{path}.{form}" if form else path


def shared_layer(chain_id: str) -> str:
    """Return the directory below which running containers share a mount of a layer that is not unpacked."""
    return f"{RUN}/_layers/{chain_id.rpartition(':')[2]}"


def volume(name: str) -> str:
    return f"{VOLUMES}/{name}"


def network(name: str) -> str:
    return f"{NETWORKS}/{name}"


def leases(name: str) -> str:
    """Return the directory of a network's leases, which has a file for each address. A reboot empties it."""
    return f"{RUN}/_networks/{name}"
