"""/etc/resolv.conf and /etc/hosts of a container, and the options that change them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import resolver
from mydocker.network.resolvconf import Settings, hosts, is_loopback, of_host, parse, resolv_conf

HOST = Settings(["192.0.2.1", "2001:db8::1", "fe80::1%eth0"], ["lab.example"], ["edns0", "trust-ad"])


def test_a_file_is_read_as_the_c_library_reads_it():
    text = (
        "# nameserver 9.9.9.9\n; search no\n domain one\nsearch a b\nsearch c d\nnameserver 192.0.2.1 # first\n"
        "nameserver\nnameserver example.com\nnameserver fe80::1%eth0\n"
        "options edns0\nsortlist x\noptions ndots:2 rotate\n"
    )
    assert parse(text) == Settings(["192.0.2.1", "fe80::1%eth0"], ["c", "d"], ["edns0", "ndots:2", "rotate"])
    assert parse("search a b\ndomain one two\n").search == ["one"]
    assert parse("") == Settings()


@given(st.text())
def test_any_text_is_read(text):
    assert all(word for word in parse(text).servers)


@pytest.mark.parametrize("server", ["127.0.0.53", "127.1.2.3", "::1", "0:0::1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_loopback(server):
    assert is_loopback(server)


@pytest.mark.parametrize("server", ["128.0.0.1", "12.7.0.0", "::2", "fe80::1%lo", "10.127.0.1"])
def test_not_loopback(server):
    assert not is_loopback(server)


def test_the_upstream_file_stands_in_for_systemd_resolved():
    upstream = "nameserver 192.0.2.9\nsearch up\n"
    assert of_host("nameserver 127.0.0.53\nsearch x\n", upstream) == Settings(["192.0.2.9"], ["up"])
    assert of_host("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", upstream).servers == ["192.0.2.1"]
    assert of_host("nameserver 127.0.0.1\nsearch x\n", "") == Settings([], ["x"])
    assert of_host("nameserver 127.0.0.53\n", "nameserver 127.0.0.1\n").servers == []
    assert of_host("search x\n", upstream) == Settings([], ["x"])


def test_on_the_default_network():
    assert resolv_conf(HOST, [], [], []) == "nameserver 192.0.2.1\nsearch lab.example\noptions edns0 trust-ad\n"
    assert "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch" in resolv_conf(HOST, [], [], [], ipv6=True)


def test_no_server_in_reach_is_said_and_nobody_else_is_asked():
    text = resolv_conf(Settings([], ["x"]), [], [], [])
    assert parse(text) == Settings([], ["x"])
    assert "--dns" in text


def test_options_replace_what_the_host_says():
    text = resolv_conf(HOST, ["203.0.113.1", "::2"], ["a.example", "b"], ["ndots:3"])
    assert text == "nameserver 203.0.113.1\nnameserver ::2\nsearch a.example b\noptions ndots:3\n"
    assert resolv_conf(HOST, [], ["."], []) == "nameserver 192.0.2.1\noptions edns0 trust-ad\n"


def test_on_a_user_made_network():
    head = "nameserver 127.0.0.11\nsearch lab.example\n"
    assert resolv_conf(HOST, ["203.0.113.1"], [], [], own_resolver=True) == head + "options edns0 trust-ad ndots:0\n"
    assert resolv_conf(HOST, [], [], ["ndots:2"], own_resolver=True) == head + "options ndots:2\n"
    assert resolv_conf(Settings(), [], [], [], own_resolver=True) == "nameserver 127.0.0.11\noptions ndots:0\n"
    assert HOST.options == ["edns0", "trust-ad"]


def test_hosts():
    assert hosts("web", ["10.0.0.2", "10.1.0.5"], [("db", "10.9.9.9")]) == (
        "127.0.0.1\tlocalhost\n10.9.9.9\tdb\n10.0.0.2\tweb\n10.1.0.5\tweb\n"
    )
    assert hosts("web.lab.example", ["10.0.0.2"], []).endswith("10.0.0.2\tweb.lab.example web\n")
    assert hosts("web", [], []) == "127.0.0.1\tlocalhost\n127.0.1.1\tweb\n"
    assert hosts("web", ["fd00::2"], [], ipv6=True).split("\n")[1:-1] == [
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "fd00::2\tweb",
    ]


def test_the_host_by_name():
    extra = [resolver.extra_host("host.docker.internal:host-gateway")]
    assert "10.0.0.1\thost.docker.internal\n" in hosts("web", ["10.0.0.2"], extra, "10.0.0.1")
    with pytest.raises(InvalidArgument, match="no address"):
        hosts("web", [], extra)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("db:10.0.0.5", ("db", "10.0.0.5")),
        ("db=10.0.0.5", ("db", "10.0.0.5")),
        ("db.lab:fd00:0::5", ("db.lab", "fd00::5")),
        ("db:[::1]", ("db", "::1")),
        ("my_db:host-gateway", ("my_db", "host-gateway")),
    ],
)
def test_extra_hosts(text, parsed):
    assert resolver.extra_host(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db",
        "db:",
        ":10.0.0.5",
        "db:10.0.0",
        "db:10.0.0.5\n6.6.6.6 x",
        "a b:10.0.0.5",
        "#:1.2.3.4",
        "d..b:::1",
        "db:[10.0.0.5]",
    ],
)
def test_no_extra_hosts(text):
    with pytest.raises(InvalidArgument, match="to add"):
        resolver.extra_host(text)


@pytest.mark.parametrize("text", ["192.168.1.1", "2001:db8::1", "[2001:db8::1]"])
def test_servers(text):
    assert resolver.server(text) == text.strip("[]")


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4:53", "1.2.3.4\n", "fe80::1%eth0", "1\0"])
def test_no_servers(text):
    with pytest.raises(InvalidArgument, match="DNS server"):
        resolver.server(text)


@pytest.mark.parametrize("text", [".", "lab", "lab.example.com", "lab.example.com.", "_tcp.lab"])
def test_search_domains(text):
    assert resolver.search(text) == text


@pytest.mark.parametrize("text", ["", "..", "a..b", "-a", "a b", "x" * 64, "lab\noptions x", ".".join(["x" * 63] * 5)])
def test_no_search_domains(text):
    with pytest.raises(InvalidArgument, match="search domain"):
        resolver.search(text)


@pytest.mark.parametrize("text", ["ndots:2", "edns0"])
def test_dns_options(text):
    assert resolver.option(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a\nnameserver 6.6.6.6", "\0", "é", "x" * 256])
def test_no_dns_options(text):
    with pytest.raises(InvalidArgument, match="DNS option"):
        resolver.option(text)


PARSERS = [resolver.server, resolver.search, resolver.option, resolver.extra_host]


@pytest.mark.parametrize("parser", PARSERS)
@given(text=st.text())
def test_any_option_is_parsed_or_refused_in_one_line(parser, text):
    try:
        said = str(parser(text))
    except InvalidArgument as error:
        said = str(error)
    assert "\n" not in said
