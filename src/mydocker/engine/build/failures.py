"""Errors of a build's file side: they name paths of the context and of the image, not those of mounts."""

from __future__ import annotations

import errno
import os

from mydocker.errors import FAILED, InvalidArgument, MydockerError
from mydocker.kernel import files

_REASONS = {
    errno.ELOOP: "a link is, or has become, a part of the path",
    errno.EXDEV: "the path leads outside",
    errno.ENOENT: "it does not exist, or not any longer",
    errno.ESTALE: "it changed while it was read",
    errno.ENAMETOOLONG: "a name or path is too long",
}


def refused(message: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(message, hint, FAILED)


def failed(what: str, error: OSError) -> MydockerError:
    """Say that something could not be done: `cannot WHAT: reason`."""
    if error.errno in files.NO_SPACE:
        return files.no_space("the image", error)
    reason = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
    return refused(f"cannot {what}: {reason}")
