"""The machine under test, here or behind ssh: run commands on it, use a terminal, inspect it.

testinfra's `host` reads files and processes there. This adds input, time limits, exact bytes, background processes and
terminals. Everything goes through Machine.argv, so that the same test runs here and on a lab VM.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
SNAPSHOT = (Path(__file__).parent / "snapshot.py").read_text()


@dataclass
class Result:
    """The result of a command. Bytes that are not UTF-8 are kept as surrogates."""

    argv: list[str]
    rc: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


class Running(subprocess.Popen):
    """A command in a new session. `with` kills it if it is still running."""

    def kill_all(self) -> None:
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()

    def __exit__(self, *details: object) -> None:
        self.kill_all()
        super().__exit__(*details)


def decode(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


@dataclass
class Machine:
    host: object  # testinfra's
    store: str = ""
    env: dict[str, str] = field(default_factory=dict)
    clean: dict[str, list[str]] | None = None  # the last snapshot, if nothing differed from the one before it
    clean_with: tuple[object, ...] = ()  # the fixtures that existed then

    def __post_init__(self):
        self.local = self.host.backend.NAME == "local"
        here = CHECKOUT / "bin" / "mydocker"
        self.program = str(here) if self.local and here.exists() else "mydocker"
        self.store = self.run("mktemp", "-d", "/var/tmp/mydocker-test.XXXXXX").stdout.strip()
        self.env = {"MYDOCKER_ROOT": f"{self.store}/lib", "MYDOCKER_RUN": f"{self.store}/run"}

    def argv(self, *words: str, env: dict[str, str] | None = None, tty: bool = False) -> list[str]:
        """Return the local command line that runs `words` there, with only `env` as the environment."""
        full = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "xterm", **self.env, **(env or {})}
        there = ["env", "-i", *(f"{key}={value}" for key, value in full.items()), *words]
        if self.local:
            return there
        return self._ssh(self.host.backend.get_command(shlex.join(there)), *(["-tt"] if tty else []))

    def _ssh(self, line: str, *options: str) -> list[str]:
        """Return the local command line that gives `line` to the login user's shell there."""
        backend = self.host.backend
        form, values = backend._build_ssh_command(line)
        ssh, *rest = shlex.split(backend.quote(" ".join(form), *values))
        return [ssh, *options, *rest]

    def session(self, line: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Log in, run a line, log out. This is a new connection: the others share one, and its session."""
        argv = self._ssh(line, "-o", "ControlPath=none", *options)
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)

    def reboot(self, timeout: float = 300) -> None:
        """Reboot it, and wait until it answers."""
        boot_id = "/proc/sys/kernel/random/boot_id"
        before = self.read(boot_id)
        self.run("systemctl", "reboot")
        # Few attempts, as they slow an emulated machine down, which needs seconds to answer. And short ones, as TCP
        # repeats packets without an answer at longer and longer intervals.
        until(
            lambda: self.session(f"cat {boot_id}", "-o", "ConnectTimeout=15").stdout not in ("", before),
            "a boot",
            timeout,
            pause=2,
        )

    def start(self, *words: str, env: dict[str, str] | None = None, **popen) -> Running:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        return Running(self.argv(*words, env=env), start_new_session=True, **options)

    def run(self, *words: str, input: bytes = b"", env=None, timeout: float = 60, **popen) -> Result:
        process = self.start(*words, env=env, **popen)
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired as slow:
            process.kill_all()
            raise AssertionError(f"{shlex.join(words)}: not done after {timeout} s; said {slow.output!r}") from None
        return Result(list(words), process.returncode, decode(out or b""), decode(err or b""))

    @staticmethod
    def with_programs(directory: str) -> list[str]:
        """Return the words before a command that put the directory's programs in front of the host's own."""
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /usr/local/sbin && exec "$@"', directory]

    def shell(self, script: str, **options) -> Result:
        return self.run("sh", "-c", script, **options)

    def python(self, script: str, *args: str, **options) -> Result:
        """Run a Python script there, with the distribution's interpreter and no site-packages."""
        return self.run("/usr/bin/python3", "-I", "-S", "-c", script, *args, **options)

    def read(self, path: str) -> str:
        result = self.run("cat", path)
        assert result.rc == 0, result.stderr
        return result.stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path).rc == 0

    def alive(self, pid: int) -> bool:
        """True if the process exists and is not a zombie."""
        stat = self.run("cat", f"/proc/{pid}/stat").stdout
        return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"

    def is_bare(self, monitor: int) -> bool:
        """True if a monitor is minimal. Then its private memory is 2.5 MB, or 3.5 if it resolves names; else more than
        4.2."""
        memory = re.search(r"^Anonymous: +(\d+) kB", self.read(f"/proc/{monitor}/smaps_rollup"), re.MULTILINE)
        assert memory
        return int(memory[1]) < 3850

    def directory(self) -> str:
        """Make a new directory beside the store."""
        return self.run("mktemp", "-d", f"{self.store}-XXXXXX").stdout.strip()

    def terminal(self, *words: str, rows: int = 24, columns: int = 80) -> Terminal:
        return Terminal(self.argv(*words, tty=True), rows, columns)

    def snapshot(self) -> dict[str, list[str]]:
        """Return everything on the machine that a container could leave behind: see snapshot.py."""
        with_store, self.env = self.env, {}
        try:
            result = self.python(SNAPSHOT, input=self.store.encode())
        finally:
            self.env = with_store  # or the next tests would use the machine's own store
        assert result.rc == 0, result.stderr
        return json.loads(result.stdout)

    def changes_since(self, before: dict[str, list[str]], timeout: float = 5) -> list[str]:
        """Return a line for each thing that the machine has more or less than in that snapshot. Things that end by
        themselves have 5 s for it.

        Only changes that every snapshot shows count: meanwhile, other stores' containers appear and vanish. Things that
        no store had on record before may vanish.
        """
        deadline = time.monotonic() + timeout
        passing = ("cgroups", "namespaces")  # these may be of another store, and vanish
        changes = None
        while True:
            differences, after = set(), self.snapshot()
            for kind in after:
                was, now = Counter(before[kind]), Counter(after[kind])
                differences |= {f"new {kind}: {thing}" for thing in now - was}
                if kind not in passing and not kind.startswith("stray "):
                    differences |= {f"gone {kind}: {thing}" for thing in was - now if thing[:4] != "veth"}
            changes = differences if changes is None else changes & differences
            if not changes or time.monotonic() > deadline:
                self.clean = None if differences else after
                return sorted(changes)
            time.sleep(0.1)


