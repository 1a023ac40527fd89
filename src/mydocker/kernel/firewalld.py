"""firewalld, by its programs. It rejects what a bridge outside of its zones forwards, so our bridges have a zone.

docker's daemon puts its bridges into its zone again whenever firewalld is reloaded, because a reload forgets what was
set at run time. mydocker has no daemon, so its zone and the bridges in it are permanent, and firewalld restores them.
firewalld knows a new zone only after a reload. mydocker does not ask for one: it would discard what others have set at
run time, and older versions empty iptables, too. Until then the bridge is in `trusted`, a zone of the same kind that
every host has.

Starts do not come here, unless they make a bridge: firewall-cmd takes 0.2 s.
"""

from __future__ import annotations

import os

from mydocker.kernel import programs

ZONE, UNTIL_A_RELOAD = "mydocker", "trusted"
_BUS = "/run/dbus/system_bus_socket"  # by which firewall-cmd speaks to firewalld
_FILE = f"/etc/firewalld/zones/{ZONE}.xml"
_NEW_ZONE = ((f"--new-zone={ZONE}",), (f"--zone={ZONE}", "--set-target=ACCEPT"), (f"--zone={ZONE}", "--add-forward"))


def zones() -> dict[str, str] | None:
    """link -> zone, for the links that are in a zone. None if firewalld does not run here."""
    if not os.path.exists(_BUS) or not programs.find("firewall-cmd"):
        return None
    try:
        return parse(programs.run(["firewall-cmd", "--get-active-zones"]))
    except OSError:
        return None


def parse(listed: str) -> dict[str, str]:
    """Parse `firewall-cmd --get-active-zones`: a zone a line, followed by indented lines that tell what is in it."""
    links, zone = {}, ""
    for line in listed.splitlines():
        word, _, others = line.strip().partition(" ")
        if word == "interfaces:" and line[0] == " ":
            links.update(dict.fromkeys(others.split(), zone))
        elif line[:1] not in (" ", ""):
            zone = word
    return links


def rules_are_loaded() -> bool:
    """True if the kernel has firewalld's rules, even if firewalld does not answer."""
    if not programs.find("firewall-cmd") or not programs.find("nft"):
        return False
    try:
        return "table inet firewalld" in programs.run(["nft", "list", "tables"])
    except OSError:
        return False


def has(device: str) -> bool:
    """True if the link is permanently in mydocker's zone; also where firewalld does not run."""
    try:
        with open(_FILE, encoding="utf-8") as file:
            return f'<interface name="{device}"/>' in file.read()
    except OSError:
        return False


def join(device: str) -> None:
    """Put a link into mydocker's zone. Raises OSError, which names the command that failed."""
    try:
        _tell(*_adding(ZONE, device))
    except OSError as error:
        if "INVALID_ZONE" not in str(error.strerror):
            raise
        _make_zone()
        _tell(*_adding(UNTIL_A_RELOAD, device))
    _tell("--permanent", *_adding(ZONE, device))


def _make_zone() -> None:
    """Make the zone unless it exists; another process may do so at the same time."""
    for words in _NEW_ZONE if not os.path.exists(_FILE) else ():
        try:
            _tell("--permanent", *words)
        except OSError as error:
            if "NAME_CONFLICT" not in str(error.strerror):
                raise


def leave(device: str) -> None:
    """Take a link out of mydocker's zone. Harmless if it is not there. Raises OSError."""
    current = zones()
    if current is None:
        programs.run(["firewall-offline-cmd", *_removing(ZONE, device)])
        return
    _tell("--permanent", *_removing(ZONE, device))
    if current.get(device) in (ZONE, UNTIL_A_RELOAD):
        _tell(*_removing(current[device], device))


# --- commands ---------------------------------------------------------------------------------------------------------


def join_commands(device: str) -> list[str]:
    """The steps of join() as a person types them."""
    return [
        *(_typed("--permanent", *words) for words in _NEW_ZONE),
        _typed("--permanent", *_adding(ZONE, device)),
        f"{_typed(*_adding(UNTIL_A_RELOAD, device))}  # until firewalld is reloaded",
    ]


def leave_command(device: str) -> str:
    """The steps of leave() as a person types them."""
    words = _removing(ZONE, device)
    return f"{_typed('--permanent', *words)} && {_typed(*words)}"


def trust_command(device: str) -> str:
    """The commands by which a person puts a link into a zone that every host has."""
    return f"{_typed('--permanent', *_adding(UNTIL_A_RELOAD, device))} && {_typed('--reload')}"


def _adding(zone: str, device: str) -> tuple[str, str]:
    return f"--zone={zone}", f"--add-interface={device}"


def _removing(zone: str, device: str) -> tuple[str, str]:
    return f"--zone={zone}", f"--remove-interface={device}"


def _typed(*words: str) -> str:
    return f"firewall-cmd {' '.join(words)}"


def _tell(*words: str) -> None:
    programs.run(["firewall-cmd", *words])
