"""Modes of terminals, above all raw mode for the caller's. A module of its own, as importing termios takes 0.3 ms."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def make_raw(terminal: int) -> list[Any]:
    """Do cfmakeraw(3), as the container's own terminal echoes and edits. Returns the mode for restore()."""
    saved, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    mode[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    mode[1] &= ~termios.OPOST
    mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    return saved


def interrupts(master: int) -> int:
    """Return the process group that gets SIGINT when Ctrl-C is typed; 0 if none does."""
    try:
        mode = termios.tcgetattr(master)
        return os.tcgetpgrp(master) if mode[3] & termios.ISIG and mode[6][termios.VINTR] == b"\x03" else 0
    except (OSError, termios.error):
        return 0


def restore(terminal: int, saved: list[Any]) -> None:
    termios.tcsetattr(terminal, termios.TCSADRAIN, saved)
