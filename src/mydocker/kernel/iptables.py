"""iptables and ip6tables, by their -save and -restore programs: one transaction a table, never rule by rule.

The first `iptables` in programs.DIRECTORIES is the host's choice between nf_tables and the legacy tables (Debian's
alternatives). As docker and podman do, mydocker follows this choice: an administrator would not look for rules in the
other flavour. network/foreign.py detects rules of others there that are in the way. If the host's choice changes,
mydocker's old rules stay in the other flavour until `network reload` removes them.
"""

from __future__ import annotations

from mydocker.kernel import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = {4: "iptables", 6: "ip6tables"}
_PATIENCE = "30"  # seconds to wait for the lock of the legacy tables
_ATTEMPTS = 20


def save(version: int, table: str = "", flavour: str = "") -> str:
    """The rules as `iptables-save` prints them.

    version: of IP, 4 or 6. table: "" for all that are in use. flavour: "legacy", "nft", or "" for the host's choice.
    """
    words = ["-t", table] if table else []
    return programs.run([f"{_name(version, flavour)}-save", *words], package="iptables")


def restore(version: int, text: str, flavour: str = "") -> None:
    """Run `iptables-restore --noflush` with a text. Raises OSError, which names the line that failed."""
    argv = [f"{_name(version, flavour)}-restore", "--noflush", "-w", _PATIENCE]
    try:
        programs.run(argv, text.encode(), package="iptables")
    except OSError as error:
        line = _failed_line(str(error.strerror), text)
        raise OSError(error.errno, f"{error.strerror}{line and f': {line}'}", error.filename) from None


def change(version: int, plan: Callable[[str], str], table: str = "", flavour: str = "") -> None:
    """Read the rules, plan a change and apply it. plan: from save()'s text to restore()'s, "" for no change.

    Nothing locks the firewall in between. If somebody else changes it meanwhile, restore() fails, and the rules are
    read again. So a plan must make a chain with -N: `:CHAIN -` would flush a chain that somebody else has just made.
    """
    text = plan(save(version, table, flavour))
    for attempt in range(_ATTEMPTS):
        if not text:
            return
        try:
            return restore(version, text, flavour)
        except OSError:
            failed, text = text, plan(save(version, table, flavour))
            if text == failed or attempt == _ATTEMPTS - 1:
                raise


def _name(version: int, flavour: str) -> str:
    return f"{PROGRAMS[version]}-{flavour}" if flavour else PROGRAMS[version]


def other_flavour() -> str:
    """The flavour that the host does not use, "" if its programs are missing."""
    other = "legacy" if "nf_tables" in programs.run([PROGRAMS[4], "--version"], package="iptables") else "nft"
    return other if programs.find(f"{PROGRAMS[4]}-{other}-save") else ""


def _failed_line(message: str, text: str) -> str:
    """The line that iptables-restore complains about: `line 5 failed`, `line 5: …` or `occurred at line: 5`."""
    words = message.replace(":", " ").split()
    lines = text.splitlines()
    for word, after in zip(words, words[1:]):
        if word == "line" and after.isdecimal() and 0 < int(after) <= len(lines):
            return lines[int(after) - 1]
    return ""
