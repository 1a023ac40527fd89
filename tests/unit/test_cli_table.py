"""The generated table, the declarations and the verbs agree."""

from __future__ import annotations

import sys
import types

import pytest

from mydocker.cli import dispatch
from mydocker.errors import HostError
from mydocker.generated.fasttable import ALIASES, COMMANDS


def test_every_command_has_a_function():
    assert {" ".join(path) for path in COMMANDS} == set(dispatch.VERBS)


def test_every_alias_is_one_of_a_command():
    assert set(ALIASES.values()) <= set(COMMANDS)
    assert not set(ALIASES) & set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_key_is_the_options_long_name(path):
    _, positionals, absent, names = COMMANDS[path]
    for key in absent:
        assert names[f"--{key.replace('_', '-')}"] == key
    assert set(names.values()) == set(absent)
    assert not {name for name, _, _ in positionals} & set(absent)


class TestDispatch:
    @pytest.fixture
    def called(self, monkeypatch):
        """The params that a stand-in for the verb `ps` is called with."""
        calls = []
        stand_in = types.ModuleType("stand_in")
        stand_in.act = lambda params: calls.append(params) or 7
        monkeypatch.setitem(sys.modules, "mydocker.cli.verbs.stand_in", stand_in)
        monkeypatch.setattr(dispatch, "VERBS", {"ps": "stand_in:act", "version": "stand_in:act"})
        return calls

    def test_calls_the_verb_with_its_params(self, called, monkeypatch):
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert dispatch.dispatch("ps", {"all": True}) == 7
        assert called == [{"all": True}]

    def test_refuses_a_user_that_is_not_root(self, called, monkeypatch):
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(HostError) as caught:
            dispatch.dispatch("ps", {})
        assert str(caught.value) == "must run as root (try 'sudo mydocker ps ...')"
        assert (caught.value.exit_code, called) == (1, [])

    def test_tells_anyone_the_version(self, called, monkeypatch):
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        assert dispatch.dispatch("version", {}) == 7
