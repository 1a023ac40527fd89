"""engine/network/binding.py: which ports of a change need new sockets."""

from __future__ import annotations

import pytest

from mydocker.engine.network import binding
from mydocker.errors import Conflict
from mydocker.model.attachments import Attachments
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.ports import parse_published
from mydocker.network import ports

LAB = Network("lab", "1" * 64, "", "br-lab", "10.0.0.0/24", "10.0.0.1")
WEB = Container("a" * 64, "web", "", "busybox", "", [], "overlay", [], bound_ports=["49153:80/tcp"])


@pytest.fixture
def publisher(monkeypatch):
    """A container that runs and has got port 49153 by the kernel's choice."""
    made = Attachments(WEB.id, WEB.name).with_endpoint(LAB, Endpoint("lab", veth="veth0", address="10.0.0.2/24"))
    held = [port.host for port in parse_published(WEB.bound_ports)]

    def bind(port, versions):
        if port.host in held:
            raise ports.PortTaken(port)
        return port.at(port.host or 49154), []

    monkeypatch.setattr(ports, "bind", bind)
    monkeypatch.setattr(binding.state, "readable", lambda: iter([WEB]))
    monkeypatch.setattr(binding.state, "is_running", lambda _: True)
    return made.with_ports(parse_published(WEB.bound_ports))


@pytest.mark.parametrize("text", ["49153:80", "49153:81"])
def test_a_port_that_the_container_has_by_chance_cannot_be_added(publisher, text):
    """The port was requested as any free port, so the request names no port twice."""
    with pytest.raises(Conflict, match=r"port 0\.0\.0\.0:49153/tcp is taken by container web"):
        binding.bind(publisher, publisher.with_ports([*publisher.bindings, *parse_published([text])]))


def test_a_port_that_is_kept_is_not_bound_again(publisher):
    after, sockets = binding.bind(publisher, publisher.with_ports([*publisher.bindings, *parse_published(["81"])]))
    assert after.ports == ["49153:80/tcp", "49154:81/tcp"]
    assert list(sockets) == ["49154:81/tcp"]
