"""runtime/messages.py: what is sent on a channel arrives whole, with its descriptors, and none is lost or left open."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import errors
from mydocker.runtime import messages

KINDS = [value for name, value in vars(messages).items() if name.isupper() and name[0] != "_" and type(value) is bytes]


@pytest.fixture(scope="module")
def channels():
    ours, theirs = messages.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_kind_is_a_letter_of_its_own():
    assert all(len(kind) == 1 for kind in KINDS)
    assert len({*KINDS, messages._MORE}) == len(KINDS) + 1 == 19


@given(st.sampled_from(KINDS), st.binary(max_size=70_000))
def test_a_message_arrives_whole(channels, kind, body):
    ours, theirs = channels
    ours.send(kind, body)
    assert theirs.receive() == messages.Message(kind, body, [])


@pytest.mark.parametrize("count", [1, 2, messages.AT_ONCE, messages.AT_ONCE + 1, 2 * messages.AT_ONCE + 5])
def test_any_number_of_descriptors_arrives_in_order(channels, count):
    ours, theirs = channels
    ends = os.pipe()
    ours.send(messages.ORDERS, b"body", [ends[number % 2] for number in range(count)])
    message = theirs.receive()
    assert (message.kind, message.body, len(message.fds)) == (messages.ORDERS, b"body", count)
    for number, descriptor in enumerate(message.fds):
        assert os.path.sameopenfile(descriptor, ends[number % 2])
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
    for descriptor in ends:
        os.close(descriptor)


def test_the_end_is_a_message_without_a_kind():
    ours, theirs = messages.pair()
    ours.close()
    assert theirs.receive() == messages.Message(b"", b"", [])
    theirs.close()


def test_descriptors_of_a_message_that_does_not_come_are_closed():
    ours, theirs = messages.pair()
    theirs.socket.settimeout(0.05)
    before = opened()
    ours.socket.sendmsg([messages._MORE], messages._rights([0, 1, 2]))
    with pytest.raises(socket.timeout):  # before Python 3.10 this is not TimeoutError
        theirs.receive()
    assert opened() == before
    ours.close()
    theirs.close()


def test_an_error_arrives_as_it_was(channels):
    ours, theirs = channels
    error = errors.StepFailed("mount: no such device", "load it", "mount", 19)
    ours.send(messages.FAILED, messages.encode(error.details()))
    got = theirs.receive().error()
    assert (type(got), got.details()) == (errors.StepFailed, error.details())


@given(st.integers(-4095, (1 << 22) - 1))
def test_what_the_trampoline_writes_is_a_number(number):
    data = struct.pack("<q", number)
    assert messages.exec_status(messages.Message(data[:1], data[1:], [])) == number


@pytest.mark.parametrize("body", [b"", b"seven by", b"0123456", b'{"a": 1}', b"[\0\0\0\0"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_message_is_taken_for_it(kind, body):
    assert messages.exec_status(messages.Message(kind, body, [])) == 0
