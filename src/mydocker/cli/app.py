"""The full command line: Typer, which answers calls for help and words what is missing or too many."""

from __future__ import annotations

import sys

from mydocker.cli.normalize import normalize
from mydocker.errors import InvalidArgument
from mydocker.libraries import reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def command_line() -> Any:
    """Import Typer and what is declared with it; a click command.

    Under the launcher's `python3 -S` this looks into the usual directories itself: site.main() would also run
    whatever code *.pth files hold.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]  # where it is installed, Typer would load it: 70 ms more
    reach()
    from mydocker.cli.declare import root

    return root.build()


def run(argv: list[str]) -> int:
    """Parse with Typer and do what was asked for; the exit code."""
    words = normalize(argv)
    root = command_line()
    import typer

    usage_error: Any = typer.BadParameter.__base__  # click's UsageError, reached without naming click
    try:
        with root.make_context("mydocker", words) as context:
            return root.invoke(context) or 0
    except typer.Exit as done:
        return done.exit_code
    except usage_error as error:
        raise _reworded(error) from None


def _reworded(error: Any) -> InvalidArgument:
    """Click's usage error as ours: one line, with the usage as its hint."""
    usage = " ".join(error.ctx.get_usage().split()).replace("Usage", "usage", 1)
    param = getattr(error, "param", None)
    if param is not None and param.param_type_name == "argument":
        what = " or ".join(reversed(param.name.split("_and_"))).rstrip("s")  # "containers", "image_and_command"
        return InvalidArgument(f"no {what} given", usage)
    message = error.format_message().rstrip(".")
    return InvalidArgument(message[:1].lower() + message[1:], usage)
