"""Commands as argument lists: the argument list of RUN, CMD, ENTRYPOINT, and the script that a heredoc of RUN is."""

from __future__ import annotations

from mydocker.build import heredocs
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.build.instructions import Command, Run

DEFAULT_SHELL = ["/bin/sh", "-c"]
SCRIPTS = "/dev/pipes"  # where a heredoc that begins with `#!` is mounted, executable and read-only


@record
class RunCommand:
    """argv: the program and its arguments. script: (path, content) of a file that must be there, or None."""

    argv: list[str]
    script: tuple[str, str] | None


def argv(command: Command, shell: list[str]) -> list[str]:
    """Return the argument list. shell: the SHELL in force, or [] for the default."""
    return [*(shell or DEFAULT_SHELL), *command.words] if command.shell else list(command.words)


def run_command(run: Run, shell: list[str]) -> RunCommand:
    """Return what a RUN executes.

    A heredoc alone is the shell's text, or a script if its first characters are `#!`. Heredocs within a command are
    written behind it again, for the shell to read.
    """
    if not run.heredocs:
        return RunCommand(argv(run.command, shell), None)
    text, script = run.command.words[0], None
    if heredocs.mark(text) is None:
        text += "".join(f"\n{heredoc.body}{heredoc.name}" for heredoc in run.heredocs)
    else:
        document = run.heredocs[0]
        text = document.content
        if text.startswith("#!"):
            script = (f"{SCRIPTS}/{document.name}", text)
            text = script[0]
    return RunCommand([*(shell or DEFAULT_SHELL), text], script)
