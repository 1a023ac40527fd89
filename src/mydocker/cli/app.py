"""Typer: help texts and usage errors."""

from __future__ import annotations

import sys

from mydocker.cli.normalize import normalize
from mydocker.errors import InvalidArgument
from mydocker.libraries import reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def command_line() -> Any:
    """Import Typer and the declarations; return a click command.

    The launcher runs `python3 -S`, so this extends the import path itself: site.main() would also run the code in *.pth
    files.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]  # if rich is installed, Typer loads it, which takes 70 ms
    reach()
    from mydocker.cli.declare import root

    return root.build()


def run(argv: list[str]) -> int:
    """Parse with Typer and run the command. Returns the exit code."""
    words = normalize(argv)
    root = command_line()
    import typer

    usage_error: Any = typer.BadParameter.__base__  # click's UsageError; newer Typers have no separate click
    try:
        with root.make_context("mydocker", words) as context:
            return root.invoke(context) or 0
    except typer.Exit as done:
        return done.exit_code
    except usage_error as error:
        raise _reworded(error) from None


def _reworded(error: Any) -> InvalidArgument:
    """Convert click's usage error to ours: one line, with the usage as its hint."""
    usage = " ".join(error.ctx.get_usage().split()).replace("Usage", "usage", 1)
    param = getattr(error, "param", None)
    if param is not None and param.param_type_name == "argument":
        missing = " or ".join(reversed(param.name.split("_and_"))).rstrip("s")  # "containers", "image_and_command"
        return InvalidArgument(f"no {missing} given", usage)
    message = error.format_message().rstrip(".")
    return InvalidArgument(message[:1].lower() + message[1:], usage)
