"""The seccomp filter, loaded into the running kernel by child processes.

Every call is made with harmless arguments, once without and once with the filter: a refusal counts as the filter's only
if the kernel itself answers otherwise.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys

import pytest

from mydocker.kernel import libc, process, seccomp, seccomp_compiler
from mydocker.kernel.syscalls import X32_BIT, numbers
from mydocker.model.oci import seccomp_profile

MACHINE = platform.machine()
pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="needs root: a filter without no_new_privs, and calls that root may make"
    ),
    pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason=f"no filter for {MACHINE}"),
]
x86_64_only = pytest.mark.skipif(MACHINE != "x86_64", reason="needs x86-64")

KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])
DOCKERS = [
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
    *(
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ),
]
DEFAULT = seccomp_profile.default(DOCKERS, KERNEL)
PROGRAM = seccomp_compiler.compile(DEFAULT, MACHINE)

_syscall = ctypes.CDLL(None, use_errno=True).syscall


@pytest.fixture(autouse=True)
def nothing_left():
    """Replace the fixture in conftest.py, which checks containers: these tests start none."""


def call(number: int, *arguments: int) -> int:
    """Make a system call. Returns its result, or -errno."""
    result = _syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return -ctypes.get_errno() if result == -1 else result


def in_child(function, program: bytes | None = None):
    """Call the function in a child with the filter. Returns its result (JSON), or the signal that ended the child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if program is not None:
                seccomp.load(program)
            os.write(writer, json.dumps(function()).encode())
            status = 0
        except BaseException as problem:
            os.write(writer, json.dumps(f"{type(problem).__name__}: {problem}").encode())
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    assert status == 0, text
    return json.loads(text)


def both(number: int, *arguments: int, program: bytes = PROGRAM) -> tuple[int, int]:
    """Return the kernel's answers without and with the filter."""
    return in_child(lambda: call(number, *arguments)), in_child(lambda: call(number, *arguments), program)


def test_it_needs_a_privilege_or_no_new_privs():
    def as_nobody():
        os.setuid(65534)
        try:
            seccomp.load(PROGRAM)
        except OSError as problem:
            before = problem.errno
        process.no_new_privileges()
        seccomp.load(PROGRAM)
        return before

    assert in_child(as_nobody) == errno.EACCES


def test_the_kernel_shows_the_filter():
    def mode():
        with open("/proc/self/status") as status:
            return next(line.split()[1] for line in status if line.startswith("Seccomp:"))

    assert in_child(mode, PROGRAM) == "2"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unshare", (0,)),
        ("mount", (0, 0, 0, 0, 0)),
        ("umount2", (0, 0)),
        ("setns", (-1, 0)),
        ("pivot_root", (0, 0)),
        ("open_tree", (-1, 0, 0)),
        ("fsopen", (0, 0)),
        ("keyctl", (0, -1, 0)),  # KEYCTL_GET_KEYRING_ID of the thread's own
        ("add_key", (0, 0, 0, 0, 0)),
        ("bpf", (0, 0, 0)),
        ("perf_event_open", (0, 0, -1, -1, 0)),
        ("userfaultfd", (-1,)),
        ("io_uring_setup", (0, 0)),
        ("kexec_load", (0, 0, 0, -1)),
        ("init_module", (0, 0, 0)),
        ("reboot", (0, 0, 0, 0)),
        ("swapon", (0, -1)),
        ("sethostname", (0, -1)),
        ("settimeofday", (0, 0)),
        ("acct", (-1,)),
        ("syslog", (10, 0, 0)),  # SYSLOG_ACTION_SIZE_BUFFER
        ("quotactl", (-1, 0, 0, 0)),
        ("personality", (0x40000,)),  # ADDR_NO_RANDOMIZE
    ],
)
def test_refused(name, arguments):
    without, filtered = both(numbers(MACHINE)[name], *arguments)
    assert filtered == -errno.EPERM
    if without in (-errno.EPERM, -errno.ENOSYS):
        pytest.skip(f"this kernel itself answers {errno.errorcode[-without]}, whatever the filter says")


