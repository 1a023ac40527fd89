"""Lookups in the image store by name, ID and prefix; errors for corrupt files; names in the index."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, NotFound
from mydocker.image import store, writer


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An OCI image layout made without the code under test."""

    def __init__(self, directory):
        self.directory = directory
        self.rows = []
        (directory / "blobs/sha256").mkdir(parents=True)
        self.write()

    def write(self):
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.rows}))

    def blob(self, value) -> dict:
        data = json.dumps(value).encode()
        (self.directory / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": "x", "digest": digest(data), "size": len(data)}

    def manifest(self, number: int, layers: int = 1) -> dict:
        diff_ids = [digest(b"layer %d" % (number + at)) for at in range(layers)]
        config = {"created": f"2024-01-{number + 1:02}T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        rows = [{"mediaType": store.LAYER, "digest": diff_id, "size": 100} for diff_id in diff_ids]
        return self.blob({"schemaVersion": 2, "config": self.blob(config), "layers": rows})

    def name(self, row: dict, name: str = "") -> None:
        self.rows.append({**row, "annotations": {store.REF_NAME: name}} if name else row)
        self.write()

    def add(self, number: int, *names: str, layers: int = 1) -> str:
        """Add an image. Returns its ID."""
        row = self.manifest(number, layers)
        for name in names or ("",):
            self.name(row, name)
        return json.loads((self.directory / "blobs/sha256" / row["digest"][7:]).read_bytes())["config"]["digest"]


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "IMAGES", str(tmp_path / "images"))
    monkeypatch.setattr(paths, "LAYERS", str(tmp_path / "layers"))
    return Layout(tmp_path / "images")


def test_an_image_by_each_of_its_names(layout):
    image_id = layout.add(1, "box", "box:v1", "host:5000/a/box")
    layout.add(2, "other:latest")
    for reference in ("box", "box:latest", "box:v1", "host:5000/a/box:latest", image_id, image_id[7:], image_id[:20]):
        image = store.resolve(reference)
        assert (image.id, image.size, image.created) == (image_id, 100, "2024-01-02T00:00:00Z")
        assert image.names == ["box:latest", "box:v1", "host:5000/a/box:latest"]
        assert image.layers == [digest(b"layer 1")]


@pytest.mark.parametrize(
    "reference", ["no", "box:v2", "Box", "", "a b", "/bin/sh", "0" * 64, "sha256:", "sha256:xyz", "é"]
)
def test_an_unknown_reference(layout, reference):
    layout.add(1, "box")
    with pytest.raises(NotFound) as caught:
        store.resolve(reference)
    assert caught.value.message == f"no such image: {reference}"
    assert "mydocker pull" in caught.value.hint


def test_the_hint_for_an_unknown_reference_gets_the_image(layout):
    with pytest.raises(NotFound) as caught:
        store.resolve("library/nginx")
    assert "'mydocker pull library/nginx'" in caught.value.hint
    for nameless in ("/bin/sh", "Box"):
        assert "'mydocker pull NAME:TAG'" in store.how_to_get(nameless)


def test_docker_hubs_spellings_of_a_name_are_equal(layout):
    image_id = layout.add(1, "docker.io/library/box:1")
    for reference in ("box:1", "library/box:1", "docker.io/box:1", "index.docker.io/library/box:1"):
        assert store.resolve(reference).id == image_id
        assert store.resolve(reference).names == ["box:1"]


def test_an_empty_or_missing_store(layout, tmp_path):
    assert store.images() == []
    layout.directory.rename(tmp_path / "elsewhere")
    assert store.images() == []
    assert not layout.directory.exists()


def test_prefixes_of_ids(layout):
    digits = [layout.add(number)[7:] for number in range(28)]
    for one in digits:
        length = next(size for size in range(3, 65) if sum(two.startswith(one[:size]) for two in digits) == 1)
        assert store.resolve(one[:length]).id == store.resolve(f"sha256:{one[:length]}").id == f"sha256:{one}"
    with pytest.raises(NotFound):
        store.resolve(digits[0][:2])  # dd, df and ed are commands


def test_an_ambiguous_prefix(layout, monkeypatch):
    monkeypatch.setattr(store, "_SHORTEST_ID", 1)
    ids = [layout.add(number) for number in range(17)]
    first = [image_id[7] for image_id in ids]
    shared = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(Conflict, match=f"'{shared}' matches {first.count(shared)} images"):
        store.resolve(shared)


def test_a_name_counts_before_an_id(layout):
    image_id = layout.add(1)
    other = layout.add(2, image_id[7:15])
    assert store.resolve(image_id[7:15]).id == other
    assert store.resolve(image_id[7:16]).id == image_id


def test_all_images_newest_first_each_once(layout):
    old, new = layout.add(1, "old", "older"), layout.add(5, "new")
    nameless = layout.add(3)
    assert [(image.id, image.names) for image in store.images()] == [
        (new, ["new:latest"]),
        (nameless, []),
        (old, ["old:latest", "older:latest"]),
    ]


def test_two_manifests_of_one_config_are_one_image(layout):
    image_id = layout.add(1, "plain")
    config = json.loads((layout.directory / "blobs/sha256" / image_id[7:]).read_bytes())
    row = {"mediaType": store.LAYER + "+gzip", "digest": digest(b"gzip"), "size": 10}
    layout.name(layout.blob({"schemaVersion": 2, "config": layout.blob(config), "layers": [row]}), "packed")
    (image,) = store.images()
    assert (image.id, image.names) == (image_id, ["packed:latest", "plain:latest"])


def test_a_list_of_manifests_means_the_one_for_this_machine(layout):
    def row(number: int, system: str, machine: str) -> dict:
        return {**layout.manifest(number), "platform": {"os": system, "architecture": machine}}

    own = store.architecture()
    layout.name(
        layout.blob({"manifests": [row(1, "windows", own), row(2, "linux", "z80"), row(3, "linux", own)]}), "many"
    )
    layout.name(layout.blob({"manifests": [row(2, "linux", "z80")]}), "foreign")
    assert store.resolve("many").created == "2024-01-04T00:00:00Z"
    with pytest.raises(CorruptRecord, match=f"no image for linux/{own}"):
        store.resolve("foreign")


@pytest.mark.parametrize("count", [1, 2, 60])
def test_chain_ids_are_those_of_the_image_spec(layout, count):
    layout.add(1, "deep", layers=count)
    image = store.resolve("deep")
    diff_ids = image.config["rootfs"]["diff_ids"]
    expected = diff_ids[:1]
    for diff_id in diff_ids[1:]:
        expected.append(digest(f"{expected[-1]} {diff_id}".encode()))
    assert image.layers == expected


@given(st.binary(max_size=200))
def test_digest_of(data):
    assert store.digest_of(data) == digest(data)


BAD_JSON = ["", "{", "[]", "null", "{}x", "\udcff", '{"a":' * 5000]


@pytest.mark.parametrize(
    "text", [*BAD_JSON, "{}", '{"manifests": 5}', '{"manifests": [{}]}', '{"manifests": [{"digest": "../x"}]}']
)
def test_a_garbled_index_is_named_and_not_changed(layout, text):
    layout.add(1, "box")
    raw = text.encode(errors="surrogateescape")
    (layout.directory / "index.json").write_bytes(raw)
    for read in (store.images, lambda: store.resolve("box")):
        with pytest.raises(CorruptRecord, match=r"images/index\.json"):
            read()
    assert (layout.directory / "index.json").read_bytes() == raw


def test_a_missing_index_is_not_an_empty_store(layout):
    layout.add(1, "box")
    (layout.directory / "index.json").unlink()
    with pytest.raises(CorruptRecord, match=r"images/index\.json: it is missing"):
        store.resolve("box")
    assert not (layout.directory / "index.json").exists()


@pytest.mark.parametrize("text", [*BAD_JSON, "{}", None])
@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_garbled_blob_is_named_and_the_hint_says_how_to_remove_it(layout, which, text):
    image_id = layout.add(1, "box")
    victim = image_id if which == "config" else layout.rows[0]["digest"]
    path = layout.directory / "blobs/sha256" / victim[7:]
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode(errors="surrogateescape"))
    for read in (store.images, lambda: store.resolve("box")):
        with pytest.raises(CorruptRecord, match=victim[7:]) as caught:
            read()
        assert "rmi -f box:latest" in caught.value.hint


