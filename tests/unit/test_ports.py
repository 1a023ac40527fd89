"""ports.py: docker's -p and --expose, and what ps shows of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import ports
from mydocker.model.options.ports import Port, parse_published

NUMBER = st.integers(1, 65535)
RANGE = st.tuples(NUMBER, NUMBER).map(sorted)
PROTOCOL = st.sampled_from(["tcp", "udp"])
HOST_IP = st.one_of(st.just(""), st.sampled_from(["0.0.0.0", "127.0.0.1", "::", "::1"]), st.ip_addresses().map(str))


@st.composite
def port(draw):
    low, high = draw(st.one_of(st.just((0, 0)), RANGE))
    return Port(
        draw(NUMBER), draw(PROTOCOL), low, high, draw(HOST_IP.filter(lambda ip: "." not in ip or ":" not in ip))
    )


class TestPublish:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("80", Port(80)),
            (":80", Port(80)),
            ("0:80", Port(80)),
            ("80/udp", Port(80, "udp")),
            ("8080:80", Port(80, "tcp", 8080, 8080)),
            ("8080:80/TCP", Port(80, "tcp", 8080, 8080)),
            ("90:90", Port(90, "tcp", 90, 90)),
            ("127.0.0.1:8080:80", Port(80, "tcp", 8080, 8080, "127.0.0.1")),
            ("127.0.0.1::53/udp", Port(53, "udp", 0, 0, "127.0.0.1")),
            ("0.0.0.0:1:65535", Port(65535, "tcp", 1, 1, "0.0.0.0")),
            ("[::1]:80:80", Port(80, "tcp", 80, 80, "::1")),
            ("[0:0::1]::80", Port(80, "tcp", 0, 0, "::1")),
            ("8000-8010:80", Port(80, "tcp", 8000, 8010)),
            ("8000-8000:80", Port(80, "tcp", 8000, 8000)),
        ],
    )
    def test_one(self, text, expected):
        assert parse_published([text]) == [expected]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("80-82", ["80/tcp", "81/tcp", "82/tcp"]),
            ("8000-8002:80-82/udp", ["8000:80/udp", "8001:81/udp", "8002:82/udp"]),
            ("[::1]:5-6:7-8", ["[::1]:5:7/tcp", "[::1]:6:8/tcp"]),
            ("127.0.0.1::7-8", ["127.0.0.1::7/tcp", "127.0.0.1::8/tcp"]),
        ],
    )
    def test_a_range_is_a_port_each(self, text, expected):
        assert [each.text for each in parse_published([text])] == expected

    @pytest.mark.parametrize(
        "text", [
            "", ":", "::", "0", "65536", "99999999999999999999999", "-1", "80-", "-80", "82-80", "a", "80:a", "a:80",
            "80:0", "0-1:80", "1:2:3", "1.2.3:1:2", "::1:80:80", "[::1]80:80", "[::1]:80", "[1.2.3.4]:80:80",
            "[]:80:80", "::80", ":80:80", "localhost:80:80", "80:80:80:80", " 80", "8 0", "+80", "\uff18\uff10",
            "1-2:1-3", "1-3:1-2", "80/", "80/tcp/udp", "/tcp", "80/sctp", "80/icmp", "80\0", "[::1%lo]:80:80", "80,81",
        ],
    )  # fmt: skip
    def test_refused(self, text):
        with pytest.raises(InvalidArgument) as caught:
            parse_published([text])
        assert caught.value.hint
        assert repr(text)[1:-1] in caught.value.message or text in caught.value.message

    @given(port())
    def test_what_a_record_holds_is_read_back(self, made):
        (found,) = parse_published([made.text])
        (expected_ip,) = parse_published([f"{ports._bracketed(made.host_ip)}::1"]) if made.host_ip else [Port(1)]
        assert found == Port(made.container, made.protocol, made.host, made.last, expected_ip.host_ip)
        assert parse_published([found.text]) == [found]

    @given(first=NUMBER, other=NUMBER, count=st.integers(1, 50))
    def test_ranges_go_side_by_side(self, first, other, count):
        text = f"{first}-{first + count - 1}:{other}-{other + count - 1}"
        if max(first, other) + count - 1 > 65535:
            with pytest.raises(InvalidArgument):
                parse_published([text])
            return
        assert [(each.host, each.last, each.container) for each in parse_published([text])] == [
            (first + index, first + index, other + index) for index in range(count)
        ]

    @given(st.lists(st.one_of(st.text(max_size=12), st.text("0123456789-:/.[]tcpud", max_size=24)), max_size=3))
    def test_any_text_is_ports_or_our_error(self, texts):
        try:
            found = parse_published(texts)
        except InvalidArgument:
            return
        assert all(1 <= each.container <= 65535 and 0 <= each.host <= each.last <= 65535 for each in found)
        assert parse_published(each.text for each in found) == found


class TestTwice:
    @pytest.mark.parametrize(
        "texts", ["80:80 80:81", "80:80 80:80", "1.2.3.4:80:80 80:81", "0.0.0.0:80:80 1.2.3.4:80:80",
                  "[::]:80:1 [::1]:80:2", "80:1 [::]:80:2", "79-81:79-81 80:1", "1.2.3.4:80:80 1.2.3.4:80:81"],
    )  # fmt: skip
    def test_the_same_port_of_the_host(self, texts):
        with pytest.raises(InvalidArgument, match="port 80/tcp of the host is given twice"):
            parse_published(texts.split())

    @pytest.mark.parametrize(
        "texts", ["80:80 80:80/udp", "1.2.3.4:80:80 1.2.3.5:80:80", "0.0.0.0:80:80 [::]:80:80", "80 80", "81:80 82:80",
                  "1.2.3.4:80:80 [::]:80:80", "80-81:80 80:81"],
    )  # fmt: skip
    def test_others_meet_nowhere(self, texts):
        assert len(parse_published(texts.split())) == 2


class TestShown:
    def test_in_effect(self):
        (wanted,) = parse_published(["127.0.0.1:8000-8010:80"])
        assert (wanted.at(8003).text, wanted.at(8003).source) == ("127.0.0.1:8003:80/tcp", "127.0.0.1:8003")
        assert parse_published(["8080:80"])[0].source == "0.0.0.0:8080"
        assert parse_published(["[::1]:8080:80"])[0].source == "[::1]:8080"

    @pytest.mark.parametrize(
        ("published", "exposed", "expected"),
        [
            ("", "", ""),
            ("", "80/tcp", "80/tcp"),
            ("8080:80", "", "0.0.0.0:8080->80/tcp"),
            ("8080:80", "80/tcp 443/tcp", "0.0.0.0:8080->80/tcp, 443/tcp"),
            ("80:80 81:81 82:82", "", "0.0.0.0:80-82->80-82/tcp"),
            ("80:80 82:82", "", "0.0.0.0:80->80/tcp, 0.0.0.0:82->82/tcp"),
            ("80:80 81:81/udp", "", "0.0.0.0:80->80/tcp, 0.0.0.0:81->81/udp"),
            ("8080:80 8081:81", "", "0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp"),
            ("1.2.3.4:80:80 81:81", "", "1.2.3.4:80->80/tcp, 0.0.0.0:81->81/tcp"),
            ("[::1]:80:80", "", "[::1]:80->80/tcp"),
            ("80:80 8080:80", "", "0.0.0.0:80->80/tcp, 0.0.0.0:8080->80/tcp"),
            ("80:80 8080:80 81:81", "", "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:8080->80/tcp"),
            ("", "7/udp 8/udp 9/udp 9/tcp 5/sctp x/tcp 6", "5/sctp, 6/tcp, 7-9/udp, 9/tcp"),
        ],
    )
    def test_summary(self, published, exposed, expected):
        found = ports.summary(parse_published(published.split()), exposed.split())
        assert sorted(found.split(", ")) == sorted(expected.split(", "))


class TestExpose:
    def test_ranges_and_protocols(self):
        assert ports.expose(["80", "53/UDP", "80/tcp", "81-82"]) == ["80/tcp", "53/udp", "81/tcp", "82/tcp"]

    @pytest.mark.parametrize("text", ["", "0", "80:80", "80/sctp", "x", "81-80", "65536", "80-65536", "127.0.0.1:80"])
    def test_refused(self, text):
        with pytest.raises(InvalidArgument):
            ports.expose([text])
