"""capabilities.py against the kernel's numbers and docker's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.oci import capabilities

DOCKER = {
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
        "AUDIT_WRITE"
    ).split()
}


def bounding(add=(), drop=(), privileged=False, available=capabilities.ALL):
    add, drop = capabilities.parse(list(add)), capabilities.parse(list(drop))
    return set(capabilities.bounding(add, drop, privileged, available))


def test_numbers():
    """From <linux/capability.h>."""
    known = {
        "CAP_CHOWN": 0,
        "CAP_SETPCAP": 8,
        "CAP_SYS_ADMIN": 21,
        "CAP_SYS_RESOURCE": 24,
        "CAP_MKNOD": 27,
        "CAP_SYSLOG": 34,
    }
    known.update({"CAP_AUDIT_READ": 37, "CAP_PERFMON": 38, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40})
    assert {name: capabilities.NAMES.index(name) for name in known} == known
    assert len(capabilities.NAMES) == 41
    assert 1 << known["CAP_SYS_RESOURCE"] == capabilities.SYS_RESOURCE


def test_the_default_is_dockers():
    assert set(capabilities.names(capabilities.DEFAULT)) == DOCKER
    assert bounding() == DOCKER


@given(st.integers(0, capabilities.ALL))
def test_a_mask_reads_back(mask):
    assert capabilities.mask(capabilities.names(mask)) == mask


def test_newer_bits_of_a_kernel_are_left_out():
    assert capabilities.names(1 << 63 | 1) == ["CAP_CHOWN"]


@pytest.mark.parametrize("text", ["SYS_ADMIN", "sys_admin", "CAP_SYS_ADMIN", "cap_Sys_Admin"])
def test_spellings(text):
    assert capabilities.parse([text]) == ["CAP_SYS_ADMIN"]


def test_all_is_a_name():
    assert capabilities.parse(["all", "KILL"]) == ["ALL", "CAP_KILL"]


@pytest.mark.parametrize("text", ["", "FOO", "CAP_", "CAP_ALL", "CAP_CAP_KILL", "\u212aILL", " KILL"])
def test_unknown(text):
    with pytest.raises(InvalidArgument, match="unknown capability"):
        capabilities.parse([text])


ALL = set(capabilities.NAMES)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"add": ["SYS_ADMIN"]}, DOCKER | {"CAP_SYS_ADMIN"}),
        ({"drop": ["KILL", "SYS_TIME"]}, DOCKER - {"CAP_KILL"}),
        ({"drop": ["ALL"]}, set()),
        ({"drop": ["ALL"], "add": ["KILL", "SYS_TIME"]}, {"CAP_KILL", "CAP_SYS_TIME"}),
        ({"add": ["ALL"]}, ALL),
        ({"add": ["ALL"], "drop": ["SYS_ADMIN"]}, ALL - {"CAP_SYS_ADMIN"}),
        ({"add": ["KILL"], "drop": ["KILL"]}, DOCKER),
        ({"privileged": True}, ALL),
        ({"privileged": True, "drop": ["ALL"]}, ALL),
    ],
)
def test_dockers_rules(options, expected):
    assert bounding(**options) == expected


def test_all_and_nothing():
    with pytest.raises(InvalidArgument, match="conflicting options"):
        bounding(add=["ALL"], drop=["ALL"])


class TestOnAMachineWithoutSysResourceAndKill:
    AVAILABLE = capabilities.ALL & ~capabilities.mask(["CAP_SYS_RESOURCE", "CAP_KILL"])

    @pytest.mark.parametrize("options", [{}, {"add": ["ALL"]}, {"privileged": True}, {"add": ["NET_ADMIN"]}])
    def test_the_sets_hold_only_available_capabilities(self, options):
        assert not {"CAP_SYS_RESOURCE", "CAP_KILL"} & bounding(**options, available=self.AVAILABLE)

    def test_what_was_asked_for_by_name_is_an_error(self):
        with pytest.raises(InvalidArgument, match="CAP_SYS_RESOURCE is not available"):
            bounding(add=["SYS_RESOURCE"], available=self.AVAILABLE)

    def test_what_the_host_has_not_can_be_dropped(self):
        assert bounding(drop=["KILL"], available=self.AVAILABLE) == DOCKER - {"CAP_KILL"}
