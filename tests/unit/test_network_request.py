"""network_request.py: what `network create` may ask for, and where a network that asks for nothing goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import Conflict, InvalidArgument, MydockerError
from mydocker.model.options import network_request
from mydocker.model.options.addresses import Cidr, cidr

POOL = cidr("10.200.0.0/13")
NOTHING = {
    "network": "web", "driver": None, "subnet": [], "gateway": [], "ip_range": [], "internal": False, "label": [],
    "ipv6": False, "opt": [], "mtu": None,
}  # fmt: skip


def draft(taken=(), pool=POOL, prefix=20, **params):
    return network_request.draft({**NOTHING, **params}, [(cidr(text), what) for text, what in taken], pool, prefix)


class TestSubnet:
    def test_without_one_it_is_the_first_of_the_pool(self):
        made = draft()
        assert (made.subnet, made.gateway, made.ip_range, made.subnet6) == ("10.200.0.0/20", "10.200.0.1", "", "")
        assert (made.name, made.driver, made.mtu, made.internal, made.device) == ("web", "bridge", 1500, False, "")

    def test_the_first_that_overlaps_nothing(self):
        taken = [("10.200.0.0/20", "network a"), ("10.200.17.0/24", "network b"), ("10.200.32.0/19", "network c")]
        assert draft(taken).subnet == "10.200.64.0/20"

    def test_of_a_full_pool(self):
        with pytest.raises(Conflict, match=r"no /20 is free in 10\.200\.0\.0/13") as caught:
            draft([("10.0.0.0/8", "the host's tun0")])
        assert "--subnet" in caught.value.hint

    def test_host_bits_count_for_nothing(self):
        made = draft(subnet=["192.168.10.1/24"])
        assert (made.subnet, made.gateway) == ("192.168.10.0/24", "192.168.10.1")

    @pytest.mark.parametrize("subnet", ["10.0.0.0/8", "10.1.2.0/30", "172.16.0.0/12", "100.64.0.0/10", "8.0.0.0/9"])
    def test_every_size_that_has_room(self, subnet):
        assert draft(subnet=[subnet]).subnet == subnet

    @pytest.mark.parametrize(
        ("subnet", "word"),
        [
            ("10.0.0.0/31", "has no address for a container"),
            ("10.0.0.0/32", "has no address for a container"),
            ("8.0.0.0/7", "is larger than any private network"),
            ("127.1.0.0/16", "127.0.0.0/8 is loopback"),
            ("0.1.0.0/16", "this host"),
            ("169.254.7.0/24", "link-local"),
            ("224.0.0.0/24", "multicast"),
            ("239.1.0.0/16", "multicast"),
            ("255.255.255.0/24", "reserved"),
            ("0.0.0.0/0", "can't be used for a network"),
            ("10.0.0.0", "invalid subnet"),
            ("999.0.0.0/8", "invalid subnet"),
            ("fd00::/64", "without IPv6"),
        ],
    )
    def test_refused(self, subnet, word):
        with pytest.raises(InvalidArgument) as caught:
            draft(subnet=[subnet])
        assert word in str(caught.value)

    def test_two_of_a_family(self):
        with pytest.raises(InvalidArgument, match="more than one IPv4 subnet"):
            draft(subnet=["10.0.0.0/24", "10.0.1.0/24"])

    def test_one_that_is_taken_is_refused_and_another_of_its_size_named(self):
        taken = [("10.200.0.0/24", "network a"), ("10.3.0.0/16", "the host's eth0")]
        with pytest.raises(Conflict, match=r"subnet 10.3.7.0/24 overlaps 10.3.0.0/16 of the host's eth0") as caught:
            draft(taken, subnet=["10.3.7.0/24"])
        assert caught.value.hint == "10.200.1.0/24 is free"

    def test_a_large_one_is_suggested_outside_of_the_pool(self):
        with pytest.raises(Conflict) as caught:
            draft([("10.3.0.0/16", "x")], subnet=["10.0.0.0/9"])
        assert caught.value.hint == "10.128.0.0/9 is free"
        with pytest.raises(Conflict) as caught:
            draft([("10.3.0.0/16", "x")], subnet=["10.0.0.0/8"])
        assert caught.value.hint == "'ip route' shows what is in use"


class TestGatewayAndRange:
    def test_as_asked_for(self):
        made = draft(subnet=["10.1.0.0/24"], gateway=["10.1.0.254"], ip_range=["10.1.0.129/25"])
        assert (made.gateway, made.ip_range) == ("10.1.0.254", "10.1.0.128/25")

    def test_with_a_range_the_gateway_is_still_the_subnets_first(self):
        assert draft(subnet=["10.1.0.0/24"], ip_range=["10.1.0.128/25"]).gateway == "10.1.0.1"

    @pytest.mark.parametrize(
        ("params", "word"),
        [
            ({"gateway": ["10.1.1.1"]}, "gateway 10.1.1.1 is not in the subnet 10.1.0.0/24"),
            ({"gateway": ["10.1.0.0"]}, "not a host's address"),
            ({"gateway": ["10.1.0.255"]}, "not a host's address"),
            ({"gateway": ["x"]}, "invalid gateway 'x'"),
            ({"gateway": ["10.1.0.1", "10.1.0.2"]}, "more than one IPv4 gateway"),
            ({"gateway": ["fd00::1"]}, "IPv6 gateway on a network without IPv6"),
            ({"gateway": ["fd00::1"], "ipv6": True}, "gateway fd00::1 without an IPv6 subnet"),
            ({"ip_range": ["10.1.1.0/25"]}, "IP range 10.1.1.0/25 is not in the subnet"),
            ({"ip_range": ["10.1.0.0/16"]}, "is not in the subnet"),
            ({"ip_range": ["10.1.0.1/32"]}, "has no address for a container"),
            ({"ip_range": ["10.1.0.0/31"]}, "has no address for a container"),
            ({"ip_range": ["10.1.0.0"]}, "invalid IP range"),
            ({"subnet": [], "gateway": ["10.1.0.1"]}, "gateway 10.1.0.1 without an IPv4 subnet"),
            ({"subnet": [], "ip_range": ["10.1.0.0/25"]}, "IP range 10.1.0.0/25 without an IPv4 subnet"),
            ({"subnet": ["10.1.0.0/24", "fd00::/64"], "ip_range": ["fd00::/80"], "ipv6": True}, "fd00::/80 is IPv6"),
        ],
    )
    def test_refused(self, params, word):
        with pytest.raises(InvalidArgument) as caught:
            draft(**{"subnet": ["10.1.0.0/24"], **params})
        assert word in caught.value.message


class TestIpv6:
    def test_without_a_subnet_it_is_a_local_one_by_chance(self):
        one, other = draft(ipv6=True), draft(ipv6=True)
        assert cidr("fd00::/8").covers(cidr(one.subnet6))
        assert one.subnet6.endswith("::/64")
        assert one.subnet6 != other.subnet6
        assert one.gateway6 == one.subnet6.replace("/64", "1")

    def test_the_gateways_stand_at_the_same_place(self):
        """A container's IPv6 address is as far from the start as its IPv4 address: no gateway may be in its way."""
        made = draft(ipv6=True, subnet=["10.1.0.0/24", "fd00:1::/64"], gateway=["10.1.0.254"])
        assert (made.subnet6, made.gateway6) == ("fd00:1::/64", "fd00:1::fe")

    @pytest.mark.parametrize("gateway", ["fd00:1::1", "fd00:1::1:0", "fd00:1::100"])
    def test_a_gateway_that_is_no_containers(self, gateway):
        params = {"subnet": ["10.1.0.0/24", "fd00:1::/64"], "ipv6": True}
        assert draft(**params, gateway=[gateway]).gateway6 == gateway

    @pytest.mark.parametrize("gateway", ["fd00:1::", "fd00:1::2", "fd00:1::ff"])
    def test_a_gateway_that_would_be_a_containers(self, gateway):
        with pytest.raises(InvalidArgument, match="would be a container's address"):
            draft(subnet=["10.1.0.0/24", "fd00:1::/64"], ipv6=True, gateway=[gateway])

    @pytest.mark.parametrize("subnet", ["::/64", "::1/128", "fe80::/64", "ff02::/64", "::ffff:10.0.0.0/112", "::/0"])
    def test_reserved(self, subnet):
        with pytest.raises(InvalidArgument, match="can't be used for a network"):
            draft(subnet=[subnet], ipv6=True)

    def test_too_small_for_the_other(self):
        assert draft(subnet=["10.1.0.0/24", "fd00:1::/120"], ipv6=True).gateway6 == "fd00:1::1"
        with pytest.raises(InvalidArgument, match=r"fd00:1::/121 is smaller than 10\.1\.0\.0/24"):
            draft(subnet=["10.1.0.0/24", "fd00:1::/121"], ipv6=True)

    def test_taken(self):
        with pytest.raises(Conflict, match="overlaps fd00:1::/64 of network a"):
            draft([("fd00:1::/64", "network a")], subnet=["fd00:1::/80"], ipv6=True)


