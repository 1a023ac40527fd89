"""DNS messages: ours against dnspython's, and against anything at all."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.network import dns as ours

TYPES = {"A": ours.A, "AAAA": ours.AAAA, "PTR": ours.PTR}
label = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)
names = st.lists(label, min_size=1, max_size=5).map(".".join).filter(lambda name: len(name) <= 253)


def query(name: str = "web.lab", kind: str = "A", **options) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


def parsed(message: bytes) -> ours.Query:
    received = ours.parse(message)
    assert received is not None
    return received


@given(st.binary(max_size=600))
def test_anything_at_all_is_parsed_or_refused(message):
    received = ours.parse(message)
    if received is not None:
        assert len(ours.refusal(received, ours.SERVFAIL)) >= 12
        ours.answer(received, [b"1234"], ours.limit(received))
        ours.answers(received, received.id, message)
        ours.reverse(received.name)


@given(st.binary(max_size=80), st.integers(0, 40))
def test_anything_after_a_good_header_is_parsed_or_refused(tail, additions):
    received = parsed(struct.pack("!6H", 7, 0x0100, 1, 0, 0, additions) + tail)
    assert received.problem in (ours.NOERROR, ours.FORMERR, ours.BADVERS)


@given(names, st.sampled_from(sorted(TYPES)), st.booleans())
def test_a_query_is_read_as_dnspython_wrote_it(name, kind, edns):
    received = parsed(query(name.upper(), kind, use_edns=edns, payload=1400))
    assert (received.name, received.type, received.klass) == (name.encode(), TYPES[kind], ours.IN)
    assert (received.edns, received.size, received.problem) == (edns, 1400 if edns else 512, ours.NOERROR)


@given(names)
def test_names_round_trip(name):
    assert ours.encode_name(name) == dns.name.from_text(name).to_wire()
    wire = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + ours.encode_name(name) + struct.pack("!2H", 1, 1)
    assert parsed(wire).name == name.encode()


@pytest.mark.parametrize("name", ["", "a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), "é"])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match=r"not a domain name|ascii"):
        ours.encode_name(name)


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("A", b"\x0a\x00\x00\x07", "10.0.0.7"),
        ("AAAA", b"\xfd" + bytes(14) + b"\x07", "fd00::7"),
        ("PTR", ours.encode_name("web.lab"), "web.lab."),
    ],
)
@pytest.mark.parametrize("edns", [True, False])
def test_an_answer_is_what_dnspython_reads(kind, data, text, edns):
    asked = dns.message.make_query("Web.Lab", kind, use_edns=edns)
    answer = dns.message.from_wire(ours.answer(parsed(asked.to_wire()), [data], 512))
    assert asked.is_response(answer)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.RD
    assert answer.flags & dns.flags.RA
    assert answer.edns == (0 if edns else -1)
    (rows,) = answer.answer
    assert (str(rows.name), rows.ttl, [str(row) for row in rows]) == ("Web.Lab.", ours.TTL, [text])


def test_no_data_is_no_error():
    answer = dns.message.from_wire(ours.answer(parsed(query(kind="AAAA")), [], 512))
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(("edns", "most"), [(False, 512), (1232, 1232), (65000, 1232), (100, 512)])
def test_a_long_answer_by_udp_is_cut(edns, most):
    asked = parsed(query(use_edns=bool(edns), payload=edns or 0))
    data = [number.to_bytes(4, "big") for number in range(300)]
    cut = ours.answer(asked, data, ours.limit(asked))
    assert 200 < len(cut) <= most
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    whole = dns.message.from_wire(ours.answer(asked, data))
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 300


def test_what_fits_is_not_cut():
    asked = parsed(query(use_edns=False))
    answer = ours.answer(asked, [number.to_bytes(4, "big") for number in range(20)], ours.limit(asked))
    assert not dns.message.from_wire(answer).flags & dns.flags.TC


@pytest.mark.parametrize(
    "message", [b"", b"\0" * 11, dns.message.make_response(dns.message.make_query("a", "A", id=1)).to_wire()]
)
def test_what_is_not_worth_an_answer(message):
    assert ours.parse(message) is None


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"\x05web",
        b"\x40" + b"x" * 64 + b"\0\0\1\0\1",
        b"\xc0\x0c\0\1\0\1",  # a pointer to itself
        b"\3web\xc0\x0c\0\1\0\1",
        b"\3web\0\0\1",
        (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",  # 257 bytes
    ],
)
def test_a_malformed_question(question):
    received = parsed(struct.pack("!6H", 9, 0x0100, 1, 0, 0, 0) + question)
    assert received.problem == ours.FORMERR
    refusal = dns.message.from_wire(ours.refusal(received, received.problem))
    assert (refusal.id, refusal.rcode(), refusal.question) == (9, dns.rcode.FORMERR, [])


@pytest.mark.parametrize("count", [0, 2, 65535])
def test_only_one_question(count):
    assert parsed(struct.pack("!6H", 9, 0, count, 0, 0, 0) + b"\1a\0\0\1\0\1").problem == ours.FORMERR


def test_other_operations_are_not_implemented():
    asked = dns.message.make_query("a", "A")
    asked.set_opcode(dns.opcode.STATUS)
    received = parsed(asked.to_wire())
    refusal = dns.message.from_wire(ours.refusal(received, received.problem))
    assert (refusal.rcode(), refusal.opcode()) == (dns.rcode.NOTIMP, dns.opcode.STATUS)


def test_a_later_edns_is_refused_as_such():
    message = bytearray(query(use_edns=0))
    message[-5] = 1  # OPT ends with its version, two bytes of flags, and the length of nothing
    received = parsed(bytes(message))
    assert received.problem == ours.BADVERS
    assert dns.message.from_wire(ours.refusal(received, received.problem)).rcode() == dns.rcode.BADVERS


def test_a_dot_within_a_label_makes_no_second_label():
    received = parsed(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x07web.lab\0\0\1\0\1")
    assert received.name == b"web\\.lab"


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(lambda address: not address.ipv4_mapped))
def test_reverse_names(address):
    assert ours.reverse(str(dns.reversename.from_address(str(address))).rstrip(".").encode()) == str(address)


@given(st.lists(st.sampled_from([b"1", b"256", b"x", b"", b"in-addr", b"ip6", b"arpa"]), max_size=36).map(b".".join))
def test_what_is_no_reverse_name(name):
    received = ours.reverse(name)
    assert received == "" or name.endswith(b"arpa")


@pytest.mark.parametrize("name", ["256.0.0.1.in-addr.arpa", "1.2.3.in-addr.arpa", "a.1.2.3.in-addr.arpa", "1.ip6.arpa"])
def test_half_a_reverse_name(name):
    assert ours.reverse(name.encode()) == ""


def response(asked: dns.message.Message, **changes) -> bytes:
    answer = dns.message.make_response(asked)
    for name, value in changes.items():
        setattr(answer, name, value)
    return answer.to_wire()


def test_only_the_answer_to_the_query_counts():
    asked = dns.message.make_query("out.example", "A", id=77)
    received = parsed(asked.to_wire())
    good = response(asked)
    assert ours.answers(received, 77, good)
    assert ours.answers(received, 77, good[:12] + good[12:].upper())
    assert not ours.answers(received, 78, good)
    assert not ours.answers(received, 77, asked.to_wire())
    assert not ours.answers(received, 77, good[:11])
    assert not ours.answers(received, 77, response(dns.message.make_query("evil.example", "A", id=77)))
    assert not ours.answers(received, 77, response(dns.message.make_query("out.example", "AAAA", id=77)))


def test_a_server_that_understands_nothing_need_not_repeat_the_question():
    received = parsed(query())
    assert ours.answers(received, 5, struct.pack("!6H", 5, 0x8001, 0, 0, 0, 0))
    assert not ours.answers(received, 5, struct.pack("!6H", 5, 0x8000, 0, 0, 0, 0))
