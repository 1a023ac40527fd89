"""Load a classic BPF program, made by seccomp_compiler.py, by seccomp(2). A start gets its program from
engine/filters.py."""

from __future__ import annotations

from _struct import pack

from mydocker.kernel.libc import address_of, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# SECCOMP_FILTER_FLAG_*. A process that loads a filter here has one thread, so that TSYNC has no effect.
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}
_SET_MODE_FILTER = 1


def load(program: bytes, flags: int = 0) -> None:
    """Filter the system calls of this thread and of all its future children. This cannot be undone.

    The kernel wants CAP_SYS_ADMIN or no_new_privs (EACCES otherwise). flags: from flags().
    """
    instructions = bytearray(program)
    sock_fprog = pack("HP", len(program) // 8, address_of(instructions))
    syscall("seccomp", _SET_MODE_FILTER, flags, sock_fprog, about="seccomp")


def flags(profile: dict[str, Any]) -> int:
    """Return the profile's flags as load() takes them."""
    return sum({FLAGS[name] for name in profile.get("flags") or []})
