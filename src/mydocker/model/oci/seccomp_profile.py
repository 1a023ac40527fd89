"""Seccomp profiles: docker's default profile, and profiles from files.

Both functions return the OCI runtime spec's `linux.seccomp` object, with every condition (capabilities, kernel,
machine) already decided:

    {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64", …],
     "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW",
                   "args": [{"index": 0, "value": 12, "op": "SCMP_CMP_LT"}]}, …]}

The default profile is that of github.com/moby/profiles, seccomp/default.json, as of commit 02e898b (2026). It lists
what is allowed, so an unknown system call is refused. Left out on purpose are mount and its family, new namespaces,
keyctl (keys have no namespace), kexec, modules, clocks, swap, bpf, perf, userfaultfd and io_uring (many kernel bugs),
and socket families that reach past a network namespace. Some of these are allowed with the matching capability.
"""

from __future__ import annotations

import os

from mydocker import jsontext
from mydocker.errors import HostError, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

# The OCI runtime spec's actions, without SCMP_ACT_NOTIFY: mydocker has no process that would answer.
ACTIONS = (
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
)
OPERATORS = (
    "SCMP_CMP_EQ",
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)
FLAGS = ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")

# machine, by uname -> (its name in docker's profiles, its architecture and the others that it can run)
_MACHINES = {
    "x86_64": ("amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    "aarch64": ("arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
}

_ALWAYS = """
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid
    getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
    getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area
    gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set
    io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
    mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall
    riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid
    setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area
    set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
    timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe
    utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
"""
_ON_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
}
# Before 4.8 a tracer could change a call after the filter had seen it.
_SINCE_4_8 = "process_vm_readv process_vm_writev ptrace"
_WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
# socket(2): every family up to AF_MCTP (45) except those that Linux has removed, AF_ALG (38: the kernel's cryptography,
# with a history of holes) and AF_VSOCK (40: to the hypervisor, past the network namespace).
_SOCKET_FAMILIES_END = 46
_REFUSED_SOCKET_FAMILIES = (12, 19, 20, 23, 25, 34, 37, 38, 40)
# personality(2): PER_LINUX and PER_LINUX32, each also with UNAME26, and the query of the current one.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# clone(2): CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET, none of which may be set.
_NEW_NAMESPACES = 0x7E020000

_EPERM, _ENOSYS = 1, 38


