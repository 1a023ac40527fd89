"""kernel/rtnetlink.py, read back by pyroute2: each message with all that is in it, and nothing else."""

from __future__ import annotations

import errno
import ipaddress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mydocker.kernel import rtnetlink

ASK = 0x1 | 0x4  # NLM_F_REQUEST | NLM_F_ACK
MAKE = ASK | 0x200 | 0x400  # and NLM_F_EXCL | NLM_F_CREATE
NEWLINK, DELLINK, NEWADDR, NEWROUTE = 16, 17, 20, 24

link_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=15)
indexes = st.integers(1, 2**31 - 1)
mtus = st.integers(68, 65535)
macs = st.binary(min_size=6, max_size=6).map(lambda value: value.hex(":"))


def decoded(message, family):
    """Its type, its flags, the fields of its header, its attributes in their order, as pyroute2 reads them."""
    data = message.encoded(7)
    read = family(data)
    read.decode()
    header = read["header"]
    assert (header["length"], header["sequence_number"], header["pid"]) == (len(data), 7, 0)
    return header["type"], header["flags"], *plain(read)


def plain(read):
    added = ("header", "state", "attrs", "__align")  # pyroute2's own
    fields = {name: value for name, value in read.items() if name not in added}
    attributes = [(slot[0], plain(slot[1]) if isinstance(slot[1], dict) else slot[1]) for slot in read["attrs"]]
    return fields, attributes


def of_link(up):
    return {"family": 0, "ifi_type": 0, "index": 0, "flags": int(up), "change": int(up)}


class TestLinks:
    @given(link_names, indexes, mtus, link_names, macs, indexes, st.booleans())
    def test_a_pair_of_links_is_one_message(self, link, master, mtu, peer, mac, where, by_pid):
        place = {"pid": where} if by_pid else {"descriptor": where}
        message = rtnetlink.new_veth(link, master, mtu, peer, mac, **place)
        there = [
            ("IFLA_IFNAME", peer),
            ("IFLA_MTU", mtu),
            ("IFLA_ADDRESS", mac),
            ("IFLA_NET_NS_PID" if by_pid else "IFLA_NET_NS_FD", where),
        ]
        data = ({}, [("VETH_INFO_PEER", (of_link(up=False), there))])
        kind = ({}, [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)])
        here = [("IFLA_IFNAME", link), ("IFLA_MTU", mtu), ("IFLA_MASTER", master), ("IFLA_LINKINFO", kind)]
        assert decoded(message, ifinfmsg) == (NEWLINK, MAKE, of_link(up=True), here)
        assert message.about == f"link {link}"

    @given(link_names)
    def test_a_link_goes_up(self, name):
        expected = (NEWLINK, ASK, of_link(up=True), [("IFLA_IFNAME", name)])
        assert decoded(rtnetlink.link_up(name), ifinfmsg) == expected

    @given(link_names)
    def test_a_link_is_deleted(self, name):
        expected = (DELLINK, ASK, of_link(up=False), [("IFLA_IFNAME", name)])
        assert decoded(rtnetlink.delete_link(name), ifinfmsg) == expected

    @given(link_names)
    def test_a_port_is_detached(self, name):
        fields = {**of_link(up=False), "change": 1}
        expected = (NEWLINK, ASK, fields, [("IFLA_IFNAME", name), ("IFLA_MASTER", 0)])
        assert decoded(rtnetlink.detach_port(name), ifinfmsg) == expected


class TestAddresses:
    @given(indexes, st.ip_addresses(v=4), st.integers(1, 32))
    def test_ipv4(self, link, address, prefix):
        given = ipaddress.IPv4Interface((address, prefix))
        attributes = [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address))]
        if prefix < 31:
            attributes.append(("IFA_BROADCAST", str(given.network.broadcast_address)))
        fields = {"family": 2, "prefixlen": prefix, "flags": 0, "scope": 0, "index": link}
        assert decoded(rtnetlink.new_address(link, str(given)), ifaddrmsg) == (NEWADDR, MAKE, fields, attributes)

    @given(indexes, st.ip_addresses(v=6), st.integers(1, 128))
    def test_ipv6_is_used_at_once(self, link, address, prefix):
        message = rtnetlink.new_address(link, f"{address}/{prefix}")
        kind, flags, fields, attributes = decoded(message, ifaddrmsg)
        assert (kind, flags) == (NEWADDR, MAKE)
        assert fields == {"family": 10, "prefixlen": prefix, "flags": 0x02, "scope": 0, "index": link}  # IFA_F_NODAD
        assert [name for name, _ in attributes] == ["IFA_LOCAL", "IFA_ADDRESS"]
        assert {ipaddress.ip_address(value) for _, value in attributes} == {address}

    @pytest.mark.parametrize("address", ["10.0.0/24", "10.0.0.256/24", "fd00:::1/64", "/24", "x/8"])
    def test_what_is_no_address_makes_no_message(self, address):
        with pytest.raises(OSError, match="illegal IP address"):
            rtnetlink.new_address(1, address)


