"""kernel/trampoline.py: the ELF's header, and its machine code run by two small interpreters."""

from __future__ import annotations

import errno
import struct

import pytest

from mydocker.kernel import trampoline

MACHINES = ["x86_64", "aarch64"]
M64 = 2**64 - 1
STACK = 0x7FFF0000  # argc, then argv (path, argv[0], …, NULL), then the environment
ARGC = 4
CALLS = {"x86_64": {72: "fcntl", 59: "execve", 1: "write", 231: "exit_group"}}
CALLS["aarch64"] = {25: "fcntl", 221: "execve", 64: "write", 94: "exit_group"}


def stack():
    return {STACK: ARGC, STACK + 8: "path"}


def run_x86_64(code, kernel):
    names = "rax rcx rdx rbx rsp rbp rsi rdi".split()
    registers, memory, at, sign = {"rsp": STACK}, stack(), 0, False
    while True:
        byte, rest = code[at], code[at + 1 :]
        if 0xB8 <= byte < 0xC0:  # mov register, number
            registers[names[byte - 0xB8]] = struct.unpack_from("<I", rest)[0]
            at += 5
        elif code[at : at + 2] == b"\x0f\x05":
            arguments = [registers.get(name) for name in ("rdi", "rsi", "rdx")]
            registers["rax"] = kernel(registers["rax"], arguments, memory)
            if registers["rax"] is None:
                return
            at += 2
        elif code[at : at + 2] == b"\x85\xc0":  # test eax, eax
            sign = registers["rax"] & 1 << 31 != 0
            at += 2
        elif byte == 0x78:  # js
            at += 2 + (rest[0] if sign else 0)
        elif code[at : at + 4] == b"\x48\x8b\x04\x24":  # mov rax, [rsp]
            registers["rax"] = memory[registers["rsp"]]
            at += 4
        elif code[at : at + 4] == b"\x48\x8b\x7c\x24":  # mov rdi, [rsp + byte]
            registers["rdi"] = memory[registers["rsp"] + code[at + 4]]
            at += 5
        elif code[at : at + 4] == b"\x48\x8d\x74\x24":  # lea rsi, [rsp + byte]
            registers["rsi"] = registers["rsp"] + code[at + 4]
            at += 5
        elif code[at : at + 4] == b"\x48\x8d\x54\xc4":  # lea rdx, [rsp + rax * 8 + byte]
            registers["rdx"] = registers["rsp"] + registers["rax"] * 8 + code[at + 4]
            at += 5
        elif byte == 0x50:  # push rax
            registers["rsp"] -= 8
            memory[registers["rsp"]] = registers["rax"]
            at += 1
        elif code[at : at + 3] == b"\x48\x89\xe6":  # mov rsi, rsp
            registers["rsi"] = registers["rsp"]
            at += 3
        else:
            raise AssertionError(f"no such instruction at {at}: {code[at : at + 5].hex()}")


def run_aarch64(code, kernel):
    registers, memory, at = {31: STACK}, stack(), 0  # 31 is the stack pointer
    while True:
        word = struct.unpack_from("<I", code, at)[0]
        to, source, number = word & 31, word >> 5 & 31, word >> 10 & 0xFFF
        at += 4
        if word & 0xFFE00000 == 0xD2800000:  # movz
            registers[to] = word >> 5 & 0xFFFF
        elif word == 0xD4000001:  # svc #0
            registers[0] = kernel(registers[8], [registers.get(name) for name in range(3)], memory)
            if registers[0] is None:
                return
        elif word & 0xFFF80000 == 0x37F80000:  # tbnz wN, #31: N's sign
            at += 4 * ((word >> 5 & 0x3FFF) - 1) if registers[to] & 1 << 31 else 0
        elif word & 0xFFC00000 == 0xF9400000:  # ldr, the offset in words
            registers[to] = memory[registers[source] + number * 8]
        elif word & 0xFFC00000 == 0x91000000:  # add a number
            registers[to] = registers[source] + number
        elif word & 0xFFE0FC00 == 0x8B000C00:  # add a register, shifted left by 3
            registers[to] = registers[source] + (registers[word >> 16 & 31] << 3)
        elif word & 0xFFE00C00 == 0xF8000C00:  # str with the address moved first
            offset = word >> 12 & 0x1FF
            registers[source] += offset - 0x200 if offset & 0x100 else offset
            memory[registers[source]] = registers[to]
        else:
            raise AssertionError(f"no such instruction at {at - 4}: {word:08x}")


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


