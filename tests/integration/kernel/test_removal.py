"""A removal that is killed at any of its steps is finished by the next cleanup."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from mydocker import paths, state
from mydocker.kernel.files import cleanup_hidden, make_private
from mydocker.model.container import Container

pytestmark = pytest.mark.local

ID = "a" * 64


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store on disk."""
    for name in ("ROOT", "RUN"):
        monkeypatch.setattr(paths, name, f"{tmp_path}/{name.lower()}")
    for name in ("CONTAINERS", "NAMES", "VOLUMES"):
        monkeypatch.setattr(paths, name, f"{tmp_path}/root/{name.lower()}")
    return tmp_path


def killed_at(number, do):
    """Call `do` in a process that is killed before its change of a directory of that number. Returns whether it was."""
    pid = os.fork()
    if not pid:
        left = [number]

        def counted(change):
            def changed(*args, **kwargs):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*args, **kwargs)

            return changed

        for name in ("rename", "unlink", "rmdir", "mkdir", "symlink"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            do()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.fixture
def container(store):
    """Return a function that makes a container of some files, with a volume."""
    for directory in (paths.VOLUMES, paths.RUN):
        make_private(directory)

    def made():
        with state.reserve(ID, "web"):
            new = Container(ID, "web", state.now(), "busybox:latest", "", [], "overlay", [], own_volumes=["data"])
            state.save_staged(new)
            os.makedirs(f"{state.staging_dir(ID)}/upper/a/b")
            os.makedirs(f"{paths.volume('data')}/_data/c", exist_ok=True)
            state.commit(ID)
        state.link_in_run(new)

    return made


@pytest.mark.parametrize("volumes", [[], ["data"]])
def test_removal(container, volumes):
    def remove():
        with state.lock(state.load(ID)):
            state.remove(ID, "web", volumes)

    seen = set()
    for number in range(1, 100):
        container()
        interrupted = killed_at(number, remove)
        seen |= {f"{'.lock ' if os.path.exists(f'{state.staging_dir(ID)}/lock') else ''}{len(state.ids())}"}
        state.cleanup()
        if state.ids():  # it was killed before anything was done
            state.remove(ID, "web", volumes)
        cleanup_hidden(paths.VOLUMES)  # as the next `volume rm` does
        left = [os.listdir(directory) for directory in (paths.CONTAINERS, paths.NAMES, paths.RUN, paths.VOLUMES)]
        assert left == [[], [], [], [] if volumes else ["data"]], number
        if not interrupted:
            break
    assert seen == {"1", ".lock 0", "0"}
    assert number > 8


def test_a_removal_that_began_with_the_lock(container):
    """Older versions removed the lock first."""
    container()
    os.rename(paths.container(ID), state.staging_dir(ID))
    os.unlink(f"{state.staging_dir(ID)}/lock")
    state.cleanup()
    assert (os.listdir(paths.CONTAINERS), os.listdir(paths.NAMES)) == ([], [])


def test_cleanup_leaves_a_removal_in_progress_alone(container):
    container()
    with state.lock(state.load(ID)):
        os.rename(paths.container(ID), state.staging_dir(ID))
        state.cleanup()
        assert os.listdir(paths.CONTAINERS) == [f".{ID}"]


def test_a_full_disk_has_no_room_for_another_name(container, monkeypatch):
    container()
    rename = os.rename

    def full(source, target, **kwargs):
        if not os.path.lexists(target) or kwargs:
            raise OSError(errno.ENOSPC, "No space left on device", source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    state.remove(ID, "web", ["data"])
    left = [os.listdir(directory) for directory in (paths.CONTAINERS, paths.NAMES, paths.RUN, paths.VOLUMES)]
    assert left == [[], [], [], []]