@pytest.mark.parametrize(
    ("capability", "name", "arguments"),
    [
        ("CAP_SYS_ADMIN", "unshare", (0,)),
        ("CAP_SYS_ADMIN", "mount", (0, 0, 0, 0, 0)),
        ("CAP_SYS_ADMIN", "clone3", (0, 0)),
        ("CAP_SYSLOG", "syslog", (10, 0, 0)),
        ("CAP_SYS_MODULE", "delete_module", (0, 0)),
    ],
)
def test_a_capability_allows_the_call(capability, name, arguments):
    program = seccomp_compiler.compile(seccomp_profile.default([*DOCKERS, capability], KERNEL), MACHINE)
    without, filtered = both(numbers(MACHINE)[name], *arguments, program=program)
    assert filtered == without


def test_clone3_is_as_if_it_did_not_exist():
    assert both(numbers(MACHINE)["clone3"], 0, 0) == (-errno.EINVAL, -errno.ENOSYS)


@pytest.mark.parametrize("number", [999, 2**31 - 1, max(numbers(MACHINE).values())])
def test_a_call_newer_than_the_profile(number):
    assert in_child(lambda: call(number, -1, -1, -1, -1, -1), PROGRAM) == -errno.ENOSYS


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000], ids=hex
)
def test_clone_into_a_new_namespace(flag):
    """CLONE_SIGHAND without CLONE_VM gives EINVAL in the kernel, so nothing is cloned in either case."""
    assert both(numbers(MACHINE)["clone"], flag | 0x800, 0, 0, 0, 0) == (-errno.EINVAL, -errno.EPERM)


def test_an_ordinary_fork():
    def fork():
        pid = os.fork()
        if not pid:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert in_child(fork, PROGRAM) == 7


@pytest.mark.parametrize("value", [0, 8, 0x20000, 0x20008, 0xFFFFFFFF], ids=hex)
def test_personalities_that_pass(value):
    assert in_child(lambda: call(numbers(MACHINE)["personality"], value), PROGRAM) >= 0


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        ("AF_UNIX", 0),
        ("AF_INET", 0),
        ("AF_INET6", 0),
        ("AF_NETLINK", 0),
        ("AF_PACKET", 0),
        ("AF_ALG", errno.EPERM),
        ("AF_VSOCK", errno.EPERM),
    ],
)
def test_socket_families(family, answer):
    def make(kind):
        try:
            socket.socket(getattr(socket, family), kind).close()
        except OSError as problem:
            return problem.errno
        return 0

    kind = {"AF_NETLINK": socket.SOCK_RAW, "AF_PACKET": socket.SOCK_RAW, "AF_ALG": socket.SOCK_SEQPACKET}.get(
        family, socket.SOCK_STREAM
    )
    without = in_child(lambda: make(kind))
    if answer == 0 and without != 0:
        pytest.skip(f"this kernel has no {family}")
    assert in_child(lambda: make(kind), PROGRAM) == answer


