"""What can go wrong, as one family: a message that names the thing, a hint, an exit code (docker's): 1 for an error
about a thing, 125 for a command line that can't be meant. `run` and `create` say 125 for both (cli/dispatch.py), so
that an error of ours is not taken for the exit code of the container's program.

Only the entry point prints these and exits; everything below it raises them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FAILED, OWN = 1, 125
_LONGEST = 4096  # characters of a message that came from an image, say


class MydockerError(Exception):
    """message: one line that names the thing. hint: what to do about it. exit_code: the process's."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def details(self) -> dict[str, Any]:
        """The error as JSON, to go through a socket, which takes no megabytes; `from_details` reads it back."""
        return {
            "message": self.message[:_LONGEST],
            "hint": self.hint[:_LONGEST],
            "exit_code": self.exit_code,
            "step": getattr(self, "step", ""),
            "errno": getattr(self, "errno", 0),
        }

    def __str__(self) -> str:
        """The one line that a person sees: control characters shown, never sent to the terminal."""
        line = f"{self.message} ({self.hint})" if self.hint else self.message
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


class InvalidArgument(MydockerError):
    """What the user wrote can't be meant: a malformed size, an unknown option, a value out of range."""

    exit_code = OWN


class NotFound(MydockerError):
    """No container, image or volume of that name."""


class Conflict(MydockerError):
    """The thing exists already, is in use, or is in the wrong state."""


class CorruptRecord(MydockerError):
    """A file of mydocker's own can't be read back; nothing is guessed in its place."""


class HostError(MydockerError):
    """The host lacks something: a program, a kernel feature, space, rights."""


class StepFailed(MydockerError):
    """A kernel step failed. step: its name in the trace. errno: the kernel's, or 0."""

    def __init__(self, message: str, hint: str = "", step: str = "", errno: int = 0, exit_code: int = FAILED) -> None:
        super().__init__(message, hint, exit_code)
        self.step = step
        self.errno = errno


def from_details(details: dict[str, Any]) -> MydockerError:
    """The error that `details()` took apart."""
    if details["step"]:
        return StepFailed(details["message"], details["hint"], details["step"], details["errno"], details["exit_code"])
    return MydockerError(details["message"], details["hint"], details["exit_code"])
