"""engine/network/rewire.py: a change that is interrupted."""

from __future__ import annotations

import pytest

from mydocker.engine.network import rewire
from mydocker.model.attachments import Attachments
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.network import plan
from mydocker.ops.base import Op, operation

LAB = Network("lab", "1" * 64, "", "br-lab", "10.0.0.0/24", "10.0.0.1")


@operation
class Interrupted(Op):
    """A step in the middle of which Ctrl-C comes."""

    def do(self, context):
        raise KeyboardInterrupt


class World:
    """What a change tells the monitor, saves and releases. interrupts: of these calls of tell()."""

    def __init__(self, monkeypatch):
        self.told, self.saved, self.released, self.interrupts = [], [], [], set()
        self.container = Container("a" * 64, "web", "", "busybox", "", [], "overlay", [], pid=1)
        self.off = Attachments(self.container.id, "web")
        self.on = self.off.with_endpoint(LAB, Endpoint("lab", device="eth0", veth="none-such0", address="10.0.0.2/24"))
        monkeypatch.setattr(rewire.control, "tell", self.tell)
        monkeypatch.setattr(rewire.state, "save", lambda record: self.saved.append(self.networks(record)))
        monkeypatch.setattr(rewire.state, "is_running", lambda _: True)
        monkeypatch.setattr(
            rewire.leases, "release_all", lambda _, all_: self.released.extend(each.veth for each in all_)
        )

    @staticmethod
    def networks(record):
        return [each["network"] for each in record.networks]

    def release(self, _, endpoints):
        self.released += [endpoint.veth for endpoint in endpoints]

    def tell(self, record, *_):
        self.told.append(self.networks(record))
        if len(self.told) in self.interrupts:
            raise KeyboardInterrupt


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def steps(monkeypatch, **some):
    """The steps of every transition from here on."""
    every = {"attach": [], "inside": [], "redirect": [], "detach": [], "publish": [], **some}
    monkeypatch.setattr(plan, "transition", lambda *_: plan.Steps(**every))


def test_an_interrupt_while_the_monitor_adopts_is_told_to_it(monkeypatch, world):
    """It may have adopted the change, and holds what the record does not tell of."""
    steps(monkeypatch)
    world.interrupts = {1}
    with pytest.raises(KeyboardInterrupt):
        rewire.rewire(world.container, world.off, world.on)
    assert world.saved == world.told == [["lab"], []]
    assert world.released == ["none-such0"]


def test_an_interrupt_when_the_veth_has_gone_leaves_the_container_disconnected(monkeypatch, world):
    steps(monkeypatch, detach=[Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        rewire.rewire(world.container, world.on, world.off)
    assert world.saved == world.told == [[]]
    assert world.released == ["none-such0"]


def test_an_interrupt_while_the_veth_is_there_leaves_the_container_connected(monkeypatch, world):
    steps(monkeypatch)
    monkeypatch.setattr(rewire.networks, "is_link", lambda _: True)
    monkeypatch.setattr(rewire._Change, "_hand_over", lambda _: Interrupted().do(None))
    with pytest.raises(KeyboardInterrupt):
        rewire.rewire(world.container, world.on, world.off)
    assert world.saved == [[], ["lab"]]
    assert world.released == []