class TestOthers:
    def test_options_and_labels(self):
        opt = ["com.docker.network.driver.mtu=1400", "com.docker.network.bridge.name=br.x_1-"]
        made = draft(opt=opt, label=["a=b", "c"], internal=True)
        assert (made.mtu, made.device, made.internal) == (1400, "br.x_1-", True)
        assert made.labels == {"a": "b", "c": ""}
        assert made.options == dict(text.split("=") for text in opt)

    def test_mtu_goes_before_the_option(self):
        assert draft(opt=["com.docker.network.driver.mtu=1400"], mtu="9000").mtu == 9000

    @pytest.mark.parametrize(
        ("params", "word"),
        [
            ({"driver": "overlay"}, "unknown network driver 'overlay'"),
            ({"mtu": "67"}, "invalid MTU '67'"),
            ({"mtu": "65536"}, "invalid MTU"),
            ({"mtu": "x"}, "invalid MTU"),
            ({"mtu": "1279", "ipv6": True}, "invalid MTU"),
            ({"opt": ["com.docker.network.driver.mtu=x"]}, "invalid MTU"),
            ({"opt": ["com.docker.network.bridge.enable_icc=false"]}, "unknown network option"),
            ({"opt": ["x"]}, "unknown network option 'x'"),
            ({"opt": ["com.docker.network.bridge.name="]}, "invalid bridge name ''"),
            ({"opt": ["com.docker.network.bridge.name=sixteen-letters-"]}, "invalid bridge name"),
            ({"opt": ["com.docker.network.bridge.name=a/b"]}, "invalid bridge name"),
            ({"opt": ["com.docker.network.bridge.name=all"]}, "invalid bridge name"),
            ({"opt": ["com.docker.network.bridge.name=a\n"]}, "invalid bridge name"),
            ({"label": ["=x"]}, "invalid label"),
        ],
    )
    def test_refused(self, params, word):
        with pytest.raises(InvalidArgument) as caught:
            draft(**params)
        assert word in caught.value.message


