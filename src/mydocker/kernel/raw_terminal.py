"""Raw mode for the caller's terminal. A module of its own, as importing termios takes 0.3 ms."""

from __future__ import annotations

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


def restore(terminal: int, saved: list[Any]) -> None:
    termios.tcsetattr(terminal, termios.TCSADRAIN, saved)
