"""The freezer of cgroup v1 and of v2, in the running kernel: a child in a new cgroup counts, and stops counting."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

import pytest

from mydocker.kernel import cgroups, freezer

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make cgroups"),
]


@pytest.fixture(autouse=True)
def nothing_left():
    """Replace the fixture in conftest.py, which checks containers: these tests start none."""


@pytest.fixture(params=["freezer", "unified"])
def counting(request):
    """A process in a new cgroup that writes without end: (the freezer's file, the pipe that it writes to)."""
    mounts = cgroups.layout().mounts
    if request.param not in mounts:
        pytest.skip(f"needs the hierarchy {request.param}")
    path = tempfile.mkdtemp(prefix="mydocker-test-", dir=mounts[request.param])
    script = 'echo $$ >"$0" && while :; do echo; sleep 0.001; done'  # it forks all the time
    with subprocess.Popen(["sh", "-c", script, f"{path}/cgroup.procs"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.read(1)
        os.set_blocking(process.stdout.fileno(), False)
        only = {request.param: mounts[request.param]}
        yield cgroups.freezer(cgroups.Layout(0, only, []), path[len(mounts[request.param]) :]), process.stdout
        cgroups.remove(path)
    assert not os.path.exists(path)


def writes(pipe) -> bool:
    while pipe.read():
        pass
    time.sleep(0.1)
    return bool(pipe.read())


def test_it_stops_and_goes_on(counting):
    file, pipe = counting
    freezer.freeze(file)
    assert (freezer.is_frozen(file), writes(pipe)) == (True, False)
    freezer.thaw(file)
    assert (freezer.is_frozen(file), writes(pipe)) == (False, True)
    freezer.freeze(file)  # a frozen process is killed by cgroups.remove(), too


def test_what_does_not_stop_goes_on(counting, monkeypatch):
    file, pipe = counting
    monkeypatch.setattr(freezer, "_PATIENCE", 0)
    monkeypatch.setattr(freezer, "is_frozen", lambda _: False)
    with pytest.raises(TimeoutError):
        freezer.freeze(file)
    assert writes(pipe)
