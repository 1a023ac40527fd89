"""The question before something is removed that can't be got back."""

from __future__ import annotations

import sys


def agreed(question: str) -> bool:
    """Ask on stdin, which may be a pipe (`echo y |`); no is the answer of who says nothing, or presses Enter."""
    print(f"{question} [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n") or not sys.stdin.isatty():
        print()  # what was typed on a terminal ends the line by itself
    return answer.strip().lower() in ("y", "yes")