def default(capabilities: Collection[str], kernel: tuple[int, int], machine: str = "") -> dict[str, Any]:
    """Return docker's default profile.

    capabilities: the container's bounding set, such as "CAP_SYS_CHROOT". kernel: (6, 1) for Linux 6.1. machine: x86_64
    or aarch64, by default this one's. Raises HostError for other machines.
    """
    machine = _known(machine)
    names = (_ALWAYS + _ON_MACHINE[machine]).split()
    if kernel >= (4, 8):
        names += _SINCE_4_8.split()
    syscalls = [_allow(names)]
    first_refused = _REFUSED_SOCKET_FAMILIES[0]
    syscalls.append(_allow(["socket"], 0, "SCMP_CMP_LT", first_refused))
    for family in range(first_refused, _SOCKET_FAMILIES_END):
        if family not in _REFUSED_SOCKET_FAMILIES:
            syscalls.append(_allow(["socket"], 0, "SCMP_CMP_EQ", family))
    for personality in _PERSONALITIES:
        syscalls.append(_allow(["personality"], 0, "SCMP_CMP_EQ", personality))
    for capability, unlocked in _WITH_CAPABILITY.items():
        if capability in capabilities:
            syscalls.append(_allow(unlocked.split()))
    if "CAP_SYS_ADMIN" not in capabilities:
        syscalls.append(_allow(["clone"], 0, "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES))
        # clone3 has its flags in memory, where no filter sees them. After ENOSYS the C library uses clone.
        syscalls.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(_MACHINES[machine][1]),
        "syscalls": syscalls,
    }


def _known(machine: str) -> str:
    machine = machine or os.uname().machine
    if machine not in _MACHINES:
        raise HostError(f"no seccomp profile for {machine}", "--security-opt seccomp=unconfined runs without a filter")
    return machine


def _allow(names: list[str], index: int = 0, op: str = "", value: int = 0) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if op:
        rule["args"] = [{"index": index, "value": value, "op": op}]
    return rule


# --- docker's file format ---------------------------------------------------------------------------------------------

# Shapes for _check: a type; a range of numbers; a tuple of words, one of which is required; [shape], {key: shape}.
_FILTER = {"caps": [str], "arches": [str], "minKernel": str}
_ARGUMENT = {"index": range(6), "value": range(2**64), "valueTwo": range(2**64), "op": OPERATORS}
_RULE = {
    "names": [str],
    "name": str,
    "action": ACTIONS,
    "errnoRet": range(4096),
    "args": [_ARGUMENT],
    "includes": _FILTER,
    "excludes": _FILTER,
}
_PROFILE = {
    "defaultAction": ACTIONS,
    "defaultErrnoRet": range(4096),
    "architectures": [str],
    "archMap": [{"architecture": str, "subArchitectures": [str]}],
    "flags": [FLAGS],
    "syscalls": [_RULE],
}


def from_file(
    text: str | bytes, capabilities: Collection[str], kernel: tuple[int, int], machine: str = ""
) -> dict[str, Any]:
    """Read a profile in docker's format: the OCI object plus archMap, and includes and excludes for each rule.

    The other arguments are those of default(). Raises InvalidArgument for an invalid profile. As with docker, unknown
    names of system calls are not an error, here or later: another kernel may have them.
    """
    docker_name, architectures = _MACHINES[_known(machine)]
    try:
        document = jsontext.loads(text)
    except ValueError as problem:
        raise _invalid(f"it is not JSON: {problem}") from None
    _check(document, _PROFILE, "it")
    document = {key: value for key, value in document.items() if value is not None}
    if document.get("architectures") and document.get("archMap"):
        raise _invalid("it has both architectures and archMap", "keep one of them")

    profile = {key: document[key] for key in ("defaultAction", "architectures", "flags") if key in document}
    profile.update(_errno(document, "defaultErrnoRet", document["defaultAction"], "it"))
    for entry in document.get("archMap", ()):
        if entry.get("architecture") == architectures[0]:
            profile["architectures"] = [architectures[0], *(entry.get("subArchitectures") or ())]
    profile["syscalls"] = []
    for number, rule in enumerate(document.get("syscalls", ())):
        where = f"syscalls[{number}]"
        checked = _rule(rule, where)
        includes = _conditions(rule.get("includes") or {}, where, docker_name, capabilities, kernel)
        excludes = _conditions(rule.get("excludes") or {}, where, docker_name, capabilities, kernel)
        if all(includes) and not any(excludes):
            profile["syscalls"].append(checked)
    return profile


def _rule(rule: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the rule without the fields that only docker has."""
    names, name = rule.get("names") or [], rule.get("name")
    if bool(names) == bool(name):
        raise _invalid(f"{where} must have either names or name")
    checked = {"names": names or [name], "action": rule["action"]}
    checked.update(_errno(rule, "errnoRet", rule["action"], where))
    if rule.get("args"):
        given = ({key: value for key, value in arg.items() if value is not None} for arg in rule["args"])
        checked["args"] = [{"index": 0, "value": 0, **arg} for arg in given]
    return checked


def _errno(record: dict[str, Any], key: str, action: str, where: str) -> dict[str, int]:
    """Return {key: its number}, if it has one. The OCI spec requires an error for an action that can't return one."""
    number = record.get(key)
    if number is None:
        return {}
    if action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        raise _invalid(f"{where} has {key} with {action}", "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one")
    return {key: number}


def _conditions(
    group: dict[str, Any], where: str, docker_name: str, capabilities: Collection[str], kernel: tuple[int, int]
) -> list[bool]:
    """Evaluate the conditions. A rule counts if all of its `includes` are true and none of its `excludes`."""
    results = [capability in capabilities for capability in group.get("caps") or ()]
    if group.get("arches"):
        results.append(docker_name in group["arches"])
    if group.get("minKernel"):
        major, _, minor = group["minKernel"].partition(".")
        if not (major.isdecimal() and minor.isdecimal() and len(major) < 4 and len(minor) < 4):
            raise _invalid(f"{where} has minKernel {group['minKernel']!r}", "a version such as 4.8")
        results.append(kernel >= (int(major), int(minor)))
    return results


def _check(value: Any, shape: Any, where: str) -> None:
    """Check that a value has the shape. A null field counts as missing, as in Go. Raises InvalidArgument, which names
    the place."""
    if isinstance(shape, tuple):
        if value not in shape:
            raise _invalid(f"{where} is {value!r}", f"one of {', '.join(shape)}")
    elif isinstance(shape, range):
        if type(value) is not int or value not in shape:  # True is an int, too, and in range(2)
            raise _invalid(f"{where} is {value!r}", f"a number from 0 to {shape[-1]}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _invalid(f"{where} must be a list")
        for number, item in enumerate(value):
            _check(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _invalid(f"{where} must be an object")
        for key, inner in shape.items():
            place = key if where == "it" else f"{where}.{key}"
            if value.get(key) is not None:
                _check(value[key], inner, place)
            elif isinstance(inner, tuple):
                raise _invalid(f"{place} is missing", f"one of {', '.join(inner)}")
    elif not isinstance(value, shape):
        raise _invalid(f"{where} must be a string")


def _invalid(what: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(f"invalid seccomp profile: {what}", hint)
