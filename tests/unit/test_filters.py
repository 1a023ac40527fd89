"""engine/filters.py: a profile is compiled once, and never taken for another."""

from __future__ import annotations

import os

import pytest

from mydocker import paths
from mydocker.engine import filters
from mydocker.kernel import libc, seccomp_compiler

ALLOW, LOG = ({"linux": {"seccomp": {"defaultAction": f"SCMP_ACT_{word}"}}} for word in ("ALLOW", "LOG"))


@pytest.fixture(autouse=True)
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUN", f"{tmp_path}/run")
    return tmp_path / "run"


@pytest.fixture
def compiled(monkeypatch):
    """The profiles that were compiled, in order."""
    seen = []
    compile = seccomp_compiler.compile

    def noted(profile, machine):
        seen.append(profile["defaultAction"])
        return compile(profile, machine)

    monkeypatch.setattr(seccomp_compiler, "compile", noted)
    return seen


def expected(spec):
    return seccomp_compiler.compile(spec["linux"]["seccomp"], libc.MACHINE)


def test_once(compiled):
    assert filters.program(ALLOW) == filters.program(ALLOW) == expected(ALLOW)
    assert compiled == ["SCMP_ACT_ALLOW"] * 2  # once by expected()


def test_none_is_wanted():
    assert filters.program({"linux": {}}) == b""


def test_the_sum_of_another_is_not_enough(monkeypatch):
    monkeypatch.setattr(filters, "crc32", lambda data: 1)
    assert filters.program(ALLOW) != filters.program(LOG)
    assert filters.program(ALLOW) == expected(ALLOW)


def test_a_newer_compiler(compiled, monkeypatch, tmp_path):
    source = tmp_path / "compiler.py"
    source.touch()
    monkeypatch.setattr(filters, "_COMPILER", [str(source)])
    filters.program(ALLOW)
    os.utime(source, (1, 1))
    filters.program(ALLOW)
    assert len(compiled) == 2


def test_half_a_file(run):
    filters.program(ALLOW)
    (path,) = (run / "_seccomp").iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert filters.program(ALLOW) == expected(ALLOW)


def test_where_nothing_can_be_written(compiled, run):
    run.write_text("no directory")
    assert filters.program(ALLOW) == expected(ALLOW)
