"""Confirmation before data is removed."""

from __future__ import annotations

import sys


def agreed(question: str) -> bool:
    """Ask a question. The answer comes from stdin, which may be a pipe (`echo y |`); none, or an empty one, means
    no."""
    print(f"{question} [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n") or not sys.stdin.isatty():
        print()  # on a terminal, the user's Enter has ended the line
    return answer.strip().lower() in ("y", "yes")
