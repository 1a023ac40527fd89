"""The seccomp compiler: a small BPF interpreter runs each program, and the result is compared with the profile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel import libc, seccomp, seccomp_compiler
from mydocker.kernel.syscalls import MULTIPLEXED, X32_BIT, numbers
from mydocker.model.oci import seccomp_profile

# <linux/seccomp.h>, written out once more: a slip in the module's own table must show.
ALLOW, LOG, TRACE, ERRNO, TRAP, KILL_THREAD, KILL = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x50000, 0x30000, 0, 0x80000000
RETURNS = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL,
}
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38

# ABI -> AUDIT_ARCH_*, the machine it is found on, the OCI spec's name
ABIS = {
    "x86_64": (0xC000003E, "x86_64", "SCMP_ARCH_X86_64"),
    "x32": (0xC000003E, "x86_64", "SCMP_ARCH_X32"),
    "i386": (0x40000003, "x86_64", "SCMP_ARCH_X86"),
    "aarch64": (0xC00000B7, "aarch64", "SCMP_ARCH_AARCH64"),
    "arm": (0x40000028, "aarch64", "SCMP_ARCH_ARM"),
}
ALL_NAMES = [name for _, _, name in ABIS.values()]
NO_ARGUMENTS = (0, 0, 0, 0, 0, 0)
M64 = 2**64 - 1


def run(program: bytes, arch: int, number: int, arguments=NO_ARGUMENTS) -> tuple[int, int, set[int]]:
    """Run a program. Returns its value, the number of instructions that ran, and the offsets that were loaded."""
    data = struct.pack("<IIQ6Q", number, arch, 0x1122334455667788, *arguments)
    accumulator, position, steps, loaded = 0, 0, 0, set()
    while True:
        code, true, false, k = struct.unpack_from("<HBBI", program, position * 8)
        position += 1
        steps += 1
        if code == 0x20:
            accumulator = int.from_bytes(data[k : k + 4], "little")
            loaded.add(k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            position += k
        elif code == 0x06:
            return k, steps, loaded
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}[code]
            position += true if holds else false


def outcome(program: bytes, abi: str, number: int, arguments=NO_ARGUMENTS) -> int:
    return run(program, ABIS[abi][0], number | (X32_BIT if abi == "x32" else 0), arguments)[0]


def returned(rule: dict, action: str, errno: str) -> int:
    number = rule.get(errno, 1) if rule[action] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0
    return RETURNS[rule[action]] | number


def holds(arg: dict, arguments, wide: bool) -> bool:
    given, value = arguments[arg["index"]] & (M64 if wide else 0xFFFFFFFF), arg["value"]
    return {
        "SCMP_CMP_EQ": given == value,
        "SCMP_CMP_NE": given != value,
        "SCMP_CMP_LT": given < value,
        "SCMP_CMP_LE": given <= value,
        "SCMP_CMP_GE": given >= value,
        "SCMP_CMP_GT": given > value,
        "SCMP_CMP_MASKED_EQ": given & value == arg.get("valueTwo", 0),
    }[arg["op"]]


def expected(profile: dict, abi: str, number: int, arguments=NO_ARGUMENTS) -> int:
    """Return the verdict by reading the profile rule by rule, as compile()'s docstring says."""
    default = returned(profile, "defaultAction", "defaultErrnoRet")
    table = numbers(abi)
    names = {name for name, value in table.items() if value == number}
    named = {table[name] for rule in profile["syscalls"] for name in rule["names"] if name in table}
    rules = [rule for rule in profile["syscalls"] if names & set(rule["names"])]
    rules = [rule for rule in rules if returned(rule, "action", "errnoRet") != default]
    for rule in rules:
        if not rule.get("args"):
            return returned(rule, "action", "errnoRet")
    for rule in rules:
        indexes = [arg["index"] for arg in rule["args"]]
        quantifier = all if len(set(indexes)) == len(indexes) else any
        if quantifier(holds(arg, arguments, abi not in ("i386", "arm")) for arg in rule["args"]):
            return returned(rule, "action", "errnoRet")
    if named and number > max(n for n in named if n < 0xF0000) and number not in named:
        return default if profile["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE") else ENOSYS
    return default


def profile_of(*syscalls: dict, default: str = "SCMP_ACT_ERRNO", architectures=ALL_NAMES) -> dict:
    return {"defaultAction": default, "architectures": list(architectures), "syscalls": list(syscalls)}


