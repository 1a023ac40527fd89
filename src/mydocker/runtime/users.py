"""Look up the user of `-u NAME` in the container's own /etc/passwd and /etc/group.

This runs inside the container's root. The modules pwd and grp would load the container's NSS libraries, and so run its
code. Only regular files are read, up to a limit, and opened without waiting: a FIFO would block, a device could do
anything.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.errors import MydockerError
from mydocker.model.oci.annotations import GROUPS, USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_LIMIT = 4 << 20
_LARGEST_ID = (1 << 32) - 2


class Identity:
    """A user: uid, gid, groups (supplementary), home (the passwd entry's, "/" if there is none)."""

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid, self.gid, self.groups, self.home = uid, gid, groups, home


def identify(spec: dict[str, Any], instead: str = "") -> Identity:
    """Find the user of the bundle's process: the user as typed, or else the spec's numbers; with the groups of
    --group-add. instead: another user, of exec -u."""
    user, annotations = spec["process"]["user"], spec.get("annotations", {})
    typed = instead or annotations.get(USER)
    if typed or (user["uid"], user["gid"]) == (0, 0):
        identity = look_up(typed or "")
    else:
        identity = look_up(f"{user['uid']}:{user['gid']}", user.get("additionalGids"))
    if GROUPS in annotations:
        identity.groups = sorted({*identity.groups, *map(_group_id, annotations[GROUPS].split(","))})
    return identity


def _group_id(group: str) -> int:
    row = _find(_table("/etc/group", 4), group, 2)
    if not row and not _is_number(group):
        raise MydockerError(
            f"unable to find group {group}: no matching entries in group file", "give a gid, or a group of the image"
        )
    return int(row[2]) if row else int(group)


def look_up(user: str, additional: list[int] | None = None) -> Identity:
    """Look up a user as docker does: "", name, uid, name:group, uid:gid … Raises MydockerError for an unknown name.

    A number needs no entry. Without `:group` the user has the entry's primary group and memberships; with it, only that
    group.
    """
    name, _, group = user.partition(":")
    entry = _find(_table("/etc/passwd", 7), name or "0", 2)
    if entry:
        uid, gid, home = int(entry[2]), int(entry[3]), entry[5] or "/"
        name = entry[0]
    elif _is_number(name or "0"):
        uid, gid, home = int(name or "0"), 0, "/"
    else:
        raise MydockerError(f"unable to find user {name}: no matching entries in passwd file", "or give a numeric ID")
    groups = list(additional or [])
    if group:
        gid = _group_id(group)
    elif entry:
        groups += [int(row[2]) for row in _table("/etc/group", 4) if name in row[3].split(",")]
    for number in (uid, gid, *groups):
        if not 0 <= number <= _LARGEST_ID:
            raise MydockerError(f"the ID {number} of user '{user}' is out of range", f"0 to {_LARGEST_ID}")
    # The primary group is among the supplementary ones: a set-gid program must not lose it (CVE-2022-36109).
    return Identity(uid, gid, sorted({gid, *groups}), home)


def entry(path: str, name: str, root: int) -> list[str] | None:
    """Look up a name in the /etc/passwd or /etc/group below a root that this process is not in. root: a descriptor of
    it; links are followed as from within."""
    from mydocker.kernel.files import open_in_root

    def opener(flags: int) -> int:
        handle = open_in_root(root, path, os.O_PATH)  # acts on nothing, whatever it is
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", path)
            return os.open(f"/proc/self/fd/{handle}", flags)
        finally:
            os.close(handle)

    rows = _table(path, 7 if path == "/etc/passwd" else 4, opener)
    return next((row for row in rows if row[0] == name), None)


def _find(rows: list[list[str]], key: str, number: int) -> list[str] | None:
    """Find the first row with that name or, for a number, that ID. An image whose passwd gives a user *called* 1000 the
    uid 0 must not turn `-u 1000` into root (CVE-2016-3697)."""
    for row in rows:
        if int(row[number]) == int(key) if _is_number(key) else row[0] == key:
            return row
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def _table(path: str, columns: int, opener: Callable[[int], int] | None = None) -> list[list[str]]:
    """Read the well-formed rows of a colon-separated file; none if it is missing or not a regular file. opener: opens
    it with the flags that it is given, if not this process by its path."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = opener(flags) if opener else os.open(path, flags)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        text = b""
        while len(text) < _LIMIT and (piece := os.read(descriptor, _LIMIT - len(text))):
            text += piece
    finally:
        os.close(descriptor)
    rows = []
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        row = line.split(":")
        numbers = row[2:4] if columns == 7 else row[2:3]
        if len(row) == columns and all(map(_is_number, numbers)):
            rows.append(row)
    return rows
