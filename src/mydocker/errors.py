"""The family of errors: each has a message that names the thing, a hint, and docker's exit code: 1 for an error about a
thing, 125 for an invalid command line. `run` and `create` exit with 125 for both (cli/dispatch.py), so that an error of
mydocker is not taken for the exit code of the container's program.

Only the entry point prints these and exits; everything below it raises them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FAILED, OWN = 1, 125
_LONGEST = 4096  # characters of a message: it may quote an image


class MydockerError(Exception):
    """message: one line that names the thing. hint: a remedy. exit_code: the process's."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def details(self) -> dict[str, Any]:
        """Return the error as JSON for a socket, so of limited size; from_details() reads it back."""
        return {
            "message": self.message[:_LONGEST],
            "hint": self.hint[:_LONGEST],
            "exit_code": self.exit_code,
            "step": getattr(self, "step", ""),
            "errno": getattr(self, "errno", 0),
        }

    def __str__(self) -> str:
        """Return the line that the user sees. Control characters are escaped, never sent to the terminal."""
        line = f"{self.message} ({self.hint})" if self.hint else self.message
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


class InvalidArgument(MydockerError):
    """The user's input is invalid: a malformed size, an unknown option, a value out of range."""

    exit_code = OWN


class NotFound(MydockerError):
    """No container, image, volume or network has that name."""


class ImageNotFound(NotFound):
    """The store has no image of that name, which a registry may have. reference: the name, as typed."""

    def __init__(self, message: str, hint: str = "", reference: str = "") -> None:
        super().__init__(message, hint)
        self.reference = reference


class Conflict(MydockerError):
    """The thing exists already, is in use, or is in the wrong state."""


class CorruptRecord(MydockerError):
    """A file of mydocker's own can't be read back. Nothing is guessed in its place."""


class HostError(MydockerError):
    """The host lacks a program, a kernel feature, disk space, or a privilege."""


class StepFailed(MydockerError):
    """A kernel step failed. step: its name in the trace. errno: the kernel's error number, or 0."""

    def __init__(self, message: str, hint: str = "", step: str = "", errno: int = 0, exit_code: int = FAILED) -> None:
        super().__init__(message, hint, exit_code)
        self.step = step
        self.errno = errno


def from_details(details: dict[str, Any]) -> MydockerError:
    """Rebuild an error from its details()."""
    if details["step"]:
        return StepFailed(details["message"], details["hint"], details["step"], details["errno"], details["exit_code"])
    return MydockerError(details["message"], details["hint"], details["exit_code"])
