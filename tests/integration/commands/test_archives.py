"""save and load: what is saved is loaded again, whoever wrote it; what is hostile leaves nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import time
from pathlib import Path

import pytest
from archives import archive, busybox
from image_archives import COMPRESS, FORMS, OCI, Image, blob, descriptor, digest, docker_old, hybrid, oci, packed
from machine import until

pytestmark = pytest.mark.local

BUSYBOX = busybox(("mark", b"base\n"), ("tmp/hidden", b""))
BASE = archive(("mark", b"base\n"))
TOP = archive(("mark", b"top\n"), ("a/b", b"new\n"), ("tmp/.wh..wh..opq", b""))


def image(*names: str, **options) -> Image:
    return Image([BASE, TOP], list(names), **options)


@pytest.fixture
def store(machine):
    """The files of the store, each with its size; a test that leaves one more fails."""

    def files() -> list[tuple[str, int]]:
        root = Path(machine.store, "lib")
        return sorted(
            (str(path.relative_to(root)), path.stat().st_size)
            for top in ("images", "layers")
            for path in (root / top).rglob("*")
            if top == "images" or len(path.relative_to(root).parts) == 2
        )

    return files


@pytest.fixture
def loaded(mydocker, name):
    """An image of two layers with that name."""
    mydocker.ok("load", input=packed(docker_old(image(f"{name}:1"))))
    yield image(f"{name}:1")
    mydocker("rmi", "-f", image(f"{name}:1").id)


def inspected(mydocker, name: str) -> dict:
    (document,) = json.loads(mydocker.ok("inspect", name))
    return document


# --- load -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_loaded_and_runs(mydocker, directory, name, form):
    made = Image([BUSYBOX, TOP], [f"{name}:1", f"{name}:2"], compression="zstd" if form == "oci" else "")
    data = packed(FORMS[form](made))
    Path(directory, "archive").write_bytes(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(f"{directory}/unpacked")
    for words, stdin in (
        (["load"], data),
        (["load", "-i", f"{directory}/archive"], b""),
        (["image", "load", "--input", f"{directory}/unpacked", "-q"], b""),
    ):
        assert mydocker.ok(*words, input=stdin) == f"Loaded image: {name}:1\nLoaded image: {name}:2"
        document = inspected(mydocker, f"{name}:2")
        assert (document["Id"], document["RootFS"]["Layers"]) == (made.id, [digest(BUSYBOX), digest(TOP)])
        assert document["Config"]["Healthcheck"] == {"Test": ["CMD", "true"]}
        if words == ["load"]:
            script = "cat /mark /a/b; ls -A /tmp"
            assert mydocker.ok("run", "--rm", "--net", "none", made.id, "sh", "-c", script) == "top\nnew"
        mydocker.ok("rmi", "-f", made.id)


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_archive_in_a_pipe(mydocker, name, compression):
    assert mydocker.ok("load", "-q", input=packed(hybrid(image(name + ":1")), compression)) == f"Loaded image: {name}:1"
    mydocker.ok("rmi", name + ":1")


def test_an_image_without_a_name_is_loaded_by_its_id(mydocker):
    result = mydocker("load", input=packed(docker_old(image())))
    assert (result.stdout, result.stderr) == (f"Loaded image ID: {image().id}\n", "")
    mydocker.ok("rmi", image().id)


def test_a_tag_alone_is_not_a_name(mydocker):
    result = mydocker("load", input=packed(oci(image("v1"))))
    assert result.stdout == f"Loaded image ID: {image().id}\n"
    assert result.stderr == (
        f"mydocker: the archive has only a tag for it: 'mydocker tag {image().id[7:19]} NAME:v1'\n"
    )
    mydocker.ok("rmi", image().id)


def test_a_name_is_taken_from_the_image_that_has_it(mydocker, loaded, name):
    other = Image([BASE], [f"{name}:1"])
    assert mydocker.ok("load", input=packed(docker_old(other))) == f"Loaded image: {name}:1"
    assert inspected(mydocker, f"{name}:1")["Id"] == other.id
    assert inspected(mydocker, loaded.id)["RepoTags"] == []
    mydocker.ok("rmi", f"{name}:1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "this is not a tar archive"),
        (["-i", "/nonexistent"], "can't read /nonexistent: no such file or directory"),
        (["-i", "/etc"], "this is not an archive of images"),
        (["--platform", "a/b/c/d"], "invalid platform 'a/b/c/d'"),
        (["--platform", "linux/s390x", "-i", "ARCHIVE"], "m:1 is not for platform linux/s390x"),
    ],
)
def test_what_cannot_be_loaded(mydocker, directory, words, says):
    Path(directory, "archive").write_bytes(packed(docker_old(image("m:1"))))
    result = mydocker("load", *(word.replace("ARCHIVE", f"{directory}/archive") for word in words), input=b"text")
    assert result.rc == (125 if "a/b" in says else 1)
    assert result.stdout == ""
    assert result.stderr.startswith(f"mydocker: {says}")
    assert result.stderr.count("\n") == 1


def test_a_root_file_system_is_not_an_archive_of_images(mydocker):
    result = mydocker("load", input=BASE)
    assert (result.rc, "'mydocker import'" in result.stderr) == (1, True)


def test_terminals_are_refused_as_by_docker(mydocker, loaded, name):
    for words, says in ((["load"], "requested load from stdin"), (["save", f"{name}:1"], "cowardly refusing to save")):
        with mydocker.terminal(*words) as terminal:
            terminal.expect(says)
            assert terminal.wait() == 1


def test_progress_is_shown_on_a_terminal_only(mydocker, directory, name):
    Path(directory, "archive").write_bytes(packed(docker_old(image(f"{name}:1"))))
    for words, shown in ((["-q"], False), ([], True)):
        with mydocker.terminal("load", "-i", f"{directory}/archive", *words) as terminal:
            text = terminal.expect(f"Loaded image: {name}:1")
            assert terminal.wait() == 0
        for layer in (BASE, TOP):
            line = f"{digest(layer)[7:19]}: Loading layer  10.24kB/10.24kB"
            assert (line in text) == shown, text
        mydocker.ok("rmi", f"{name}:1")


# --- hostile archives -------------------------------------------------------------------------------------------------

OUTSIDE = "/tmp/mydocker-test-outside"


def with_layer(made: Image, data: bytes) -> dict[str, object]:
    """An archive in which the top layer has other content than its manifest says."""
    return {**hybrid(made), blob(made.blobs[-1]): data}


def with_size(made: Image, change: int) -> dict[str, object]:
    manifest = json.loads(made.manifest())
    manifest["layers"][-1]["size"] += change
    data = json.dumps(manifest).encode()
    row = descriptor(f"{OCI}.manifest.v1+json", data)
    return {**oci(made, entries=[row]), blob(data): data}


def with_config(made: Image, **config) -> dict[str, object]:
    return docker_old(Image(made.layers, made.names, config))


def with_many_layers(count: int) -> dict[str, object]:
    """An archive in which one layer's tar is named as all layers."""
    config = Image([TOP] * count, []).config_data
    row = {"Config": "config.json", "RepoTags": ["evil:1"], "Layers": ["layer.tar"] * count}
    return {"config.json": config, "layer.tar": TOP, "manifest.json": json.dumps([row]).encode()}