def rule(names: str, action: str, *args: dict, **more: int) -> dict:
    return {"names": names.split(), "action": f"SCMP_ACT_{action}", **({"args": list(args)} if args else {}), **more}


def arg(index: int, op: str, value: int, value_two: int = 0) -> dict:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


CAPABILITIES = {
    "none": [],
    "docker's": ["CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE"],
    "all": [
        "CAP_DAC_READ_SEARCH",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_CHROOT",
        "CAP_SYS_MODULE",
        "CAP_SYS_PTRACE",
    ],
}


@pytest.mark.parametrize("capabilities", CAPABILITIES.values(), ids=CAPABILITIES.keys())
@pytest.mark.parametrize("abi", ABIS)
def test_every_number_of_the_default_profile(abi, capabilities):
    _, machine, _ = ABIS[abi]
    profile = seccomp_profile.default(capabilities, (6, 1), machine)
    program = seccomp_compiler.compile(profile, machine)
    table = numbers(abi)
    by_arguments = {
        table[name] for rule in profile["syscalls"] if "args" in rule for name in rule["names"] if name in table
    }
    for number in [*range(601), *range(0xF0000, 0xF0008), 999, X32_BIT - 1]:
        for first in (0, 2, 11, 12, 16, 38, 40, 45, 46, 0x11, 0x20008, 0x10000011, 0xFFFFFFFF, 2**32, 2**32 + 2, M64):
            arguments = (first, 1, 2, 3, 4, 5)
            assert outcome(program, abi, number, arguments) == expected(profile, abi, number, arguments), (
                number,
                first,
            )
            if number not in by_arguments:
                break


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_program_is_short_and_quick(machine):
    profile = seccomp_profile.default(CAPABILITIES["docker's"], (6, 1), machine)
    program = seccomp_compiler.compile(profile, machine)
    assert len(program) // 8 < 360
    for arch in {arch for arch, its_machine, _ in ABIS.values() if its_machine == machine}:
        assert max(run(program, arch, number)[1] for number in range(600)) < 30


def test_a_verdict_that_needs_no_argument_loads_none():
    """Linux 5.11 and newer check this before they skip the filter for an allowed call."""
    program = seccomp_compiler.compile(seccomp_profile.default([], (6, 1), "x86_64"), "x86_64")
    table = numbers("x86_64")
    assert run(program, 0xC000003E, table["read"])[2] == {0, 4}
    assert run(program, 0xC000003E, table["mount"])[2] == {0, 4}
    assert run(program, 0xC000003E, table["socket"])[2] == {0, 4, 16, 20}


@pytest.mark.parametrize("abi", ABIS)
def test_the_default_profile_by_example(abi):
    _, machine, _ = ABIS[abi]
    program = seccomp_compiler.compile(seccomp_profile.default(CAPABILITIES["docker's"], (6, 1), machine), machine)

    def call(name: str, *first: int) -> int:
        return outcome(program, abi, numbers(abi)[name], (*first, *NO_ARGUMENTS)[:6])

    assert {call(name) for name in ("read", "write", "execve", "ptrace", "chroot", "memfd_create")} == {ALLOW}
    refused = ("mount", "umount2", "unshare", "setns", "keyctl", "bpf", "reboot", "io_uring_setup", "userfaultfd")
    assert {call(name) for name in refused} == {EPERM}
    assert call("clone3") == ENOSYS
    assert call("clone", 0x11) == call("clone", 0x3D0F00) == ALLOW
    assert {call("clone", 0x11 | 1 << bit) for bit in (17, 25, 26, 27, 28, 29, 30)} == {EPERM}
    assert {family for family in range(64) if call("socket", family) == EPERM} == {
        *(12, 19, 20, 23, 25, 34, 37, 38, 40),
        *range(46, 64),
    }
    assert {call("personality", value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)} == {ALLOW}
    assert call("personality", 0x40000) == EPERM  # ADDR_NO_RANDOMIZE
    assert outcome(program, abi, 999) == ENOSYS
    if abi != "x32":  # whose own numbers, from 512, make its profile seem newer than it is
        assert call("open_tree_attr") == ENOSYS


