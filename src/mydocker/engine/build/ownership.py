"""Owners and modes of copied files: `--chown` and `--chmod`.

A name is looked up in the /etc/passwd and /etc/group of the image that is built, never in the host's. A user without
a group has the primary group of its entry; a number without a group is the group's number, too, as with docker.
"""

from __future__ import annotations

import re

from mydocker.engine.build.failures import refused
from mydocker.record import record
from mydocker.runtime import users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Mode = Callable[[int, bool], int]  # (the mode that a file has, True for a directory) -> its new mode

_LARGEST_ID = (1 << 32) - 2
_LARGEST_MODE = 0o7777
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_PERMISSIONS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_CLAUSE = re.compile("([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile("([-+=])([ugo]|[rwxXst]*)")


@record
class Owner:
    uid: int
    gid: int


def owner(text: str, root: int) -> Owner:
    """Parse `USER[:GROUP]`, each a name or a number. root: a descriptor of the image's root. Raises InvalidArgument for
    a name that the image does not have: docker would give such files to root."""
    user, _, group = text.partition(":")
    if not user and not group:
        raise refused(f"invalid owner '{text}'", "USER, USER:GROUP or :GROUP")
    result = Owner(0, 0)
    if _is_number(user):
        result = Owner(int(user), int(user))
    elif user:
        entry = users.entry("/etc/passwd", user, root)
        if entry is None:
            raise refused(f"unable to find user {user}: the image's /etc/passwd does not have it", "or give a number")
        result = Owner(int(entry[2]), int(entry[3]))
    if _is_number(group):
        result.gid = int(group)
    elif group:
        entry = users.entry("/etc/group", group, root)
        if entry is None:
            raise refused(f"unable to find group {group}: the image's /etc/group does not have it", "or give a number")
        result.gid = int(entry[2])
    if max(result.uid, result.gid) > _LARGEST_ID:
        raise refused(f"invalid owner '{text}': out of range", f"0 to {_LARGEST_ID}")
    return result


def mode(text: str) -> Mode:
    """Parse an octal mode, or a symbolic one as chmod(1) has them. Raises InvalidArgument."""
    if _is_number(text):
        if not set(text) <= set("01234567") or int(text, 8) > _LARGEST_MODE:
            raise refused(f"invalid chmod parameter '{text}'", "an octal number from 0 to 07777, or as u=rwX,go=rX")
        return lambda _, __: int(text, 8)
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    parsed = [(clause[1], _ACTION.findall(clause[2])) for clause in clauses if clause]
    if not text or len(parsed) < len(clauses):
        raise refused(f"invalid chmod parameter '{text}'", "an octal number from 0 to 07777, or as u=rwX,go=rX")

    def change(old: int, is_directory: bool) -> int:
        for who, actions in parsed:
            for sign, permissions in actions:
                old = _changed(old, is_directory, who, sign, permissions)
        return old

    return change


def _changed(old: int, is_directory: bool, who: str, sign: str, permissions: str) -> int:
    if permissions in ("u", "g", "o") and permissions:
        three = old >> {"u": 6, "g": 3, "o": 0}[permissions] & 7
        bits = three * 0o111
    else:
        bits = 0
        for letter in permissions:
            if letter == "X":
                bits |= 0o111 if is_directory or old & 0o111 else 0
            else:
                bits |= _PERMISSIONS[letter]
    mask = _LARGEST_MODE if "a" in who or not who else 0  # as with docker, no umask plays a part
    for letter in who.replace("a", ""):
        mask |= _WHO[letter]
    if sign == "+":
        return old | bits & mask
    if sign == "-":
        return old & ~(bits & mask)
    return old & ~mask | bits & mask


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11
