"""The question before something is removed that can't be got back."""

from __future__ import annotations

import os
import sys

from mydocker.errors import InvalidArgument


def agreed(command: str, question: str) -> bool:
    """Ask on the terminal; no is the answer of who only presses Enter. command: who asks."""
    if not os.isatty(0):
        raise InvalidArgument(f"{command} asks before it removes anything, and stdin is no terminal", "add -f")
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
