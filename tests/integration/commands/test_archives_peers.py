"""save and load against docker, podman, skopeo, buildah and umoci: each image goes to them and comes back.

An image is compared by its ID, the digest of its config, and by the digests of its layers' tars, as each program says
them. The config is docker's own, with what others' configs have no word for (HEALTHCHECK, ONBUILD, SHELL).
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from archives import archive
from carriers import CARRIERS, Carrier
from image_archives import COMPRESS, Image, oci, packed

pytestmark = [pytest.mark.local, pytest.mark.peer]

DOCKERFILE = """
FROM busybox
COPY . /data
RUN rm /data/removed; ln /data/file /data/hard; ln -s file /data/soft; chown 7:8 /data/file; chmod 4711 /data/file
HEALTHCHECK --interval=5s CMD test -e /data/file
ONBUILD RUN true
SHELL ["/bin/sh", "-ec"]
STOPSIGNAL SIGQUIT
LABEL key="a value"
VOLUME /data
"""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


@pytest.fixture
def carrier(docker, request, directory):
    """A program of Debian 12, on docker's host, and a directory that both see."""
    docker.host.write("/etc/containers/policy.json", POLICY)

    def run(*words: str) -> str:
        result = docker.shell(shlex.join(words))
        assert result.rc == 0, f"{shlex.join(words)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    yield CARRIERS[request.param](run), Path(directory)
    docker.shell("podman rmi -af")


@pytest.fixture
def newer_carrier(newer_host, request):
    """The same of a later Debian."""
    place = newer_host.share / "carried"
    place.mkdir()
    yield (
        CARRIERS[request.param](newer_host.ok, lambda path: f"/mnt/{path.relative_to(newer_host.share)}"),
        place,
    )
    shutil.rmtree(place)
    newer_host("sh", "-c", "podman rmi -af; docker rmi -f $(docker images -q)")


@pytest.fixture
def built(docker, directory):
    """The archive of docker's image of DOCKERFILE."""
    context = Path(directory, "context")
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("content\n")
    (context / "removed").write_text("content\n")
    docker.ok("build", "-q", "-t", "built:1", str(context), env={"DOCKER_BUILDKIT": "0"})
    docker.ok("save", "-o", f"{directory}/built.tar", "built:1")
    docker.ok("rmi", "built:1")
    return Path(directory, "built.tar")


def seen(mydocker, name: str) -> tuple[str, list[str]]:
    (image,) = json.loads(mydocker.ok("inspect", name))
    return image["Id"], image["RootFS"]["Layers"]


@pytest.mark.parametrize("carrier", CARRIERS, indirect=True)
def test_an_image_goes_out_and_comes_back(mydocker, carrier, built):
    round_trip(mydocker, *carrier, built)


@pytest.mark.parametrize("newer_carrier", CARRIERS, indirect=True)
def test_an_image_goes_to_a_later_debian_and_comes_back(mydocker, newer_carrier, built):
    round_trip(mydocker, *newer_carrier, built)


def round_trip(mydocker, carrier: Carrier, place: Path, built: Path) -> None:
    assert mydocker.ok("load", "-i", str(built)) == "Loaded image: built:1"
    before = seen(mydocker, "built:1")
    (image,) = json.loads(mydocker.ok("inspect", "built:1"))
    assert image["Config"]["Healthcheck"] == {"Test": ["CMD-SHELL", "test -e /data/file"], "Interval": 5_000_000_000}
    mydocker.ok("save", "-o", str(place / "ours.tar"), "built:1")
    mydocker.ok("rmi", "built:1")

    there = carrier.load(place / "ours.tar", "built:1")
    assert (there.id, there.diff_ids) == before

    for form in carrier.forms:
        theirs = place / f"theirs.{form}"
        carrier.save("built:1", form, theirs)
        loaded, diff_ids = seen(mydocker, mydocker.ok("load", "-i", str(theirs)).rpartition(" ")[2])
        assert diff_ids == before[1], form
        assert (loaded != before[0]) == (form in carrier.converts), form
        out = mydocker.ok("run", "--rm", "--net", "none", loaded, "ls", "-ln", "/data")
        assert [line.split()[0] + line.split()[8] for line in out.splitlines()[1:]] == FILES
        mydocker.ok("rmi", "-f", loaded)


FILES = ["-rw-r--r--Dockerfile", "-rws--x--xfile", "-rws--x--xhard", "lrwxrwxrwxsoft"]


@pytest.mark.parametrize("carrier", CARRIERS, indirect=True)
def test_compressed_layers_go_to_every_program(mydocker, carrier):
    compressed(mydocker, *carrier)


@pytest.mark.parametrize("newer_carrier", CARRIERS, indirect=True)
def test_compressed_layers_go_to_a_later_debian(mydocker, newer_carrier):
    compressed(mydocker, *newer_carrier)


def compressed(mydocker, carrier: Carrier, place: Path) -> None:
    """docker 20.10 and umoci 0.4 read no zstd: what is saved has none."""
    for compression in COMPRESS:
        name = f"packed:{compression or 'plain'}"
        layers = [archive(("a", None), ("a/file", b"one\n" * 9000)), archive(("a/other", compression.encode()))]
        image = Image(layers, [name], compression=compression)
        assert mydocker.ok("load", input=packed(oci(image))) == f"Loaded image: {name}"
        before = seen(mydocker, name)
        mydocker.ok("save", "-o", str(place / f"{compression}.tar"), name)
        mydocker.ok("rmi", name)
        there = carrier.load(place / f"{compression}.tar", name)
        assert (there.id, there.diff_ids) == before, compression