def test_a_call_that_is_newer_than_the_profile():
    table = numbers("x86_64")
    small = rule("read exit_group", "ALLOW")
    for default, newer in {
        "ERRNO": ENOSYS,
        "KILL": ENOSYS,
        "TRAP": ENOSYS,
        "ALLOW": ALLOW,
        "LOG": LOG,
        "TRACE": TRACE | 1,
    }.items():
        program = seccomp_compiler.compile(profile_of(small, default=f"SCMP_ACT_{default}"), "x86_64")
        assert outcome(program, "x86_64", table["exit_group"] + 1) == newer
        assert outcome(program, "x86_64", 2**32 - 1) == newer
    program = seccomp_compiler.compile(profile_of(small), "x86_64")
    assert outcome(program, "x86_64", table["exit_group"] - 1) == EPERM
    # A name counts as known also where its rule only repeats the default.
    program = seccomp_compiler.compile(profile_of(small, rule("bpf", "ERRNO")), "x86_64")
    assert outcome(program, "x86_64", table["bpf"] - 1) == outcome(program, "x86_64", table["bpf"]) == EPERM
    assert outcome(program, "x86_64", table["bpf"] + 1) == ENOSYS


def test_arms_private_calls_do_not_make_everything_below_them_known():
    program = seccomp_compiler.compile(profile_of(rule("read set_tls", "ALLOW")), "aarch64")
    assert outcome(program, "arm", 0xF0005) == ALLOW
    assert outcome(program, "arm", 2) == EPERM
    assert outcome(program, "arm", 500) == ENOSYS


@pytest.mark.parametrize("name", ["arm_sync_file_range", "sync_file_range2"])
def test_both_names_of_a_call_work(name):
    program = seccomp_compiler.compile(profile_of(rule(f"read {name} bpf", "ALLOW")), "aarch64")
    assert outcome(program, "arm", 341) == ALLOW
    assert outcome(program, "arm", 340) == outcome(program, "arm", 342) == EPERM


def test_architectures_that_are_not_listed_kill():
    read = rule("read getpid", "ALLOW")
    program = seccomp_compiler.compile(profile_of(read, architectures=[]), "x86_64")
    assert outcome(program, "x86_64", 0) == ALLOW
    assert outcome(program, "i386", 3) == KILL
    assert outcome(program, "x32", 0) == outcome(program, "x32", 547) == KILL
    assert run(program, 0xC000003E, 2**32 - 1)[0] == ENOSYS  # a tracer's way to have a call skipped
    assert run(program, 0xC00000B7, 63)[0] == run(program, 0, 0)[0] == KILL
    program = seccomp_compiler.compile(profile_of(read, architectures=["SCMP_ARCH_X86"]), "x86_64")
    assert outcome(program, "i386", 3) == outcome(program, "x86_64", 0) == ALLOW
    program = seccomp_compiler.compile(profile_of(read, architectures=["SCMP_ARCH_S390X"]), "aarch64")
    assert outcome(program, "aarch64", 63) == ALLOW
    assert outcome(program, "arm", 3) == KILL


def test_x32_has_numbers_of_its_own():
    program = seccomp_compiler.compile(profile_of(rule("execve", "ALLOW")), "x86_64")
    assert outcome(program, "x32", 520) == outcome(program, "x86_64", 59) == ALLOW
    assert outcome(program, "x32", 59) == EPERM


def test_a_machine_without_tables():
    with pytest.raises(HostError, match="riscv64"):
        seccomp_compiler.compile(profile_of(), "riscv64")


# --- rules against each other -----------------------------------------------------------------------------------------


def test_a_rule_without_arguments_decides():
    for rules in (
        [rule("read", "ERRNO", errnoRet=5), rule("read", "ALLOW", arg(0, "EQ", 1))],
        [rule("read", "ALLOW", arg(0, "EQ", 1)), rule("read", "ERRNO", errnoRet=5), rule("read", "ALLOW")],
    ):
        program = seccomp_compiler.compile(profile_of(*rules), "x86_64")
        assert outcome(program, "x86_64", 0, (1, *NO_ARGUMENTS[1:])) == ERRNO | 5


def test_a_rule_that_repeats_the_default_has_no_effect():
    program = seccomp_compiler.compile(
        profile_of(rule("read", "ERRNO"), rule("read", "ALLOW", arg(0, "EQ", 1))), "x86_64"
    )
    assert outcome(program, "x86_64", 0, (1, *NO_ARGUMENTS[1:])) == ALLOW
    assert outcome(program, "x86_64", 0) == EPERM