@pytest.mark.parametrize(
    "manifest",
    [
        {"config": {"digest": "sha256:../../../../etc/passwd"}, "layers": []},
        {"config": 5, "layers": []},
        {"config": {"digest": digest(b"")}, "layers": 5},
        {"config": {"digest": digest(b"")}, "layers": [{"digest": digest(b"")}]},
        {"config": {"digest": digest(b"")}, "layers": [{"digest": "md5:1", "size": 1}]},
        {"config": {"digest": digest(b"")}, "layers": [{"digest": digest(b""), "size": "many"}]},
        {"manifests": [5]},
        {"manifests": 5},
    ],
)
def test_a_malformed_manifest(layout, manifest):
    layout.name(layout.blob(manifest), "box")
    with pytest.raises(CorruptRecord):
        store.resolve("box")


@pytest.mark.parametrize(
    "rootfs", [None, 5, {}, {"diff_ids": []}, {"diff_ids": [5]}, {"diff_ids": ["../x"]}, {"diff_ids": "x"}]
)
def test_a_malformed_config(layout, rootfs):
    row = {"digest": digest(b""), "size": 1}
    layout.name(layout.blob({"config": layout.blob({"rootfs": rootfs}), "layers": [row]}), "box")
    with pytest.raises(CorruptRecord):
        store.resolve("box")


