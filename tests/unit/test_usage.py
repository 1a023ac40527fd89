"""engine/sizes.py, pruning.py and usage.py: what containers and volumes use of the disk."""

from __future__ import annotations

import pytest

from mydocker.engine import pruning, sizes, usage
from mydocker.engine.volumes import Volume
from mydocker.model.container import Container


def container(driver: str, mounts: list[str]) -> Container:
    return Container("a" * 64, "web", "", "busybox", "", [], driver, [], mounts=mounts)


@pytest.mark.parametrize(("driver", "directory"), [("overlay", "upper"), ("aufs", "rw"), ("copy", "rootfs")])
def test_prune_frees_what_ps_shows(monkeypatch, driver, directory):
    stopped = container(driver, [])
    trees = {}

    def of_tree(path, *_):
        if path not in trees:
            raise FileNotFoundError
        return trees[path]

    monkeypatch.setattr(sizes.sizes, "of_tree", of_tree)
    assert sizes.written(stopped) == 0  # it has never been started
    trees[f"{stopped.directory}/{directory}"] = 5
    assert sizes.written(stopped) == 5
    assert pruning.delete([stopped], dry_run=True) == ([stopped.id], 5)


def test_a_volume_counts_containers_and_not_mounts(monkeypatch):
    twice = container("overlay", ["data", "data", "/srv"])
    monkeypatch.setattr(usage.listing, "containers", lambda *_: ([twice], []))
    monkeypatch.setattr(usage.volumes, "volumes", lambda: ([Volume("data", ""), Volume("idle", "")], []))
    monkeypatch.setattr(usage.volumes, "size", lambda _: 7)
    monkeypatch.setattr(usage.sizes, "of", lambda _: (5, 0))
    monkeypatch.setattr(usage, "_images", lambda _: ([], 0, 0))
    monkeypatch.setattr(usage.pruning, "cached", list)
    monkeypatch.setattr(usage.build_cache, "oldest_running", lambda: 0)
    disk = usage.usage()
    assert [(volume.name, links) for volume, _, links in disk.volumes] == [("data", 1), ("idle", 0)]
    assert disk.totals()["Local Volumes"].reclaimable == 7
