"""What the Tab key makes of a line, in bash, zsh and fish themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "script/make-completions"
pytestmark = pytest.mark.local

BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"

# Stands for mydocker: answers what completions ask for, and notes the words that it was called with.
STAND_IN = """#!/bin/sh
case "$*" in
    *--format*) printf '%s\\n' "$*" >>"$NOTES.asked" ;;
    *) printf '%s\\n' "$*" >"$NOTES" ;;
esac
case "$*" in
    "ps --format {{.Names}}") echo bird ;;
    "ps -a --format {{.Names}}") echo bird; echo web ;;
    "images --format {{.Repository}}:{{.Tag}}") echo busybox:latest; echo debian:12 ;;
    "volume ls --format {{.Name}}") echo kept ;;
    "network ls --format {{.Name}}") echo shop; echo yard ;;
esac
"""

READY = "ready@"  # typed as two words, so that what echoes what was typed is no prompt
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"PS1={READY[:-1]}@; . {BASH_COMPLETION}; . $MADE/mydocker"),
    "zsh": (["zsh", "-f", "-i"], f"PS1={READY[:-1]}@; fpath=($MADE $fpath); autoload -U compinit; compinit -u -D"),
    "fish": (
        ["fish", "--no-config", "-i"],
        f"function fish_prompt; echo -n {READY[:-1]}@; end; source $MADE/mydocker.fish",
    ),
}

LINES = {
    "ru": "run",
    "network cre": "network create",
    "run --privi": "run --privileged",
    "network create --inter": "network create --internal",
    "rm -f we": "rm -f web",
    "stop b": "stop bird",
    "top b": "top bird",
    "cp we": "cp web:",
    "cp web:/x /etc/hostn": "cp web:/x /etc/hostname",
    "pause b": "pause bird",
    "run --ipc sha": "run --ipc shareable",
    "run --volumes-from we": "run --volumes-from web",
    "exec -u root bi": "exec -u root bird",
    "run --network ya": "run --network yard",
    "run --network=ya": "run --network=yard",
    "run -it deb": "run -it debian:12",
    "rmi busybox:la": "rmi busybox:latest",
    "volume rm ke": "volume rm kept",
    "network connect ya w": "network connect ya web",
    "stop --signal SIGU": "stop --signal SIGUSR",
    "import /etc/host.con": "import /etc/host.conf",
    "run busybox cat /etc/host.con": "run busybox cat /etc/host.conf",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made")
    subprocess.run([SCRIPT, directory], check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return directory


@pytest.fixture(scope="module", params=START)
def shell(request, made, tmp_path_factory):
    """A shell at a terminal, with our completions."""
    command, setup = START[request.param]
    if not shutil.which(command[0]) or (command[0] == "bash" and not os.path.exists(BASH_COMPLETION)):
        pytest.skip(f"{command[0]} or its completions are not installed")
    shell = Shell(command, setup, made, tmp_path_factory.mktemp("shell"))
    yield shell
    shell.close()


class Shell:
    def __init__(self, command: list[str], setup: str, made: Path, directory: Path) -> None:
        self.notes = directory / "notes"
        program = directory / "bin/mydocker"
        program.parent.mkdir()
        program.write_text(STAND_IN)
        program.chmod(0o755)
        environment = {
            "PATH": f"{program.parent}:/usr/bin:/bin",
            "HOME": str(directory),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "MADE": str(made),
            "NOTES": str(self.notes),
        }
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(command[0], command, environment)
        self.type(f"{setup}\n")
        self.until(READY)

    def until(self, text: str) -> str:
        seen = ""
        end = time.monotonic() + 20
        while text not in seen:
            assert select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0], f"no {text!r} in {seen!r}"
            seen += os.read(self.terminal, 65536).decode(errors="replace")
        return seen

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def completed(self, line: str) -> str:
        """The words that mydocker is called with, after Tab and Enter."""
        self.notes.unlink(missing_ok=True)
        self.type(f"mydocker {line}\t\n")
        self.until(READY)
        end = time.monotonic() + 20
        while not self.notes.exists() or not self.notes.read_text():
            assert time.monotonic() < end, "mydocker was not called"
            time.sleep(0.01)
        return self.notes.read_text().rstrip()

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("line", LINES)
def test_tab_completes(shell, line):
    assert shell.completed(line) == LINES[line]


@pytest.mark.parametrize("line", ["run busybox --priv", "frobnicate ", "network create sh", "tag busybox ya"])
def test_a_value_that_it_cannot_know_is_not_completed(shell, line):
    assert shell.completed(line) == line.rstrip()
