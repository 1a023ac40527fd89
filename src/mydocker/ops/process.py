"""Steps on the container's first process: session, terminal, limits, user, capabilities, system calls."""

from __future__ import annotations

import _signal
import errno
import os
import stat

from mydocker.kernel import cgroups, process, seccomp, terminal
from mydocker.model.oci import capabilities
from mydocker.ops.base import Context, Op, operation, quote

_NAMED = 4  # capabilities in a description


@operation
class NewSession(Op):
    section = "process"

    def do(self, context: Context) -> None:
        os.setsid()

    def describe(self) -> str:
        return "lead a new session, without a terminal"

    def shell(self) -> str:
        return "setsid"


@operation
class OpenTerminal(Op):
    """A pseudo-terminal of the container's own devpts becomes descriptors 0, 1 and 2. console: it is the container's
    first: the controlling terminal, and on /dev/console.

    `descriptors` is the terminal's other end, for the monitor."""

    root: str
    rows: int
    columns: int
    console: bool
    section = "process"

    def do(self, context: Context) -> None:
        self.descriptors = [terminal.open_pty(self.root, self.rows, self.columns, self.console)]

    def describe(self) -> str:
        return "open a terminal in the container's /dev/pts"

    def shell(self) -> str:
        return "script -q /dev/null  # posix_openpt, TIOCSCTTY"


@operation
class SetLimit(Op):
    """An rlimit. resource: the kernel's number. soft, hard: -1 is unlimited."""

    name: str
    resource: int
    soft: int
    hard: int
    section = "limits"

    def do(self, context: Context) -> None:
        process.set_rlimit(self.resource, self.soft, self.hard)

    def describe(self) -> str:
        return f"limit: {self.name[7:].lower()} = {_limit(self.soft)}"

    def shell(self) -> str:
        return f"prlimit --pid $$ --{self.name[7:].lower()}={_limit(self.soft)}:{_limit(self.hard)}"


def _limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


@operation
class SetOomScore(Op):
    score: int
    section = "limits"

    def do(self, context: Context) -> None:
        cgroups.write("/proc/self/oom_score_adj", str(self.score))

    def describe(self) -> str:
        return "set how readily the OOM killer picks it"

    def shell(self) -> str:
        return f"echo {self.score} > /proc/self/oom_score_adj"


@operation
class NoNewPrivileges(Op):
    section = "security"

    def do(self, context: Context) -> None:
        process.no_new_privileges()

    def describe(self) -> str:
        return "no set-uid program can give more"

    def shell(self) -> str:
        return "setpriv --no-new-privs"


@operation
class LoadSeccomp(Op):
    """program: classic BPF in hexadecimal. about: where it is from. flags: of seccomp(2)."""

    about: str
    program: str
    flags: int = 0
    section = "security"

    def do(self, context: Context) -> None:
        seccomp.load(bytes.fromhex(self.program), self.flags)

    def describe(self) -> str:
        return f"filter system calls, {len(self.program) // 16} BPF instructions"

    def shell(self) -> str:
        return f"# seccomp(SECCOMP_SET_MODE_FILTER), {self.about}"


@operation
class DropBounding(Op):
    """keep: a bit mask of the capabilities that no program in the container can ever exceed."""

    keep: int
    section = "security"

    def do(self, context: Context) -> None:
        process.drop_bounding(self.keep)

    def describe(self) -> str:
        return f"limit the capabilities to {_summary(self.keep)}"

    def shell(self) -> str:
        return "setpriv --bounding-set " + ",".join(["-all", *(f"+{name}" for name in _names(self.keep))])


@operation
class SwitchUser(Op):
    """Group IDs, then user ID; capabilities are kept through it, for SetCapabilities to say what remains."""

    uid: int
    gid: int
    groups: list[int]
    section = "security"

    def do(self, context: Context) -> None:
        process.keep_capabilities(True)
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        process.keep_capabilities(False)
        # A change of user makes a process dumpable or not by the host's fs.suid_dumpable; we stay closed.
        process.set_dumpable(False)

    def describe(self) -> str:
        return f"become user {self.uid}, group {self.gid}"

    def shell(self) -> str:
        groups = f"--groups {','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        return f"setpriv --reuid {self.uid} --regid {self.gid} {groups}"


