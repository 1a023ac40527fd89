"""The file that a command's -o names: replaced only when it is complete."""

from __future__ import annotations

import os

from mydocker.errors import HostError


class OutputFile:
    """`with OutputFile(path) as descriptor:` opens a new file, which takes the path at the end of the block if that
    raised no error. A device or FIFO is written to directly. mode: of the new file; as with docker, what `save` and
    `export` write is for its owner alone. Raises HostError, with the hint, for a path that cannot be written, also for
    an OSError in the block."""

    def __init__(self, path: str, mode: int = 0o600, hint: str = "give another -o FILE") -> None:
        self._path, self._mode, self._hint = path, mode, hint
        self._special = os.path.exists(path) and not os.path.isfile(path)
        self._temporary = path if self._special else f"{path}.{os.urandom(6).hex()}"

    def __enter__(self) -> int:
        flags = os.O_WRONLY | (0 if self._special else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._temporary, flags, self._mode)
        except OSError as error:
            raise self._error(error) from None
        return self._descriptor

    def __exit__(self, kind: object, error: object, _: object) -> None:
        try:
            try:
                os.close(self._descriptor)
                if not self._special and kind is None:
                    os.rename(self._temporary, self._path)
            finally:
                if not self._special and os.path.lexists(self._temporary):
                    os.unlink(self._temporary)
        except OSError as failure:
            error = failure
        if isinstance(error, OSError):
            raise self._error(error) from None

    def _error(self, error: OSError) -> HostError:
        return HostError(f"can't write {self._path}: {os.strerror(error.errno or 0).lower()}", self._hint)
