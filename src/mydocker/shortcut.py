"""A short way to our own bytecode, with 4 system calls a module in place of importlib's 11: 1 ms less in a start.

It loads what importlib would: the same .pyc, if that was made of its source as it is now. In any other case, and for
packages, importlib goes its own way, and writes the .pyc.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_ROOT = __file__.rpartition("/mydocker/")[0]
_PIECE = 1 << 16
_HEADER = 16  # bytes (PEP 552): the magic number, flags, the source's time and size; four each


class Shortcut:
    """A finder and loader, on sys.meta_path before importlib's own."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith("mydocker."):
            return None
        folder, _, tail = f"{_ROOT}/{name.replace('.', '/')}".rpartition("/")
        source, cached = f"{folder}/{tail}.py", f"{folder}/__pycache__/{tail}.{sys.implementation.cache_tag}.pyc"
        try:
            status = os.stat(source)
            data = _read(cached)
        except OSError:
            return None
        # Flags of 0: it goes by time and size.
        wanted = MAGIC_NUMBER + b"\0\0\0\0" + _word(int(status.st_mtime)) + _word(status.st_size)
        if data[:_HEADER] != wanted:
            return None
        spec = ModuleSpec(name, Shortcut, origin=source, loader_state=data)  # type: ignore[arg-type]
        spec.cached, spec.has_location = cached, True
        return spec

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """As importlib makes it."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        assert module.__spec__
        exec(loads(memoryview(module.__spec__.loader_state)[_HEADER:]), module.__dict__)


def _read(path: str) -> bytes:
    """The file with as few system calls as can be: most have one piece, and only its end is short."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(descriptor, _PIECE)
        while len(piece) == _PIECE:
            piece = os.read(descriptor, _PIECE)
            data += piece
        return data
    finally:
        os.close(descriptor)


def _word(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


sys.meta_path.insert(0, Shortcut)
