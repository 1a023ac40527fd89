"""firewalld as it is installed, with its defaults: it rejects what a bridge in no zone forwards, so mydocker's are in
one."""

from __future__ import annotations

import contextlib
import shutil
import tempfile

import peers
import pytest
from commands.test_beside_docker import LANS
from machine import CHECKOUT, PATH, until
from oracle import Docker

ABSENT = [name for name in ("firewalld", "dbus-daemon", "nft") if not shutil.which(name, path=PATH)]
pytestmark = [pytest.mark.local, pytest.mark.skipif(bool(ABSENT), reason=f"no {' and no '.join(ABSENT)} here")]

MYDOCKER = str(CHECKOUT / "bin/mydocker")
PINGS = f"{MYDOCKER} exec web ping -c 1 -W 1 198.18.1.2"
SLEEP = "busybox sleep 1000"
TRUST = "'firewall-cmd --permanent --zone=trusted --add-interface={0} && firewall-cmd --reload'"


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name: what is made here goes with its host."""


@pytest.fixture
def shell():
    """Types to a host of its own with firewalld; gives exit code, stdout and stderr."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mydocker-test.", dir="/var/tmp"))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PATH", PATH)
        stack.enter_context(peers.swept_cgroups(directory))
        host = stack.enter_context(peers.host(f"{directory}/host"))

        def say(script: str) -> tuple[int, str, str]:
            result = Docker(host).shell(script)
            return result.rc, result.stdout, result.stderr

        daemon = "setsid firewalld --nofork --nopid </dev/null >/run/firewalld.log 2>&1 & echo $! >/run/its.pid"
        assert say(f"{LANS}\nmkdir -p /run/dbus\ndbus-daemon --system --fork\n{daemon}")[0] == 0
        until(lambda: say("firewall-cmd --state")[0] == 0, "firewalld")
        yield say


def test_bridges_are_in_a_zone_of_their_own(shell):
    made, _, said = shell(f"{MYDOCKER} network create shop")
    assert (made, said.splitlines()[1:]) == (0, [])  # the first line is about forwarding
    assert shell(f"{MYDOCKER} run -d --net shop --name web {SLEEP}")[0] == 0
    assert shell(PINGS)[0] == 0
    assert shell(f"{MYDOCKER} network check") == (0, "everything is as recorded\n", "")
    for reload in ("--reload", "--complete-reload"):
        assert shell(f"firewall-cmd {reload}; {MYDOCKER} network reload")[2] == ""
        assert shell("firewall-cmd --get-zone-of-interface=shop")[1] == "mydocker\n"
        assert shell(PINGS)[0] == 0
    # What an internal network forwards goes nowhere: it needs no zone, and there is no word about it.
    code, _, said = shell(f"{MYDOCKER} network create --internal inner")
    assert (code, said) == (0, "")
    assert shell("firewall-cmd --get-zone-of-interface=inner")[2] == "no zone\n"

    shell("firewall-cmd --zone=mydocker --remove-interface=shop")
    assert shell(PINGS)[0] != 0
    wrong = "network shop: firewalld rejects what shop forwards, because shop is in no zone"
    assert shell(f"{MYDOCKER} network check") == (1, f"{wrong} (--repair: put into the zone mydocker)\n", "")
    assert shell(f"{MYDOCKER} network check --repair") == (0, f"{wrong}: put into the zone mydocker\n", "")
    assert shell(PINGS)[0] == 0
    # A network that goes leaves nothing in the zone; one that comes up again is in it.
    shell(f"{MYDOCKER} rm -f web")
    assert shell(f"{MYDOCKER} system shutdown --networks")[0] == 0
    assert '"shop"' not in shell("cat /etc/firewalld/zones/mydocker.xml")[1]
    assert shell(f"{MYDOCKER} system restore")[0] == 0
    assert shell("firewall-cmd --get-zone-of-interface=shop")[1] == "mydocker\n"

    # Where firewalld does not answer, the command is named.
    shell("kill -9 $(cat /run/its.pid)")
    until(lambda: shell("firewall-cmd --state")[0] != 0, "its end")
    wrong = "firewalld rejects what {0} forwards, because {0} is in no zone"
    code, _, said = shell(f"{MYDOCKER} run --rm busybox true")
    assert (code, said) == (0, f"mydocker: warning: {wrong}: it does not answer ({TRUST})\n".format("mydocker0"))
    code, told, _ = shell(f"{MYDOCKER} network check")
    assert code == 1
    remedy = f"(start firewalld, or {TRUST})".format("mydocker0")
    assert f"network bridge: {wrong.format('mydocker0')}, and firewalld does not answer {remedy}\n" in told
    assert shell(f"{MYDOCKER} network rm shop inner") == (0, "shop\ninner\n", "")
    assert '"shop"' not in shell("cat /etc/firewalld/zones/mydocker.xml")[1]
