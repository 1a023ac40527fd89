"""Errors as one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import select
import traceback

from mydocker.cli.streams import Terminated, tell
from mydocker.errors import FAILED, OWN, HostError, MydockerError

_INTERRUPTED = 128 + 2  # as if by SIGINT
_READER_GONE = 128 + 13  # as if by SIGPIPE

_HINTS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EROFS: "mydocker must be able to write there",
    errno.EACCES: "denied even to root: check the mount options, SELinux or AppArmor",
    errno.EPERM: "denied even to root: check the file's attributes, SELinux or AppArmor",
    errno.EFBIG: "raise the file size limit, 'ulimit -f'",
    errno.EMFILE: "raise the open files limit, 'ulimit -n'",
    errno.ENFILE: "raise the host's open files limit, fs.file-max",
    errno.ENOMEM: "the host is out of memory",
}


def report(error: BaseException) -> int:
    """Print the error. Returns the exit code. MYDOCKER_DEBUG=1 adds the traceback."""
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, Terminated):
        return 128 + error.number
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return _READER_GONE
    if os.environ.get("MYDOCKER_DEBUG") == "1":
        traceback.print_exception(type(error), error, error.__traceback__)
    return tell(_as_mydocker_error(error))


def _reader_is_gone() -> bool:
    """True if stdout or stderr is the broken pipe. Any other broken pipe is an error of ours."""
    poll = select.poll()
    poll.register(1, 0)
    poll.register(2, 0)
    return bool(poll.poll(0))


def _as_mydocker_error(error: BaseException) -> MydockerError:
    if isinstance(error, MydockerError):
        return error
    code = getattr(error, "exit_code", FAILED)  # set by dispatch.py
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        return HostError(": ".join([*names, error.strerror.lower()]), _HINTS.get(error.errno or 0, ""), code)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("mydocker"):
        package = error.name.partition(".")[0].replace("_", "-")
        return HostError(f"the Python module '{error.name}' is missing", f"apt install python3-{package}", OWN)
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MydockerError(f"internal error: {detail}; set MYDOCKER_DEBUG=1 for the traceback", exit_code=code)
