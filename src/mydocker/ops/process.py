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
        return "start a new session without a terminal"

    def shell(self) -> str:
        return "setsid"


@operation
class OpenTerminal(Op):
    """Open a pseudo-terminal of the container's own devpts as descriptors 0, 1 and 2. console: make it the controlling
    terminal and /dev/console, as for the container's first process.

    `descriptors` holds the terminal's other end, for the monitor."""

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
    """Set an rlimit. resource: the kernel's number. soft, hard: -1 is unlimited."""

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
        return f"set the OOM killer's score to {self.score}"

    def shell(self) -> str:
        return f"echo {self.score} > /proc/self/oom_score_adj"


@operation
class NoNewPrivileges(Op):
    section = "security"

    def do(self, context: Context) -> None:
        process.no_new_privileges()

    def describe(self) -> str:
        return "let no set-uid program give more privileges"

    def shell(self) -> str:
        return "setpriv --no-new-privs"


@operation
class LoadSeccomp(Op):
    """Load a seccomp filter. program: classic BPF in hexadecimal. about: its origin. flags: of seccomp(2)."""

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
    """Set the capabilities that no program in the container can ever exceed. keep: a bit mask."""

    keep: int
    section = "security"

    def do(self, context: Context) -> None:
        process.drop_bounding(self.keep)

    def describe(self) -> str:
        return f"limit the capabilities to {_summary(self.keep)}"

    def shell(self) -> str:
        return "setpriv --bounding-set " + ",".join(["-all", *(f"+{name}" for name in _names(self.keep))])


@operation
class SetUmask(Op):
    mask: int
    section = "security"

    def do(self, context: Context) -> None:
        os.umask(self.mask)

    def describe(self) -> str:
        return f"set the umask to {self.mask:04o}"

    def shell(self) -> str:
        return f"umask {self.mask:04o}"


@operation
class SwitchUser(Op):
    """Set the group IDs and the user ID. Capabilities survive it; SetCapabilities then sets those that remain."""

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
        # Changing the user sets dumpable to the host's fs.suid_dumpable, so it is cleared again.
        process.set_dumpable(False)

    def describe(self) -> str:
        return f"become user {self.uid}, group {self.gid}"

    def shell(self) -> str:
        groups = f"--groups {','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        return f"setpriv --reuid {self.uid} --regid {self.gid} {groups}"


@operation
class SetCapabilities(Op):
    """Set the capabilities of the process. All fields are bit masks."""

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
        return "join a new session keyring"

    def shell(self) -> str:
        return "keyctl session -"


@operation
class ResetSignals(Op):
    """Give the container the default signal handling, whatever the caller ignored or blocked."""

    section = "process"

    def do(self, context: Context) -> None:
        for number in range(1, 65):
            if number not in (9, 19, 32, 33):  # SIGKILL and SIGSTOP can't be set; the C library uses 32 and 33
                _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])

    def describe(self) -> str:
        return "reset every signal to its default"

    def shell(self) -> str:
        return "env --default-signal --block-signal="


@operation
class OwnStreams(Op):
    """Give the pipes or the terminal of the container to its user, so that they may open /dev/stdout."""

    uid: int
    section = "process"

    def do(self, context: Context) -> None:
        for descriptor in (0, 1, 2):
            status = os.fstat(descriptor)
            # Only pipes and terminals: others are shared, such as the host's /dev/null.
            pty = stat.S_ISCHR(status.st_mode) and 136 <= os.major(status.st_rdev) < 144
            if stat.S_ISFIFO(status.st_mode) or pty:
                os.fchown(descriptor, self.uid, -1)

    def describe(self) -> str:
        return "give the standard streams to the user"

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
    """Close the descriptors from `lowest` on."""

    lowest: int
    section = "process"

    def do(self, context: Context) -> None:
        process.close_from(self.lowest)

    def describe(self) -> str:
        return "close inherited descriptors"

    def shell(self) -> str:
        return f"# close_range({self.lowest}, ~0)"


@operation
class ChangeDirectory(Op):
    """Change the working directory, which must be inside the root: `WORKDIR /proc/self/fd/N` could lead out."""

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
            raise OSError(errno.EPERM, "the working directory is outside the container's root", self.path)

    def describe(self) -> str:
        return f"change to the directory {self.path}"

    def shell(self) -> str:
        return f"cd {quote(self.path)}"
