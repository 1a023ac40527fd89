"""iptables and ip6tables, by their -save and -restore programs: one transaction a table, never a rule at a time.

The first `iptables` in programs.DIRECTORIES is the host's own choice between nf_tables and the legacy tables (Debian's
alternatives), as it is for docker and podman: rules in the other flavour would stand where its administrator does not
look. network/foreign.py tells where that other flavour has rules that are in the way; and where the host has changed
its choice, mydocker's own are still there, until `network reload` takes them away."""

from __future__ import annotations

from mydocker.kernel import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = {4: "iptables", 6: "ip6tables"}
_PATIENCE = "30"  # seconds for another program's lock (the legacy tables have one)
_ATTEMPTS = 20


def save(version: int, table: str = "", flavour: str = "") -> str:
    """The rules as `iptables-save` prints them; version: of IP, 4 or 6; table: one of them, or all that are in use;
    flavour: legacy or nft, or the host's choice."""
    words = ["-t", table] if table else []
    return programs.run([f"{_name(version, flavour)}-save", *words], package="iptables")


def restore(version: int, text: str, flavour: str = "") -> None:
    """Apply a text for `iptables-restore --noflush`. Raises OSError, which names the line that failed."""
    argv = [f"{_name(version, flavour)}-restore", "--noflush", "-w", _PATIENCE]
    try:
        programs.run(argv, text.encode(), package="iptables")
    except OSError as error:
        line = _failed_line(str(error.strerror), text)
        raise OSError(error.errno, f"{error.strerror}{line and f': {line}'}", error.filename) from None


def change(version: int, plan: Callable[[str], str], table: str = "", flavour: str = "") -> None:
    """Read the rules, plan a change of them, apply it. plan: from save()'s text to restore()'s, "" for no change.

    Nothing locks the firewall between the two. So a plan makes a chain with -N, never with `:CHAIN -`, which would
    empty one that somebody else has just made: a change meanwhile makes restore() fail, and is looked at again.
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
    """The one that the host has not chosen, if its programs are here."""
    other = "legacy" if "nf_tables" in programs.run([PROGRAMS[4], "--version"], package="iptables") else "nft"
    return other if programs.find(f"{PROGRAMS[4]}-{other}-save") else ""


def _failed_line(message: str, text: str) -> str:
    """The line that iptables-restore complains of: it says `line 5 failed`, `line 5: …` or `occurred at line: 5`."""
    words = message.replace(":", " ").split()
    lines = text.splitlines()
    for word, after in zip(words, words[1:]):
        if word == "line" and after.isdecimal() and 0 < int(after) <= len(lines):
            return lines[int(after) - 1]
    return ""