class TestName:
    @pytest.mark.parametrize("text", ["a", "web", "0", "a.b_c-D", "x" * 255, "host1"])
    def test_good(self, text):
        assert network_request.name(text) == text

    @pytest.mark.parametrize(
        "text",
        ["", "-a", ".a", "a/b", "a b", "a\n", "ü", "x" * 256, "none", "host", "bridge", "default", "container:a"],
    )
    def test_refused(self, text):
        with pytest.raises(InvalidArgument, match="network name"):
            network_request.name(text)


BLOCK = st.builds(
    lambda number, prefix: Cidr(number >> (32 - prefix) << (32 - prefix), prefix),
    st.integers(POOL.base - 2**18, POOL.last + 2**18),
    st.integers(10, 32),
)


@given(st.lists(BLOCK, max_size=12), st.integers(13, 30))
def test_the_first_free_one_is_free_and_the_first(blocks, prefix):
    taken = [(block, "x") for block in blocks]
    found = network_request.first_free([POOL], prefix, taken)
    end = found.base if found else POOL.last + 1
    if found:
        assert POOL.covers(found)
        assert not any(found.overlaps(block) for block in blocks)
    if prefix <= 20:  # few enough to look at each
        size = 1 << (32 - prefix)
        for base in range(POOL.base, end, size):
            assert any(Cidr(base, prefix).overlaps(block) for block in blocks)


TEXT = st.one_of(st.text(max_size=12), st.sampled_from(["10.1.0.0/24", "fd00:1::/64", "10.1.0.1", "fd00:1::1", "1400"]))


@given(
    st.fixed_dictionaries(
        {
            "driver": st.none() | TEXT, "mtu": st.none() | TEXT, "ipv6": st.booleans(), "internal": st.booleans(),
            **{key: st.lists(TEXT, max_size=2) for key in ("subnet", "gateway", "ip_range", "opt", "label")},
        }
    )
)  # fmt: skip
def test_anything_is_a_network_or_our_error(params):
    try:
        made = draft([("10.1.0.128/25", "x")], **params)
    except MydockerError:
        return
    assert cidr(made.subnet).covers(cidr(f"{made.gateway}/32"))
    assert bool(made.subnet6) == params["ipv6"]
