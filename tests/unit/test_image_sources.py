"""Archives and layouts of images are read whatever tool wrote them, and hostile ones are refused in one line."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import tarfile
import threading

import pytest
from archives import archive
from image_archives import (
    CONTAINERD,
    DOCKER,
    FORMS,
    OCI,
    PLATFORM,
    REF_NAME,
    Image,
    blob,
    descriptor,
    docker_linked,
    docker_old,
    hybrid,
    oci,
    packed,
)

from mydocker.errors import InvalidArgument, MydockerError, NotFound
from mydocker.image import platform
from mydocker.image.sources import archive as archives
from mydocker.image.sources import base, docker_archive, oci_layout
from mydocker.image.sources.archive import Archive

LAYERS = [archive(("a", b"one")), archive(("b", b"two" * 2000)), archive(("b", b"three"))]
ONE = Image(LAYERS, ["one:1", "host.example:5000/two:2"])
TWO = Image(LAYERS[:1], ["three:latest"], {"author": "somebody"})


def sources(place, text=""):
    if place.find(docker_archive.MANIFEST):
        return docker_archive.sources(place)
    return oci_layout.sources(place, platform.parse(text))


def read(data: bytes, tmp_path, text="", piped=False, limit=1 << 30):
    """Return the images of an archive, in a file or a pipe: (names, config, layers' blobs, manifest, tag)."""
    (tmp_path / "kept").mkdir()
    if piped:
        source, sink = os.pipe()
        thread = threading.Thread(target=write, args=(sink, data))
        thread.start()
    else:
        (tmp_path / "archive").write_bytes(data)
        source = os.open(tmp_path / "archive", os.O_RDONLY)
    try:
        with Archive(io.FileIO(source), str(tmp_path / "kept"), limit) as place:
            return [contents(each) for each in sources(place, text)]
    finally:
        if piped:
            thread.join()


def write(sink: int, data: bytes) -> None:
    with os.fdopen(sink, "wb") as out:
        try:
            out.write(data)
        except BrokenPipeError:
            pass


def contents(source: base.Source):
    blobs = []
    for row, file in source.layers:
        with file.open() as stream:
            blobs.append(stream.readall())
        assert row["size"] == len(blobs[-1])
    return source.names, source.config, blobs, source.manifest, source.tag


def refusal(members, tmp_path, **options) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read(packed(members) if isinstance(members, dict) else members, tmp_path, **options)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestForms:
    @pytest.mark.parametrize("compression", ["", "gzip", "bzip2", "xz"])
    @pytest.mark.parametrize("piped", [False, True])
    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_is_read_from_files_and_pipes(self, form, piped, compression, tmp_path):
        images = read(packed(FORMS[form](ONE, TWO), compression), tmp_path, piped=piped)
        assert [each[:3] for each in images] == [(i.names, i.config_data, i.layers) for i in (ONE, TWO)]
        kept = form in ("hybrid", "oci")
        assert [each[3] for each in images] == [ONE.manifest() if kept else None, TWO.manifest() if kept else None]

    def test_a_plain_file_is_read_in_place(self, tmp_path):
        read(packed(hybrid(ONE)), tmp_path)
        assert list((tmp_path / "kept").iterdir()) == []

    @pytest.mark.parametrize(("kind", "suffix"), [("", ""), ("gzip", "+gzip"), ("xz", "")])
    def test_a_compressed_layer_is_known_by_its_first_bytes(self, kind, suffix, tmp_path):
        (tmp_path / "kept").mkdir()
        image = Image(LAYERS, ["x:1"], compression=kind)
        (tmp_path / "archive").write_bytes(packed(docker_old(image)))
        with Archive(io.FileIO(tmp_path / "archive"), str(tmp_path / "kept"), 0) as place:
            (source,) = docker_archive.sources(place)
        assert [row for row, _ in source.layers] == [
            {"mediaType": f"{OCI}.layer.v1.tar{suffix}", "digest": "", "size": len(data)} for data in image.blobs
        ]

    def test_a_manifest_of_docker_s_type_is_kept(self, tmp_path):
        ((_, config, _, manifest, _),) = read(packed(oci(ONE, docker=True)), tmp_path)
        assert (config, manifest) == (ONE.config_data, ONE.manifest(docker=True))

    def test_manifest_json_counts_more_than_a_malformed_index(self, tmp_path):
        ((names, _, blobs, manifest, _),) = read(packed({**hybrid(ONE), "index.json": b"{"}), tmp_path)
        assert (names, blobs, manifest) == (ONE.names, ONE.layers, None)

    def test_layers_that_the_manifest_has_in_another_form_are_not_taken_for_its_own(self, tmp_path):
        """docker 28 keeps a pulled image's manifest, of gzip, but writes plain layers."""
        packed_one = Image(LAYERS, ONE.names, compression="gzip")
        members = {**hybrid(ONE), **{name: data for name, data in oci(packed_one).items() if name == "index.json"}}
        members[blob(packed_one.manifest())] = packed_one.manifest()
        ((_, _, blobs, manifest, _),) = read(packed(members), tmp_path)
        assert (blobs, manifest) == (ONE.layers, None)

    def test_hard_links_and_equal_duplicates(self, tmp_path):
        members = docker_old(TWO)
        (layer,) = [name for name in members if name.endswith("layer.tar")]
        members["copy/layer.tar"] = ("hard", layer)
        members["manifest.json"] = members["manifest.json"].replace(layer.encode(), b"copy/layer.tar")
        data = packed(members)[:-1024].rstrip(b"\0")
        data += bytes(-len(data) % 512) + packed({layer: members[layer]})
        ((_, _, blobs, _, _),) = read(data, tmp_path)
        assert blobs == TWO.layers


class TestNames:
    """A10: containerd's annotation, then the standard's, with a name or a tag alone."""

    @pytest.mark.parametrize(
        ("annotations", "names", "tag"),
        [
            ({CONTAINERD: "docker.io/library/bb:one", REF_NAME: "one"}, ["bb:one"], ""),
            ({CONTAINERD: "quay.io/a/bb:one"}, ["quay.io/a/bb:one"], ""),
            ({REF_NAME: "localhost/wh:1"}, ["localhost/wh:1"], ""),
            ({REF_NAME: "wh:1"}, ["wh:1"], ""),
            ({REF_NAME: "a/wh"}, ["a/wh:latest"], ""),
            ({REF_NAME: "wh1"}, [], "wh1"),
            ({}, [], ""),
        ],
    )
    def test_annotations(self, annotations, names, tag, tmp_path):
        entry = descriptor(f"{OCI}.manifest.v1+json", TWO.manifest(), annotations=annotations)
        ((got, _, _, _, got_tag),) = read(packed(oci(TWO, entries=[entry])), tmp_path)
        assert (got, got_tag) == (names, tag)

    def test_one_image_with_several_names_is_one(self, tmp_path):
        row = descriptor(f"{OCI}.manifest.v1+json", TWO.manifest())
        names = ["a:1", "localhost/b:2", "a:1"]
        rows = [row, *({**row, "annotations": {REF_NAME: name}} for name in names)]
        ((got, *_),) = read(packed(oci(TWO, entries=rows)), tmp_path)
        assert got == ["a:1", "localhost/b:2"]

    @pytest.mark.parametrize("name", ["m", "UPPER:1", "m@sha256:" + "a" * 64, "a:b:c", "../x:1", "x:/y", ""])
    def test_docker_s_tags_must_be_names_with_tags(self, name, tmp_path):
        image = Image(LAYERS, [name])
        assert refusal(docker_old(image), tmp_path).startswith("refused archive: ")

    @pytest.mark.parametrize("name", ["UPPER:1", "a/b@sha256:" + "a" * 64])
    def test_annotations_must_be_names(self, name, tmp_path):
        assert refusal(oci(Image(LAYERS, [name])), tmp_path).startswith("refused archive: ")


OTHER = {"os": "linux", "architecture": "s390x"}


class TestPlatforms:
    def members(self, *, nested=True, platforms=(OTHER, PLATFORM)):
        """A layout of one name for several platforms, as an index within index.json, or in index.json itself."""
        images = [Image(LAYERS, config={"architecture": each["architecture"]}) for each in platforms]
        rows = [
            descriptor(f"{OCI}.manifest.v1+json", image.manifest(), platform=each)
            for image, each in zip(images, platforms)
        ]
        unknown = {"os": "unknown", "architecture": "unknown"}
        rows.append(descriptor(f"{OCI}.manifest.v1+json", b"{}", platform=unknown))
        if not nested:
            return oci(*images, entries=[{**row, "annotations": {REF_NAME: "m/m:1"}} for row in rows])
        index = json.dumps({"schemaVersion": 2, "manifests": rows}).encode()
        top = descriptor(f"{OCI}.image.index.v1+json", index, annotations={REF_NAME: "m/m:1"})
        return {**oci(*images, entries=[top]), blob(index): index}

    @pytest.mark.parametrize("nested", [True, False])
    @pytest.mark.parametrize("wanted", [PLATFORM, OTHER])
    def test_the_one_for_the_platform_is_taken(self, nested, wanted, tmp_path):
        text = "" if wanted == PLATFORM else f"linux/{wanted['architecture']}"
        ((names, config, *_),) = read(packed(self.members(nested=nested)), tmp_path, text)
        assert names == ["m/m:1"]
        assert json.loads(config)["architecture"] == wanted["architecture"]

    def test_none_for_the_platform(self, tmp_path):
        with pytest.raises(NotFound, match="no matching manifest for linux/ppc64le in the manifest list entries"):
            read(packed(self.members()), tmp_path, "linux/ppc64le")

    def test_an_image_for_another_platform_alone_is_loaded_as_with_docker(self, tmp_path):
        ((_, config, *_),) = read(packed(self.members(nested=False, platforms=[OTHER])), tmp_path)
        assert json.loads(config)["architecture"] == "s390x"

    def test_what_is_no_image_is_left_out(self, tmp_path):
        signature = json.dumps(
            {"schemaVersion": 2, "config": descriptor("application/x.signature", b"{}"), "layers": []}
        ).encode()
        rows = [descriptor(f"{OCI}.manifest.v1+json", data) for data in (signature, TWO.manifest())]
        members = {**oci(TWO, entries=rows), blob(signature): signature, blob(b"{}"): b"{}"}
        ((_, config, *_),) = read(packed(members), tmp_path)
        assert config == TWO.config_data


class TestHostile:
    @pytest.mark.parametrize("piped", [False, True])
    @pytest.mark.parametrize(
        "extra",
        [
            {"../x": b""},
            {"a/../../x": b""},
            {"/etc/x": b""},
            {"/x": None},
            {"x": ("link", "/etc/passwd")},
            {"x": ("link", "../../etc/passwd")},
            {"a/x": ("link", "../../etc/passwd")},
            {"x": ("hard", "../etc/passwd")},
            {"x": ("hard", "/etc/passwd")},
            {"x": ("hard", "nowhere")},
            {"./manifest.json": b"[]"},
            {"a/../manifest.json": ("link", "other.json")},
        ],
    )
    def test_a_member_that_no_tool_writes(self, extra, piped, tmp_path):
        message = refusal({**docker_old(ONE), **extra}, tmp_path, piped=piped)
        assert message.startswith("refused archive: ")

    @pytest.mark.parametrize(
        "row",
        [
            {"Config": "../../x"},
            {"Config": "/etc/passwd"},
            {"Config": "blobs"},
            {"Config": "nowhere"},
            {"Config": "loop"},
            {"Config": 7},
            {"Layers": ["../../../etc/passwd"]},
            {"Layers": ["/dev/zero"]},
            {"Layers": "text"},
            {"Layers": [None]},
            {"Layers": {"a": 1}},
            {"RepoTags": "text"},
            {"RepoTags": [[]]},
            {"Config": "deep"},
        ],
    )
    def test_a_manifest_that_names_what_is_not_there(self, row, tmp_path):
        members = hybrid(ONE)
        (document,) = json.loads(members["manifest.json"])
        members["manifest.json"] = json.dumps([{**document, **row}]).encode()
        links = {"loop": ("link", "loop2"), "loop2": ("link", "loop"), "deep": ("link", "deep/deep")}
        assert refusal({**members, **links}, tmp_path).startswith("refused archive: ")

    @pytest.mark.parametrize(
        "document", [b"", b"{}", b"[", b"null", b"[7]", b"[null]", b"[" * 100_000, b"\xff", b"1e999"]
    )
    @pytest.mark.parametrize("name", ["manifest.json", "index.json"])
    def test_a_malformed_document(self, name, document, tmp_path):
        members = docker_old(ONE) if name == "manifest.json" else oci(ONE)
        if name == "index.json" and document == b"{}":
            assert read(packed({**members, name: document}), tmp_path) == []
        else:
            assert refusal({**members, name: document}, tmp_path).startswith("refused archive: ")

    @pytest.mark.parametrize(
        "entry",
        [
            {"digest": "sha256:../../../../etc/passwd"},
            {"digest": "sha256:" + "0" * 64},
            {"digest": "sha512:" + "0" * 128},
            {"digest": None},
            {"size": 1},
            {"size": "1"},
            {"annotations": 7},
            {"platform": [1]},
            {"annotations": {REF_NAME: ["a/b:1"]}},
        ],
    )
    def test_a_malformed_entry_of_an_index(self, entry, tmp_path):
        row = {**descriptor(f"{OCI}.manifest.v1+json", ONE.manifest()), **entry}
        assert refusal(oci(ONE, entries=[row]), tmp_path).startswith("refused archive: ")

    @pytest.mark.parametrize("change", [{"layers": None}, {"config": {}}, {"layers": [{}]}, {"layers": 7}])
    def test_a_malformed_manifest(self, change, tmp_path):
        manifest = json.dumps({**json.loads(ONE.manifest()), **change}).encode()
        row = descriptor(f"{OCI}.manifest.v1+json", manifest)
        assert "malformed" in refusal({**oci(ONE, entries=[row]), blob(manifest): manifest}, tmp_path)

    def test_a_manifest_of_schema_1(self, tmp_path):
        old = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
        row = descriptor(f"{DOCKER}.distribution.manifest.v1+prettyjws", old)
        assert "schema 1" in refusal({**oci(entries=[row]), blob(old): old}, tmp_path)

    def test_indexes_within_indexes(self, tmp_path):
        members = oci(ONE)
        row = descriptor(f"{OCI}.manifest.v1+json", ONE.manifest())
        for _ in range(5):
            index = json.dumps({"manifests": [row]}).encode()
            members[blob(index)] = index
            row = descriptor(f"{OCI}.image.index.v1+json", index)
        members["index.json"] = json.dumps({"manifests": [row]}).encode()
        assert "indexes within each other" in refusal(members, tmp_path)

    def test_an_index_that_lists_itself_has_not_its_digest(self, tmp_path):
        row = {"mediaType": f"{OCI}.image.index.v1+json", "digest": "sha256:" + "0" * 64, "size": 200}
        index = json.dumps({"manifests": [row]}).encode()
        members = {**oci(entries=[row]), "blobs/sha256/" + "0" * 64: index}
        assert "does not have this digest" in refusal(members, tmp_path)

    @pytest.mark.parametrize("piped", [False, True])
    @pytest.mark.parametrize("left", [100, 5000])
    def test_an_archive_that_is_cut_off(self, left, piped, tmp_path):
        data = packed(oci(ONE))[: -10240 - left]
        assert refusal(data, tmp_path, piped=piped).startswith(("unexpected end of archive", "refused archive"))

    def test_a_large_member_that_is_cut_off(self, tmp_path):
        data = packed({**oci(ONE), "last": bytes(3 << 20)})
        assert "unexpected end of archive" in refusal(data[: 2 << 20], tmp_path)

    @pytest.mark.parametrize(
        "data", [b"text", b"\x1f\x8b\x08", random.Random(1).randbytes(2000)], ids=["text", "gzip", "noise"]
    )
    def test_something_else(self, data, tmp_path):
        refusal(data, tmp_path)

    def test_too_many_members(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
        members = {**oci(ONE), **{f"{number}": b"" for number in range(20)}}
        assert "more than 20 members" in refusal(members, tmp_path)

    def test_too_many_bytes(self, tmp_path):
        data = packed({**oci(ONE), "bomb": bytes(4 << 20)}, "gzip")
        assert f"more than {1 << 20} bytes" in refusal(data, tmp_path, limit=1 << 20)

    def test_a_bomb_in_what_is_read_and_not_kept(self, tmp_path, monkeypatch):
        """A member of an unknown type has content, too."""
        monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
        info = tarfile.TarInfo("bomb")
        info.type, info.size = b"V", 1 << 20
        data = gzip.compress(info.tobuf() + bytes(1 << 20), 1)
        assert "more than 1000 bytes" in refusal(data, tmp_path, limit=1000)

    def test_too_large_documents(self, tmp_path, monkeypatch):
        image = Image([LAYERS[0]], ["a:1"], {"author": "x" * (9 << 20)})
        assert "larger than any image's" in refusal(docker_old(image), tmp_path)

    def test_too_many_large_documents(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "LARGEST_SUM", 1 << 20)
        images = [Image([LAYERS[0]], [f"a:{number}"], {"author": "x" * 100_000}) for number in range(11)]
        assert "larger than any image's" in refusal(docker_linked(*images), tmp_path)


ODD = [None, True, 7, -1, 1.5, "", "text", "../../x", "sha256:" + "0" * 64, [], [7], ["a"], [[]], {}, {"a": 1}, [{}]]


def places(document, path=()):
    """Every place in a document: the keys that lead to it."""
    if path:
        yield path
    for key in document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ():
        yield from places(document[key], (*path, key))


def replaced(document, path, value):
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


def broken():
    """Archives in which one value of one document is another, with the digests of what refers to it mended."""
    members = TestPlatforms().members()
    index = json.loads(members["index.json"])
    inner = json.loads(members[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    inner["manifests"][1]["platform"]["variant"] = "v1"
    manifest = json.loads(TWO.manifest())
    for path in places(manifest):
        for value in ODD:
            data = json.dumps(replaced(manifest, path, value)).encode()
            row = descriptor(f"{OCI}.manifest.v1+json", data, platform=PLATFORM)
            yield {**oci(TWO, entries=[row]), blob(data): data}
    for path in places(inner):
        for value in ODD:
            data = json.dumps(replaced(inner, path, value)).encode()
            row = descriptor(f"{OCI}.image.index.v1+json", data)
            yield {**members, "index.json": json.dumps({"manifests": [row]}).encode(), blob(data): data}
    for name, whole in (("index.json", members), ("manifest.json", hybrid(TWO))):
        for path in places(json.loads(whole[name])):
            for value in ODD:
                yield {**whole, name: json.dumps(replaced(json.loads(whole[name]), path, value)).encode()}


def test_any_other_value_anywhere_is_refused_or_read(tmp_path):
    for number, members in enumerate(broken()):
        directory = tmp_path / str(number)
        directory.mkdir()
        with contextlib.suppress(MydockerError):
            read(packed(members), directory)
    assert number > 700
