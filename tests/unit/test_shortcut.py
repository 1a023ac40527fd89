"""shortcut.py loads what importlib would load, or leaves it to importlib."""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import os
import sys

import pytest

from mydocker import shortcut


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Make a package in which room.thing imports room.lamp."""
    room = tmp_path / "mydocker" / "house" / "room"
    room.mkdir(parents=True)
    for directory in (room, room.parent, room.parent.parent):
        (directory / "__init__.py").write_text("")
    (room / "lamp.py").write_text("colour = 'red'\n")
    (room / "thing.py").write_text('"""Its head."""\nfrom mydocker.house.room import lamp\nvalue = [lamp.colour, 41]\n')
    monkeypatch.setattr(shortcut, "_ROOT", str(tmp_path))
    monkeypatch.setattr(shortcut, "_HEADER", (shortcut.MAGIC_NUMBER, 1, str(tmp_path)))
    monkeypatch.setattr(sys.modules["mydocker"], "__path__", [str(tmp_path / "mydocker")])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "mydocker" / "__pycache__").mkdir()
    importlib.invalidate_caches()
    yield room
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("mydocker.house")]:
        del sys.modules[name]
    vars(sys.modules["mydocker"]).pop("house", None)
    importlib.invalidate_caches()


def bring():
    """Import as a new program does. Returns the module."""
    forget()
    shortcut.bring("mydocker.house.room.thing")
    return sys.modules["mydocker.house.room.thing"]


def path(house):
    tag = sys.implementation.cache_tag
    return house.parents[1] / "__pycache__" / f"mydocker.house.room.thing.{tag}.all"


def kept(house):
    return [row[0].replace("mydocker.house", "") for row in marshal.loads(path(house).read_bytes())[1]]


@pytest.fixture
def imported(monkeypatch):
    """Return the names that importlib had to load because the cache did not have them."""
    asked = []

    class Witness:
        @staticmethod
        def find_spec(name, path=None, target=None):
            asked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Witness, *sys.meta_path])
    return asked


def test_the_first_time_it_is_kept_in_the_order_of_loading(house, imported):
    assert bring().value == ["red", 41]
    assert kept(house) == ["", ".room", ".room.lamp", ".room.thing"]
    assert len(imported) == 4
    assert [name for name in os.listdir(path(house).parent) if name.endswith(".all")] == [path(house).name]
    assert path(house).stat().st_mode & 0o777 == 0o644


def test_the_second_time_it_comes_in_one_piece(house, imported):
    bring()
    imported.clear()
    module = bring()
    assert imported == []
    assert (module.value, module.__doc__, module.__file__) == (["red", 41], "Its head.", str(house / "thing.py"))
    assert (module.__name__, module.__package__) == ("mydocker.house.room.thing", "mydocker.house.room")
    assert sys.modules["mydocker.house.room"].thing is module
    assert sys.modules["mydocker.house.room"].__path__ == [str(house)]
    assert importlib.import_module("mydocker.house.room.thing") is module
    assert importlib.reload(module).value == ["red", 41]


def test_a_loaded_module_is_not_run_again(house):
    bring()
    forget()
    lamp = importlib.import_module("mydocker.house.room.lamp")
    lamp.colour = "green"
    shortcut.bring("mydocker.house.room.thing")
    assert sys.modules["mydocker.house.room.thing"].value == ["green", 41]


def test_a_source_that_has_changed(house):
    bring()
    (house / "lamp.py").write_text("colour = 'blue as the sea'\n")
    assert bring().value == ["blue as the sea", 41]
    assert bring().value == ["blue as the sea", 41]
    assert kept(house) == ["", ".room", ".room.lamp", ".room.thing"]


def test_a_source_of_another_time(house, imported):
    bring()
    os.utime(house / "lamp.py", (1, 1))
    imported.clear()
    bring()
    assert sorted(imported) == ["mydocker.house.room.lamp", "mydocker.house.room.thing"]
    imported.clear()
    bring()
    assert imported == []


def test_another_source_of_the_same_time_and_size(house):
    """As after an upgrade of the package."""
    bring()
    before = os.stat(house / "lamp.py")
    (house / "lamp.py").write_text("colour = 'tan'\n")
    os.utime(house / "lamp.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.unlink(importlib.util.cache_from_source(str(house / "lamp.py")))  # as a package's removal does
    assert bring().value == ["tan", 41]


def test_a_module_more_and_a_module_less(house, imported):
    bring()
    (house / "thing.py").write_text("from mydocker.house.room import table\nvalue = table.legs\n")
    (house / "table.py").write_text("legs = 4\n")
    (house / "lamp.py").unlink()
    assert bring().value == 4
    assert kept(house) == ["", ".room", ".room.table", ".room.thing"]
    imported.clear()
    assert bring().value == 4
    assert imported == []


def test_one_that_was_kept_where_a_part_was_loaded_before(house, imported):
    forget()
    importlib.import_module("mydocker.house.room.lamp")
    shortcut.bring("mydocker.house.room.thing")
    assert kept(house) == [".room.thing"]
    bring()
    assert kept(house) == ["", ".room", ".room.lamp", ".room.thing"]
    imported.clear()
    bring()
    assert imported == []


def test_two_parts_of_one_module(house):
    """start and rm are in one module, and start has loaded half of its imports before."""
    forget()
    importlib.import_module("mydocker.house.room.lamp")
    shortcut.bring("mydocker.house.room.thing", part="start")
    forget()
    shortcut.bring("mydocker.house.room.thing", part="rm")
    sizes = {file.name.partition(".")[0]: file.stat().st_size for file in path(house).parent.glob("*.all")}
    assert sizes["start"] < sizes["rm"]


def test_a_pyc_cut_short_by_a_full_disk_is_not_kept(house):
    bring()
    path(house).unlink()
    cached = importlib.util.cache_from_source(str(house / "lamp.py"))
    os.truncate(cached, 20)
    shortcut._write_cache(str(path(house)), ["mydocker.house.room.lamp"])
    assert list(path(house).parent.glob("*.all*")) == []


def test_one_that_was_kept_where_its_package_was_loaded_before(house):
    forget()
    importlib.import_module("mydocker.house.room")
    shortcut.bring("mydocker.house.room.lamp")
    forget()
    shortcut.bring("mydocker.house.room.lamp")
    assert sys.modules["mydocker.house.room"].lamp.colour == "red"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: b"\xff" * 100,
        lambda data: marshal.dumps(41),
        lambda data: marshal.dumps(((b"3210", 1, shortcut._ROOT), marshal.loads(data)[1])),
        lambda data: marshal.dumps(((shortcut.MAGIC_NUMBER, 0, shortcut._ROOT), [("of another shape",)])),
        lambda data: marshal.dumps(((shortcut.MAGIC_NUMBER, 1, "/another/place"), marshal.loads(data)[1])),
    ],
    ids=["empty", "cut short", "garbage", "another thing", "another Python's", "another version's", "of another place"],
)
def test_a_file_that_is_not_what_it_should_be(house, damage):
    bring()
    path(house).write_bytes(damage(path(house).read_bytes()))
    assert bring().value == ["red", 41]
    assert kept(house) == ["", ".room", ".room.lamp", ".room.thing"]


def test_where_nothing_can_be_written(house, monkeypatch):
    path(house).parent.rmdir()
    path(house).parent.write_text("")
    assert bring().value == ["red", 41]


def test_where_not_all_has_a_pyc(house, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert bring().value == ["red", 41]
    assert not path(house).exists()


def test_a_pyc_that_goes_by_the_sources_hash_is_not_kept(house):
    bring()
    path(house).unlink()
    cached = importlib.util.cache_from_source(str(house / "lamp.py"))
    with open(cached, "r+b") as file:
        file.seek(4)
        file.write(b"\1")
    shortcut._write_cache(str(path(house)), ["mydocker.house.room.lamp"])
    assert not path(house).exists()


@pytest.mark.parametrize("what", ["importtime", "MYDOCKER_DEBUG"])
def test_no_shortcut_for_importtime_or_tracebacks(house, imported, monkeypatch, what):
    bring()
    if what == "importtime":
        monkeypatch.setattr(sys, "_xoptions", {"importtime": True})
    else:
        monkeypatch.setenv("MYDOCKER_DEBUG", "1")
    imported.clear()
    bring()
    assert len(imported) == 4


def test_line_numbers_are_left_out_and_an_error_is_still_the_same(house):
    (house / "lamp.py").write_text("colour = 'red'\ndef switch():\n    return [1 // 0 for _ in 'x']\n")
    lines = []
    for _ in range(2):
        bring()
        with pytest.raises(ZeroDivisionError) as caught:
            sys.modules["mydocker.house.room.lamp"].switch()
        lines.append(caught.tb.tb_next.tb_lineno)
    assert lines[0] == 3
    assert lines[1] in ((3,) if sys.version_info < (3, 10) else (None, -1))


def test_a_module_that_fails_is_not_left_half_loaded(house):
    (house / "thing.py").write_text("import os\nvalue = os.environ['MYDOCKER_X']\n")
    os.environ["MYDOCKER_X"] = "1"
    try:
        bring()
    finally:
        del os.environ["MYDOCKER_X"]
    with pytest.raises(KeyError):
        bring()
    assert "mydocker.house.room.thing" not in sys.modules


def test_a_module_that_is_not_there(house):
    forget()
    with pytest.raises(ModuleNotFoundError):
        shortcut.bring("mydocker.house.cellar")
