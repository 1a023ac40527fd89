"""firewalld, by its programs. It rejects what a bridge forwards that is in none of its zones, so mydocker's bridges are
in one of their own, as docker's are.

docker's daemon puts its bridges into its zone again when firewalld is reloaded, which forgets what was set at run time
only. Here is no daemon, so the zone and what is in it are permanent: firewalld itself puts them there again. A zone
that is new is known only after a reload. mydocker does not ask for one: it would take what others have set at run time,
and older versions empty iptables, too. Until then the bridge is in `trusted`, a zone of the same kind that is always
there.

Off the way of starts, but for one that makes a bridge: a call of firewall-cmd takes 0.2 s.
"""

from __future__ import annotations

import os

from mydocker.kernel import programs

ZONE, UNTIL_A_RELOAD = "mydocker", "trusted"
_BUS = "/run/dbus/system_bus_socket"  # by which firewall-cmd speaks to firewalld
_FILE = f"/etc/firewalld/zones/{ZONE}.xml"
_NEW_ZONE = ([f"--new-zone={ZONE}"], [f"--zone={ZONE}", "--set-target=ACCEPT"], [f"--zone={ZONE}", "--add-forward"])


def zones() -> dict[str, str] | None:
    """The zone that each link is in, as far as it is in one. None: firewalld does not run here."""
    if not os.path.exists(_BUS) or not programs.find("firewall-cmd"):
        return None
    try:
        return parse(programs.run(["firewall-cmd", "--get-active-zones"]))
    except OSError:
        return None


def parse(listed: str) -> dict[str, str]:
    """Of `firewall-cmd --get-active-zones`: a zone in a line, with what is in it in lines that begin with blanks."""
    found, zone = {}, ""
    for line in listed.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "interfaces:" and line[0] == " ":
            found.update(dict.fromkeys(rest.split(), zone))
        elif line[:1] not in (" ", ""):
            zone = word
    return found


def rules_are_loaded() -> bool:
    """True if the kernel has its rules, whatever zones() says."""
    if not programs.find("firewall-cmd") or not programs.find("nft"):
        return False
    try:
        return "table inet firewalld" in programs.run(["nft", "list", "tables"])
    except OSError:
        return False


def trust_command(device: str) -> str:
    """The commands by which a person puts a bridge into a zone that is on every host."""
    return f"firewall-cmd --permanent --zone={UNTIL_A_RELOAD} --add-interface={device} && firewall-cmd --reload"


def join(device: str) -> None:
    """Raises OSError, which names the command that failed."""
    try:
        _tell(f"--zone={ZONE}", f"--add-interface={device}")
    except OSError as error:
        if "INVALID_ZONE" not in str(error.strerror):
            raise
        _make_zone()
        _tell(f"--zone={UNTIL_A_RELOAD}", f"--add-interface={device}")
    _tell("--permanent", f"--zone={ZONE}", f"--add-interface={device}")


def _make_zone() -> None:
    """Unless it is there. Two may do this at once."""
    for words in _NEW_ZONE if not os.path.exists(_FILE) else ():
        try:
            _tell("--permanent", *words)
        except OSError as error:
            if "NAME_CONFLICT" not in str(error.strerror):
                raise


def _tell(*words: str) -> None:
    programs.run(["firewall-cmd", *words])


def has(device: str) -> bool:
    """Whether it is in the zone for good; also where firewalld does not run."""
    try:
        with open(_FILE, encoding="utf-8") as file:
            return f'<interface name="{device}"/>' in file.read()
    except OSError:
        return False


def leave(device: str) -> None:
    """Harmless where it is not in the zone. Raises OSError."""
    now = zones()
    if now is None:
        programs.run(["firewall-offline-cmd", f"--zone={ZONE}", f"--remove-interface={device}"])
        return
    _tell("--permanent", f"--zone={ZONE}", f"--remove-interface={device}")
    if now.get(device) in (ZONE, UNTIL_A_RELOAD):
        _tell(f"--zone={now[device]}", f"--remove-interface={device}")
