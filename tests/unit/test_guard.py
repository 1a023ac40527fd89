"""The guard of conftest.py bites."""

from __future__ import annotations

import os
import subprocess

import pytest

from mydocker.kernel import libc


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(os.fork, id="fork"),
        pytest.param(lambda: os.posix_spawn("/bin/true", ["true"], {}), id="posix_spawn"),
        pytest.param(lambda: os.execv("/bin/true", ["true"]), id="exec"),
        pytest.param(lambda: subprocess.run(["true"]), id="subprocess"),
        pytest.param(lambda: os.kill(os.getpid(), 0), id="kill"),
        pytest.param(lambda: libc.syscall("unshare", 0), id="system call"),
    ],
)
def test_a_unit_test_may_not(act):
    with pytest.raises(PermissionError, match="a unit test may not"):
        act()
