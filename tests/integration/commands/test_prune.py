"""container prune and system prune, and --dry-run of all prune commands."""

from __future__ import annotations

import pytest

SURE = "Are you sure you want to continue? [y/N] "


@pytest.fixture
def things(mydocker, name):
    """Two containers that do not run, one with 1 MiB of its own; one that runs; an idle network, a volume of each kind,
    an image without a name, a cached step. Returns the containers' IDs and the image's."""
    mydocker(
        "run", "--net", "none", "--name", f"{name}-big", "busybox", "dd", "if=/dev/zero", "of=/x", "bs=1M", "count=1"
    )
    mydocker.ok("create", "--name", f"{name}-new", "-l", "kept=1", "busybox")
    mydocker.ok("run", "-d", "--net", "none", "--name", name, "-v", "/used", "busybox", "sleep", "600")
    mydocker.ok("network", "create", f"n{name}")
    mydocker.ok("volume", "create", f"named-{name}")
    anonymous = mydocker.ok("volume", "create")
    image = mydocker.ok("build", "-q", "--network", "none", "-", input=b"FROM busybox\nRUN echo >/made\n")
    big, new, up = (mydocker.ok("inspect", "-f", "{{.Id}}", f"{name}{end}") for end in ("-big", "-new", ""))
    yield {"big": big, "new": new, "up": up, "anonymous": anonymous, "image": image}
    mydocker("rm", "-f", "-v", name)
    mydocker("network", "rm", "-f", f"n{name}")
    mydocker("volume", "rm", "-f", f"named-{name}", anonymous)
    mydocker("rmi", "-f", image)
    mydocker("builder", "prune", "-a", "-f")


def sections(text: str) -> dict[str, list[str]]:
    """The lines below each heading."""
    parts = [part.splitlines() for part in text.split("\n\n")]
    return {lines[0]: lines[1:] for lines in parts}


def test_containers(mydocker, things, name):
    both = {things["big"], things["new"]}
    dry = sections(mydocker.ok("container", "prune", "--dry-run"))
    assert set(dry["Containers that would be deleted:"]) == both
    assert "Space that would be reclaimed: 1.049MB" in dry
    asked = f"WARNING! This will remove all stopped containers.\n{SURE}"
    assert mydocker.ok("container", "prune", input=b"n\n") == f"{asked}\nTotal reclaimed space: 0B"
    for option in ("label=other", "label!=kept", "until=1h"):
        left = {"label!=kept": [things["new"]]}.get(option, sorted(both))
        assert sorted(both - {*mydocker.ok("container", "prune", "--dry-run", "--filter", option).splitlines()}) == left
    assert mydocker.ok("container", "prune", "-f", "--filter", "label=kept").splitlines()[1] == things["new"]
    pruned = mydocker.ok("container", "prune", input=b"y\n").partition(SURE)[2].lstrip()
    assert pruned == f"Deleted Containers:\n{things['big']}\n\nTotal reclaimed space: 1.049MB"
    assert mydocker.ok("ps", "-aq", "--no-trunc") == things["up"]
    result = mydocker("container", "prune", "-f", "--filter", "name=x")
    assert (result.rc, result.stdout) == (1, "")
    assert "invalid filter 'name=x'" in result.stderr


def test_system(mydocker, things, name):
    dry = sections(mydocker.ok("system", "prune", "--volumes", "--dry-run"))
    done = sections(mydocker.ok("system", "prune", "--volumes", "-f"))
    assert set(done["Deleted Containers:"]) == {things["big"], things["new"]}
    assert done["Deleted Networks:"] == [f"n{name}"]
    assert done["Deleted Volumes:"] == [things["anonymous"]]
    assert f"deleted: {things['image']}" in done["Deleted Images:"]
    for kind in ("Containers", "Networks", "Volumes"):
        assert dry[f"{kind} that would be deleted:"] == done[f"Deleted {kind}:"]
    assert f"deleted: {things['image']}" in dry["Images that would be deleted:"]
    assert len(done["Deleted build cache objects:"]) == 1
    assert mydocker.ok("system", "prune", "-f") == "Total reclaimed space: 0B"
    assert mydocker.ok("ps", "-aq", "--no-trunc") == things["up"]
    assert f"named-{name}" in mydocker.ok("volume", "ls", "-q")


def test_system_asks_as_docker_does(mydocker, docker):
    words = ("system", "prune", "-a", "--filter", "label=x", "--filter", "until=1h")
    asked = docker(*words, input=b"n\n").stdout
    lines = [line for line in asked.splitlines() if line.startswith("  - all")]
    assert len(lines) == 4
    assert mydocker.ok(*words, input=b"n\n").split() == asked.split()
    for program in (docker, mydocker):
        result = program("system", "prune", "-f", "--volumes", "--filter", "until=1h")
        assert (result.rc, result.stdout) == (1, "")
        assert "until" in result.stderr
        assert program("system", "prune", "-f", "--filter", "foo=1").rc == 1
