"""The numbers of system calls, for each ABI that a seccomp filter on x86-64 or aarch64 can meet."""

from __future__ import annotations

from mydocker.generated.syscalls import TABLES

X32_BIT = 0x40000000  # __X32_SYSCALL_BIT of <asm/unistd.h>: x32 enters the kernel as x86-64 does, but for this bit
ARM_PRIVATE = 0xF0000  # __ARM_NR_BASE: from here on, ARM's own calls, beyond the common count

# The calls that i386 also reaches through one multiplexer: the multiplexer -> (the bits of its first argument that
# count, {name: its number there}), from <linux/net.h> and <linux/ipc.h>. The arguments of such a call lie in memory.
MULTIPLEXED = {
    "socketcall": (
        0xFFFFFFFF,
        {
            "socket": 1,
            "bind": 2,
            "connect": 3,
            "listen": 4,
            "accept": 5,
            "getsockname": 6,
            "getpeername": 7,
            "socketpair": 8,
            "send": 9,
            "recv": 10,
            "sendto": 11,
            "recvfrom": 12,
            "shutdown": 13,
            "setsockopt": 14,
            "getsockopt": 15,
            "sendmsg": 16,
            "recvmsg": 17,
            "accept4": 18,
            "recvmmsg": 19,
            "sendmmsg": 20,
        },
    ),
    "ipc": (
        0xFFFF,  # the bits above hold a version
        {
            "semop": 1,
            "semget": 2,
            "semctl": 3,
            "semtimedop": 4,
            "msgsnd": 11,
            "msgrcv": 12,
            "msgget": 13,
            "msgctl": 14,
            "shmat": 21,
            "shmdt": 22,
            "shmget": 23,
            "shmctl": 24,
        },
    ),
}


def numbers(abi: str) -> dict[str, int]:
    """Return name -> number in rising order. abi: x86_64, x32 (without its bit), i386, aarch64, or arm (EABI).

    A call with two names has two entries, next to each other.
    """
    table: dict[str, int] = {}
    for first, names in TABLES[abi].items():
        table.update(zip(names.split(), range(first, X32_BIT)))
    return table
