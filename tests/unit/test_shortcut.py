"""shortcut.py loads what importlib would, or leaves it to it."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys

import pytest

from mydocker import shortcut


@pytest.fixture
def source(tmp_path, monkeypatch):
    """mydocker/room/thing.py of a house of its own, compiled."""
    monkeypatch.setattr(shortcut, "_ROOT", str(tmp_path))
    path = tmp_path / "mydocker" / "room" / "thing.py"
    path.parent.mkdir(parents=True)
    path.write_text('"""Its head."""\nvalue = 41\n')
    py_compile.compile(str(path), doraise=True)
    return path


def find():
    return shortcut.Shortcut.find_spec("mydocker.room.thing")


def test_it_is_the_first_to_be_asked():
    assert shortcut.Shortcut in sys.meta_path


def test_a_module(source):
    spec = find()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.value, module.__doc__, module.__file__) == (41, "Its head.", str(source))
    assert module.__cached__ == importlib.util.cache_from_source(str(source))
    assert (module.__name__, module.__package__) == ("mydocker.room.thing", "mydocker.room")


def test_a_source_that_has_changed(source):
    source.write_text("value = 4243\n")
    assert find() is None


def test_a_source_of_another_time(source):
    os.utime(source, (1, 1))
    assert find() is None


@pytest.mark.parametrize("at", [0, 4, 8, 12])
def test_a_pyc_with_another_head(source, at):
    """Another Python's; one that goes by the source's hash; another time; another size."""
    cached = importlib.util.cache_from_source(str(source))
    with open(cached, "r+b") as file:
        file.seek(at)
        file.write(b"\xfe")
    assert find() is None


def test_a_pyc_cut_short(source):
    os.truncate(importlib.util.cache_from_source(str(source)), 9)
    assert find() is None


def test_without_a_pyc_or_source(source):
    os.unlink(importlib.util.cache_from_source(str(source)))
    assert find() is None
    source.unlink()
    assert find() is None


@pytest.mark.parametrize("name", ["json", "mydocker", "mydocker_other.thing", "mydocker.room"])
def test_others_modules_and_packages(source, name):
    assert shortcut.Shortcut.find_spec(name) is None
