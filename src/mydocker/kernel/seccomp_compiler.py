"""Compile a seccomp profile's rules to a classic BPF program, which kernel/seccomp.py hands to the kernel.

The kernel runs the program at every system call, on a struct seccomp_data:

    offset  0  u32  nr       the call's number
            4  u32  arch     AUDIT_ARCH_*: the ABI by which the call entered the kernel
            8  u64  ip
           16  u64  args[6]  (BPF loads 32 bits at a time; on both machines the low half comes first)

The program that compile() makes:

    arch? ──> for each architecture: nr? ── a binary search over ranges of numbers with one verdict ──> return, or
      │                                                                                      checks of the arguments
      └────> any other: kill

Before a verdict that depends on no argument, there are only loads, comparisons, jumps and returns. So Linux 5.11 and
newer can find out in advance which calls always pass, and do not run the program for them.
"""

from __future__ import annotations

from _struct import pack

from mydocker.errors import HostError, InvalidArgument
from mydocker.kernel.syscalls import ARM_PRIVATE, MULTIPLEXED, X32_BIT, numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Union

    Condition = tuple[int, int, bool, int, int]  # index, jump, negated, value, mask
    Rules = tuple[tuple[int, tuple[Condition, ...]], ...]  # (action, conditions, all of which must hold), in order
    Verdict = Union[int, Rules]  # the action on a call, or the rules that choose it by the arguments
    Run = tuple[int, Verdict]  # the verdict from this number on, up to the next run's

# <linux/bpf_common.h>
_LOAD = 0x20  # BPF_LD|BPF_W|BPF_ABS
_AND = 0x54  # BPF_ALU|BPF_AND|BPF_K
_JUMP = 0x05  # BPF_JMP|BPF_JA
_JUMP_EQUAL = 0x15  # BPF_JMP|BPF_JEQ|BPF_K
_JUMP_GREATER = 0x25  # BPF_JMP|BPF_JGT|BPF_K
_JUMP_GREATER_OR_EQUAL = 0x35  # BPF_JMP|BPF_JGE|BPF_K
_RETURN = 0x06  # BPF_RET|BPF_K
_LONGEST = 4096  # BPF_MAXINSNS

_NR, _ARCH, _ARGS = 0, 4, 16