PYTHON = """
import subprocess, tempfile, threading
thread = threading.Thread(target=print)
thread.start()
thread.join()
subprocess.run(["true"], check=True)
tempfile.TemporaryFile().write(b"x")
"""


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "echo one | cat > /dev/null; (exit 0) & wait; kill -0 $$"],
        [sys.executable, "-c", PYTHON],
        ["ls", "-l", "/proc/self/"],
    ],
    ids=["shell", "python", "ls"],
)
def test_ordinary_programs(command):
    result = subprocess.run(command, preexec_fn=lambda: seccomp.load(PROGRAM), capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_filter_stays_across_exec_and_for_every_child():
    result = subprocess.run(
        ["sh", "-c", "sh -c 'unshare -m true'; unshare -m true; exec unshare -m true"],
        preexec_fn=lambda: seccomp.load(PROGRAM),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.count("Operation not permitted") == 3


def test_the_log_flag_is_accepted():
    flags = seccomp.flags({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]})

    def load():
        seccomp.load(PROGRAM, flags)
        return call(numbers(MACHINE)["unshare"], 0)

    assert in_child(load) == -errno.EPERM


def test_an_invalid_program():
    with pytest.raises(OSError, match="seccomp") as caught:
        libc.syscall("seccomp", 1, 0, None, about="seccomp")
    assert caught.value.errno == errno.EFAULT
    assert in_child(lambda: seccomp_error(b"\0" * 8)) == errno.EINVAL


def seccomp_error(program: bytes) -> int:
    try:
        seccomp.load(program)
    except OSError as problem:
        return problem.errno or 0
    return 0


def test_the_kernel_accepts_the_longest_program():
    def rules(count):
        return [
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 3 + n % 9,
                "args": [{"index": 1 + n % 5, "op": "SCMP_CMP_GT", "value": 2**40 + n}],
            }
            for n in range(count)
        ]

    def compiled(count):
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules(count)}
        return seccomp_compiler.compile(profile, MACHINE)

    program = compiled(780)
    assert 4000 < len(program) // 8 <= 4096
    number = numbers(MACHINE)["personality"]
    assert in_child(lambda: call(number, 0xFFFFFFFF, 0, 0, 0, 0, 0), program) >= 0
    assert in_child(lambda: call(number, 0xFFFFFFFF, 0, 0, 0, 0, 2**41), program) == -(3 + 4 % 9)


# --- 64-bit arguments and actions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "value", "passing", "stopped"),
    [
        ("SCMP_CMP_EQ", 2**32 + 5, [5, 2**32 + 4, 2**33 + 5], [2**32 + 5]),
        ("SCMP_CMP_NE", 2**32 + 5, [2**32 + 5], [5, 2**32, 2**33 + 5]),
        ("SCMP_CMP_LT", 2**32 + 5, [2**32 + 5, 2**63], [2**32 + 4, 7]),
        ("SCMP_CMP_LE", 2**32 + 5, [2**32 + 6, 2**33], [2**32 + 5, 7]),
        ("SCMP_CMP_GE", 2**32 + 5, [2**32 + 4, 7], [2**32 + 5, 2**33]),
        ("SCMP_CMP_GT", 2**32 + 5, [2**32 + 5, 7], [2**32 + 6, 2**33]),
    ],
)
def test_comparisons_of_64_bits(operator, value, passing, stopped):
    rule = {
        "names": ["getppid"],  # which takes no argument, and minds none
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 95,
        "args": [{"index": 5, "op": operator, "value": value}],
    }
    program = seccomp_compiler.compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, MACHINE)
    number = numbers(MACHINE)["getppid"]

    def answers(values):
        return [call(number, 0, 0, 0, 0, 0, ctypes.c_int64(value).value) for value in values]

    assert in_child(lambda: answers(stopped), program) == [-95] * len(stopped)
    assert min(in_child(lambda: answers(passing), program)) >= 0


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("SCMP_ACT_KILL_PROCESS", "SIGSYS"),
        ("SCMP_ACT_KILL_THREAD", "SIGSYS"),
        ("SCMP_ACT_TRAP", "SIGSYS"),
        ("SCMP_ACT_TRACE", -errno.ENOSYS),  # nobody traces
    ],
)
def test_other_actions(action, answer):
    rule = {"names": ["getppid"], "action": action}
    program = seccomp_compiler.compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, MACHINE)
    assert in_child(lambda: call(numbers(MACHINE)["getppid"]), program) == answer


def test_logged_calls_pass():
    program = seccomp_compiler.compile({"defaultAction": "SCMP_ACT_LOG", "syscalls": []}, MACHINE)
    assert in_child(lambda: call(numbers(MACHINE)["getppid"]), program) == os.getpid()


