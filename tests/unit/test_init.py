"""runtime/init.py: what is run, with which environment, and docker's exit codes if it can't be."""

from __future__ import annotations

import errno
import os
import stat
import sys

import pytest

from mydocker.errors import MydockerError
from mydocker.runtime import init

PROGRAM, PLAIN, DIR = stat.S_IFREG | 0o755, stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
PATH = "/usr/bin:/bin"


@pytest.fixture
def files(monkeypatch):
    """path -> its mode, or the errno of a look at it."""
    known = {}

    def look(path):
        found = known.get(path, errno.ENOENT)
        if found < 0o1000:
            raise OSError(found, os.strerror(found), path)
        return os.stat_result((found, *[0] * 9))

    monkeypatch.setattr(init.os, "stat", look)
    monkeypatch.setattr(init.os, "access", lambda path, mode, effective_ids: known[path] & mode != 0)
    return known


def refused(name, path=PATH):
    """(exit code, message)"""
    with pytest.raises(MydockerError) as caught:
        init.find_program(name, path)
    assert caught.value.hint
    return caught.value.exit_code, caught.value.message


class TestFindProgram:
    def test_the_first_in_the_path_wins(self, files):
        files.update({"/usr/bin/ls": PROGRAM, "/bin/ls": PROGRAM})
        assert init.find_program("ls", PATH) == "/usr/bin/ls"

    @pytest.mark.parametrize("worse", [PLAIN, DIR, errno.EACCES, errno.ENOTDIR, errno.ELOOP])
    def test_what_can_not_be_run_is_passed_over(self, files, worse):
        files.update({"/usr/bin/ls": worse, "/bin/ls": PROGRAM})
        assert init.find_program("ls", PATH) == "/bin/ls"

    @pytest.mark.parametrize("name", ["/opt/run", "./run", "bin/run"])
    def test_with_a_slash_the_path_counts_for_nothing(self, files, name):
        files.update({name: PROGRAM, f"/bin/{name}": PROGRAM})
        assert init.find_program(name, PATH) == name
        del files[name]
        assert refused(name) == (127, f"'{name}': no such file or directory in the container")

    def test_an_empty_entry_is_the_working_directory(self, files):
        files["./ls"] = PROGRAM
        assert init.find_program("ls", "/bin:") == "./ls"

    def test_without_a_path_nowhere_is_looked(self, files):
        files["./ls"] = PROGRAM
        assert refused("ls", "")[0] == 127

    def test_not_found(self, files):
        assert refused("ls") == (127, "'ls': executable file not found in $PATH")
        assert refused("") == (127, "the command is empty")

    @pytest.mark.parametrize(
        ("found", "why"),
        [
            (PLAIN, "permission denied"),
            (DIR, "is a directory"),
            (errno.EACCES, "permission denied"),
            (errno.ELOOP, "too many levels of symbolic links"),
        ],
    )
    @pytest.mark.parametrize(("name", "place"), [("ls", "/bin/ls"), ("/opt/ls", "/opt/ls")])
    def test_found_but_not_executable(self, files, name, place, found, why):
        files[place] = found
        assert refused(name) == (126, f"can't execute '{name}': {why}")

    def test_the_first_reason_is_told(self, files):
        files.update({"/usr/bin/ls": DIR, "/bin/ls": PLAIN})
        assert refused("ls")[1].endswith("is a directory")


class TestExecFailed:
    @pytest.mark.parametrize(
        ("number", "code", "hint"),
        [
            (errno.ENOENT, 127, "interpreter"),
            (errno.ENOEXEC, 126, "#!/bin/sh"),
            (errno.EACCES, 126, ""),
            (errno.E2BIG, 126, ""),
        ],
    )
    def test_each(self, number, code, hint):
        error = init.exec_failed("/run.sh", number)
        assert (error.message, error.exit_code) == (f"can't execute '/run.sh': {os.strerror(number).lower()}", code)
        assert hint in error.hint


class TestVariables:
    def test_home_is_added_if_it_is_not_there(self):
        assert init.variables(["A=1", "B="], "/root") == {"A": "1", "B": "", "HOME": "/root"}
        assert init.variables(["HOME=/mine"], "/root") == {"HOME": "/mine"}

    def test_a_value_may_have_anything_in_it(self):
        assert init.variables(["A=b=c\n'é"], "/") == {"A": "b=c\n'é", "HOME": "/"}

    def test_what_is_no_variable_is_left_out(self):
        assert init.variables(["A", "=x", ""], "/") == {"HOME": "/"}

    def test_the_last_of_a_name_wins(self):
        assert init.variables(["A=1", "A=2"], "/")["A"] == "2"


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143), (139, 139)])
def test_exit_code(status, code):
    """139 is SIGSEGV (11) with a core dump (128)."""
    assert init.exit_code(status) == code


def test_with_the_imports_closed_nothing_is_looked_for_and_nothing_is_printed(monkeypatch, capsys):
    for name in ("meta_path", "path_hooks", "path"):
        monkeypatch.setattr(sys, name, list(getattr(sys, name)))
    monkeypatch.setattr(sys, "path_importer_cache", dict(sys.path_importer_cache))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.delitem(sys.modules, "this", raising=False)
    init.close_imports()
    with pytest.raises(ImportError):
        import this  # noqa: F401
    import errno as loaded

    assert loaded is errno
    assert (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache) == ([], [], [], {})
    sys.excepthook(ValueError, ValueError("secret"), None)
    sys.unraisablehook(None)
    assert capsys.readouterr() == ("", "")
