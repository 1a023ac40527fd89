"""A directory as a place of images: an OCI image layout, or an archive that somebody has unpacked."""

from __future__ import annotations

import errno
import io
import os

from mydocker.errors import HostError
from mydocker.image.sources.base import LARGEST_SUM, File, refused
from mydocker.kernel import files


class Directory:
    """`with Directory(path) as directory:` Raises HostError if it can't be read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.json_left = LARGEST_SUM

    def __enter__(self) -> Directory:
        self._root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def find(self, name: str) -> File | None:
        try:
            descriptor = self._open(name)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            if error.errno == errno.EXDEV:
                raise refused(f"a name that leads outside: '{name[:100]}'") from None
            if error.errno == errno.ELOOP:
                raise refused(f"'{name[:100]}' leads through a loop of links") from None
            raise HostError(f"can't read {self._path}/{name[:100]}: {os.strerror(error.errno or 0).lower()}") from None
        try:
            return File(name, files.size_of(descriptor, name), lambda: io.FileIO(self._open(name)))
        except OSError:
            raise refused(f"'{name[:100]}' is not a regular file") from None
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        if "\0" in name:
            raise OSError(errno.ENOENT, "a name with a NUL byte")
        # O_NONBLOCK: a FIFO would wait for ever for a writer.
        return files.open_in_root(self._root, name, files.REGULAR, resolve=files.RESOLVE_BENEATH)
