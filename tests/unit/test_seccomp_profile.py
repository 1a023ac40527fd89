"""Docker's default profile, and profiles in docker's format, turned into the OCI object."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel import seccomp, seccomp_compiler
from mydocker.kernel.syscalls import numbers
from mydocker.model.oci import seccomp_profile
from mydocker.model.oci.seccomp_profile import default, from_file

DOCKERS = ["CAP_CHOWN", "CAP_MKNOD", "CAP_SYS_CHROOT"]


def allowed(profile: dict) -> set[str]:
    """The system calls that are allowed with any arguments."""
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


def conditional(profile: dict, name: str) -> list[dict]:
    return [arg for rule in profile["syscalls"] if rule["names"] == [name] for arg in rule.get("args", [])]


def read(profile: dict, capabilities=(), kernel=(6, 1), machine="x86_64") -> dict:
    return from_file(json.dumps(profile), capabilities, kernel, machine)


def one(rule: dict, **more) -> dict:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule], **more}


READ = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


# --- default ----------------------------------------------------------------------------------------------------------


def test_the_frame_of_the_default_profile():
    profile = default(DOCKERS, (6, 1), "x86_64")
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert default(DOCKERS, (6, 1), "aarch64")["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]


def test_the_default_profile_is_for_this_machine_unless_told(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", "aarch64")))
    assert default([], (6, 1)) == default([], (6, 1), "aarch64")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", "riscv64")))
    with pytest.raises(HostError, match="riscv64"):
        default([], (6, 1))


def test_what_docker_never_allows():
    capabilities = list(seccomp_profile._WITH_CAPABILITY)
    refused = {
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "swapon",
        "userfaultfd",
        "io_uring_setup",
        "pivot_root",
    }
    assert refused & allowed(default(capabilities, (6, 1), "x86_64")) == set()


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("CAP_SYS_ADMIN", {"mount", "umount2", "unshare", "setns", "clone", "clone3", "bpf", "sethostname"}),
        ("CAP_SYS_CHROOT", {"chroot"}),
        ("CAP_SYS_BOOT", {"reboot"}),
        ("CAP_SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
        ("CAP_SYS_TIME", {"settimeofday", "stime", "clock_settime", "clock_settime64"}),
        ("CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise"}),
        ("CAP_SYS_NICE", {"mbind", "set_mempolicy", "get_mempolicy"}),
        ("CAP_SYSLOG", {"syslog"}),
        ("CAP_BPF", {"bpf"}),
        ("CAP_PERFMON", {"perf_event_open"}),
        ("CAP_DAC_READ_SEARCH", {"open_by_handle_at"}),
    ],
)
def test_a_capability_brings_back_its_calls(capability, names):
    assert names & allowed(default([], (6, 1), "x86_64")) == set()
    assert names <= allowed(default({capability}, (6, 1), "x86_64"))


def test_clone_and_clone3_without_cap_sys_admin():
    profile = default(DOCKERS, (6, 1), "x86_64")
    assert conditional(profile, "clone") == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in profile["syscalls"]
    assert conditional(default(["CAP_SYS_ADMIN"], (6, 1), "x86_64"), "clone") == []


def test_kernel_and_machine_decide():
    assert "ptrace" in allowed(default([], (4, 8), "x86_64"))
    assert "ptrace" not in allowed(default([], (4, 7), "x86_64"))
    assert "ptrace" in allowed(default(["CAP_SYS_PTRACE"], (4, 7), "x86_64"))
    assert {"arch_prctl", "modify_ldt"} <= allowed(default([], (6, 1), "x86_64"))
    arm = allowed(default([], (6, 1), "aarch64"))
    assert "set_tls" in arm
    assert "arch_prctl" not in arm


def test_no_name_is_misspelt():
    """riscv_hwprobe alone is no call of the ABIs here."""
    known = {name for abi in ("x86_64", "x32", "i386", "aarch64", "arm") for name in numbers(abi)}
    for machine in ("x86_64", "aarch64"):
        profile = default(list(seccomp_profile._WITH_CAPABILITY), (6, 1), machine)
        named = [name for rule in profile["syscalls"] for name in rule["names"]]
        assert set(named) - known == {"riscv_hwprobe"}
        words = seccomp_profile._ALWAYS.split()
        assert len(words) == len(set(words)) == 361


def test_a_caller_may_change_what_it_got():
    first = default(DOCKERS, (6, 1), "x86_64")
    wanted = json.dumps(first)
    first["architectures"].clear()
    for rule in first["syscalls"]:
        rule["names"].clear()
    assert json.dumps(default(DOCKERS, (6, 1), "x86_64")) == wanted


def test_the_default_profile_reads_back_from_a_file():
    profile = default(DOCKERS, (6, 1), "x86_64")
    assert read(profile) == profile


# --- docker's format --------------------------------------------------------------------------------------------------


def test_the_smallest_profile():
    assert read({"defaultAction": "SCMP_ACT_ALLOW"}) == {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}


def test_null_is_nothing():
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": None,
        "architectures": None,
        "archMap": None,
        "syscalls": [{**READ, "errnoRet": None, "args": None, "includes": None, "excludes": {}, "comment": "why"}],
    }
    assert read(profile) == {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [READ]}
    assert read({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": None})["syscalls"] == []


def test_arguments_get_what_go_would_give_them():
    rule = {**READ, "args": [{"op": "SCMP_CMP_EQ", "valueTwo": None}]}
    assert read(one(rule))["syscalls"][0]["args"] == [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]


def test_arch_map():
    arch_map = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
    ]
    assert read(one(READ, archMap=arch_map))["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert read(one(READ, archMap=arch_map), machine="aarch64")["architectures"] == ["SCMP_ARCH_AARCH64"]
    assert "architectures" not in read(one(READ, archMap=[{"architecture": "SCMP_ARCH_S390X"}]))


def test_old_files_have_one_name():
    assert read(one({"name": "read", "action": "SCMP_ACT_ALLOW", "names": []}))["syscalls"] == [READ]


def test_numbers_and_flags_come_through():
    profile = one(
        {**READ, "action": "SCMP_ACT_TRACE", "errnoRet": 7}, defaultErrnoRet=38, flags=["SECCOMP_FILTER_FLAG_LOG"]
    )
    result = read(profile)
    assert (result["defaultErrnoRet"], result["syscalls"][0]["errnoRet"]) == (38, 7)
    assert seccomp.flags(result) == 2


@pytest.mark.parametrize(
    ("conditions", "there"),
    [
        ({"includes": {"caps": ["CAP_BPF"]}}, True),
        ({"includes": {"caps": ["CAP_BPF", "CAP_PERFMON"]}}, False),
        ({"includes": {"caps": ["CAP_BPF"], "arches": ["arm64"]}}, False),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": "5.19"}}, True),
        ({"excludes": {"caps": ["CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_PERFMON", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_PERFMON"]}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"excludes": {"minKernel": "6.0"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": {"caps": ["CAP_BPF"]}, "excludes": {"arches": ["amd64"]}}, False),
    ],
)
def test_conditions(conditions, there):
    assert (READ in read(one({**READ, **conditions}), ["CAP_BPF"])["syscalls"]) is there


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        ('{"defaultAction": NaN}', "it is not JSON"),
        ("[" * 100000, "it is not JSON"),
        ("[]", "it must be an object"),
        ("null", "it must be an object"),
        ("{}", "defaultAction is missing"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "defaultAction is 'SCMP_ACT_NOTIFY'.*SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"),
        ('{"defaultAction": ["SCMP_ACT_ALLOW"]}', "defaultAction is"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}', "defaultErrnoRet with SCMP_ACT_ALLOW"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}', "defaultErrnoRet is 4096.*0 to 4095"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": true}', "defaultErrnoRet is True"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {}}', "syscalls must be a list"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [null]}', r"syscalls\[0\] must be an object"),
        (
            '{"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_X"]}',
            r"flags\[0\] is 'SECCOMP_FILTER_FLAG_X'",
        ),
    ],
)
def test_what_is_no_profile(text, message):
    with pytest.raises(InvalidArgument, match=f"^invalid seccomp profile: .*{message}"):
        from_file(text, [], (6, 1), "x86_64")


EQ = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "SCMP_ACT_PERMIT"}, r"syscalls\[0\].action is 'SCMP_ACT_PERMIT'.*one of SCMP_ACT_ALLOW"),
        ({"action": None}, r"syscalls\[0\].action is missing"),
        ({"names": "read"}, r"syscalls\[0\].names must be a list"),
        ({"names": ["read", 3]}, r"syscalls\[0\].names\[1\] must be a string"),
        ({"names": [None]}, r"syscalls\[0\].names\[0\] must be a string"),
        ({"names": []}, r"syscalls\[0\] must have either names or name"),
        ({"name": "read"}, r"syscalls\[0\] must have either names or name"),
        ({"errnoRet": 1}, r"syscalls\[0\] has errnoRet with SCMP_ACT_ALLOW"),
        ({"args": [{**EQ, "op": "SCMP_CMP_LIKE"}]}, r"syscalls\[0\].args\[0\].op is 'SCMP_CMP_LIKE'"),
        ({"args": [{**EQ, "op": None}]}, r"syscalls\[0\].args\[0\].op is missing"),
        ({"args": [EQ, {**EQ, "index": 6}]}, r"syscalls\[0\].args\[1\].index is 6.*0 to 5"),
        ({"args": [{**EQ, "value": -1}]}, r"syscalls\[0\].args\[0\].value is -1"),
        ({"args": [{**EQ, "value": 2**64}]}, r"syscalls\[0\].args\[0\].value is 18446744073709551616"),
        ({"args": [{**EQ, "value": 1.0}]}, r"syscalls\[0\].args\[0\].value is 1.0"),
        ({"args": [{**EQ, "valueTwo": "1"}]}, r"syscalls\[0\].args\[0\].valueTwo is '1'"),
        ({"args": ["x"]}, r"syscalls\[0\].args\[0\] must be an object"),
        ({"includes": {"caps": "CAP_BPF"}}, r"syscalls\[0\].includes.caps must be a list"),
        ({"excludes": {"minKernel": 4.8}}, r"syscalls\[0\].excludes.minKernel must be a string"),
        ({"excludes": {"minKernel": "4"}}, r"syscalls\[0\] has minKernel '4'"),
        ({"includes": {"minKernel": "4." + "9" * 5000}}, r"syscalls\[0\] has minKernel '4.999"),
        ({"includes": {"minKernel": "4.8.1"}}, r"syscalls\[0\] has minKernel '4.8.1'"),
    ],
)
def test_what_is_no_rule(change, message):
    with pytest.raises(InvalidArgument, match=f"^invalid seccomp profile: {message}"):
        read(one({**READ, **change}))


def test_a_rule_that_does_not_apply_is_checked_too():
    with pytest.raises(InvalidArgument, match="SCMP_ACT_PERMIT"):
        read(one({**READ, "action": "SCMP_ACT_PERMIT", "includes": {"arches": ["s390x"]}}))


def test_architectures_beside_arch_map():
    with pytest.raises(InvalidArgument, match="both architectures and archMap"):
        read(one(READ, architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]))


def test_unknown_names_and_keys_are_no_error():
    profile = one({**READ, "names": ["read", "no_such_call"], "priority": 3}, comment="mine")
    result = read(profile)
    assert "comment" not in result
    assert seccomp_compiler.compile(result, "x86_64") == seccomp_compiler.compile(one(READ), "x86_64")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(seccomp_profile.ACTIONS)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*seccomp_profile._PROFILE, *seccomp_profile._RULE, "op", "index", "caps"]), inner
        )
    ),
    max_leaves=25,
)


@given(json_values)
def test_a_profile_makes_a_program_or_an_invalid_argument(document):
    try:
        profile = read(document)
    except InvalidArgument:
        return
    assert len(seccomp_compiler.compile(profile, "x86_64")) % 8 == 0


@given(json_values, st.sampled_from(sorted(seccomp_profile._RULE)))
def test_a_rule_makes_a_program_or_an_invalid_argument(value, key):
    try:
        profile = read(one({**READ, key: value}))
    except InvalidArgument:
        return
    assert len(seccomp_compiler.compile(profile, "x86_64")) % 8 == 0
