"""KEY=VALUE, on the command line and in files: environment, labels, sysctls. docker's rules."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The sysctls that belong to a namespace of the container (moby's ValidateSysctl); all others are the host's.
_IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip


def environment(options: list[str], files: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> list[str]:
    """KEY=VALUE for the container, each key once; the last word on it wins, options after files.

    files: (path, text). A KEY alone takes its value from environ; if that has none, it stays a KEY alone, which takes a
    variable of the image away: see overlay().
    """
    found: dict[str, str | None] = {}
    for key, value in _pairs(options, files, "environment variable"):
        found[key] = environ.get(key) if value is None else value
    return [key if value is None else f"{key}={value}" for key, value in found.items()]


def overlay(below: Iterable[str], above: Iterable[str]) -> list[str]:
    """The rows of `below`, and over them those of `above`, each variable where it was first. A KEY alone takes the
    variable away."""
    found: dict[str, str] = {}
    for row in (*below, *above):
        key, sign, _ = row.partition("=")
        if sign:
            found[key] = row
        else:
            found.pop(key, None)
    return list(found.values())


def labels(options: list[str], files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """KEY=VALUE, or KEY for an empty value; files: (path, text)."""
    return {key: value or "" for key, value in _pairs(options, files, "label")}


def _pairs(options: list[str], files: Iterable[tuple[str, str]], what: str) -> list[tuple[str, str | None]]:
    found = []
    for path, text in files:
        found += _lines(path, text)
    for option in options:
        key, sign, value = option.partition("=")
        if not key or "\0" in option:
            raise InvalidArgument(f"invalid {what} '{option}'", "KEY=VALUE or KEY")
        found.append((key, value if sign else None))
    return found


def _lines(path: str, text: str) -> list[tuple[str, str | None]]:
    """A file's KEY=VALUE or KEY lines. Blank lines and those that begin with # count for nothing; quotes are kept."""
    found = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        key, sign, value = line.partition("=")
        key = key if sign else key.rstrip()
        if not key:
            raise InvalidArgument(f"{path}, line {number}: no name before the =", "KEY=VALUE or KEY")
        if any(char.isspace() for char in key) or "\0" in line:
            raise InvalidArgument(f"{path}, line {number}: '{key}' is no name", "no blanks in front of the =")
        found.append((key, value if sign else None))
    return found


def sysctls(options: list[str], network: str = "none", ipc: str = "") -> dict[str, str]:
    """KEY=VALUE of the kernel's settings that a container has for itself; network, ipc: "host" if it shares those."""
    found = {}
    for option in options:
        key, sign, value = option.partition("=")
        letters = key.replace(".", "").replace("_", "").replace("-", "")
        # The kernel's file takes a line; several numbers are set apart by tabs, or blanks.
        plain = value.replace("\t", "").isprintable()
        if not sign or "" in key.split(".") or not (letters.isascii() and letters.isalnum()) or not plain:
            raise InvalidArgument(f"invalid sysctl '{option}'", "KEY=VALUE, such as net.ipv4.ip_forward=1")
        if key.startswith("net."):
            shared = f"--network {network}" if network == "host" or network.startswith("container:") else ""
        elif key in _IPC_SYSCTLS or key.startswith("fs.mqueue."):
            shared = "--ipc host" if ipc == "host" else ""
        else:
            raise InvalidArgument(
                f"sysctl '{key}' is the whole machine's", "allowed: net.*, fs.mqueue.*, kernel.msg*, .sem, .shm*"
            )
        if shared:
            raise InvalidArgument(f"sysctl '{key}' would be the host's own", f"leave it or {shared} out")
        found[key] = value
    return found
