"""The file that a command's -o names: replaced only when it is complete."""

from __future__ import annotations

import errno
import os

from mydocker.errors import HostError


class OutputFile:
    """`with OutputFile(path) as descriptor:` opens a new file, which takes the path at the end of the block if that
    raised no error. It has no name before, where the file system can do so: then a killed process leaves nothing. A
    device or FIFO is written to directly. mode: of the new file; as with docker, what `save` and `export` write is for
    its owner alone. Raises HostError, with the hint, for a path that cannot be written, also for an OSError in the
    block."""

    def __init__(self, path: str, mode: int = 0o600, hint: str = "give another -o FILE") -> None:
        self._path, self._mode, self._hint = path, mode, hint
        self._special = os.path.exists(path) and not os.path.isfile(path)
        self._temporary = f"{path}.{os.urandom(6).hex()}"

    def __enter__(self) -> int:
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise self._error(error) from None
        return self._descriptor

    def _open(self) -> int:
        how = os.O_WRONLY | os.O_CLOEXEC
        if self._special:
            return os.open(self._path, how)
        try:
            return os.open(os.path.dirname(self._path) or ".", how | os.O_TMPFILE, self._mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
        return os.open(self._temporary, how | os.O_CREAT | os.O_EXCL, self._mode)

    def __exit__(self, kind: object, error: object, _: object) -> None:
        try:
            try:
                if not self._special and kind is None:
                    self._give_name()
            finally:
                os.close(self._descriptor)
                if not self._special and os.path.lexists(self._temporary):
                    os.unlink(self._temporary)
        except OSError as failure:
            error = failure
        if isinstance(error, OSError):
            raise self._error(error) from None

    def _give_name(self) -> None:
        if not os.fstat(self._descriptor).st_nlink:
            # link(2) follows no links; linkat(2), which os.link() calls for a src_dir_fd, does.
            own = f"/proc/self/fd/{self._descriptor}"
            os.link(own, self._temporary, src_dir_fd=self._descriptor)
        os.rename(self._temporary, self._path)

    def _error(self, error: OSError) -> HostError:
        return HostError(f"can't write {self._path}: {os.strerror(error.errno or 0).lower()}", self._hint)
