"""The commands that use a container from a terminal: attach and exec. Declarations only, as in container.py."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import DETACH_KEYS, command, flag, many, positional, switch, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "Containers"


@command(app, "attach", _PANEL)
def attach(
    detach_keys: Optional[str] = DETACH_KEYS,
    no_stdin: bool = flag("Do not pass stdin to the container", "--no-stdin"),
    sig_proxy: bool = switch("Forward signals to the container; =false: they end this command", "--sig-proxy"),
    container: str = positional("CONTAINER"),
) -> int:
    """Attach to a running container: its input, output and signals

    It shows what the container prints from now on; 'mydocker logs' shows the output before that. It ends when the
    container does, with its exit code. Several can be attached at the same time.

    \b
    mydocker run -dit --name sh1 busybox sh
    mydocker attach sh1                     the shell; Ctrl-P Ctrl-Q leaves it
    mydocker attach --detach-keys @,q sh1   the shell; @ and q leave it
    mydocker attach --sig-proxy=false web   only look: Ctrl-C ends this command
    """
    return dispatch("attach", locals())


@command(app, "exec", _PANEL, stop_at_positional=True)
def execute(
    detach: bool = flag("Run in the background", "-d", "--detach"),
    interactive: bool = flag("Keep stdin open and pass it to the command", "-i", "--interactive"),
    tty: bool = flag("Allocate a terminal", "-t", "--tty"),
    detach_keys: Optional[str] = DETACH_KEYS,
    env: List[str] = many("KEY[=VALUE]", "Set an environment variable; without a value, the caller's", "-e", "--env"),
    env_file: List[str] = many("FILE", "Read environment variables from a file", "--env-file"),
    workdir: Optional[str] = text("DIR", "Working directory in the container", "-w", "--workdir"),
    user: Optional[str] = text("USER[:GROUP]", "User and group, by name or ID", "-u", "--user"),
    privileged: bool = flag("Give all capabilities to the command", "--privileged"),
    container: str = positional("CONTAINER"),
    command: List[str] = positional("COMMAND [ARG...]"),
) -> int:
    """Run a command in a running container

    \b
    mydocker exec -ti web sh                a shell; Ctrl-P Ctrl-Q leaves it
    mydocker exec -e A=1 --env-file f web env
    """
    return dispatch("exec", locals())