@operation
class SetCapabilities(Op):
    """Bit masks."""

    effective: int
    permitted: int
    inheritable: int
    ambient: int
    section = "security"

    def do(self, context: Context) -> None:
        process.set_capabilities(self.effective, self.permitted, self.inheritable)
        process.set_ambient(self.ambient)

    def describe(self) -> str:
        return f"keep the capabilities {_summary(self.effective)}" if self.effective else "keep no capabilities"

    def shell(self) -> str:
        kinds: dict[int, str] = {}
        for kind, mask in (("e", self.effective), ("p", self.permitted), ("i", self.inheritable)):
            kinds[mask] = kinds.get(mask, "") + kind
        clauses = " ".join(f"{_cap_names(mask)}+{kind}" for mask, kind in kinds.items() if mask)
        ambient = f" --addamb={_cap_names(self.ambient)}" if self.ambient else ""
        return f"capsh --caps={quote(clauses or '=')}{ambient}"


def _names(mask: int) -> list[str]:
    """The names of the capabilities as setpriv(1) takes them."""
    return [name[4:].lower() for name in capabilities.names(mask)]


def _cap_names(mask: int) -> str:
    """The names of the capabilities as capsh(1) takes them."""
    return ",".join(name.lower() for name in capabilities.names(mask))


def _summary(mask: int) -> str:
    names = [name[4:] for name in capabilities.names(mask)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more


@operation
class NewKeyring(Op):
    section = "process"

    def do(self, context: Context) -> None:
        process.new_session_keyring()

    def describe(self) -> str:
        return "leave the caller's keys behind"

    def shell(self) -> str:
        return "keyctl session -"


@operation
class ResetSignals(Op):
    """Whatever the caller ignored or blocked, the container starts with the defaults."""

    section = "process"

    def do(self, context: Context) -> None:
        for number in range(1, 65):
            if number not in (9, 19, 32, 33):  # KILL and STOP can't be set; 32 and 33 are the C library's own
                _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])

    def describe(self) -> str:
        return "take every signal's default"

    def shell(self) -> str:
        return "env --default-signal --block-signal="


@operation
class OwnStreams(Op):
    """A user other than root may open /dev/stdout: the pipes and the terminal of the container become his."""

    uid: int
    section = "process"

    def do(self, context: Context) -> None:
        for descriptor in (0, 1, 2):
            status = os.fstat(descriptor)
            # Never what the container only shares, such as the host's /dev/null.
            pty = stat.S_ISCHR(status.st_mode) and 136 <= os.major(status.st_rdev) < 144
            if stat.S_ISFIFO(status.st_mode) or pty:
                os.fchown(descriptor, self.uid, -1)

    def describe(self) -> str:
        return "own its standard streams"

    def shell(self) -> str:
        return f"chown {self.uid} /dev/stdin /dev/stdout /dev/stderr"


@operation
class DieWithMonitor(Op):
    section = "process"

    def do(self, context: Context) -> None:
        process.die_with_parent()

    def describe(self) -> str:
        return "end when the monitor ends"

    def shell(self) -> str:
        return "setpriv --pdeathsig SIGKILL"


@operation
class CloseDescriptors(Op):
    """lowest: the first descriptor that is closed, with all above it."""

    lowest: int
    section = "process"

    def do(self, context: Context) -> None:
        process.close_from(self.lowest)

    def describe(self) -> str:
        return "close what the caller left open"

    def shell(self) -> str:
        return f"# close_range({self.lowest}, ~0)"


@operation
class ChangeDirectory(Op):
    """The working directory, which must be inside the root: `WORKDIR /proc/self/fd/N` may not lead out."""

    path: str
    section = "process"

    def do(self, context: Context) -> None:
        os.chdir(self.path)
        try:
            here = os.getcwd()
        except FileNotFoundError:
            here = ""
        # getcwd(2) names a directory outside the root "(unreachable)/…"; glibc turns that into ENOENT.
        if not here.startswith("/"):
            raise OSError(errno.EPERM, "the working directory is outside of the container's root", self.path)

    def describe(self) -> str:
        return f"work in {self.path}"

    def shell(self) -> str:
        return f"cd {quote(self.path)}"
