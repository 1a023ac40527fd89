"""A host of a test's own, out of a network namespace and an empty store, on which networks are made by the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from netspace import own_namespace, run

from mydocker import paths
from mydocker.engine.network import forwarding, lifecycle
from mydocker.model.network import Network

FORWARD = "/proc/sys/net/ipv4/ip_forward"


@contextlib.contextmanager
def lone_host(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[None]:
    """This process on a host that forwards nothing, with its store in a directory."""
    for name in ("ROOT", "RUN", "NETWORKS", "CONTAINERS"):
        monkeypatch.setattr(paths, name, str(directory / name.lower()))
    monkeypatch.setattr(forwarding, "_TURNED_ON", paths.leases(".forwarding"))
    with own_namespace():
        run("ip link set lo up; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
        yield


def create(name: str = "one", subnet: str = "10.201.26.0/24", ipv6: bool = False) -> tuple[Network, list[str]]:
    """A network as `network create` makes it, and the remarks for stderr."""
    none = {"driver": None, "gateway": [], "ip_range": [], "internal": False, "label": [], "ipv6": ipv6}
    return lifecycle.create({"network": name, "subnet": [subnet], "opt": [], "mtu": None, **none})