# --- the other ways into an x86-64 kernel ----------------------------------------------------------------------------


def int80(number: int, *arguments: int) -> int:
    """Make a 32-bit system call in 64-bit code: int $0x80, with eax, rbx, rcx and rdx from the arguments."""
    code = bytes.fromhex(
        "53"  # push rbx
        "89f8"  # mov eax, edi
        "4889f3"  # mov rbx, rsi
        "4889d0"  # mov rax, rdx         keep the third argument,
        "4889ca"  # mov rdx, rcx         since rcx is the fourth here and the second there
        "4889c1"  # mov rcx, rax
        "89f8"  # mov eax, edi
        "cd80"  # int 0x80
        "5b"  # pop rbx
        "c3"  # ret
    )
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    enter = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint64] * 4)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return enter(number, *arguments, *[0] * (3 - len(arguments)))


@pytest.fixture(scope="module")
def i386():
    table = numbers("i386")
    if in_child(lambda: int80(table["getppid"])) != os.getpid():
        pytest.skip("this kernel takes no 32-bit calls (CONFIG_IA32_EMULATION)")
    return table


@x86_64_only
def test_32_bit_calls_are_filtered_by_their_own_numbers(i386):
    assert in_child(lambda: int80(i386["getppid"]), PROGRAM) == os.getpid()
    for name, arguments in [("mount", ()), ("unshare", (0,)), ("keyctl", (0,)), ("bpf", (0,)), ("socket", (40, 1, 0))]:
        assert in_child(lambda name=name, arguments=arguments: int80(i386[name], *arguments), PROGRAM) == -errno.EPERM
    assert in_child(lambda: int80(i386["unshare"], 0)) == 0
    assert in_child(lambda: int80(i386["clone3"]), PROGRAM) == -errno.ENOSYS
    assert in_child(lambda: int80(999), PROGRAM) == -errno.ENOSYS


@x86_64_only
def test_32_bit_calls_kill_where_the_profile_does_not_list_them(i386):
    program = seccomp_compiler.compile({**DEFAULT, "architectures": ["SCMP_ARCH_X86_64"]}, MACHINE)
    assert in_child(lambda: int80(i386["getppid"]), program) == "SIGSYS"
    assert in_child(lambda: call(numbers(MACHINE)["getppid"]), program) == os.getpid()


@x86_64_only
def test_a_32_bit_call_cannot_hide_in_the_high_half(i386):
    rule = {
        "names": ["personality"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 95,
        "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 0xFFFFFFFF}],
    }
    program = seccomp_compiler.compile(
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [rule]}, MACHINE
    )
    assert in_child(lambda: int80(i386["personality"], 0xFFFFFFFF), program) == -95
    assert in_child(lambda: int80(i386["personality"], 0x7_FFFFFFFF), program) == -95


@x86_64_only
def test_socketcall_does_not_bypass_the_filter(i386):
    rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    program = seccomp_compiler.compile(
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [rule]}, MACHINE
    )
    assert in_child(lambda: int80(i386["socketcall"], 1, 0)) == -errno.EFAULT
    assert in_child(lambda: int80(i386["socketcall"], 1, 0), program) == -95
    assert in_child(lambda: int80(i386["socketcall"], 2, 0), program) == -errno.EFAULT


@x86_64_only
def test_x32_calls():
    mount, getppid = numbers("x32")["mount"] | X32_BIT, numbers("x32")["getppid"] | X32_BIT
    assert in_child(lambda: call(mount, 0, 0, 0, 0, 0), PROGRAM) == -errno.EPERM
    assert in_child(lambda: call(getppid), PROGRAM) in (os.getpid(), -errno.ENOSYS)  # as the kernel has x32 or not
    program = seccomp_compiler.compile({**DEFAULT, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}, MACHINE)
    assert in_child(lambda: call(getppid), program) == "SIGSYS"
