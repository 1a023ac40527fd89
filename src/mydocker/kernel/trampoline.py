"""The last step before the container's program: an ELF of some 200 bytes, in a sealed memfd, that calls execve(2).

If the interpreter itself called execve and the image's entrypoint were a script with `#!/proc/self/exe`, the kernel
would resolve that name while the process still *is* the interpreter. The container would then have the host's
/usr/bin/python3 as its own /proc/self/exe, open for writing once nobody runs it (CVE-2019-5736 is this attack on
runc). With the trampoline that link points to these few sealed bytes.

It takes its arguments as [path, argv[0], argv[1], …] and does, in machine code:

    fcntl(3, F_SETFD, FD_CLOEXEC)           descriptor 3: the socket to the monitor, closed when execve succeeds
    execve(path, argv, envp)
    write(3, &errno, 8); exit_group(127)    only if one of the two failed: -errno as a long

For `exec`, whose process enters a PID namespace that already has other processes, it begins with

    setsid()                                keys on the caller's terminal send it no signals
    clone(SIGCHLD)                          the interpreter stays outside: the container never sees it
    parent: send(3, &pid, 8); close 0 to 3; wait4(-1, &status); exit_group(the code, or 128 + the signal)
    child:  setsid(); ioctl(0, TIOCSCTTY)   fails harmlessly where descriptor 0 is not a terminal

The parent stays as the child's reaper. If it did not, the end of a child whose command line has gone (`exec -d`)
would be left to the host's PID 1; where that reaps nothing, the zombie would keep the container's PID namespace from
ending.

With CAP_SYS_PTRACE a process in the container could otherwise reach the host's interpreter by /proc/PID/exe.
"""

from __future__ import annotations

import fcntl
import os
from _struct import pack

from mydocker.kernel.libc import MACHINE

# What a container's process keeps open besides 0, 1 and 2: the socket to the monitor, and the trampoline.
REPORT_FD, TRAMPOLINE_FD, FIRST_FREE_FD = 3, 4, 5

