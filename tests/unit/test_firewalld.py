"""kernel/firewalld.py: what its programs say, and what they are told."""

from __future__ import annotations

import pytest

from mydocker.kernel import firewalld

# `firewall-cmd --get-active-zones` of firewalld 1.3 and, with the default zone marked, 2.
LISTED = "docker\n  interfaces: docker0 br-2\nmydocker\n  interfaces: shop\ntrusted\n  sources: 192.0.2.0/24\n"
MARKED = "public (default)\n  interfaces: eth0\nmydocker\n  interfaces: shop\n"


def test_zones():
    assert firewalld.parse(LISTED) == {"docker0": "docker", "br-2": "docker", "shop": "mydocker"}
    assert firewalld.parse(MARKED) == {"eth0": "public", "shop": "mydocker"}
    assert firewalld.parse("") == {}


@pytest.fixture
def told(monkeypatch, tmp_path):
    """The commands that were run, without the program's name; `answers` by command: an error's text, or the output."""

    class Programs:
        commands: list[str] = []
        answers: dict[str, str] = {}

        def find(self, name: str) -> str:
            return name

        def run(self, argv: list[str]) -> str:
            command = " ".join(argv[1:]) if argv[0] == "firewall-cmd" else " ".join(argv)
            self.commands.append(command)
            answer = self.answers.get(command, "")
            if answer.startswith("Error"):
                raise OSError(5, answer, command)
            return answer

    made = Programs()
    made.commands, made.answers = [], {}
    monkeypatch.setattr(firewalld, "programs", made)
    monkeypatch.setattr(firewalld, "_FILE", str(tmp_path / "mydocker.xml"))
    monkeypatch.setattr(firewalld, "_BUS", str(tmp_path))
    return made


NOW, FOR_GOOD = "--zone=mydocker --add-interface=shop", "--permanent --zone=mydocker --add-interface=shop"


class TestJoin:
    def test_a_zone_that_is_known(self, told):
        firewalld.join("shop")
        assert told.commands == [NOW, FOR_GOOD]

    @pytest.mark.parametrize("made", [False, True])
    def test_a_zone_that_firewalld_does_not_know_yet(self, told, tmp_path, made):
        """The zone is created if it is missing; firewalld is not reloaded."""
        told.answers[NOW] = "Error: INVALID_ZONE: mydocker"
        if made:
            (tmp_path / "mydocker.xml").touch()
        firewalld.join("shop")
        new = ["--new-zone=mydocker", "--zone=mydocker --set-target=ACCEPT", "--zone=mydocker --add-forward"]
        making = [] if made else [f"--permanent {words}" for words in new]
        assert told.commands == [NOW, *making, "--zone=trusted --add-interface=shop", FOR_GOOD]

    def test_somebody_makes_the_zone_at_the_same_time(self, told):
        told.answers[NOW] = "Error: INVALID_ZONE: mydocker"
        told.answers["--permanent --new-zone=mydocker"] = "Error: NAME_CONFLICT: new_zone(): 'mydocker'"
        firewalld.join("shop")
        assert told.commands[-1] == FOR_GOOD

    def test_what_fails_is_told(self, told):
        told.answers[NOW] = "Error: ZONE_CONFLICT: 'shop' already bound to 'dmz'"
        with pytest.raises(OSError, match="ZONE_CONFLICT"):
            firewalld.join("shop")


class TestLeave:
    @pytest.mark.parametrize("zone", ["mydocker", "trusted"])
    def test_both_for_good_and_now(self, told, zone):
        told.answers["--get-active-zones"] = f"{zone}\n  interfaces: shop\n"
        firewalld.leave("shop")
        removals = ["--permanent --zone=mydocker --remove-interface=shop", f"--zone={zone} --remove-interface=shop"]
        assert told.commands[1:] == removals

    def test_somebody_elses_choice_stays(self, told):
        told.answers["--get-active-zones"] = "dmz\n  interfaces: shop\n"
        firewalld.leave("shop")
        assert told.commands[1:] == ["--permanent --zone=mydocker --remove-interface=shop"]

    def test_without_firewalld(self, told):
        told.answers["--get-active-zones"] = "Error: not running"
        firewalld.leave("shop")
        assert told.commands[1:] == ["firewall-offline-cmd --zone=mydocker --remove-interface=shop"]


def test_what_is_in_the_zone_for_good(told, tmp_path):
    assert not firewalld.has("shop")
    (tmp_path / "mydocker.xml").write_text('<zone target="ACCEPT">\n  <interface name="shop"/>\n</zone>\n')
    assert firewalld.has("shop")
    assert not firewalld.has("sho")