def test_the_first_matching_rule_counts():
    rules = [rule("read", "ERRNO", arg(0, "GT", 5), errnoRet=7), rule("read", "ALLOW", arg(0, "GT", 3))]
    program = seccomp_compiler.compile(profile_of(*rules), "x86_64")
    results = [outcome(program, "x86_64", 0, (n, *NO_ARGUMENTS[1:])) for n in (3, 4, 5, 6)]
    assert results == [EPERM, ALLOW, ALLOW, ERRNO | 7]
    twice = [rule("read", "ERRNO", arg(0, "EQ", 5), errnoRet=7), rule("read", "ALLOW", arg(0, "EQ", 5))]
    assert (
        outcome(seccomp_compiler.compile(profile_of(*twice), "x86_64"), "x86_64", 0, (5, *NO_ARGUMENTS[1:]))
        == ERRNO | 7
    )


def test_conditions_on_two_arguments_must_both_hold_but_on_one_either_does():
    both = seccomp_compiler.compile(profile_of(rule("read", "ALLOW", arg(0, "EQ", 1), arg(1, "EQ", 2))), "x86_64")
    either = seccomp_compiler.compile(profile_of(rule("read", "ALLOW", arg(0, "EQ", 1), arg(0, "EQ", 2))), "x86_64")
    cases = [(1, 2), (1, 0), (0, 2), (2, 0)]
    assert [outcome(both, "x86_64", 0, (*case, 0, 0, 0, 0)) == ALLOW for case in cases] == [True, False, False, False]
    assert [outcome(either, "x86_64", 0, (*case, 0, 0, 0, 0)) == ALLOW for case in cases] == [True, True, False, True]


@pytest.mark.parametrize("action", sorted(RETURNS))
def test_every_action(action):
    default = "SCMP_ACT_ERRNO" if action != "SCMP_ACT_ERRNO" else "SCMP_ACT_ALLOW"
    profile = {"defaultAction": default, "syscalls": [{"names": ["read"], "action": action}]}
    number = 1 if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0
    assert outcome(seccomp_compiler.compile(profile, "x86_64"), "x86_64", 0) == RETURNS[action] | number


def test_errno_and_trace_carry_a_number():
    syscalls = [
        rule("read", "ERRNO", errnoRet=95),
        rule("write", "TRACE", errnoRet=4000),
        rule("open", "ERRNO", errnoRet=0),
    ]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": syscalls}
    program = seccomp_compiler.compile(profile, "x86_64")
    table = numbers("x86_64")
    assert [outcome(program, "x86_64", n) for n in range(4)] == [ERRNO | 95, TRACE | 4000, ERRNO, ENOSYS]
    program = seccomp_compiler.compile({**profile, "syscalls": [*syscalls, rule("bpf", "ALLOW")]}, "x86_64")
    assert outcome(program, "x86_64", table["mount"]) == ERRNO | 13


# --- arguments, at random ---------------------------------------------------------------------------------------------

EDGES = [0, 1, 2, 40, 0x7E020000, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**32 + 40, 2**40, 2**63, M64 - 1, M64]
values = st.one_of(st.sampled_from(EDGES), st.integers(0, 60), st.integers(0, M64))
args = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5) | st.just(0),
        "op": st.sampled_from(seccomp_profile.OPERATORS),
        "value": values,
        "valueTwo": values,
    }
)
actions = st.sampled_from(seccomp_profile.ACTIONS)
NAMES = [
    "read",
    "write",
    "close",
    "mmap",
    "personality",
    "clone",
    "prctl",
    "execve",
    "bpf",
    "removexattrat",
    "no_such_call",
]
rules = st.builds(
    lambda names, action, args, errno: {
        "names": names,
        "action": action,
        "args": args,
        **({"errnoRet": errno} if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else {}),
    },
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    actions,
    st.lists(args, max_size=3),
    st.integers(0, 4095),
)
profiles = st.builds(
    lambda default, syscalls: {"defaultAction": default, "architectures": ALL_NAMES, "syscalls": syscalls},
    actions,
    st.lists(rules, min_size=1, max_size=12),
)


@given(profiles, st.sampled_from(sorted(ABIS)), st.lists(st.tuples(*[values] * 6), min_size=1, max_size=8))
def test_any_profile(profile, abi, many_arguments):
    program = seccomp_compiler.compile(profile, ABIS[abi][1])
    table = numbers(abi)
    mentioned = [given["value"] for rule in profile["syscalls"] for given in rule["args"]]
    many_arguments = many_arguments + [((value + step) & M64,) * 6 for value in mentioned for step in (-1, 0, 1)]
    for number in [*(table[name] for name in NAMES if name in table), 9, 467, 999]:
        for arguments in many_arguments:
            assert outcome(program, abi, number, arguments) == expected(profile, abi, number, arguments)