@pytest.fixture
def run(machine):
    """Runs the code against a kernel whose calls answer with the given errno; (call, arguments) of each."""

    def start(**failures):
        calls = []

        def kernel(number, arguments, memory):
            name = CALLS[machine][number]
            if name == "write":
                arguments[1] = memory[arguments[1]]  # what is written, not where it lies
            calls.append((name, *arguments[: 1 if name == "exit_group" else 3]))
            if name == "exit_group" or (name == "execve" and name not in failures):
                return None
            return -failures[name] & M64 if name in failures else 0

        code = trampoline.elf(machine)[120:]
        {"x86_64": run_x86_64, "aarch64": run_aarch64}[machine](code, kernel)
        return calls

    return start


FCNTL = ("fcntl", 3, 2, 1)  # F_SETFD, FD_CLOEXEC
EXECVE = ("execve", "path", STACK + 16, STACK + 16 + ARGC * 8)
END = ("exit_group", 127)


class TestCode:
    def test_it_becomes_the_program(self, run):
        """path is argv[0] of the trampoline; the program's argv begins behind it, its environment behind the NULL."""
        assert run() == [FCNTL, EXECVE]

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC])
    def test_a_failure_is_told(self, run, number):
        assert run(execve=number) == [FCNTL, EXECVE, ("write", 3, -number & M64, 8), END]

    def test_if_the_socket_can_not_be_closed_nothing_is_run(self, run):
        assert run(fcntl=errno.EBADF) == [FCNTL, ("write", 3, -errno.EBADF & M64, 8), END]

    def test_it_ends_even_if_nobody_listens(self, run):
        assert run(execve=errno.ENOENT, write=errno.EPIPE)[-1] == END


class TestElf:
    def test_the_header(self, machine):
        """By the field names of elf(5)."""
        fields = struct.unpack_from("<16sHHIQQQIHHHHHH", trampoline.elf(machine))
        names = "ident type machine version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx"
        header = dict(zip(names.split(), fields))
        assert header.pop("ident") == b"\x7fELF\2\1\1" + bytes(9)  # 64 bits, little-endian, version 1, System V
        assert header.pop("machine") == {"x86_64": 62, "aarch64": 183}[machine]
        assert header.pop("entry") == 0x10000 + 64 + 56
        assert {name: value for name, value in header.items() if value} == {
            "type": 2,  # ET_EXEC
            "version": 1,
            "phoff": 64,
            "ehsize": 64,
            "phentsize": 56,
            "phnum": 1,
            "shentsize": 64,
        }

    def test_the_segment_is_the_whole_file_and_not_writable(self, machine):
        made = trampoline.elf(machine)
        names = "type flags offset vaddr paddr filesz memsz align".split()
        segment = dict(zip(names, struct.unpack_from("<IIQQQQQQ", made, 64)))
        assert segment == {
            "type": 1,  # PT_LOAD
            "flags": 4 | 1,  # read, execute
            "offset": 0,
            "vaddr": 0x10000,
            "paddr": 0x10000,
            "filesz": len(made),
            "memsz": len(made),
            "align": 0x1000,
        }

    def test_another_machine_has_none(self):
        with pytest.raises(OSError, match="riscv64") as caught:
            trampoline.elf("riscv64")
        assert caught.value.errno == errno.ENOSYS


def test_the_descriptors_that_it_relies_on_stand_in_a_row():
    assert (trampoline.REPORT_FD, trampoline.TRAMPOLINE_FD, trampoline.FIRST_FREE_FD) == (3, 4, 5)
