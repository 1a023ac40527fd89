"""The device cgroup of cgroup v2: an eBPF program that the kernel asks at every open(2) and mknod(2) of a device.

v1 has a list in files (devices.allow, devices.deny); v2 has only this hook. The program gets a bpf_cgroup_dev_ctx,

    offset  0  u32  access_type  low 16 bits: the type (1 block, 2 char); above: the accesses (1 mknod, 2 read, 4 write)
            4  u32  major
            8  u32  minor

and returns 1 for yes, 0 for no. It tries the rules from the last to the first. A register holds the accesses that no
rule has decided on yet:

    a rule that denies one of them    return 0
    a rule that allows some           clear them; if none is left, return 1
    after the first rule              return 0
"""

from __future__ import annotations

import os
from _struct import pack

from mydocker import jsontext
from mydocker.errors import InvalidArgument
from mydocker.kernel.libc import address_of, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# <linux/bpf.h>
_TYPES = {"b": 1, "c": 2}
_ACCESSES = {"m": 1, "r": 2, "w": 4}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 2

# Operations on a register and a number; a jump skips `offset` instructions
_LOAD = 0x61  # from the context: 32 bits
_SET = 0xB7
_COPY = 0xBF
_AND = 0x57
_SHIFT_RIGHT = 0x77
_SKIP = 0x05
_SKIP_IF_ANY_BIT = 0x45
_SKIP_UNLESS_EQUAL = 0x55
_EXIT = 0x95

_ANSWER, _CONTEXT, _TYPE, _UNSETTLED, _MAJOR, _MINOR = range(6)


def _instruction(operation: int, register: int = 0, number: int = 0, source: int = 0, offset: int = 0) -> bytes:
    return pack("<BBhi", operation, register | source << 4, offset, number)


def _answer(yes: bool) -> list[bytes]:
    return [_instruction(_SET, _ANSWER, int(yes)), _instruction(_EXIT)]


def compile(devices: list[dict[str, Any]]) -> bytes:
    """Compile the OCI spec's `linux.resources.devices`: for each access, the last entry that matches it decides.

    An entry: {"allow": bool, "type": "a", "b" or "c", "major": int, "minor": int, "access": some of "rwm"}. Without a
    type it matches both, without a number (or with -1, or null) all, without access all three. An access that no entry
    matches is denied.
    """
    rules: list[bytes] = []
    otherwise = False
    for device in reversed(devices):
        kind, access = device.get("type", "a"), set(device.get("access", "rwm"))
        if kind not in ("a", "b", "c") or access - set(_ACCESSES):
            raise InvalidArgument(f"invalid device rule {jsontext.dumps(device)}", "type a, b or c, access some of rwm")
        bits = sum(_ACCESSES[letter] for letter in access)
        conditions = [(_TYPE, _TYPES[kind])] if kind in _TYPES else []
        for register, number in ((_MAJOR, device.get("major")), (_MINOR, device.get("minor"))):
            if number is not None and number != -1:
                conditions.append((register, number))
        if not conditions and bits == 7:
            otherwise = device["allow"]  # it matches everything, so earlier entries have no effect
            break
        rules += _rule(conditions, bits, device["allow"])
    return b"".join(
        [
            _instruction(_LOAD, _TYPE, source=_CONTEXT, offset=0),
            _instruction(_COPY, _UNSETTLED, source=_TYPE),
            _instruction(_AND, _TYPE, 0xFFFF),
            _instruction(_SHIFT_RIGHT, _UNSETTLED, 16),
            _instruction(_LOAD, _MAJOR, source=_CONTEXT, offset=4),
            _instruction(_LOAD, _MINOR, source=_CONTEXT, offset=8),
            *rules,
            *_answer(otherwise),
        ]
    )


def _rule(conditions: list[tuple[int, int]], bits: int, allow: bool) -> list[bytes]:
    """Compile a rule. conditions: (register, number), all of which must be equal for the rule to match."""
    if allow:
        effect = [
            _instruction(_AND, _UNSETTLED, ~bits),
            _instruction(_SKIP_UNLESS_EQUAL, _UNSETTLED, 0, offset=2),
            *_answer(True),
        ]
    else:
        effect = [
            _instruction(_SKIP_IF_ANY_BIT, _UNSETTLED, bits, offset=1),
            _instruction(_SKIP, offset=2),
            *_answer(False),
        ]
    to_the_end = len(effect) + len(conditions)
    tests = [
        _instruction(_SKIP_UNLESS_EQUAL, register, number, offset=to_the_end - position)
        for position, (register, number) in enumerate(conditions, 1)
    ]
    return tests + effect


def attach(cgroup_dir: str, program: bytes) -> None:
    """Let the program decide for all processes in the cgroup, and in those below it, until the cgroup is removed.

    BPF_F_ALLOW_MULTI, as with runc: programs add up, in one cgroup and from cgroup to cgroup, and all must allow an
    access. So a container may attach programs of its own, as systemd does, which can only deny more. Without the flag
    it could attach none; with BPF_F_ALLOW_OVERRIDE, its own would replace this one. Use a new cgroup, as older programs
    stay in force. Raises OSError: EINVAL from a kernel without CONFIG_CGROUP_BPF.
    """
    instructions, license = bytearray(program), bytearray(b"MIT\0")
    # union bpf_attr for BPF_PROG_LOAD: prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version,
    # prog_flags, prog_name
    attributes = pack(
        "<IIQQIIQII16s",
        _PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        address_of(instructions),
        address_of(license),
        *(0, 0, 0, 0, 0),
        b"mydocker",
    )
    descriptor = syscall("bpf", _PROG_LOAD, attributes, len(attributes), about="device filter")
    try:
        directory = os.open(cgroup_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # target_fd, attach_bpf_fd, attach_type, attach_flags
            attributes = pack("<IIII", directory, descriptor, _CGROUP_DEVICE, _ALLOW_MULTI)
            syscall("bpf", _PROG_ATTACH, attributes, len(attributes), about=cgroup_dir)
        finally:
            os.close(directory)
    finally:
        os.close(descriptor)  # the cgroup keeps the program
