"""The device filter of cgroup v2: a small eBPF interpreter runs it, and the result is compared with the rules."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.kernel import device_filter

TYPES = {"b": 1, "c": 2}
ACCESSES = {"m": 1, "r": 2, "w": 4}
M64 = 2**64 - 1


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> int:
    bits = sum(ACCESSES[letter] for letter in access)
    context = struct.pack("<III", TYPES[kind] | bits << 16, major, minor)
    registers = [None] * 10  # reading one that nobody has written fails, as with the kernel's verifier
    position = 0
    while True:
        operation, both, offset, number = struct.unpack_from("<BBhi", program, position * 8)
        to, source = both & 15, both >> 4
        position += 1
        if operation == 0x61:
            assert source == 1
            registers[to] = int.from_bytes(context[offset : offset + 4], "little")
        elif operation == 0xBF:
            registers[to] = registers[source]
        elif operation == 0xB7:
            registers[to] = number & M64
        elif operation == 0x57:
            registers[to] &= number & M64
        elif operation == 0x77:
            registers[to] >>= number
        elif operation == 0x05:
            position += offset
        elif operation == 0x95:
            return registers[0]
        else:
            taken = {0x45: registers[to] & (number & M64) != 0, 0x55: registers[to] != number & M64}[operation]
            position += offset if taken else 0


def reaches_everything(program: bytes) -> bool:
    """True if every instruction is reachable: the kernel's verifier refuses other programs."""
    seen, waiting = set(), [0]
    while waiting:
        position = waiting.pop()
        if position in seen:
            continue
        seen.add(position)
        operation, _, offset, _ = struct.unpack_from("<BBhi", program, position * 8)
        if operation in (0x05, 0x45, 0x55):
            waiting.append(position + 1 + offset)
        if operation not in (0x05, 0x95):
            waiting.append(position + 1)
    return len(seen) == len(program) // 8


def allowed(devices: list[dict], kind: str, major: int, minor: int, access: str) -> bool:
    """Decide on each access by the last entry that matches it."""

    def about(device: dict, letter: str) -> bool:
        return (
            device.get("type", "a") in ("a", kind)
            and device.get("major") in (None, -1, major)
            and device.get("minor") in (None, -1, minor)
            and letter in device.get("access", "rwm")
        )

    return all(
        next((device["allow"] for device in reversed(devices) if about(device, letter)), False) for letter in access
    )


def permits(devices: list[dict], kind: str, major: int, minor: int, access: str) -> bool:
    program = device_filter.compile(devices)
    assert reaches_everything(program)
    return bool(run(program, kind, major, minor, access))


DENY_ALL = {"allow": False, "access": "rwm"}
NULL = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
MAKE_ANY = {"allow": True, "type": "c", "access": "m"}


def test_docker_s_default_devices():
    devices = [DENY_ALL, MAKE_ANY, {**MAKE_ANY, "type": "b"}, NULL, {**NULL, "major": 136, "minor": None}]
    assert permits(devices, "c", 1, 3, "rw")
    assert permits(devices, "c", 136, 7, "rw")
    assert permits(devices, "b", 8, 0, "m")
    assert not permits(devices, "b", 8, 0, "r")
    assert not permits(devices, "b", 1, 3, "r")
    assert not permits(devices, "c", 1, 11, "r")


def test_without_an_entry_nothing_is_allowed():
    assert not permits([], "c", 1, 3, "r")
    assert not permits([DENY_ALL], "c", 1, 3, "m")


def test_later_entries_win():
    assert permits([DENY_ALL, NULL], "c", 1, 3, "rwm")
    assert not permits([NULL, DENY_ALL], "c", 1, 3, "r")
    assert permits([NULL, DENY_ALL, {"allow": True}], "b", 8, 0, "rwm")
    assert device_filter.compile([NULL, DENY_ALL]) == device_filter.compile(
        [DENY_ALL]
    )  # nothing is left of what it covers


def test_a_denial_of_one_access_leaves_the_others():
    devices = [NULL, {**NULL, "allow": False, "access": "w"}]
    assert permits(devices, "c", 1, 3, "r")
    assert permits(devices, "c", 1, 3, "rm")
    assert not permits(devices, "c", 1, 3, "w")
    assert not permits(devices, "c", 1, 3, "rw")


def test_two_entries_may_add_up():
    assert permits([{**NULL, "access": "r"}, {**NULL, "access": "w"}], "c", 1, 3, "rw")


def test_no_access_is_not_all():
    assert not permits([{**NULL, "access": ""}], "c", 1, 3, "r")
    assert permits([NULL, {**NULL, "allow": False, "access": ""}], "c", 1, 3, "r")


@pytest.mark.parametrize("change", [{"type": "u"}, {"type": ""}, {"access": "rx"}, {"access": "RW"}])
def test_an_invalid_rule(change):
    with pytest.raises(InvalidArgument, match="invalid device rule"):
        device_filter.compile([{**NULL, **change}])


numbers = st.sampled_from([None, -1, 0, 1, 3, 255, 2**20 - 1, 2**31 - 1])
devices = st.fixed_dictionaries(
    {"allow": st.booleans()},
    optional={
        "type": st.sampled_from("abc"),
        "major": numbers,
        "minor": numbers,
        "access": st.sets(st.sampled_from("rwm")).map("".join),
    },
)
asked = st.tuples(
    st.sampled_from("bc"),
    st.sampled_from([0, 1, 2, 3, 255, 2**20 - 1, 2**31 - 1]),
    st.sampled_from([0, 1, 3, 255, 2**20 - 1, 2**32 - 1]),
    st.sets(st.sampled_from("rwm"), min_size=1).map("".join),
)


@given(st.lists(devices, max_size=12), st.lists(asked, min_size=1, max_size=10))
def test_any_rules(rules, questions):
    program = device_filter.compile(rules)
    assert reaches_everything(program)
    for question in questions:
        assert bool(run(program, *question)) == allowed(rules, *question)