class TestRoutes:
    @given(indexes, st.ip_addresses(), st.integers(0, 2**32 - 1))
    def test_a_default_route(self, link, gateway, metric):
        message = rtnetlink.new_default_route(str(gateway), link, metric)
        kind, flags, fields, attributes = decoded(message, rtmsg)
        assert (kind, flags) == (NEWROUTE, MAKE)
        lengths = {"dst_len": 0, "src_len": 0, "tos": 0, "flags": 0}
        main, boot, universe, unicast = 254, 3, 0, 1
        family = 2 if gateway.version == 4 else 10
        where = {"family": family, "table": main, "proto": boot, "scope": universe, "type": unicast}
        assert fields == {**lengths, **where}
        (name, value), *others = attributes
        assert (name, ipaddress.ip_address(value)) == ("RTA_GATEWAY", gateway)
        assert others == [("RTA_OIF", link), *([("RTA_PRIORITY", metric)] if metric else [])]


class FakeSocket:
    """Keeps what is sent, and answers with what a test prepared."""

    def __init__(self, answers):
        self.sent, self.answers = [], answers

    def send(self, data):
        self.sent.append(data)

    def recv(self, _):
        return self.answers.pop(0)


def answer(number, text=""):
    """An nlmsgerr: after the number the header of the message that is meant, then attributes: OFFS (2), MSG (1)."""
    value = text.encode() + b"\0"
    attributes = pack("=HHI", 8, 2, 40) + pack("=HH", 4 + len(value), 1) + value + bytes(-len(value) % 4)
    body = pack("=i", -number) + bytes(16) + (attributes if text else b"")
    return pack("=IHHII", 16 + len(body), 2, 0x100 | (0x200 if text else 0), 0, 0) + body


def kernel(*answers):
    made = rtnetlink.Netlink.__new__(rtnetlink.Netlink)
    made._socket = FakeSocket(list(answers))
    return made


class TestRequest:
    messages = (rtnetlink.link_up("lo"), rtnetlink.link_up("eth0"), rtnetlink.delete_link("x"))

    def test_all_go_in_one_call(self):
        opened = kernel(answer(0), answer(0), answer(0))
        opened.request(*self.messages)
        assert opened._socket.sent == [b"".join(each.encoded(at) for at, each in enumerate(self.messages))]
        assert opened._socket.answers == []

    def test_the_first_that_failed_is_told_and_all_answers_are_read(self):
        opened = kernel(answer(0), answer(errno.ENODEV), answer(errno.EPERM))
        with pytest.raises(OSError, match="No such device") as caught:
            opened.request(*self.messages)
        assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "link eth0")
        assert opened._socket.answers == []

    @pytest.mark.parametrize("text", ["bad", "worse", "some words"])
    def test_the_kernel_s_own_words(self, text):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            kernel(answer(errno.EINVAL, text)).request(rtnetlink.link_up("lo"))
        assert caught.value.strerror == f"Invalid argument ({text})"

    @given(st.binary(min_size=20))
    def test_a_broken_answer_ends_too(self, others):
        data = pack("=IHHII", 16 + len(others), 2, 0x200, 0, 0) + others
        rtnetlink._answer(data)

    def test_anything_but_an_answer_is_refused(self):
        with pytest.raises(OSError, match="of type 3"):
            kernel(pack("=IHHII", 16, 3, 0, 0, 0)).request(rtnetlink.link_up("lo"))


def test_a_link_that_is_not_there_is_named():
    with pytest.raises(OSError, match="No such device") as caught:
        rtnetlink.index("no such link")
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "no such link")
