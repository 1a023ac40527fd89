"""network/forwarding.py: which links the guard keeps apart, and whose links need the host to forward."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.kernel.bridge import Link
from mydocker.network import forwarding
from mydocker.network.firewall import Guard

TAG = "mydocker: network web 0123456789ab"


def link(kind: str = "", of: str = "", lower: str = "", alias: str = "", up: bool = True) -> Link:
    return Link(up, of, False, kind, lower, alias)


# A host with two cards, one of them in a bridge of the LAN, and all that others put beside them.
HOST = {
    "lo": link(),
    "eth0": link(),
    "eth0.5": link("vlan", lower="eth0"),
    "eth1": link(of="lan"),
    "lan": link("bridge"),
    "vnet0": link("tun", of="lan"),
    "eth2": link(of="bond0"),
    "bond0": link("bond"),
    "eth3": link(of="virbr1"),
    "virbr1": link("bridge"),
    "docker0": link("bridge"),
    "veth1": link("veth", of="docker0"),
    "docker0.7": link("vlan", lower="docker0"),
    "shop": link("bridge", alias=TAG),
    "eth4": link(of="shop"),
    "veth2": link("veth", of="shop"),
    "wg0": link("wireguard"),
    "cali1": link("veth"),
    "dead0": link("dummy", up=False),
}
CARDS = ["bond0", "eth0", "eth0.5", "eth1", "eth2", "eth3", "eth4", "lan"]


def test_all_that_is_there_when_forwarding_is_turned_on():
    assert forwarding.own_links(HOST, Guard()) == sorted([*CARDS, "wg0", "cali1", "dead0", "docker0.7"])


def test_later_only_network_cards_and_what_is_built_of_them():
    assert forwarding.own_links(HOST, Guard([4], ["eth0", "ppp0"])) == sorted([*CARDS, "ppp0"])


def test_bridges():
    assert forwarding.bridges(HOST, ["eth0", "lan", "gone"]) == ["lan"]


def test_links_whose_owners_may_need_forwarding():
    assert forwarding.foreign_links(HOST, ["wg0"]) == ["cali1", "docker0", "docker0.7", "virbr1"]
    assert forwarding.foreign_links({"lo": link(), "eth0": link(), "shop": link("bridge", alias=TAG)}, []) == []


@given(st.dictionaries(st.sampled_from(sorted(HOST)), st.sampled_from(list(HOST.values()))), st.booleans())
def test_no_link_is_both(links, first):
    noted = Guard() if first else Guard([6], ["eth0"])
    own = set(forwarding.own_links(links, noted))
    assert not own & set(forwarding.foreign_links(links, sorted(own)))
    assert "lo" not in own


@pytest.mark.parametrize("noted", [Guard(), Guard([4], ["eth0"])], ids=["now", "before"])
def test_once_more_changes_nothing(noted):
    own = forwarding.own_links(HOST, noted)
    assert forwarding.own_links(HOST, Guard([4], own)) == own