@given(
    st.lists(values, min_size=1, max_size=40),
    st.lists(values, min_size=1, max_size=20),
    st.sampled_from(["x86_64", "i386"]),
)
def test_a_row_of_equalities(wanted, tried, abi):
    syscalls = [
        rule("personality", "ERRNO" if value % 3 else "ALLOW", arg(0, "EQ", value), errnoRet=9) for value in wanted
    ]
    for one in syscalls:
        if one["action"] == "SCMP_ACT_ALLOW":
            del one["errnoRet"]
    profile = profile_of(*syscalls)
    program = seccomp_compiler.compile(profile, "x86_64")
    number = numbers(abi)["personality"]
    for value in {*tried, *wanted, *(value + 1 & M64 for value in wanted)}:
        arguments = (value, 0, 0, 0, 0, 0)
        assert outcome(program, abi, number, arguments) == expected(profile, abi, number, arguments)


def test_a_32_bit_call_cannot_hide_in_the_high_half():
    """With int $0x80 in 64-bit code, the caller chooses the high half. The kernel and the filter ignore it."""
    profile = profile_of(rule("personality", "ERRNO", arg(0, "EQ", 5)), default="SCMP_ACT_ALLOW")
    program = seccomp_compiler.compile(profile, "x86_64")
    number = numbers("i386")["personality"]
    assert outcome(program, "i386", number, (2**32 + 5, 0, 0, 0, 0, 0)) == EPERM


# --- i386's socketcall and ipc ----------------------------------------------------------------------------------------

SOCKETCALL, IPC = numbers("i386")["socketcall"], numbers("i386")["ipc"]


def multiplexed(profile: dict, entry: int, first: int) -> int:
    return outcome(seccomp_compiler.compile(profile, "x86_64"), "i386", entry, (first, 0xDEAD, 0, 0, 0, 0))


def test_a_forbidden_call_is_forbidden_by_socketcall_too():
    profile = profile_of(rule("socket msgget", "ERRNO", errnoRet=13), default="SCMP_ACT_ALLOW")
    assert multiplexed(profile, SOCKETCALL, 1) == multiplexed(profile, IPC, 13) == ERRNO | 13
    assert multiplexed(profile, IPC, 13 | 1 << 16) == ERRNO | 13  # the version stands above
    assert multiplexed(profile, SOCKETCALL, 2) == multiplexed(profile, IPC, 14) == ALLOW


def test_an_allowed_call_is_allowed_by_socketcall_too():
    profile = profile_of(rule("bind semop", "ALLOW"))
    assert multiplexed(profile, SOCKETCALL, 2) == multiplexed(profile, IPC, 1) == ALLOW
    assert multiplexed(profile, SOCKETCALL, 1) == multiplexed(profile, IPC, 2) == EPERM


def test_rules_about_arguments_that_socketcall_hides_become_strict():
    some = profile_of(rule("socket", "ALLOW", arg(0, "EQ", 2)), rule("socket", "LOG", arg(0, "EQ", 3)))
    assert multiplexed(some, SOCKETCALL, 1) == EPERM
    but_some = profile_of(rule("socket", "KILL_PROCESS", arg(0, "EQ", 40)), default="SCMP_ACT_ALLOW")
    assert multiplexed(but_some, SOCKETCALL, 1) == KILL
    assert multiplexed(but_some, SOCKETCALL, 3) == ALLOW


def test_a_rule_about_socketcall_itself_comes_first():
    always = profile_of(rule("socketcall", "ALLOW"), rule("socket", "ERRNO", errnoRet=13))
    assert multiplexed(always, SOCKETCALL, 1) == ALLOW
    as_by_default = profile_of(rule("socketcall", "ERRNO"), rule("bind", "ALLOW"))
    assert multiplexed(as_by_default, SOCKETCALL, 2) == ALLOW
    sometimes = profile_of(rule("socketcall", "ALLOW", arg(0, "EQ", 1)), rule("socket bind", "ERRNO", errnoRet=13))
    assert multiplexed(sometimes, SOCKETCALL, 1) == ALLOW
    assert multiplexed(sometimes, SOCKETCALL, 2) == ERRNO | 13


