"""The file that -o names: whole, or as it was; and nothing beside it."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from mydocker.engine.output_file import OutputFile
from mydocker.errors import HostError


@pytest.fixture(params=["without a name", "under another name"])
def way(request, monkeypatch):
    """Whether the file system has files without a name."""
    real = os.open

    def without(path, flags, *rest, **more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *rest, **more)

    if request.param != "without a name":
        monkeypatch.setattr(os, "open", without)
    return request.param


def test_a_file_is_replaced_when_it_is_whole(tmp_path, way):
    path = tmp_path / "out"
    path.write_text("old")
    with OutputFile(str(path), 0o640) as descriptor:
        os.write(descriptor, b"new")
        assert path.read_text() == "old"
        if way == "without a name":  # then a killed process leaves nothing
            assert os.listdir(tmp_path) == ["out"]
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_an_error_leaves_what_was_there(tmp_path, way, error):
    def fail() -> None:
        with OutputFile(str(tmp_path / "out")) as descriptor:
            os.write(descriptor, b"a part")
            raise error

    with pytest.raises((HostError, KeyboardInterrupt)):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path, way, monkeypatch):
    with pytest.raises(HostError, match=r"can't write .*/none/out: no such file or directory"):
        OutputFile(str(tmp_path / "none" / "out")).__enter__()
    (tmp_path / "directory").mkdir()
    with pytest.raises(HostError, match="can't write"), OutputFile(str(tmp_path / "directory")):
        pass
    monkeypatch.chdir(tmp_path)
    with OutputFile("here"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["directory", "here"]