class TestIndex:
    """Names in the index: pure functions on lists of descriptors."""

    def row(self, number: int, name: str = "") -> dict:
        row = {"mediaType": "m", "digest": digest(b"%d" % number), "size": number}
        return {**row, "annotations": {store.REF_NAME: name}} if name else row

    def test_a_first_and_a_second_name(self):
        rows = writer.with_name([], self.row(1), "a:1")
        assert rows == [self.row(1, "a:1")]
        assert writer.with_name(rows, self.row(1, "a:1"), "b:1") == [self.row(1, "a:1"), self.row(1, "b:1")]

    def test_a_name_is_moved_and_the_old_manifest_stays_without_a_name(self):
        rows = writer.with_name([self.row(1, "a:1")], self.row(2), "a:1")
        assert rows == [self.row(1), self.row(2, "a:1")]

    def test_a_manifest_that_loses_a_name_keeps_its_others(self):
        rows = writer.with_name([self.row(1, "a:1"), self.row(1, "b:1")], self.row(2), "a:1")
        assert rows == [self.row(1, "b:1"), self.row(2, "a:1")]

    def test_a_manifest_without_a_name_is_listed_once(self):
        rows = writer.with_name([], self.row(1), "")
        assert rows == writer.with_name(rows, self.row(1), "") == [self.row(1)]
        assert writer.with_name([self.row(1, "a:1")], self.row(1), "") == [self.row(1, "a:1")]

    def test_a_manifest_that_gets_a_name_is_not_also_listed_without_one(self):
        assert writer.with_name([self.row(1)], self.row(1), "a:1") == [self.row(1, "a:1")]

    def test_the_same_name_again_changes_nothing(self):
        rows = [self.row(1, "a:1"), self.row(2, "b:1")]
        assert sorted(writer.with_name(rows, self.row(1), "a:1"), key=str) == sorted(rows, key=str)

    def test_a_name_that_another_tool_wrote_without_a_tag_counts(self):
        assert writer.without_name([self.row(1, "a")], "a:latest") == [self.row(1)]

    @given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["", "a:1", "b:1", "c:1"])), max_size=12))
    def test_no_name_is_given_twice_and_nothing_is_lost(self, steps):
        rows: list[dict] = []
        owner: dict[str, int] = {}
        for number, name in steps:
            rows = writer.with_name(rows, self.row(number), name)
            if name:
                owner[name] = number
        sizes = {store.name_in(row): row["size"] for row in rows if store.name_in(row)}
        assert sizes == owner
        assert {row["size"] for row in rows} == {number for number, _ in steps}
        nameless = [row["size"] for row in rows if not store.name_in(row)]
        assert len(nameless) == len(set(nameless))
        assert not set(nameless) & set(owner.values())


def test_documents_have_the_digests_that_refer_to_them():
    config = {"created": "x", "rootfs": {"type": "layers", "diff_ids": []}}
    config_data, manifest_data = writer.documents(config, [{"digest": "d"}])
    assert jsontext.loads(config_data) == config
    manifest = jsontext.loads(manifest_data)
    assert (manifest["config"]["digest"], manifest["config"]["size"]) == (digest(config_data), len(config_data))
    assert manifest["layers"] == [{"digest": "d"}]