# --- size -------------------------------------------------------------------------------------------------------------


def test_jumps_beyond_eight_bits():
    """Test verdicts that differ from each number to the next, and checks hundreds of instructions long."""
    table = numbers("x86_64")
    names = [name for name, number in table.items() if number < 335]
    syscalls = [
        rule(name, "ERRNO", errnoRet=100 + number % 120) for number, name in enumerate(names) if name != "prctl"
    ]
    syscalls += [rule("prctl", "ALLOW", arg(n % 6, "MASKED_EQ", 2**40 - 1, n)) for n in range(150)]
    profile = profile_of(*syscalls)
    program = seccomp_compiler.compile(profile, "x86_64")
    assert len(program) // 8 > 1500
    for number in range(340):
        assert outcome(program, "x86_64", number) == expected(profile, "x86_64", number)
    for n in range(150):
        arguments = tuple(n if index == n % 6 else M64 for index in range(6))
        assert outcome(program, "x86_64", table["prctl"], arguments) == ALLOW
    assert outcome(program, "x86_64", table["prctl"], (M64,) * 6) == EPERM


def test_jumps_of_about_eight_bits():
    """The program grows by an instruction or two each time, so that jumps have all lengths between 200 and 300."""
    syscalls = [
        rule(name, "ERRNO", errnoRet=100 + number)
        for name, number in numbers("x86_64").items()
        if number < 250 and name in numbers("i386") and name in numbers("x32")
    ]
    for count in range(60, len(syscalls)):
        profile = profile_of(*syscalls[:count], default="SCMP_ACT_ALLOW")
        program = seccomp_compiler.compile(profile, "x86_64")
        for abi in ("x86_64", "x32", "i386"):
            for name in ("read", "setsid", "gettid", syscalls[count - 1]["names"][0]):
                number = numbers(abi)[name]
                assert outcome(program, abi, number) == expected(profile, abi, number), (count, abi, name)
        assert run(program, 0, 0)[0] == KILL


def test_an_abi_without_rules():
    program = seccomp_compiler.compile(profile_of(rule("epoll_ctl_old", "TRAP"), default="SCMP_ACT_ALLOW"), "x86_64")
    assert outcome(program, "x86_64", 214) == TRAP
    assert outcome(program, "i386", 214) == ALLOW  # setgid32


def test_the_kernels_limit():
    too_many = [rule("prctl", "ALLOW", arg(n % 6, "GT", 2**40 + n)) for n in range(1000)]
    with pytest.raises(InvalidArgument, match=r"compiles to \d+ instructions .*4096"):
        seccomp_compiler.compile(profile_of(*too_many), "x86_64")


# --- words and tables -------------------------------------------------------------------------------------------------


def test_model_and_kernel_know_the_same_words():
    assert set(seccomp_compiler.ACTIONS) == set(seccomp_profile.ACTIONS)
    assert set(seccomp_compiler.OPERATORS) == set(seccomp_profile.OPERATORS)
    assert set(seccomp.FLAGS) == set(seccomp_profile.FLAGS)


def test_flags():
    assert seccomp.flags({}) == 0
    assert (
        seccomp.flags({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]})
        == 2
    )


@pytest.mark.parametrize("abi", ABIS)
def test_tables_are_in_order(abi):
    listed = list(numbers(abi).values())
    assert listed == sorted(listed)
    assert len(listed) > 320


def test_numbers_by_example():
    known = {
        "x86_64": (0, 165, 435),
        "x32": (0, 165, 435),
        "i386": (3, 21, 435),
        "aarch64": (63, 40, 435),
        "arm": (3, 21, 435),
    }
    for abi, wanted in known.items():
        table = numbers(abi)
        assert (table["read"], table["mount"], table["clone3"]) == wanted
    assert numbers("i386")["socketcall"] == 102
    assert numbers("arm")["set_tls"] == 983045
    assert "socketcall" not in numbers("arm")
    for column, abi in enumerate(("x86_64", "aarch64")):
        table = numbers(abi)
        assert {name: both[column] for name, both in libc._NUMBERS.items()} == {
            name: table[name] for name in libc._NUMBERS
        }


def test_multiplexed_names_exist():
    i386 = numbers("i386")
    for entry, (_, calls) in MULTIPLEXED.items():
        assert entry in i386
        assert set(calls) <= {*i386, "accept", "send", "recv", "semop", "semtimedop"}  # some exist this way only
