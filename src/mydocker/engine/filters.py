"""The compiled seccomp filter, cached: compiling takes 1 ms, as long as clone(2).

/run/mydocker/_seccomp/<sum>    a line with the compiler's ctime, the machine and the profile; then the program
"""

from __future__ import annotations

import os
from binascii import crc32

from mydocker import jsontext, paths
from mydocker.errors import HostError
from mydocker.kernel import libc
from mydocker.kernel.files import make_private, read_regular, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROOT = libc.__file__.rpartition("/kernel/")[0]
_COMPILER = [f"{_ROOT}/kernel/seccomp_compiler.py", f"{_ROOT}/generated/syscalls.py"]


def program(spec: dict[str, Any]) -> bytes:
    """Return the program for the OCI spec's `linux.seccomp`, which security.plan() loads; b"" if it has none. Raises
    InvalidArgument or HostError for a profile that can't be compiled here."""
    profile = spec["linux"].get("seccomp")
    if not profile:
        return b""
    # ctime, not mtime: packages give every file of a release the same mtime.
    ages = [os.stat(path).st_ctime_ns for path in _COMPILER]
    line = f"{ages} {libc.MACHINE} {jsontext.dumps(profile)}\n".encode()
    path = f"{paths.RUN}/_seccomp/{crc32(line):08x}"
    try:
        known = read_regular(path)
        if known.startswith(line):
            return known[len(line) :]
    except OSError:
        pass  # the first filter of its kind since the machine was booted
    from mydocker.kernel import seccomp_compiler

    compiled = seccomp_compiler.compile(profile, libc.MACHINE)
    try:
        for directory in (paths.RUN, os.path.dirname(path)):
            make_private(directory)
        write_atomic(path, line + compiled)
    except (OSError, HostError):
        pass  # then the next start compiles it again
    return compiled
