"""ipam.py: which address a container gets, in networks of every size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.network import Network
from mydocker.model.options.addresses import cidr, parse
from mydocker.network import ipam


def network(subnet="192.168.10.0/24", gateway="192.168.10.1", **fields):
    return Network("web", "a" * 64, "", "web", subnet, gateway, **fields)


def numbers(*texts):
    return {parse(text)[0] for text in texts}


class TestLowestFree:
    def test_the_first_after_the_gateway(self):
        assert ipam.lowest_free(network(), set()) == "192.168.10.2"

    def test_a_gap_is_used_again(self):
        assert ipam.lowest_free(network(), numbers("192.168.10.2", "192.168.10.4")) == "192.168.10.3"

    def test_before_a_gateway_that_is_not_the_first(self):
        assert ipam.lowest_free(network(gateway="192.168.10.254"), set()) == "192.168.10.1"

    def test_in_the_range(self):
        net = network(ip_range="192.168.10.128/25")
        assert ipam.lowest_free(net, set()) == "192.168.10.128"
        assert ipam.lowest_free(net, numbers("192.168.10.128")) == "192.168.10.129"

    def test_the_ends_of_the_subnet_are_nobodys_in_the_range_either(self):
        first = network(ip_range="192.168.10.0/30")
        assert ipam.lowest_free(first, numbers("192.168.10.2", "192.168.10.3")) == ""
        last = network(ip_range="192.168.10.254/31")
        assert ipam.lowest_free(last, set()) == "192.168.10.254"
        assert ipam.lowest_free(last, numbers("192.168.10.254")) == ""

    def test_of_the_smallest(self):
        net = network("10.0.0.4/30", "10.0.0.5")
        assert ipam.lowest_free(net, set()) == "10.0.0.6"
        assert ipam.lowest_free(net, numbers("10.0.0.6")) == ""

    def test_of_the_largest_over_a_byte_and_at_once(self):
        net = network("10.0.0.0/8", "10.0.0.1")
        assert ipam.lowest_free(net, range(cidr("10.0.0.0/8").base, parse("10.1.0.0")[0])) == "10.1.0.0"

    @given(st.integers(24, 30), st.data())
    def test_each_address_once_and_then_none(self, prefix, data):
        subnet = cidr(f"10.9.8.0/{prefix}")
        gateway = data.draw(st.integers(subnet.base + 1, subnet.last - 1))
        net = network(str(subnet), ".".join(str(byte) for byte in gateway.to_bytes(4, "big")))
        taken = set()
        while address := ipam.lowest_free(net, taken):
            taken.add(parse(address)[0])
        assert taken == set(range(subnet.base + 1, subnet.last)) - {gateway}


class TestCheck:
    def test_one_that_can_be_had(self):
        assert ipam.check(network(), "192.168.10.77") == "192.168.10.77"
        assert ipam.check(network(ip_range="192.168.10.128/25"), "192.168.10.5") == "192.168.10.5"

    @pytest.mark.parametrize(
        ("requested", "word"),
        [
            ("192.168.11.2", "is not in network web"),
            ("192.168.10.0", "is reserved"),
            ("192.168.10.1", "is reserved"),
            ("192.168.10.255", "is reserved"),
            ("fd00::2", "is not an IPv4 address"),
            ("192.168.10.2/24", "invalid IP address"),
            ("", "invalid IP address"),
        ],
    )
    def test_refused(self, requested, word):
        with pytest.raises(InvalidArgument, match=word) as caught:
            ipam.check(network(), requested)
        assert caught.value.hint


class TestIpv6:
    def test_as_far_from_the_start(self):
        net = network(subnet6="fd00:1::/64", gateway6="fd00:1::1")
        assert ipam.address6(net, "192.168.10.77") == "fd00:1::4d"

    def test_none(self):
        assert ipam.address6(network(), "192.168.10.77") == ""
