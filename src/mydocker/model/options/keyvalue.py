"""KEY=VALUE on the command line and in files: environment, labels, sysctls, by docker's rules."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The sysctls of the IPC namespace (moby's ValidateSysctl).
_IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip


def environment(options: list[str], files: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> list[str]:
    """Return KEY=VALUE for the container, each key once: the last one wins, options after files.

    files: (path, text). A KEY alone gets its value from environ; if that has none, it stays a KEY alone, which removes
    a variable of the image: see overlay().
    """
    variables: dict[str, str | None] = {}
    for key, value in _pairs(options, files, "environment variable"):
        variables[key] = environ.get(key) if value is None else value
    return [key if value is None else f"{key}={value}" for key, value in variables.items()]


def overlay(below: Iterable[str], above: Iterable[str]) -> list[str]:
    """Return the rows of `below`, replaced in place by those of `above`, and the others of `above`. A KEY alone removes
    the variable."""
    rows: dict[str, str] = {}
    for row in (*below, *above):
        key, sign, _ = row.partition("=")
        if sign:
            rows[key] = row
        else:
            rows.pop(key, None)
    return list(rows.values())


def labels(options: list[str], files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Parse KEY=VALUE, or KEY for an empty value. files: (path, text)."""
    return {key: value or "" for key, value in _pairs(options, files, "label")}


def _pairs(options: list[str], files: Iterable[tuple[str, str]], what: str) -> list[tuple[str, str | None]]:
    pairs = []
    for path, text in files:
        pairs += _lines(path, text)
    for option in options:
        key, sign, value = option.partition("=")
        if not key or "\0" in option:
            raise InvalidArgument(f"invalid {what} '{option}'", "KEY=VALUE or KEY")
        pairs.append((key, value if sign else None))
    return pairs


def _lines(path: str, text: str) -> list[tuple[str, str | None]]:
    """Parse a file's KEY=VALUE or KEY lines. Blank lines and comments (#) are skipped; quotes are kept."""
    pairs = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        key, sign, value = line.partition("=")
        key = key if sign else key.rstrip()
        if not key:
            raise InvalidArgument(f"{path}, line {number}: no name before the =", "KEY=VALUE or KEY")
        if any(char.isspace() for char in key) or "\0" in line:
            raise InvalidArgument(f"{path}, line {number}: '{key}' is not a name", "no blanks before the =")
        pairs.append((key, value if sign else None))
    return pairs


def sysctls(options: list[str], network: str = "none", ipc: str = "") -> dict[str, str]:
    """Parse KEY=VALUE of sysctls that belong to a namespace of the container. network, ipc: "host" if it shares the
    host's."""
    settings = {}
    for option in options:
        key, sign, value = option.partition("=")
        letters = key.replace(".", "").replace("_", "").replace("-", "")
        # The kernel's file takes one line; tabs or blanks separate several numbers.
        plain = value.replace("\t", "").isprintable()
        if not sign or "" in key.split(".") or not (letters.isascii() and letters.isalnum()) or not plain:
            raise InvalidArgument(f"invalid sysctl '{option}'", "KEY=VALUE, such as net.ipv4.ip_forward=1")
        if key.startswith("net."):
            shared = f"--network {network}" if network == "host" or network.startswith("container:") else ""
        elif key in _IPC_SYSCTLS or key.startswith("fs.mqueue."):
            shared = f"--ipc {ipc}" if ipc == "host" or ipc.startswith("container:") else ""
        else:
            raise InvalidArgument(
                f"sysctl '{key}' is not in a separate kernel namespace",
                "allowed: net.*, fs.mqueue.*, kernel.msg*, .sem, .shm*",
            )
        if shared:
            raise InvalidArgument(f"sysctl '{key}' would change the host", f"leave it or {shared} out")
        settings[key] = value
    return settings
