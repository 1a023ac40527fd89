"""model/options/net.py: what --net and the options beside it ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext
from mydocker.errors import InvalidArgument
from mydocker.model.network import Endpoint
from mydocker.model.options import net
from mydocker.model.options.netmode import is_mode


def parse(*options, ip="", mac="", aliases=()):
    return net.parse(list(options), ip, mac, list(aliases))


def refused(*options, **beside):
    with pytest.raises(InvalidArgument) as caught:
        parse(*options, **beside)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("options", [(), ("",), ("default",), ("bridge",)])
def test_without_a_word_it_is_the_default_network(options):
    assert parse(*options) == ("bridge", [Endpoint("bridge")])


@pytest.mark.parametrize("mode", ["none", "host", "container:web"])
class TestModes:
    def test_has_no_endpoint(self, mode):
        assert parse(mode) == (mode, [])

    @pytest.mark.parametrize("other", ["lab", "none", "", "container:db"])
    def test_stands_alone(self, mode, other):
        for options in ((mode, other), (other, mode)):
            assert "can't be combined" in refused(*options)

    @pytest.mark.parametrize(
        "beside",
        [{"ip": "10.0.0.7"}, {"mac": "02:42:0a:00:00:07"}, {"aliases": ["db"]}],
        ids=lambda each: next(iter(each)),
    )
    def test_has_no_address_of_its_own(self, mode, beside):
        assert refused(mode, **beside) == f"--net {mode} takes no --ip, --mac-address or --network-alias"


def test_a_container_without_a_name():
    assert "does not name a container" in refused("container:")


class TestNetworks:
    def test_the_first_is_the_mode(self):
        assert parse("lab", "web") == ("lab", [Endpoint("lab"), Endpoint("web")])

    def test_other_options_belong_to_the_first_network(self):
        _, (lab, web) = parse("lab", "web", ip="10.0.0.7", mac="02-42-0A-00-00-07", aliases=["db"])
        assert lab == Endpoint("lab", "10.0.0.7", "02:42:0a:00:00:07", ["db"])
        assert web == Endpoint("web")

    def test_dockers_long_form(self):
        mode, (lab, web) = parse("name=lab,ip=10.0.0.7,alias=db,mac-address=02:42:0A:00:00:07,alias=cache", "name=web")
        assert lab == Endpoint("lab", "10.0.0.7", "02:42:0a:00:00:07", ["db", "cache"])
        assert (mode, web) == ("lab", Endpoint("web"))

    def test_other_options_override_the_long_form_and_aliases_add_up(self):
        _, (lab,) = parse("name=lab,ip=10.0.0.7,alias=db", ip="10.0.0.8", aliases=["db", "cache"])
        assert (lab.requested_ip, lab.aliases) == ("10.0.0.8", ["db", "cache"])

    def test_each_has_aliases_of_its_own(self):
        _, (lab, web) = parse("name=lab,alias=db", "web", aliases=["cache"])
        assert (lab.aliases, web.aliases) == (["db", "cache"], [])

    def test_addresses_are_in_their_usual_spelling(self):
        _, (lab,) = parse("name=lab,ip=FD00::0007")
        assert lab.requested_ip == "fd00::7"

    def test_nothing_of_a_start_is_in_it(self):
        _, (lab,) = parse("lab", ip="10.0.0.7", aliases=["db"])
        assert lab == lab.as_requested()
        assert Endpoint(**jsontext.loads(jsontext.dumps(lab.to_json()))) == lab


@pytest.mark.parametrize(
    ("options", "beside", "says"),
    [
        (["lab", "web", "web"], {}, "network web is given twice"),
        (["name=host"], {}, "'host' is not a network"),
        (["lab", "name=none,alias=db"], {}, "'none' is not a network"),
        (["name=container:web"], {}, "'container:web' is not a network"),
        (["name=default", "bridge"], {}, "network bridge is given twice"),
        (["lab", "name=lab,ip=10.0.0.7"], {}, "network lab is given twice"),
        (["", "bridge"], {}, "network bridge is given twice"),
        (["name=lab,colour=red"], {}, "invalid network option 'colour=red'"),
        (["name=lab,"], {}, "invalid network option ''"),
        (["ip=10.0.0.7"], {}, "'ip=10.0.0.7' does not name a network"),
        (["name="], {}, "'name=' does not name a network"),
        (["name=lab,ip=10.0.0"], {}, "invalid IP address '10.0.0'"),
        (["lab"], {"ip": "10.0.0.7/24"}, "invalid IP address '10.0.0.7/24'"),
        (["lab"], {"mac": "02:42"}, "invalid MAC address '02:42'"),
        (["name=lab,mac-address=03:00:00:00:00:01"], {}, "is not usable"),
        (["lab"], {"aliases": ["a b"]}, "invalid hostname 'a b'"),
        (["name=lab,alias="], {}, "invalid hostname ''"),
        (["bridge"], {"aliases": ["db"]}, "network-scoped aliases work only on user-defined networks"),
        (["lab", "name=bridge,alias=db"], {}, "network-scoped aliases work only on user-defined networks"),
    ],
)
def test_what_cannot_be_meant(options, beside, says):
    assert says in refused(*options, **beside)


PIECES = st.sampled_from(
    [
        "name",
        "ip",
        "alias",
        "mac-address",
        "=",
        ",",
        "lab",
        "bridge",
        "none",
        "container:",
        "10.0.0.7",
        "::1",
        "é",
        "\0",
    ]
)
WORDS = st.lists(PIECES, max_size=6).map("".join) | st.text(max_size=20)


@given(st.lists(WORDS, max_size=4), WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_whatever_is_typed_is_understood_or_refused(options, ip, mac, aliases):
    try:
        mode, ends = net.parse(options, ip, mac, aliases)
    except InvalidArgument:
        return
    assert mode == (ends[0].network if ends else mode)
    assert len({end.network for end in ends}) == len(ends)
    assert bool(ends) == (not is_mode(mode))
    jsontext.dumps([end.to_json() for end in ends])
