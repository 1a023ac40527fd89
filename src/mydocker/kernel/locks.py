"""flock(2) on files and directories."""

from __future__ import annotations

import fcntl
import os
from time import monotonic, sleep

from mydocker.errors import Conflict

# Flags of open(2): what the lock is on.
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC  # a file, which is created if it is missing
FILE = os.O_RDWR | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

PATIENCE = 60  # seconds that another process may hold a lock: a start copies an image's files under it
_LONGEST_PAUSE = 0.01


class Lock:
    """An flock. A fork inherits the descriptor; the lock lasts until its last copy is closed."""

    def __init__(self, path: str, on: int = NEW_FILE, *, shared: bool = False, wait: float | None = PATIENCE) -> None:
        """on: NEW_FILE, FILE or DIRECTORY. wait: seconds; 0: raise BlockingIOError if another process holds the lock;
        None: as long as it takes. Raises FileNotFoundError, or Conflict after the wait."""
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            self.descriptor = os.open(path, on, 0o600)
            try:
                self._take(path, how, wait)
                if self._is_of(path):
                    return
            except BaseException:
                self.release()
                raise
            self.release()

    def _take(self, path: str, how: int, wait: float | None) -> None:
        """Take the lock, with a bound that flock(2) itself does not have."""
        if wait is None:
            fcntl.flock(self.descriptor, how)
            return
        pause, deadline = 0.0005, 0.0
        while True:
            try:
                fcntl.flock(self.descriptor, how | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not wait:
                    raise
            deadline = deadline or monotonic() + wait
            if monotonic() > deadline:
                raise _held(path, wait)
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_of(self, path: str) -> bool:
        """False if the previous holder removed what the lock is on: then we hold a lock on an unlinked file."""
        try:
            return os.stat(path).st_ino == os.fstat(self.descriptor).st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _held(path: str, wait: float) -> Conflict:
    from mydocker.kernel.stuck import holder

    said = f"{path} has been locked for {wait} s, by {holder(path) or 'another process'}"
    return Conflict(said, "that process may be stopped, or busy: try again later")
