"""docs/dockerfile.md: every instruction, option and kind of mount has a row, and every test that a row names exists."""

from __future__ import annotations

import re
from pathlib import Path

import builds
import copies
import dockerfiles
import pytest

from mydocker.build import dockerfile, flags, grammar, lines, mounts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/dockerfile.md").read_text()
# Rows without the heading: the Dockerfile, docker, mydocker, the test.
ROWS = [
    row.strip("| ").split(" | ") for row in re.findall(r"(?m)^\| .*\|$", PAGE) if not row.startswith("| Dockerfile")
]
FIRST = [row[0] for row in ROWS]
ARGUMENTS = {"COPY": "a b", "ADD": "a b", "ENV": "A=1", "LABEL": "A=1", "SHELL": '["a"]', "HEALTHCHECK": "CMD a"}
ARGUMENTS["ONBUILD"] = "RUN a"


def functions(path: str) -> set[str]:
    return set(re.findall(r"(?m)^ *def (test_\w+)", (ROOT / "tests" / path).read_text()))


TESTS = {
    "docker": set(builds.DOCKERFILES),
    "corpus": {case["name"] for case in dockerfiles.CASES},
    "cp": {*copies.COPIES, *copies.REFUSED, *functions("integration/kernel/test_build_copy.py")},
    "fetch": functions("integration/kernel/test_build_fetch.py"),
    "unit": functions("unit/test_build_copy.py"),
    "build": functions("integration/commands/test_build.py"),
}


def named(cell: str) -> list[tuple[str, str]]:
    """The tests of a row: `cp: a row; another; unit: test_x` names three, of two places."""
    place, found = "", []
    for part in cell.split("; "):
        before, sign, behind = part.partition(": ")
        place, name = (before, behind) if sign and before in TESTS else (place, part)
        if part != "corpus":  # all of them
            found.append((place, name))
    return found


def test_every_named_test_exists():
    assert all(len(row) == 4 and row[3] for row in ROWS)
    assert [each for row in ROWS for each in named(row[3]) if each[1] not in TESTS.get(each[0], ())] == []


def test_every_dockerfile_that_docker_builds_has_a_row():
    rows = {name for row in ROWS for place, name in named(row[3]) if place == "docker"}
    assert set(builds.DOCKERFILES) - rows == set()


@pytest.mark.parametrize("word", grammar._BUILDERS)
def test_every_instruction_and_option_has_a_row(word, monkeypatch):
    known: list[str] = []

    class Recorder(flags.Flags):
        def __init__(self, words, texts=(), switches=(), lists=()):
            known.extend([*texts, *switches, *lists])
            super().__init__(words, texts, switches, lists)

    monkeypatch.setattr(grammar, "Flags", Recorder)
    text = f"{word} {ARGUMENTS.get(word, 'a')}"
    grammar.build(grammar.split(text, "\\"), lines.Line(first=1, last=1, text=text), [])
    rows = [cell for cell in FIRST if re.search(rf"\b{word}\b", cell)]
    assert rows
    assert [name for name in known if not any(re.search(rf"--{name}(?![\w-])", cell) for cell in rows)] == []


@pytest.mark.parametrize("key", [*mounts._KEYS, *mounts._TYPES])
def test_every_key_of_a_mount_has_a_row(key):
    rows = [cell for cell in FIRST if "--mount=" in cell]
    assert any(re.search(rf"\b{key}\b", cell) for cell in rows)


@pytest.mark.parametrize("name", ["syntax", "escape", "check"])
def test_every_directive_has_a_row(name):
    assert dockerfile.parse(f"# {name}=\\\nFROM a\n".encode() if name == "escape" else b"FROM a\n", "Df")
    assert any(f"# {name}=" in cell for cell in FIRST)
