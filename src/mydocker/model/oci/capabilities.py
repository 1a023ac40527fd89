"""Capabilities by name, docker's defaults, and its rules for --cap-add and --cap-drop."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# <linux/capability.h>, by number.
_SHORT = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
    "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
NAMES = tuple(f"CAP_{name}" for name in _SHORT.split())
ALL = (1 << len(NAMES)) - 1
DEFAULT = 0xA80425FB  # docker's 14
SYS_PTRACE = 1 << NAMES.index("CAP_SYS_PTRACE")
SYS_RESOURCE = 1 << NAMES.index("CAP_SYS_RESOURCE")


def parse(options: list[str]) -> list[str]:
    """Parse --cap-add or --cap-drop, names in any case, with or without CAP_, or ALL, to CAP_NAME or ALL."""
    result = []
    for option in options:
        name = option.upper() if option.isascii() else ""
        if name != "ALL" and name not in NAMES:
            name = "CAP_" + name
            if name not in NAMES:
                raise InvalidArgument(
                    f"unknown capability '{option}'", "see capabilities(7): NET_ADMIN, SYS_PTRACE … or ALL"
                )
        result.append(name)
    return result


def mask(names: Iterable[str]) -> int:
    """Return the kernel's bits for CAP_ names."""
    bits = 0
    for name in names:
        bits |= 1 << NAMES.index(name)
    return bits


def names(mask: int) -> list[str]:
    """Return the CAP_ names of the kernel's bits, by number, without those that are newer than NAMES."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def bounding(add: list[str], drop: list[str], privileged: bool, available: int) -> list[str]:
    """Return the bounding set of a container. add, drop: as from parse(). available: the bits of mydocker itself.

    Capabilities that are not available are left out of sets (the default, ALL, --privileged), but an error by name.
    """
    if "ALL" in add and "ALL" in drop:
        raise InvalidArgument("conflicting options: --cap-add ALL and --cap-drop ALL", "leave one out")
    single = mask(name for name in add if name != "ALL")
    dropped = mask(name for name in drop if name != "ALL")
    if single & ~available and not privileged:
        missing = names(single & ~available)[0]
        raise InvalidArgument(f"capability {missing} is not available", "mydocker itself runs without it")
    if privileged:
        return names(ALL & available)
    if "ALL" in add:
        return names(ALL & available & ~dropped)
    return names((0 if "ALL" in drop else DEFAULT & available & ~dropped) | single)