class Mydocker:
    """Runs `mydocker …` on the machine. Named and detached containers are removed at the test's end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.made: list[str] = []

    def __call__(self, *args: str, **options) -> Result:
        self._note(args)
        result = self.machine.run(self.machine.program, *args, **options)
        if args[0] in ("run", "create") and result.rc == 0 and "--rm" not in args and len(result.stdout.strip()) == 64:
            self.made.append(result.stdout.strip())
        if args[0] == "run" and result.rc in (125, 126, 127) and "--rm" not in args:
            # A failed start leaves a container that has never run.
            listed = self.machine.run(self.machine.program, "ps", "-aq", "--no-trunc", "--filter", "status=created")
            self.made += listed.lines
        return result

    def ok(self, *args: str, **options) -> str:
        """Return the stdout, without the last newline, of a command that must succeed."""
        result = self(*args, **options)
        assert result.rc == 0, f"{shlex.join(args)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def fails(self, *args: str, rc: int = 0, stdout: str = "", **options) -> str:
        """Return the only line on stderr of a command that must fail, with an empty stdout. rc: by default 125 for
        `run` and `create`, else 1."""
        rc = rc or (125 if args[0] in ("run", "create") else 1)
        result = self(*args, **options)
        said = f"{shlex.join(args)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        assert result.rc == rc, said
        made = args[0] == "run" and re.fullmatch("[0-9a-f]{64}\n", result.stdout)  # -d: its ID, as docker's
        assert result.stdout == stdout or made, said
        assert len(result.stderr.splitlines()) == 1, said
        return result.stderr.rstrip("\n")

    def detached(self, *args: str) -> str:
        """Run `run -d --net none ARGS`. Returns the ID."""
        return self.ok("run", "-d", "--net", "none", *args)

    def sh(self, script: str, *options: str, **keywords) -> str:
        """Return the output, with stderr, of a script in a new container with these options; it must succeed."""
        return self.ok(
            "run", "--rm", "--net", "none", *options, "busybox", "sh", "-c", f"exec 2>&1; {script}", **keywords
        )

    def inspect(self, thing: str, *keys: str | int):
        value = json.loads(self.ok("inspect", thing))[0]
        for key in keys:
            value = value[key]
        return value

    def state(self, container: str) -> dict:
        return self.inspect(container, "State")

    def start(self, *args: str, **popen) -> Running:
        self._note(args)
        return self.machine.start(self.machine.program, *args, **popen)

    def terminal(self, *args: str, **size) -> Terminal:
        self._note(args)
        return self.machine.terminal(self.machine.program, *args, **size)

    def pid(self, container: str) -> int:
        """Return the PID of the container's first process on the machine."""
        return self.state(container)["Pid"]

    def monitor(self, container: str) -> int:
        """Return the PID of the container's monitor, the parent of its first process."""
        return int(self.machine.read(f"/proc/{self.pid(container)}/stat").rpartition(")")[2].split()[1])

    def cgroup(self, container: str, v1: str, v2: str) -> str:
        """Read a file of the container's cgroup, such as `memory.limit_in_bytes` on v1, `memory.max` on v2."""
        rows = dict(
            row.split(":", 2)[1:] for row in self.machine.read(f"/proc/{self.pid(container)}/cgroup").splitlines()
        )
        controller = v1.partition(".")[0]
        if controller in rows:
            return self.machine.read(f"/sys/fs/cgroup/{controller}{rows[controller]}/{v1}").strip()
        return self.machine.read(f"/sys/fs/cgroup{rows['']}/{v2}").strip()

    def wait_log(self, container: str, text: str) -> str:
        """Wait until `text` is in the container's log. Returns the log."""
        return until(lambda: (log := self.ok("logs", container)) and text in log and log, f"{text!r} in the log")

    def remove_all(self) -> None:
        """Remove every container of the store, also damaged ones."""

        def none_left() -> bool:
            ids = self.machine.run("ls", f"{self.machine.store}/lib/containers").lines
            if ids:
                self("rm", "-f", *ids)
            return not ids

        until(none_left, "a store without containers", timeout=60)  # on an emulated machine rm takes seconds
        self.made.clear()

    def clean_up(self) -> None:
        if self.made:
            self.machine.run(self.machine.program, "rm", "-f", "-v", *dict.fromkeys(self.made))

    def _note(self, args: tuple[str, ...]) -> None:
        if args[0] in ("run", "create") and "--rm" not in args:
            self.made += [after for word, after in zip(args, args[1:]) if word in ("--name", "-name")]


