"""Commands on images and the build cache that meet at a bad moment: each race is made by a hook, not by luck."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mydocker import paths
from mydocker.build.instructions import Mount
from mydocker.engine.build import mounts
from mydocker.errors import NotFound
from mydocker.image import build_cache, store
from mydocker.image.drivers import overlay
from mydocker.kernel import files

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty store for the test, which has no workspace at the end."""
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS", "BUILD"):
        monkeypatch.setattr(paths, name, str(tmp_path / "store" / ("" if name == "ROOT" else name.lower())))
    for name in ("STEPS", "MOUNTS", "RUNNING"):
        monkeypatch.setattr(build_cache, name, f"{paths.BUILD}/{name.lower()}")
    monkeypatch.setattr(mounts, "MOUNTS", build_cache.MOUNTS)
    yield tmp_path / "store"
    assert list(tmp_path.rglob(".new.*")) == []


def before(monkeypatch, module, name: str, act) -> None:
    """Call `act` before the next call of a module's function only."""
    real = getattr(module, name)

    def hooked(*args, **options):
        monkeypatch.setattr(module, name, real)
        act()
        return real(*args, **options)

    monkeypatch.setattr(module, name, hooked)


class TestCacheMount:
    """mounts.Mounts, on a cache mount that is new."""

    def cache(self, sharing: str = "shared") -> str:
        mount = Mount("cache", "/cache", sharing=sharing)
        with mounts.Mounts([mount], SimpleNamespace(), None) as mounted:
            mounted.prepare()
            return mounted.mounts[0]["source"]

    def test_a_second_build_gets_the_first_ones(self, places, monkeypatch):
        inodes = []
        before(monkeypatch, os, "chown", lambda: inodes.append(os.stat(self.cache()).st_ino))
        assert [os.stat(self.cache()).st_ino] == inodes  # not even an empty one is replaced: it is mounted already

    @pytest.mark.parametrize("sharing", ["shared", "private", "locked"])
    def test_one_that_is_pruned_before_it_is_locked_is_made_again(self, places, monkeypatch, sharing):
        before(monkeypatch, mounts, "Lock", lambda: [os.rmdir(each) for each in Path(build_cache.MOUNTS).iterdir()])
        assert os.path.isdir(self.cache(sharing))


def test_a_result_that_a_build_uses_is_not_pruned(places):
    step = build_cache.Step("k", "RUN x", "", f"sha256:{'1' * 64}", "", "", f"sha256:{'2' * 64}", 1)
    with store.lock():
        build_cache.put(step)
    files.write_new(f"{build_cache.STEPS}/.k2", b"")
    with build_cache.Session():
        os.utime(step.path)  # as find() does, after the cache was listed
        with store.lock():
            assert not build_cache.discard(step)
    assert os.path.exists(step.path)
    os.utime(step.path, (1, 1))
    with build_cache.Session(), store.lock():
        assert build_cache.discard(step)
        assert not build_cache.discard(step)
    assert os.listdir(build_cache.STEPS) == [".k2"]


class TestImagePrune:
    """image prune -a, while a container is made."""

    def test_that_leaves_the_top_layer_to_the_build_cache(self, places):
        image = store.Image("sha256:1", "sha256:2", [], {}, ["sha256:low", "sha256:top"], 0, "")
        Path(paths.IMAGES).mkdir(parents=True)
        Path(paths.layer("sha256:top")).mkdir(parents=True)
        with pytest.raises(NotFound, match="has just been removed"):
            store.keep(image, overlay)
        Path(paths.layer("sha256:low")).mkdir()
        store.keep(image, overlay).release()
