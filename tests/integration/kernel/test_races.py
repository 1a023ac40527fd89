"""Commands on images and the build cache that meet at a bad moment: each race is made by a hook, not by luck."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from archives import archive
from image_archives import Image, digest

from mydocker import paths, state
from mydocker.build.instructions import Mount
from mydocker.engine.build import mounts, pruning
from mydocker.errors import NotFound
from mydocker.image import build_cache, intake, removal, store, workers, writer
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
    monkeypatch.setattr(build_cache, "SYNCED", f"{paths.BUILD}/synced")
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


def take(name: str, *tars: bytes) -> store.Image:
    rows = [{"mediaType": store.LAYER, "digest": digest(tar), "size": len(tar)} for tar in tars]
    layers = [intake.Layer(row, row["digest"], partial(memory, tar)) for row, tar in zip(rows, tars)]
    return intake.take(Image([*tars]).config_data, layers, [name])


def memory(content: bytes) -> io.FileIO:
    descriptor = os.memfd_create("layer")
    os.pwrite(descriptor, content, 0)
    return io.FileIO(descriptor)


class TestTake:
    """intake.take(), while another process removes an image of which it has layers."""

    BELOW, TOP = archive(("a", b"1")), archive(("no/directory/b", b"2"))  # the top one needs the one below

    @pytest.mark.parametrize(
        ("other", "module", "name"),
        [(TOP, workers, "run"), (BELOW, intake, "_complete"), (BELOW, writer, "lock")],
        ids=["before they are read", "before directories are completed", "before they get a name"],
    )
    def test_they_are_taken_again(self, places, monkeypatch, other, module, name):
        take("other:1", other)
        before(monkeypatch, module, name, lambda: removal.remove("other:1", True, list))
        image = take("img:1", self.BELOW, self.TOP)
        assert [os.path.isdir(paths.layer(each)) for each in image.layers] == [True, True]
        assert [os.path.exists(store.blob(row["digest"])) for row in store.layer_descriptors(image.manifest)] == [
            True
        ] * 2

    def test_a_removed_image_is_not_completed(self, places, monkeypatch):
        image = take("img:1", self.BELOW, self.TOP)
        files.remove_tree(paths.layer(image.layers[1]))
        before(monkeypatch, writer, "lock", lambda: removal.remove("img:1", True, list))
        with pytest.raises(NotFound):
            intake.complete(image)
        assert os.listdir(paths.LAYERS) == []


def step(key: str) -> build_cache.Step:
    made = build_cache.Step(key, "RUN x", "", f"sha256:{'1' * 64}", "", "", f"sha256:{'2' * 64}", 1)
    with store.lock():
        build_cache.put(made)
    return made


def test_what_a_crash_has_left_goes_with_a_prune(places):
    step("k")
    leftovers = [f"{paths.LAYERS}/{'1' * 64}", f"{paths.LAYERS}/.new.dead", f"{paths.IMAGES}/blobs/sha256/{'2' * 64}"]
    for path in leftovers:
        os.makedirs(path) if "layers" in path else (os.makedirs(os.path.dirname(path)), files.write_new(path, b""))
    writer.write_index({"manifests": []})
    for path in (f"{paths.IMAGES}/.index.json.0", f"{build_cache.STEPS}/.k.json.0"):
        files.write_new(path, b"")
    os.unlink(f"{build_cache.STEPS}/k.json")
    assert removal.prune(lambda _: True, list) == ([], 0)
    assert sorted(os.listdir(paths.IMAGES)) == ["blobs", "index.json"]
    assert [os.listdir(each) for each in (paths.LAYERS, build_cache.STEPS)] == [[], []]


def test_results_that_a_power_cut_may_have_damaged_are_not_used(places, monkeypatch):
    pruning.distrust()
    synced, lost = step("1"), step("2")
    os.utime(synced.path, (10, 10))
    build_cache.note_sync(20 * 10**9)
    pruning.distrust()
    assert sorted(os.listdir(build_cache.STEPS)) == ["1.json", "2.json"]
    monkeypatch.setattr(state, "boot_id", lambda: "the next")
    pruning.distrust()
    assert os.listdir(build_cache.STEPS) == ["1.json"]
    step(lost.key)
    pruning.distrust()
    assert len(os.listdir(build_cache.STEPS)) == 2


def test_a_result_that_a_build_uses_is_not_pruned(places):
    used = step("k")
    with build_cache.Session():
        os.utime(used.path)  # as find() does, after the cache was listed
        with store.lock():
            assert not build_cache.discard(used)
    assert os.path.exists(used.path)
    os.utime(used.path, (1, 1))
    with build_cache.Session(), store.lock():
        assert build_cache.discard(used)
        assert not build_cache.discard(used)
    assert os.listdir(build_cache.STEPS) == []


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