EVIL = image("evil:1")
HOSTILE = {
    "a member outside": {**docker_old(EVIL), f"../../../../../..{OUTSIDE}": b"x"},
    "an absolute member": {**docker_old(EVIL), OUTSIDE: b"x"},
    "a link outside": {**docker_old(EVIL), "link": ("link", "/tmp"), "link/mydocker-test-outside": b"x"},
    "another layer": with_layer(EVIL, BASE),
    "a shorter layer": with_layer(EVIL, TOP[:-1024]),
    "no tar": with_layer(EVIL, bytes(range(256)) * (len(TOP) // 256)),
    "a size too large": with_size(EVIL, 1),
    "a size too small": with_size(EVIL, -1),
    "a negative size": with_size(EVIL, -(1 << 40)),
    "fewer layers": with_config(EVIL, rootfs={"type": "layers", "diff_ids": [digest(BASE)]}),
    "other layers": with_config(EVIL, rootfs={"type": "layers", "diff_ids": [digest(BASE), digest(b"")]}),
    "no digests": with_config(EVIL, rootfs={"type": "layers", "diff_ids": ["../../x", "sha256:"]}),
    "no rootfs": with_config(EVIL, rootfs=None),
    "too many layers": with_many_layers(501),
    "another system": with_config(EVIL, os="windows"),
    "a config that is text": with_config(EVIL, config="text"),
    "a layer cut off": with_layer(image("evil:1", compression="gzip"), COMPRESS["gzip"](TOP)[:-10]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_leaves_nothing(mydocker, store, directory, what):
    before = store()
    path = Path(directory, "archive")
    path.write_bytes(packed(HOSTILE[what]))
    for result in (mydocker("load", input=path.read_bytes()), mydocker("load", "-i", str(path))):
        assert (result.rc, result.stdout) == (1, "")
        assert result.stderr.startswith(("mydocker: refused ", "mydocker: the archive is damaged"))
        assert result.stderr.count("\n") == 1
    assert not os.path.lexists(OUTSIDE)
    assert store() == before


def test_a_bomb_is_refused(machine, mydocker, store, directory):
    """No more of what is compressed reaches the disk than the configuration allows."""
    before = store()
    machine.shell(f"echo 'image_size: 1000000' >{directory}/config.yaml")
    data = packed({**docker_old(image("evil:1")), "bomb": bytes(20 << 20)}, "gzip")
    result = mydocker("load", input=data, env={"MYDOCKER_CONFIG": f"{directory}/config.yaml"})
    machine.run("rm", f"{machine.store}/lib/config.json")  # the compiled configuration
    assert (result.rc, "image_size" in result.stderr) == (1, True)
    assert store() == before


def test_a_killed_load_leaves_what_the_next_change_removes(machine, mydocker, store, name):
    before = store()
    data = packed(docker_old(image("killed:1")))
    with machine.start(machine.program, "load") as process:
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()
        until(lambda: any(".new." in path for path, _ in store()), "a workspace")
        process.send_signal(signal.SIGKILL)
        process.wait()
    mydocker.ok("load", input=packed(docker_old(Image([BASE], [f"{name}:1"]))))
    mydocker.ok("rmi", f"{name}:1")
    assert store() == before


# --- save -------------------------------------------------------------------------------------------------------------


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def document(data: bytes, name: str):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return json.load(tar.extractfile(name))


def saved(mydocker, directory: str, *words: str) -> bytes:
    mydocker.ok("save", "-o", f"{directory}/saved.tar", *words)
    return Path(directory, "saved.tar").read_bytes()


def test_the_same_bytes_each_time(machine, mydocker, loaded, directory, name):
    data = saved(mydocker, directory, f"{name}:1")
    time.sleep(1.1)
    machine.shell(f"{machine.program} image save {name}:1 >{directory}/stdout.tar")
    machine.shell(f"{machine.program} save {name}:1 | cat >{directory}/pipe.tar")
    machine.shell(f"{machine.program} save {name}:1 >>{directory}/appended.tar")
    for other in ("stdout", "pipe", "appended"):
        assert Path(directory, f"{other}.tar").read_bytes() == data, other
    assert {(m.mtime, m.uid, m.gid) for m in members(data).values()} == {(0, 0, 0)}
    assert os.stat(f"{directory}/saved.tar").st_mode & 0o777 == 0o600


def test_what_is_in_it(mydocker, loaded, directory, name):
    mydocker.ok("tag", f"{name}:1", f"localhost/{name}:2")
    data = saved(mydocker, directory, f"{name}:1", f"localhost/{name}:2", "busybox")
    mydocker.ok("rmi", f"localhost/{name}:2")
    first, second = document(data, "manifest.json")
    assert first == {
        "Config": blob(loaded.config_data),
        "RepoTags": [f"{name}:1", f"localhost/{name}:2"],
        "Layers": [blob(BASE), blob(TOP)],
    }
    assert second["RepoTags"] == ["busybox:latest"]
    names = [row["annotations"] for row in document(data, "index.json")["manifests"]]
    assert names == [
        {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag}
        for full, tag in (
            (f"docker.io/library/{name}:1", "1"),
            (f"localhost/{name}:2", "2"),
            ("docker.io/library/busybox:latest", "latest"),
        )
    ]
    assert document(data, "repositories")[name] == {"1": digest(TOP)[7:]}
    layout = {"oci-layout", "index.json", "manifest.json", "repositories", "blobs", "blobs/sha256"}
    assert len(members(data).keys() - layout) == 2 + 2 + 3


def test_a_name_without_a_tag_stands_for_all_and_an_id_for_none(mydocker, loaded, directory, name):
    mydocker.ok("tag", f"{name}:1", f"{name}:2")
    (row,) = document(saved(mydocker, directory, name), "manifest.json")
    assert row["RepoTags"] == [f"{name}:1", f"{name}:2"]
    mydocker.ok("rmi", f"{name}:2")
    data = saved(mydocker, directory, loaded.id[7:19])
    (row,) = document(data, "manifest.json")
    assert row["RepoTags"] is None
    assert "annotations" not in document(data, "index.json")["manifests"][0]
    assert mydocker.ok("load", input=data) == f"Loaded image ID: {loaded.id}"


@pytest.mark.parametrize(
    ("compression", "docker", "manifest_stays", "layers_stay"),
    [
        ("", False, True, True),
        ("gzip", False, True, True),
        ("gzip", True, False, True),
        ("zstd", False, False, False),
        ("chunked", True, False, False),
        ("xz", False, False, False),
    ],
)
def test_manifest_and_layers_stay_if_all_tools_read_them(
    mydocker, directory, name, compression, docker, manifest_stays, layers_stay
):
    made = image(f"{name}:1", compression=compression)
    mydocker.ok("load", input=packed(oci(made, docker=docker)))
    data = saved(mydocker, directory, f"{name}:1")
    mydocker.ok("rmi", f"{name}:1")
    (row,) = document(data, "index.json")["manifests"]
    assert row["mediaType"] == f"{OCI}.manifest.v1+json"
    assert (row["digest"] == digest(made.manifest(docker))) == manifest_stays
    manifest = document(data, f"blobs/sha256/{row['digest'][7:]}")
    assert manifest["config"] == descriptor(f"{OCI}.config.v1+json", made.config_data)
    suffix = f"+{compression}" if layers_stay and compression else ""
    blobs = made.blobs if layers_stay else made.layers
    assert manifest["layers"] == [descriptor(f"{OCI}.layer.v1.tar{suffix}", each) for each in blobs]
    assert mydocker.ok("load", input=data) == f"Loaded image: {name}:1"
    assert inspected(mydocker, f"{name}:1")["Id"] == made.id
    mydocker.ok("rmi", f"{name}:1")


def test_a_failed_save_leaves_the_old_file(machine, mydocker, loaded, directory, name):
    path = Path(directory, "old.tar")
    path.write_text("old")
    stored = Path(machine.store, "lib/images", blob(TOP))
    before = stored.read_bytes()
    for words, says in (
        ([f"{name}:nope"], f"no such image: {name}:nope"),
        ([f"{name}:1", "--platform", "linux/s390x"], "platform 'linux/s390x' is not this machine's"),
        ([f"{name}:1"], f"corrupt image store: {stored}: its digest is"),
    ):
        stored.write_bytes(before[:-1] + b"x")
        result = mydocker("save", "-o", str(path), *words)
        stored.write_bytes(before)
        assert (result.rc, result.stdout) == (125 if "s390x" in says else 1, "")
        assert result.stderr.startswith(f"mydocker: {says}")
        assert os.listdir(directory) == ["old.tar"]
        assert path.read_text() == "old"
    for place in (f"{directory}/no/file", directory):
        result = mydocker("save", "-o", place, f"{name}:1")
        assert (result.rc, result.stderr.startswith(f"mydocker: can't write {place}: ")) == (1, True)
    full = mydocker("save", "-o", "/dev/full", f"{name}:1")
    assert (full.rc, full.stderr) == (
        1,
        "mydocker: can't write /dev/full: no space left on device (give another -o FILE)\n",
    )


def test_an_image_may_be_removed_while_it_is_saved(machine, mydocker, name):
    mydocker.ok("load", input=packed(docker_old(image(f"{name}:1"))))
    with machine.start(machine.program, "save", f"{name}:1") as process:
        first = process.stdout.read(512)  # then it waits: the pipe is full
        mydocker.ok("rmi", f"{name}:1")
        data = first + process.stdout.read()
        assert process.wait(20) == 0
    assert mydocker.ok("load", input=data) == f"Loaded image: {name}:1"
    mydocker.ok("rmi", f"{name}:1")
