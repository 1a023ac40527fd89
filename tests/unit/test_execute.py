"""engine/execute.py: what exec's options make of the container's environment, and article 5.4's one-word command."""

from __future__ import annotations

import pytest

from mydocker.engine import execute
from mydocker.errors import MydockerError

CONTAINERS = ["PATH=/bin", "A=1"]


def environment(rows, *extra, tty=False):
    return execute._environment(rows, execute.ExecRequest(["sh"], list(extra), tty=tty))


class TestEnvironment:
    def test_is_the_containers_own(self):
        assert environment(CONTAINERS) == CONTAINERS

    def test_a_given_value_overrides_the_containers(self):
        assert environment(CONTAINERS, "A=2=3", "B=") == ["PATH=/bin", "A=2=3", "B="]

    def test_a_terminal_has_a_kind(self):
        assert sorted(environment(CONTAINERS, tty=True)) == ["A=1", "PATH=/bin", "TERM=xterm"]

    @pytest.mark.parametrize(
        ("rows", "extra"), [(["TERM=vt100"], []), ([], ["TERM=vt100"]), (["TERM=dumb"], ["TERM=vt100"])]
    )
    def test_but_not_another_than_was_said(self, rows, extra):
        assert environment(rows, *extra, tty=True) == ["TERM=vt100"]


class TestWords:
    @pytest.fixture
    def programs(self, monkeypatch):
        """The names that find_program knows."""
        known = set()

        def find(name, path):
            if name not in known:
                raise MydockerError("not found")

        monkeypatch.setattr(execute.init, "find_program", find)
        return known

    @pytest.mark.parametrize("line", ["ls -l", "ls\t-l", "echo 'a b'"])
    def test_a_sole_argument_with_white_space_is_a_line_for_the_shell(self, programs, line):
        assert execute._words([line], {}) == ["/bin/sh", "-c", line]

    def test_unless_there_is_a_program_of_that_name(self, programs):
        programs.add("ls -l")
        assert execute._words(["ls -l"], {}) == ["ls -l"]

    @pytest.mark.parametrize("command", [["ls"], ["ls", "-l"], ["a b", "c"], [" ls"], [""]])
    def test_anything_else_is_taken_as_it_is(self, programs, command):
        assert execute._words(command, {}) == command
