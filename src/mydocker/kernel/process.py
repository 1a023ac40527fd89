"""Processes, namespaces and credentials: one short function for each system call."""

from __future__ import annotations

import errno
import os
from _struct import pack
from time import monotonic

from mydocker.kernel.libc import address_of, syscall

# <linux/sched.h>, by the names of the OCI runtime spec's namespaces.
NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_INTO_CGROUP = 0x200000000

_SIGCHLD = 17
_CLOSE_RANGE_UNSHARE = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP = 1, 4, 8, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 2, 4
_PR_SET_NAME = 15
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION_3 = 0x20080522


def clone(flags: int, cgroup: int = -1) -> tuple[int, int]:
    """fork(2) with namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    flags: NAMESPACES and CLONE_* bits. cgroup: a descriptor of the cgroup v2 directory to start in, or -1.
    With CLONE_PARENT the child is a sibling of the caller, and its end is reported to the caller's parent.
    """
    pidfd = bytearray(4)
    if cgroup >= 0:
        flags |= CLONE_INTO_CGROUP
    # With CLONE_PARENT the kernel accepts no exit signal: the child inherits the caller's.
    exit_signal = 0 if flags & CLONE_PARENT else _SIGCHLD
    # struct clone_args (clone3(2)): flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    arguments = pack("<11Q", flags | CLONE_PIDFD, address_of(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup, 0))
    pid = syscall("clone3", arguments, len(arguments), about="clone3")
    return pid, (int.from_bytes(pidfd, "little") if pid else -1)


def clone_into(cgroup: str, flags: int) -> tuple[int, int]:
    """Call clone() for a child in the cgroup v2 directory `cgroup`, or, if that is "", in the caller's cgroup."""
    if not cgroup:
        return clone(flags)
    directory = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return clone(flags, directory)
    finally:
        os.close(directory)


def unshare(flags: int) -> None:
    syscall("unshare", flags, about="unshare")


def setns(descriptor: int, flags: int) -> None:
    """Join the namespaces of the process that the pidfd `descriptor` refers to (Linux 5.8). flags: which ones."""
    syscall("setns", descriptor, flags, about="setns")


def pidfd_open(pid: int) -> int:
    return syscall("pidfd_open", pid, 0, about=f"process {pid}")


def die_with_parent(signal: int = 9) -> None:
    syscall("prctl", _PR_SET_PDEATHSIG, signal, 0, 0, 0)


def set_dumpable(dumpable: bool) -> None:
    """dumpable: False closes /proc/PID/exe, mem, fd and root to every process without CAP_SYS_PTRACE."""
    syscall("prctl", _PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def set_name(name: str) -> None:
    """Set the name that `ps` shows as comm; at most 15 bytes."""
    syscall("prctl", _PR_SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)


def no_new_privileges() -> None:
    syscall("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def keep_capabilities(keep: bool) -> None:
    syscall("prctl", _PR_SET_KEEPCAPS, int(keep), 0, 0, 0)


def drop_bounding(keep: int) -> None:
    """Drop all capabilities that are not in the mask `keep`. The kernel returns EINVAL for the first unknown number."""
    for number in range(64):
        if not keep >> number & 1:
            try:
                syscall("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, about="bounding set")
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return


def set_ambient(capabilities: int) -> None:
    """Set the ambient capabilities to a bit mask, as everywhere in this module."""
    syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        if capabilities >> number & 1:
            syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    header = pack("<Ii", _CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    low, high = ([value >> shift & 0xFFFFFFFF for value in sets] for shift in (0, 32))
    syscall("capset", header, pack("<6I", *low, *high), about="capset")


def set_rlimit(resource: int, soft: int, hard: int) -> None:
    """soft, hard: in the resource's own unit, -1 for unlimited."""
    limit = pack("<2Q", soft & 0xFFFFFFFFFFFFFFFF, hard & 0xFFFFFFFFFFFFFFFF)
    syscall("prlimit64", 0, resource, limit, None, about="prlimit")


def get_limit(resource: int, hard: bool = False) -> int:
    """Return the soft (or hard) limit of this process, 2^64-1 for unlimited."""
    limits = bytearray(16)
    syscall("prlimit64", 0, resource, None, limits, about="prlimit")
    return int.from_bytes(limits[8:] if hard else limits[:8], "little")


def raise_limit(resource: int) -> None:
    """Remove the limit or, without CAP_SYS_RESOURCE, raise it to the hard limit."""
    hard = get_limit(resource, hard=True)
    try:
        set_rlimit(resource, -1, -1)
    except PermissionError:
        set_rlimit(resource, hard, hard)


def new_session_keyring() -> None:
    """Join a new, empty session keyring, as the caller's keys could be read otherwise. Some kernels have no keys."""
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None, about="session keyring")
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise


def set_hostname(name: str) -> None:
    data = os.fsencode(name)
    syscall("sethostname", data, len(data), about=name)


def set_domainname(name: str) -> None:
    data = os.fsencode(name)
    syscall("setdomainname", data, len(data), about=name)


def parent(pid: int) -> int:
    """Return the PID of the parent, 0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def pid_of(pidfd: int) -> int:
    """Return the PID of a process; -1 if it has been reaped."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("Pid:")).split()[1])


def bounding_set(pid: int) -> int:
    """Return the bits of the capabilities that a process may ever have; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return int(next(line for line in file if line.startswith("CapBnd:")).split()[1], 16)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_protected(pid: int, signal: int) -> bool:
    """True if the signal does nothing to a process and its children: it is the first of its PID namespace, has no
    handler, and no children."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            about = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read()
    except OSError:
        return False
    is_first = about["NSpid"].split()[1:] != [] and about["NSpid"].split()[-1] == "1"
    return is_first and not int(about["SigCgt"], 16) >> (signal - 1) & 1 and not children


def ends_within(pidfd: int, seconds: float | None) -> bool:
    """Wait for the end of a process. seconds: how long at most, None for ever. Returns False if it still runs."""
    import select  # here, as few commands wait

    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    deadline = None if seconds is None else monotonic() + seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - monotonic())
        if poller.poll(None if left is None else left * 1000):
            return True
        if left is not None and left <= 0:
            return False


def reap(pid: int, seconds: float) -> None:
    """Wait for the end of a child, but not for ever."""
    pidfd = pidfd_open(pid)
    try:
        if ends_within(pidfd, seconds):
            os.waitpid(pid, 0)
    finally:
        os.close(pidfd)


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` up."""
    syscall("close_range", lowest, 0xFFFFFFFF, _CLOSE_RANGE_UNSHARE, about="close_range")


def transferred(pid: int) -> int:
    """Return how many bytes a process has read and written, sockets included (/proc/PID/io); 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            return sum(int(row.split()[1]) for row in file.read().splitlines()[:2])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def start_time(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (/proc/PID/stat field 22); 0 if there is none.

    With the PID and the boot ID this identifies a process for ever. Raises OSError if it can't be read, for instance
    because too many files are open.
    """
    fields = _stat(pid)
    return 0 if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _stat(pid: int) -> list[bytes]:
    """Read the fields of /proc/PID/stat from the third (the state) on; [] if there is no process. Raises OSError."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.read(descriptor, 1024)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat[stat.rindex(b")") + 2 :].split()