# <linux/seccomp.h>: the program's return values, by the OCI spec's names
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_KILL = ACTIONS["SCMP_ACT_KILL_PROCESS"]
_PASSING = (ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_LOG"])
_EPERM, _ENOSYS = 1, 38
# (comparison, whether it is negated)
OPERATORS = {
    "SCMP_CMP_EQ": (_JUMP_EQUAL, False),
    "SCMP_CMP_NE": (_JUMP_EQUAL, True),
    "SCMP_CMP_LT": (_JUMP_GREATER_OR_EQUAL, True),
    "SCMP_CMP_LE": (_JUMP_GREATER, True),
    "SCMP_CMP_GE": (_JUMP_GREATER_OR_EQUAL, False),
    "SCMP_CMP_GT": (_JUMP_GREATER, False),
    "SCMP_CMP_MASKED_EQ": (_JUMP_EQUAL, False),
}
# The ABIs of each machine, its own first: the OCI spec's name, AUDIT_ARCH_* of <linux/audit.h>, the table of numbers
_ABIS = {
    "x86_64": [
        ("SCMP_ARCH_X86_64", 0xC000003E, "x86_64"),
        ("SCMP_ARCH_X32", 0xC000003E, "x32"),
        ("SCMP_ARCH_X86", 0x40000003, "i386"),
    ],
    "aarch64": [("SCMP_ARCH_AARCH64", 0xC00000B7, "aarch64"), ("SCMP_ARCH_ARM", 0x40000028, "arm")],
}
_64_BIT = 0x80000000  # __AUDIT_ARCH_64BIT
_WORD = 0xFFFFFFFF


def compile(profile: dict[str, Any], machine: str) -> bytes:
    """Compile an OCI `linux.seccomp` object (see model/oci/seccomp_profile.py, which also checks such objects).

    As with runc and libseccomp:
    - A rule without arguments decides on its calls, whatever other rules say; of several, the first does. Among rules
      with arguments, the first that matches counts. A rule that only repeats the default action has no effect.
    - All conditions of a rule must hold; but if two of them are on one argument, one is enough.
    - Names that are not in the kernel's tables are ignored.
    - The machine's own architecture is always listed. Calls by one that is not listed kill the process.
    - A call that is newer than all that the profile names gets ENOSYS, not a refusal, so that programs fall back to an
      older call. A default action that lets calls pass, or hands them to a tracer, holds for those too.

    Raises InvalidArgument if the program gets too long.
    """
    if machine not in _ABIS:
        raise HostError(f"no seccomp filter for {machine}", "--security-opt seccomp=unconfined runs without one")
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    permissive = profile["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    newer = default if permissive else ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS
    verdicts = _verdicts(profile.get("syscalls") or [], default)

    entries: dict[int, list[Run]] = {}
    listed = [_ABIS[machine][0][0], *(profile.get("architectures") or [])]
    for name, arch, abi in _ABIS[machine]:
        if name in listed:
            offset = X32_BIT if abi == "x32" else 0
            runs = _runs(verdicts, abi, default, newer)
            entries.setdefault(arch, []).extend((offset + start, verdict) for start, verdict in runs)
        elif abi == "x32":
            # -1 has the bit too, but a tracer writes it to skip a call.
            entries[arch] += [(X32_BIT, _KILL), (_WORD, newer)]
    return _assemble(entries, default)


# --- the profile ------------------------------------------------------------------------------------------------------


def _action(name: str, number: int | None) -> int:
    """Return the value for an action. number: the errno, or the message of the event that a tracer gets."""
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return ACTIONS[name] | (_EPERM if number is None else number)
    return ACTIONS[name]


def _verdicts(syscalls: list[dict[str, Any]], default: int) -> dict[str, Verdict]:
    """Return the verdict on each call that the profile names."""
    silent: dict[str, Verdict] = {}
    sometimes: dict[str, Rules] = {}
    always: dict[str, Verdict] = {}
    for rule in syscalls:
        action, names = _action(rule["action"], rule.get("errnoRet")), rule["names"]
        if action == default:
            silent.update(dict.fromkeys(names, default))
        elif not rule.get("args"):
            for name in names:
                always.setdefault(name, action)
        else:
            conditions = tuple(_condition(arg) for arg in rule["args"])
            if len({index for index, *_ in conditions}) == len(conditions):
                rules: Rules = ((action, conditions),)
            else:
                rules = tuple((action, (condition,)) for condition in conditions)
            for name in names:
                sometimes[name] = sometimes.get(name, ()) + rules
    return {**silent, **sometimes, **always}


def _condition(arg: dict[str, Any]) -> Condition:
    jump, negated = OPERATORS[arg["op"]]
    if arg["op"] == "SCMP_CMP_MASKED_EQ":
        return arg["index"], jump, negated, arg.get("valueTwo", 0), arg["value"]
    return arg["index"], jump, negated, arg["value"], 2**64 - 1


def _multiplexed(verdicts: dict[str, Verdict], default: int) -> dict[str, Verdict]:
    """Derive the verdicts on i386's socketcall and ipc from those on the calls behind them.

    The filter cannot see the arguments of such a call. So a call that the profile allows for some arguments only is not
    allowed this way, and one that it stops for some arguments is stopped for all.
    """
    implied: dict[str, Verdict] = {}
    for entry, (mask, calls) in MULTIPLEXED.items():
        explicit = verdicts.get(entry, ())
        if isinstance(explicit, int) and explicit != default:
            continue
        rules: Rules = () if isinstance(explicit, int) else explicit
        for name, number in calls.items():
            verdict = verdicts.get(name, default)
            if not isinstance(verdict, int):
                verdict = next((action for action, _ in verdict if action not in _PASSING), default)
            if verdict != default:
                rules = (*rules, (verdict, ((0, _JUMP_EQUAL, False, number, mask),)))
        if rules:
            implied[entry] = rules
    return implied


def _runs(verdicts: dict[str, Verdict], abi: str, default: int, newer: int) -> list[Run]:
    """List the runs of the ABI's numbers."""
    if abi == "i386":
        verdicts = {**verdicts, **_multiplexed(verdicts, default)}
    table = numbers(abi)
    newest = next((n for name, n in reversed(table.items()) if name in verdicts and n < ARM_PRIVATE), X32_BIT)
    known = zip(table.values(), map(verdicts.get, table))
    return _ranges(known, lambda number: default if number <= newest else newer)


def _ranges(values: Iterable[tuple[int, Any]], otherwise: Callable[[int], Any]) -> list[tuple[int, Any]]:
    """List (start, value) from 0 up, with neighbours of one value joined.

    values: (number, value or None) in rising order. otherwise: number -> value for gaps, and for None.
    """
    ranges: list[tuple[int, Any]] = []
    last: Any = ranges  # equal to no value
    end = 0
    for number, value in values:
        if number > end and (gap := otherwise(end)) != last:
            ranges.append((end, gap))
            last = gap
        if value is None:
            if number < end:
                continue  # a second name of a call, without a verdict of its own
            value = otherwise(number)
        if value != last:
            ranges.append((number, value))
            last = value
        end = number + 1
    if end <= _WORD and (gap := otherwise(end)) != last:
        ranges.append((end, gap))
    return ranges


# --- the program ------------------------------------------------------------------------------------------------------


def _assemble(entries: dict[int, list[Run]], default: int) -> bytes:
    code = _Code(default)
    sections = [(arch, code.section(runs, bool(arch & _64_BIT))) for arch, runs in entries.items()]
    label = code.leave(_KILL)
    for arch, section in sections:
        label = code.jump(_JUMP_EQUAL, arch, section, label)
    code.load(_ARCH, label)
    length = len(code.words)
    if length > _LONGEST:
        hint = f"the kernel takes {_LONGEST}: use fewer rules with arguments"
        raise InvalidArgument(f"the seccomp profile compiles to {length} instructions", hint)
    return pack(f"{length}Q", *reversed(code.words))


class _Code:
    """A program, written from its end to its beginning: BPF jumps forward only, so each target is written before the
    jump to it.

    A label is the number of instructions from the label's own to the program's end.
    """

    def __init__(self, default: int) -> None:
        self.default = default
        self.words: list[int] = []  # struct sock_filter as one number each, the last one first
        self.returns: dict[int, int] = {}
        self.checks: dict[tuple[Rules, bool], int] = {}

    def put(self, code: int, k: int, yes: int = 0, no: int = 0) -> int:
        self.words.append(code | yes << 16 | no << 24 | k << 32)
        return len(self.words)

    def jump(self, code: int, k: int, yes: int, no: int) -> int:
        """Jump to label yes if the comparison with k holds, to label no if not."""
        yes, no = self.near(yes), self.near(no)
        return self.put(code, k, len(self.words) - yes, len(self.words) - no)

    def near(self, label: int) -> int:
        """Return the label, or that of a long jump to it where eight bits don't reach, also one instruction later."""
        distance = len(self.words) - label
        return label if distance < 255 else self.put(_JUMP, distance)

    def leave(self, action: int) -> int:
        """Put a return of the action. Jumps that are near enough share one."""
        label = self.returns.get(action)
        if label is None or len(self.words) - label > 200:
            label = self.returns[action] = self.put(_RETURN, action)
        return label

    def load(self, offset: int, then: int) -> int:
        """Load 32 bits of seccomp_data, and continue at label then."""
        if then != len(self.words):
            self.put(_JUMP, len(self.words) - then)
        return self.put(_LOAD, offset)

    def search(self, runs: list[tuple[int, Any]], leaf: Callable[[Any], int]) -> int:
        """Find the run of the loaded number by a binary search."""
        if len(runs) == 1:
            return leaf(runs[0][1])
        if len(runs) == 3 and runs[0][1] == runs[2][1] and runs[1][0] + 1 == runs[2][0]:
            return self.jump(_JUMP_EQUAL, runs[1][0], leaf(runs[1][1]), leaf(runs[0][1]))
        middle = len(runs) // 2
        above = self.search(runs[middle:], leaf)
        return self.jump(_JUMP_GREATER_OR_EQUAL, runs[middle][0], above, self.search(runs[:middle], leaf))

    def section(self, runs: list[Run], wide: bool) -> int:
        """Decide by a call's number. wide: arguments have 64 bits; if not, the kernel uses their low halves."""
        return self.load(_NR, self.search(runs, lambda verdict: self.verdict(verdict, wide)))

    def verdict(self, verdict: Verdict, wide: bool) -> int:
        if isinstance(verdict, int):
            return self.leave(verdict)
        label = self.checks.get((verdict, wide))
        if label is None:
            label = self.checks[verdict, wide] = self.rules(verdict, wide)
        return label

    def rules(self, rules: Rules, wide: bool) -> int:
        """Decide by a call's arguments. The first rule is tried first, so the last is written first."""
        label = self.leave(self.default)
        todo = list(rules)
        while todo:
            index = _switch_index(todo[-1])
            if index is None:
                action, conditions = todo.pop()
                yes = self.leave(action)
                for condition in reversed(conditions):
                    yes = self.test(condition, yes, label, wide)
                label = yes
            else:
                row: dict[int, int] = {}
                while todo and _switch_index(todo[-1]) == index:
                    action, conditions = todo.pop()
                    row[conditions[0][3]] = action
                label = self.switch(index, row, label, wide)
        return label

    def switch(self, index: int, actions: dict[int, int], otherwise: int, wide: bool) -> int:
        """Search once for rules that each compare one argument with a number below 2^32: socket(2) has two dozen."""
        runs: list[tuple[int, int | None]] = _ranges(sorted(actions.items()), lambda _: None)
        search = self.search(runs, lambda action: otherwise if action is None else self.leave(action))
        label = self.load(_ARGS + 8 * index, search)
        return self.load(_ARGS + 8 * index + 4, self.jump(_JUMP_EQUAL, 0, label, otherwise)) if wide else label

    def test(self, condition: Condition, yes: int, no: int, wide: bool) -> int:
        """Compare 64 bits by two comparisons of 32: the high halves decide, or else the low ones."""
        index, jump, negated, value, mask = condition
        if negated:
            yes, no = no, yes
        offset, high = _ARGS + 8 * index, value >> 32
        if high and not wide:
            return no
        low = self.half(offset, jump, value & _WORD, mask & _WORD, yes, no)
        if not wide:
            return low
        if jump == _JUMP_EQUAL:
            return self.half(offset + 4, jump, high, mask >> 32, low, no)
        equal = self.jump(_JUMP_EQUAL, high, low, no)
        return self.load(offset + 4, self.jump(_JUMP_GREATER, high, yes, equal))

    def half(self, offset: int, jump: int, k: int, mask: int, yes: int, no: int) -> int:
        if not mask:
            return no if k else yes
        label = self.jump(jump, k, yes, no)
        return self.load(offset, label if mask == _WORD else self.put(_AND, mask))


def _switch_index(rule: tuple[int, tuple[Condition, ...]]) -> int | None:
    """Return the index of the argument if comparing it with one number below 2^32 is all that the rule does."""
    (index, jump, negated, value, mask), *more = rule[1]
    simple = jump == _JUMP_EQUAL and not negated and value <= _WORD and mask == 2**64 - 1 and not more
    return index if simple else None
