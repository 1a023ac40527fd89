"""The changes of a container in its root, from the directory that holds its changes."""

from __future__ import annotations

import os
import stat

from mydocker.image import layer
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.image.stack import Stack

    Change = tuple[str, str]  # ADDED, CHANGED or DELETED; an absolute path

ADDED, CHANGED, DELETED = "A", "C", "D"
# What a start makes where an image lacks it. docker has these files in a layer of its own.
_MADE = {
    *("dev", "dev/console", "dev/pts", "dev/shm", "proc", "sys"),
    *("etc", "etc/hosts", "etc/hostname", "etc/resolv.conf"),
}


def changes(upper: str, base: Stack) -> list[Change]:
    """Compare an overlay's upper directory with the image's root, sorted by path. As in docker, a directory counts
    as changed if something in it did, or its mode or owner."""
    return _Comparison(upper, base).run()


def marked_changes(upper: str, base: Stack, own: Iterable[str]) -> list[Change]:
    """As changes(), for a directory that marks removals as a layer's tar does. own: names in its root to leave out."""
    return _Marked(upper, base, own).run()


def listed(kinds: dict[str, str]) -> list[Change]:
    """List changes by relative path, with the directories above them, sorted by path."""
    for path in list(kinds):
        while path := os.path.dirname(path):
            kinds.setdefault(path, CHANGED)
    return [(kinds[path], f"/{path}") for path in sorted(kinds)]


class _Comparison:
    def __init__(self, upper: str, base: Stack) -> None:
        self.upper, self.base = upper, base
        self.kinds: dict[str, str] = {}

    def run(self) -> list[Change]:
        root = os.open(self.upper, files.DIR)
        try:
            for entry in layer.walk(root):
                self.take(entry)
        finally:
            os.close(root)
        return listed(self.kinds)

    def take(self, entry: layer.Entry) -> None:
        if files.is_whiteout(entry.info):
            self.remove(entry.path)
            return
        self.compare(entry)
        if stat.S_ISDIR(entry.info.st_mode) and files.is_opaque(entry.here):
            self.removed_in(entry.path, os.listdir(entry.here))

    def compare(self, entry: layer.Entry) -> None:
        before, now = self.base.look(entry.path), entry.info
        if before is None:
            if not is_made(entry):
                self.kinds[entry.path] = ADDED
        elif not stat.S_ISDIR(now.st_mode) or before != (now.st_mode, now.st_uid, now.st_gid):
            self.kinds[entry.path] = CHANGED

    def remove(self, path: str) -> None:
        if self.base.look(path):
            self.kinds[path] = DELETED

    def removed_in(self, path: str, names: list[str]) -> None:
        """Note the removal of everything that a directory had in the image, except `names`."""
        for name in self.base.names(path) - set(names):
            self.kinds[f"{path}/{name}"] = DELETED


class _Marked(_Comparison):
    def __init__(self, upper: str, base: Stack, own: Iterable[str]) -> None:
        super().__init__(upper, base)
        self.own = own

    def take(self, entry: layer.Entry) -> None:
        above = os.path.dirname(entry.path)
        if entry.path.partition("/")[0] in self.own:
            return
        if entry.name == layer.OPAQUE_MARK:
            self.removed_in(above, os.listdir(entry.parent))
        elif entry.name.startswith(layer.WHITEOUT):
            self.remove(os.path.join(above, entry.name[len(layer.WHITEOUT) :]))
        else:
            self.compare(entry)


def is_made(entry: layer.Entry) -> bool:
    """True for what the start of a container makes."""
    if layer.is_mark(entry):
        return True
    empty = stat.S_ISREG(entry.info.st_mode) and not entry.info.st_size
    return entry.path in _MADE and (empty or stat.S_ISDIR(entry.info.st_mode))