_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine
_CLONE = {
    "x86_64": (
        "b870000000"  # mov  eax, 112          setsid
        "0f05"  # syscall
        "bf11000000"  # mov  edi, 17           SIGCHLD
        "31f6"  # xor  esi, esi
        "31d2"  # xor  edx, edx
        "4531d2"  # xor  r10d, r10d
        "4531c0"  # xor  r8d, r8d
        "b838000000"  # mov  eax, 56           clone
        "0f05"  # syscall
        "85c0"  # test eax, eax
        "7468"  # jz   child
        "50"  # push rax
        "bf03000000"  # mov  edi, 3
        "4889e6"  # mov  rsi, rsp
        "ba08000000"  # mov  edx, 8
        "41ba00400000"  # mov  r10d, 0x4000     MSG_NOSIGNAL
        "b82c000000"  # mov  eax, 44           sendto
        "0f05"  # syscall
        "83f8ff"  # cmp  eax, -1           EPERM
        "7507"  # jne  closing
        "b801000000"  # mov  eax, 1            write
        "0f05"  # syscall
        "bf03000000"  # closing: mov edi, 3
        "b803000000"  # next: mov eax, 3       close
        "0f05"  # syscall
        "ffcf"  # dec  edi
        "79f5"  # jns  next
        "4883cfff"  # waiting: or rdi, -1
        "4889e6"  # mov  rsi, rsp
        "31d2"  # xor  edx, edx
        "4531d2"  # xor  r10d, r10d
        "b83d000000"  # mov  eax, 61           wait4
        "0f05"  # syscall
        "83f8fc"  # cmp  eax, -4           EINTR
        "74e8"  # je   waiting
        "8b3c24"  # mov  edi, [rsp]
        "89f8"  # mov  eax, edi
        "83e77f"  # and  edi, 127          the signal
        "7405"  # jz   exited
        "83ef80"  # sub  edi, -128
        "eb03"  # jmp  exit
        "0fb6fc"  # exited: movzx edi, ah
        "b8e7000000"  # exit: mov eax, 231     exit_group
        "0f05"  # syscall
        "b870000000"  # child: mov eax, 112    setsid
        "0f05"  # syscall
        "31ff"  # xor  edi, edi
        "be0e540000"  # mov  esi, 0x540e       TIOCSCTTY
        "31d2"  # xor  edx, edx
        "b810000000"  # mov  eax, 16           ioctl
        "0f05"  # syscall
    ),
    "aarch64": (
        "a81380d2"  # mov  x8, #157          setsid
        "010000d4"  # svc  #0
        "200280d2"  # mov  x0, #17           SIGCHLD
        "010080d2"  # mov  x1, #0
        "020080d2"  # mov  x2, #0
        "030080d2"  # mov  x3, #0
        "040080d2"  # mov  x4, #0
        "881b80d2"  # mov  x8, #220          clone
        "010000d4"  # svc  #0
        "600400b4"  # cbz  x0, child
        "e00f1ff8"  # str  x0, [sp, #-16]!
        "600080d2"  # mov  x0, #3
        "e1030091"  # mov  x1, sp
        "020180d2"  # mov  x2, #8
        "030088d2"  # mov  x3, #0x4000       MSG_NOSIGNAL
        "c81980d2"  # mov  x8, #206          sendto
        "010000d4"  # svc  #0
        "1f0400b1"  # cmn  x0, #1            EPERM
        "81000054"  # b.ne closing
        "600080d2"  # mov  x0, #3
        "080880d2"  # mov  x8, #64           write
        "010000d4"  # svc  #0
        "690080d2"  # closing: mov x9, #3
        "e00309aa"  # next: mov x0, x9
        "280780d2"  # mov  x8, #57           close
        "010000d4"  # svc  #0
        "290500f1"  # subs x9, x9, #1
        "85ffff54"  # b.pl next
        "00008092"  # waiting: mov x0, #-1
        "e1030091"  # mov  x1, sp
        "020080d2"  # mov  x2, #0
        "030080d2"  # mov  x3, #0
        "882080d2"  # mov  x8, #260          wait4
        "010000d4"  # svc  #0
        "1f1000b1"  # cmn  x0, #4            EINTR
        "20ffff54"  # b.eq waiting
        "e90340f9"  # ldr  x9, [sp]
        "201940f2"  # ands x0, x9, #127      the signal
        "60000054"  # b.eq exited
        "00000291"  # add  x0, x0, #128
        "02000014"  # b    exit
        "203d48d3"  # exited: ubfx x0, x9, #8, #8
        "c80b80d2"  # exit: mov x8, #94      exit_group
        "010000d4"  # svc  #0
        "a81380d2"  # child: mov x8, #157    setsid
        "010000d4"  # svc  #0
        "000080d2"  # mov  x0, #0
        "c1818ad2"  # mov  x1, #0x540e       TIOCSCTTY
        "020080d2"  # mov  x2, #0
        "a80380d2"  # mov  x8, #29           ioctl
        "010000d4"  # svc  #0
    ),
}
_EXECUTE = {
    "x86_64": (
        "bf03000000"  # mov  edi, 3
        "be02000000"  # mov  esi, 2            F_SETFD
        "ba01000000"  # mov  edx, 1            FD_CLOEXEC
        "b848000000"  # mov  eax, 72           fcntl
        "0f05"  # syscall
        "85c0"  # test eax, eax
        "781a"  # js   report
        "488b0424"  # mov  rax, [rsp]        argc
        "488b7c2408"  # mov  rdi, [rsp+8]      path
        "488d742410"  # lea  rsi, [rsp+16]     argv
        "488d54c410"  # lea  rdx, [rsp+rax*8+16]  envp
        "b83b000000"  # mov  eax, 59           execve
        "0f05"  # syscall
        "50"  # report: push rax
        "bf03000000"  # mov  edi, 3
        "4889e6"  # mov  rsi, rsp
        "ba08000000"  # mov  edx, 8
        "b801000000"  # mov  eax, 1            write
        "0f05"  # syscall
        "bf7f000000"  # mov  edi, 127
        "b8e7000000"  # mov  eax, 231          exit_group
        "0f05"  # syscall
    ),
    "aarch64": (
        "600080d2"  # mov  x0, #3
        "410080d2"  # mov  x1, #2            F_SETFD
        "220080d2"  # mov  x2, #1            FD_CLOEXEC
        "280380d2"  # mov  x8, #25           fcntl
        "010000d4"  # svc  #0
        "e000f837"  # tbnz w0, #31, report
        "e90340f9"  # ldr  x9, [sp]          argc
        "e00740f9"  # ldr  x0, [sp, #8]      path
        "e1430091"  # add  x1, sp, #16       argv
        "220c098b"  # add  x2, x1, x9, lsl #3   envp
        "a81b80d2"  # mov  x8, #221          execve
        "010000d4"  # svc  #0
        "e00f1ff8"  # report: str x0, [sp, #-16]!
        "600080d2"  # mov  x0, #3
        "e1030091"  # mov  x1, sp
        "020180d2"  # mov  x2, #8
        "080880d2"  # mov  x8, #64           write
        "010000d4"  # svc  #0
        "e00f80d2"  # mov  x0, #127
        "c80b80d2"  # mov  x8, #94           exit_group
        "010000d4"  # svc  #0
    ),
}
_LOAD_ADDRESS = 0x10000
_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1F  # seal, shrink, grow, write, future write
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_EXEC = 1, 2, 16


def elf(machine: str = MACHINE, clones: bool = False) -> bytes:
    """Return the program: an ELF header, one loadable segment that covers the file, the code. clones: exec's variant.

    Raises OSError (ENOSYS) for a machine that has no trampoline.
    """
    if machine not in _MACHINES:
        raise OSError(38, f"mydocker has no trampoline for {machine}")
    code = bytes.fromhex((_CLONE[machine] if clones else "") + _EXECUTE[machine])
    size = 64 + 56 + len(code)
    # e_ident; ET_EXEC; machine; version; entry; phoff; shoff; flags; ehsize; phentsize; phnum; sh*
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += pack("<HHIQQQIHHHHHH", 2, _MACHINES[machine], 1, _LOAD_ADDRESS + 120, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    # PT_LOAD; read + execute; offset; virtual and physical address; size in file and memory; alignment
    segment = pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def open_trampoline(clones: bool = False) -> int:
    """Open the sealed program. Returns a descriptor for `os.execve(descriptor, [path, *argv], environment)`."""
    flags = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create("mydocker-trampoline", flags | _MFD_EXEC)
    except OSError:  # the flag is unknown before Linux 6.3, where every memfd may be executed
        descriptor = os.memfd_create("mydocker-trampoline", flags)
    os.write(descriptor, elf(clones=clones))
    os.fchmod(descriptor, 0o500 | 0o055)
    fcntl.fcntl(descriptor, _F_ADD_SEALS, _ALL_SEALS)
    return descriptor
