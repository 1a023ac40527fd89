"""Every hostile archive (hostile.py) through every way in: refused in one line, nothing is left, inside or outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import time
import types
from pathlib import Path

import hostile
import pytest
from archives import archive
from image_archives import Image, docker_old, oci, packed

from mydocker import paths
from mydocker.engine import archives
from mydocker.engine.build import context, copying, hashing, sweeping
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Origin, Step
from mydocker.errors import InvalidArgument, MydockerError
from mydocker.image import archive as images
from mydocker.image import intake, removal, store, unpacking
from mydocker.image.drivers import erofs, overlay
from mydocker.image.erofs import tree
from mydocker.image.tar_reader import Reader
from mydocker.kernel.files import remove_tree

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

_REQUEST = types.SimpleNamespace(context="-", file="")  # the part of a BuildRequest that is read here
FIRST = archive(("first", b"1"))[:1024]  # ADD takes a file for an archive if its first entry is right
LIMITS = "image_size: 100000\nimage_entries: 50\nimage_depth: 20\n"


@pytest.fixture(autouse=True)
def requirements():
    """These need no machine. This replaces the fixture in conftest.py."""


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty store, beside it a directory of the host with a file that must stay as it is."""
    for name in ("ROOT", "RUN", "IMAGES", "LAYERS", "CONTAINERS", "BUILD"):
        monkeypatch.setattr(paths, name, str(tmp_path / "store" / ("" if name == "ROOT" else name.lower())))
    monkeypatch.setattr(paths, "CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_text("safe\n")
    return tmp_path


class Watcher:
    def begin(self, _layers):
        pass

    def advance(self, *_):
        pass


@contextlib.contextmanager
def stdin(data: bytes):
    """Give the data to this process as stdin."""
    kept, descriptor = os.dup(0), os.memfd_create("stdin")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(descriptor)


def load(raw: bytes, places: Path, form=docker_old, **options) -> None:
    image = Image([archive(("bin", None)), raw], ["evil:1"], **options)
    (places / "archive").write_bytes(packed(form(image)))
    list(archives.load(str(places / "archive"), "", Watcher()))


def load_oci(raw: bytes, places: Path) -> None:
    load(raw, places, oci, compression="gzip")


def import_(raw: bytes, places: Path) -> None:
    images.import_image(io.BufferedReader(io.BytesIO(gzip.compress(raw, 1))), "evil:1", [], "")


def read_context(raw: bytes, places: Path) -> None:
    try:
        with stdin(gzip.compress(raw, 1)):
            context.load(_REQUEST, "0" * 12)
    except MydockerError as error:
        if "the archive has no Dockerfile" not in error.message:
            raise
    finally:
        sweeping.clean("0" * 12)


def add(raw: bytes, places: Path) -> None:
    """ADD it below a directory of an image that has a link out."""
    layer = Path(paths.layer("1" * 64))
    for directory in (layer / "o", places / "step", places / "context"):
        directory.mkdir(parents=True)
    (places / "context/evil").write_bytes(raw)
    try:
        step = Step(Origin("the build context", str(places / "context")), ["evil"], "/o/", unpack=True)
        hashing.digest(step)
        copying.apply(step, Root(overlay, str(places / "step"), [layer.name]))
    finally:
        for directory in (places / "step", places / "context", layer):
            remove_tree(str(directory))


def index(raw: bytes, is_layer: bool) -> None:
    tree.read(Reader(io.BufferedReader(io.BytesIO(raw))), is_layer)


def unpacked(unpack, raw: bytes, places: Path) -> None:
    directory = places / "directory"
    directory.mkdir()
    try:
        unpack(io.BufferedReader(io.BytesIO(raw)), str(directory))
    finally:
        remove_tree(str(directory))


def unpacked_into(stream, directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        unpacking.unpack_into(stream, descriptor, None, None)
    finally:
        os.close(descriptor)


# What reads the entries in each way in.
READERS = {
    "a layer": lambda raw, places: unpacked(unpacking.unpack_layer, raw, places),
    "a root file system": lambda raw, places: unpacked(unpacking.unpack, raw, places),
    "ADD": lambda raw, places: unpacked(unpacked_into, raw, places),
    "a layer's index": lambda raw, places: index(raw, True),
    "a root file system's index": lambda raw, places: index(raw, False),
}
WAYS = {"load": load, "load OCI": load_oci, "import": import_, "context": read_context, "ADD": add}
DRIVERS = {way: (overlay, erofs) if "load" in way or way == "import" else (overlay,) for way in WAYS}


def refuse_everywhere(raw: bytes, places: Path, monkeypatch, taken: set[str] = frozenset()) -> None:
    """Give the archive to every reader. taken: the ways that take it."""
    for way, read in WAYS.items():
        for driver in DRIVERS[way]:
            monkeypatch.setattr(intake, "driver_in_use", lambda driver=driver: driver)
            where, began, said = f"{way}, {driver.name}", time.monotonic(), None
            try:
                read(raw, places)
            except MydockerError as error:
                said = error
            took = time.monotonic() - began
            assert took < 20, where
            assert (places / "outside/victim").read_text() == "safe\n", where
            assert os.listdir(places / "outside") == ["victim"], where
            assert os.stat(places / "outside/victim").st_nlink == 1, where
            assert not list(places.rglob(".new.*")), where
            if way in taken:
                assert said is None, (where, said)
                for _ in store.images():
                    removal.remove("evil:1", True, list)
                continue
            assert said is not None, where
            assert said.exit_code == 1, (where, said)
            assert "\n" not in str(said), where
            assert store.images() == [], where
            assert not {each.name for each in (places / "store").rglob("*") if each.is_file()} - {
                "config.json",
                ".overlay",
                ".erofs",
                "index.json",
                "oci-layout",
            }, where


ESCAPING = hostile.escaping("/outside")


@pytest.mark.parametrize("kind", ESCAPING)
def test_nothing_is_written_outside(places, monkeypatch, kind):
    refuse_everywhere(hostile.escaping(str(places / "outside"))[kind], places, monkeypatch)


@pytest.mark.parametrize("kind", ["a directory below a file", "an owner that no file has", "cut off in a file"])
def test_what_is_wrong_leaves_nothing(places, monkeypatch, kind):
    refuse_everywhere(FIRST + hostile.WRONG[kind], places, monkeypatch)


@pytest.mark.parametrize("kind", hostile.WRONG)
def test_what_is_wrong_is_refused(places, kind):
    """By each reader of entries, and for the same reason."""
    said = {}
    for reader, read in READERS.items():
        began = time.monotonic()
        with pytest.raises(InvalidArgument) as caught:
            read(FIRST + hostile.WRONG[kind], places)
        assert time.monotonic() - began < 5, reader
        assert (caught.value.exit_code, "\n" in str(caught.value), len(str(caught.value)) < 600) == (1, False, True)
        said[reader] = str(caught.value)
    if not kind.startswith("a whiteout"):  # for a layer there is another reason
        assert len(set(said.values())) == 1, said


@pytest.mark.parametrize("kind", hostile.BOMBS)
def test_a_bomb_is_refused(places, monkeypatch, kind):
    (places / "config.yaml").write_text(LIMITS)
    refuse_everywhere(hostile.BOMBS[kind], places, monkeypatch)


@pytest.mark.parametrize("kind", hostile.TAKEN)
def test_what_some_readers_take(places, monkeypatch, kind):
    raw, ways = hostile.TAKEN[kind]
    (places / "config.yaml").write_text(LIMITS)
    refuse_everywhere(raw, places, monkeypatch, ways)