class Terminal:
    """A program on a new terminal, as its session's leader. The far end stays open here, for reading its modes."""

    def __init__(self, argv: list[str], rows: int, columns: int) -> None:
        self.near, self.far = os.openpty()
        self.resize(rows, columns)
        self.modes_before = self.modes()
        self.seen = ""
        self.process = subprocess.Popen(
            argv,
            stdin=self.far,
            stdout=self.far,
            stderr=self.far,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close both ends, as when a terminal's window is closed."""
        for fd in {self.near, self.far} - {-1}:
            os.close(fd)
        self.near = self.far = -1

    def modes(self) -> list[object]:
        return termios.tcgetattr(self.far)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def send(self, text: str) -> None:
        os.write(self.near, text.encode())

    def expect(self, text: str, timeout: float = 20) -> str:
        """Read up to `text`. Returns the output before it; the output after it stays for the next call."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self.near], [], [], 0.05)
            if ready:
                self.seen += decode(os.read(self.near, 65536))
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{text!r} did not come; the terminal shows {self.seen!r}")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line: str, prompt: str = " # ") -> str:
        """Type a line to a shell that has shown its prompt. Returns the output before the next prompt."""
        self.send(line + "\n")
        echo, _, output = self.expect(prompt).partition("\r\n")
        assert line in echo, f"typed {line!r}, the terminal shows {echo!r}"
        return output.replace("\r\n", "\n").rpartition("\n")[0]

    def wait(self, timeout: float = 20) -> int:
        """Return the program's exit code. Its output is read meanwhile, so that it can end."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if select.select([self.near], [], [], 0.02)[0]:
                self.seen += decode(os.read(self.near, 65536))
            if time.monotonic() > deadline:
                raise AssertionError(f"not done after {timeout} s; the terminal shows {self.seen!r}")
        while select.select([self.near], [], [], 0)[0]:
            self.seen += decode(os.read(self.near, 65536))
        return self.process.returncode


def until(probe, what: str, timeout: float = 10, pause: float = 0.02):
    """Call `probe` until its result is true, and return that. pause: seconds between two calls."""
    deadline = time.monotonic() + timeout
    while True:
        if result := probe():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen in {timeout} s: {what}")
        time.sleep(pause)
