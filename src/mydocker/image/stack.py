"""The root that an image's layers make, read without a mount: what `diff` compares a container with.

A layer is a directory in overlay's form, or anything else with the methods of View.
"""

from __future__ import annotations

import os
import stat

from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    Look = tuple[int, int, int]  # mode with the type's bits, uid, gid

    class View(Protocol):
        """One layer. Paths are relative; links on the way are not followed."""

        def look(self, path: str) -> Look | None: ...

        def is_removal(self, path: str) -> bool:
            """True if what `path` names is a whiteout."""

        def is_opaque(self, path: str) -> bool: ...

        def names(self, path: str) -> list[str]:
            """List a directory."""


class Stack:
    def __init__(self, layers: list[View]) -> None:
        """layers: bottom first."""
        self._merged = {"": layers[::-1]}  # a directory's path -> the layers that have a part of it, top first

    def look(self, path: str) -> Look | None:
        """Return how a file looks; None if there is none."""
        for layer in self._layers(os.path.dirname(path)):
            look = layer.look(path)
            if look:
                return None if layer.is_removal(path) else look
        return None

    def names(self, path: str) -> set[str]:
        """List a directory; nothing if there is none."""
        names, gone = set[str](), set[str]()
        for layer in self._layers(path):
            for name in set(layer.names(path)) - names - gone:
                (gone if layer.is_removal(f"{path}/{name}".lstrip("/")) else names).add(name)
        return names

    def _layers(self, path: str) -> list[View]:
        if path not in self._merged:
            layers: list[View] = []
            for layer in self._layers(os.path.dirname(path)):
                look = layer.look(path)
                if look and not stat.S_ISDIR(look[0]):
                    break
                if look:
                    layers.append(layer)
                    if layer.is_opaque(path):
                        break
            self._merged[path] = layers
        return self._merged[path]


class Directory:
    """The View of an unpacked layer."""

    def __init__(self, path: str) -> None:
        self._root = os.open(path, files.DIR)

    def __del__(self) -> None:
        os.close(self._root)

    def look(self, path: str) -> Look | None:
        info = self._stat(path)
        return (info.st_mode, info.st_uid, info.st_gid) if info else None

    def is_removal(self, path: str) -> bool:
        info = self._stat(path)
        return info is not None and files.is_whiteout(info)

    def is_opaque(self, path: str) -> bool:
        return files.is_opaque(f"/proc/self/fd/{self._root}/{path}")

    def names(self, path: str) -> list[str]:
        directory = files.open_in_root(self._root, path, files.DIR, resolve=files.STRICT)
        try:
            return os.listdir(directory)
        finally:
            os.close(directory)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            handle = files.open_in_root(self._root, path, os.O_PATH | os.O_NOFOLLOW, resolve=files.STRICT)
        except OSError:
            return None
        try:
            return os.fstat(handle)
        finally:
            os.close(handle)
