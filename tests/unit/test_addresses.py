"""addresses.py, held against the standard library's ipaddress, which is too slow to be imported at a start."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import addresses
from mydocker.model.options.addresses import IPV4, IPV6, Cidr, cidr

NETWORK = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: f"{pair[0]}/{pair[1]}")


class TestAddress:
    @given(st.ip_addresses())
    def test_both_ways(self, ip):
        assert addresses.parse(str(ip)) == (int(ip), ip.max_prefixlen)
        assert addresses.show(int(ip), ip.max_prefixlen) == addresses.show(*addresses.parse(ip.exploded))
        assert ipaddress.ip_address(addresses.show(int(ip), ip.max_prefixlen)) == ip

    @pytest.mark.parametrize(
        "text", ["", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", " 1.2.3.4", "1.2.3.4/8", "1.2.3.4\0", "::%lo",
                 "x", ":", "1::2::3", "::g", "[::1]", "\udc80", "\uff11.2.3.4"],
    )  # fmt: skip
    def test_refused(self, text):
        with pytest.raises(InvalidArgument, match="invalid gateway"):
            addresses.parse(text, "gateway")

    @given(st.text(max_size=20))
    def test_any_text_is_an_address_or_our_error(self, text):
        try:
            ours = addresses.parse(text)
        except InvalidArgument:
            return
        assert int(ipaddress.ip_address(text)) == ours[0]


class TestCidr:
    @given(NETWORK)
    def test_host_bits_count_for_nothing(self, text):
        found, known = cidr(text), ipaddress.ip_network(text, strict=False)
        assert (found.base, found.prefix, found.bits) == (
            int(known.network_address), known.prefixlen, known.max_prefixlen,
        )  # fmt: skip
        assert (found.size, found.last) == (known.num_addresses, int(known.broadcast_address))
        assert cidr(str(found)) == found

    @given(NETWORK, NETWORK)
    def test_overlaps_and_covers(self, one, other):
        known, known_other = (ipaddress.ip_network(text, strict=False) for text in (one, other))
        same = known.version == known_other.version
        assert cidr(one).overlaps(cidr(other)) == (same and known.overlaps(known_other))
        assert cidr(one).covers(cidr(other)) == (same and known_other.subnet_of(known))

    @given(NETWORK, st.ip_addresses())
    def test_holds(self, text, ip):
        assert cidr(text).holds((int(ip), ip.max_prefixlen)) == (ip in ipaddress.ip_network(text, strict=False))

    @pytest.mark.parametrize(
        "text", ["", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/255.0.0.0",
                 "10.0.0.0/8/8", "::/129", "10.0.0/8", "10.0.0.0/8 ", "10.0.0.0/٨", "/8"],
    )  # fmt: skip
    def test_refused(self, text):
        with pytest.raises(InvalidArgument, match="invalid subnet"):
            cidr(text)

    def test_as_a_link_has_it(self):
        assert cidr("10.0.0.0/20").with_prefix("10.0.0.2") == "10.0.0.2/20"
        assert str(Cidr(1, 128, IPV6)) == "::1/128"
        assert Cidr(0, 8) == Cidr(0, 8, IPV4)


class TestMac:
    def test_of_an_address(self):
        assert addresses.mac_of("172.17.0.255") == "02:42:ac:11:00:ff"

    @pytest.mark.parametrize("text", ["02:42:AC:11:00:ff", "02-42-ac-11-00-FF"])
    def test_in_one_spelling(self, text):
        assert addresses.mac(text) == "02:42:ac:11:00:ff"

    @pytest.mark.parametrize(
        "text", ["", "02:42:ac:11:00", "02:42:ac:11:00:ff:00", "2:42:ac:11:0:ff", "02:42:ac:11:00:fg",
                 "02:42-ac:11:00:ff", "01:42:ac:11:00:ff", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"],
    )  # fmt: skip
    def test_refused(self, text):
        with pytest.raises(InvalidArgument, match="MAC address"):
            addresses.mac(text)
