"""The index that shows a layer's files without unpacking them: its file system, and which ones make a stack."""

from __future__ import annotations

import io
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.archives import archive

from mydocker import config, jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument
from mydocker.image.drivers import erofs
from mydocker.image.erofs import filesystem, layers, nodes, places, tree
from mydocker.image.erofs.nodes import BLOCK, Node
from mydocker.image.tar_reader import Reader
from mydocker.ops.erofs import CheckMounted, MountIndex, ShareIndexes

SIZE = 40 * BLOCK


def file(size: int, *extents: tuple[int, int, int, int], **fields) -> Node:
    node = Node(stat.S_IFREG | 0o644)
    node.size, node.extents = size, list(extents) or ([(0, size, 0, BLOCK)] if size else [])
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def directory(**children: Node) -> Node:
    node = Node(stat.S_IFDIR | 0o755)
    node.children = dict(children)
    return node


def written(root: Node) -> bytes:
    out = io.BytesIO()
    filesystem.write(root, [SIZE], bytes(16), out)
    return out.getvalue()


def described(root: Node) -> dict[str, tuple]:
    names = ("mode", "uid", "gid", "time", "xattrs", "target", "device", "size", "extents", "opaque", "links")
    return {path: tuple(getattr(node, name) for name in names) for path, node in nodes.walk(root)}


def again(root: Node) -> Node:
    return filesystem.Image(written(root)).tree()


NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47}.intersection(name) and name[:1] != b".")


@given(
    names=st.sets(NAMES, max_size=30),
    owner=st.integers(0, (1 << 32) - 2),
    mode=st.integers(0, 0o7777),
    time=st.integers(-(1 << 62), 1 << 62),
    target=st.binary(min_size=1, max_size=1200).filter(lambda target: 0 not in target),
    value=st.binary(max_size=3000),
)
def test_what_is_written_is_read_back(names, owner, mode, time, target, value):
    root = directory()
    root.xattrs = {"user.a": value}
    for number, name in enumerate(sorted(names)):
        child = [
            file(3000, mode=stat.S_IFREG | mode, uid=owner, gid=owner, time=time, xattrs={"user.x": value}),
            Node(stat.S_IFLNK | 0o777),
            Node(stat.S_IFBLK | mode),
            directory(inner=file(0)),
        ][number % 4]
        if stat.S_ISLNK(child.mode):
            child.target = os.fsdecode(target)
        elif stat.S_ISBLK(child.mode):
            child.device = os.makedev(0xFFF, 0xFFFFF)
        elif child.children is not None:
            child.opaque = True
        root.children[os.fsdecode(name)] = child
    expected = described(root)
    assert {path: row[:-1] for path, row in described(again(root)).items()} == {
        path: row[:-1] for path, row in expected.items()
    }


def test_two_names_of_a_file_are_one_inode():
    both = file(10, links=2)
    root = again(directory(a=both, z=directory(b=both)))
    assert root.children["a"] is root.children["z"].children["b"]
    assert root.children["a"].links == 2


@pytest.mark.parametrize(
    ("size", "extents", "bits"),
    [
        (1, [(0, 1, 0, 512)], 0),
        (BLOCK, [(0, BLOCK, 0, 512)], 0),
        (BLOCK + 1, [(0, BLOCK + 1, 0, 512)], 1),
        (1 << 20, [], 11),
        (10 * BLOCK, [(4 * BLOCK, 2 * BLOCK, 0, 512)], 1),
        (10 * BLOCK, [(4 * BLOCK, 6 * BLOCK, 0, 512)], 2),
        (4 * BLOCK + 7, [(2 * BLOCK, 2 * BLOCK + 7, 0, 512)], 1),
        (1 << 44, [], 31),
    ],
)
def test_chunks_fit_the_pieces_of_a_file(size, extents, bits):
    node = file(size)
    node.extents = extents
    assert filesystem.find_chunk(node) == bits
    if size < 1 << 30:
        assert again(directory(f=node)).children["f"].extents == extents


@pytest.mark.parametrize(
    ("size", "extents"),
    [
        (4096, [(0, 100, 0, 512)]),  # the rest of the block would be what follows in the tar
        (4096, [(100, 3996, 0, 512)]),
        (4096, [(0, 512, 0, 512), (1024, 512, 0, 1000)]),
        (1 << 40, [(512, 512, 0, 512)]),  # its map would be larger than all else
    ],
)
def test_a_file_whose_pieces_are_not_blocks_needs_a_copy(size, extents):
    node = file(size)
    node.extents = extents
    with pytest.raises(ValueError, match=r"a piece of a file|too many chunks"):
        filesystem.find_chunk(node)


@pytest.mark.parametrize("size", [5000, 1 << 34])
def test_such_a_file_is_copied_behind_the_tar(tmp_path, monkeypatch, size):
    """Its pieces keep their places, and a large hole costs nothing."""
    node = file(size)
    node.extents = [(100, 50, 0, 512), (size - 700, 600, 0, 562)]
    content = os.urandom(650)
    (tmp_path / "tar").write_bytes(bytes(512) + content + bytes(100))
    layers._gather([node], str(tmp_path / "tar"), str(tmp_path / "data"))
    filesystem.find_chunk(node)
    assert os.stat(tmp_path / "data").st_blocks < 300

    def read(offset: int, length: int) -> bytes:
        found = bytearray(length)
        with open(tmp_path / "data", "rb") as data:
            for start, count, _, place in node.extents:
                low, high = max(start, offset), min(start + count, offset + length)
                if low < high:
                    data.seek(place + low - start)
                    found[low - offset : high - offset] = data.read(high - low)
        return bytes(found)

    assert read(0, 400) == bytes(100) + content[:50] + bytes(250)
    assert read(size - 800, 800) == bytes(100) + content[50:] + bytes(100)


class TestStack:
    @pytest.mark.parametrize(
        ("count", "rows"),
        [
            (0, []),
            (1, [(0, 0)]),
            (3, [(0, 0), (1, 1), (2, 2)]),
            (4, [(0, 3)]),
            (7, [(0, 3), (4, 4), (5, 5), (6, 6)]),
            (100, [(0, 63), (64, 79), (80, 95), (96, 99)]),
        ],
    )
    def test_spans(self, count, rows):
        assert places.spans(count) == rows

    def test_each_index_serves_every_stack_that_has_its_layer(self):
        """An index is made once, for the stack that ends with its layer."""
        for count in range(1, 200):
            assert len(places.spans(count)) <= 12
            for first, last in places.spans(count):
                assert places.spans(last + 1)[-1] == (first, last)

    def test_a_merged_stack_is_what_overlay_would_show(self):
        lower = directory(
            kept=file(1), gone=file(2), replaced=file(3), d=directory(low=file(4)), o=directory(low=file(5)), f=file(6)
        )
        upper = directory(
            gone=nodes.whiteout(),
            replaced=directory(new=file(7)),
            d=directory(high=file(8)),
            o=directory(high=file(9)),
            new=file(10),
        )
        upper.children["o"].opaque = True
        root = nodes.put_on(lower, upper)
        assert {path: node.size for path, node in nodes.walk(root) if stat.S_ISREG(node.mode)} == {
            "kept": 1,
            "replaced/new": 7,
            "d/low": 4,
            "d/high": 8,
            "o/high": 9,
            "f": 6,
            "new": 10,
        }
        assert nodes.is_whiteout(root.children["gone"])
        assert [name for name, node in root.children.items() if node.opaque] == ["replaced", "o"]
        nodes.finish(root)
        assert "gone" not in root.children
        assert not any(node.opaque for _, node in nodes.walk(root))


class TestDriver:
    @pytest.fixture
    def stored(self, tmp_path, monkeypatch):
        """Two layers in the store; returns their chain ids."""
        monkeypatch.setattr(paths, "LAYERS", str(tmp_path / "layers"))
        chain_ids = [f"sha256:{digit * 64}" for digit in "ab"]
        where = []
        for chain_id, raw in zip(
            chain_ids, [archive(("d", None), ("d/f", b"x")), archive(("d/g", b"y"), ("d/.wh.f", b""))]
        ):
            (tmp_path / chain_id[7:]).write_bytes(raw)
            where.append(places.directory(chain_id))
            os.makedirs(where[-1])
            layers.complete(layers.index(str(tmp_path / chain_id[7:]), where[-1]), where)
        return chain_ids

    def test_indexes_are_mounted_and_overlay_stacks_them(self, stored, tmp_path):
        *indexes, root = erofs.root_ops("/c", stored)
        assert [(op.index, op.data, op.target) for op in indexes if isinstance(op, MountIndex)] == [
            (f"{place}/index", [f"{place}/data"], f"{place}/root") for place in map(places.directory, stored)
        ]
        top, bottom = (f"{places.directory(chain_id)}/root" for chain_id in reversed(stored))
        assert f"lowerdir={top}:{bottom},upperdir=/c/upper," in root.data
        assert root.data.endswith(",xino=auto")
        assert erofs.view_ops("/c", stored)[-1].data.startswith(f"lowerdir=/c/upper:{top}:{bottom},")

    def test_containers_share_the_mounts_of_indexes(self, stored):
        (share,) = erofs.host_ops("/c/1a", stored)
        assert isinstance(share, ShareIndexes)
        shared = [paths.shared_layer(chain_id) for chain_id in stored]
        assert share.user == "1a"
        assert [(place, index) for place, index, _ in share.indexes] == [
            (place, f"{places.directory(chain_id)}/index") for place, chain_id in zip(shared, stored)
        ]
        check, root = erofs.root_ops("/c/1a", stored, shared=True)
        assert isinstance(check, CheckMounted)
        assert check.targets == [f"{place}/root" for place in shared]
        assert f"lowerdir={shared[1]}/root:{shared[0]}/root,upperdir=/c/1a/upper," in root.data

    def test_the_tar_is_not_copied(self, stored, tmp_path):
        for chain_id in stored:
            assert os.path.samefile(f"{places.directory(chain_id)}/data", tmp_path / chain_id[7:])

    def test_no_layer_at_all_is_an_error(self):
        with pytest.raises(Conflict, match="no layers"):
            erofs.root_ops("/c", [])

    def test_files_are_found_in_the_indexes(self, stored):
        assert erofs.holds(stored, ["nope", "d/g"])
        assert not erofs.holds(stored, ["d/nope", "d/f/g"])

    def test_a_directory_that_the_upper_layer_lacks_looks_as_below(self, stored):
        root = layers.open_index(places.directory(stored[1])).tree()
        assert stat.S_IMODE(root.children["d"].mode) == 0o755
        assert nodes.is_whiteout(root.children["d"].children["f"])

    @pytest.mark.parametrize("name", ["index", "data"])
    def test_a_change_of_a_file_is_found_before_a_start(self, stored, tmp_path, name):
        assert erofs.missing(stored) == []
        erofs.prepare(str(tmp_path), stored)
        with open(f"{places.directory(stored[1])}/{name}", "r+b") as damaged:
            damaged.write(b"x")
        assert erofs.missing(stored) == [1]
        with pytest.raises(CorruptRecord, match=f"{name}: it has been changed"):
            erofs.prepare(str(tmp_path), stored)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": 1, "root": []}'])
    def test_a_damaged_record_is_found(self, stored, content):
        with open(f"{places.directory(stored[0])}/about.json", "wb") as about:
            about.write(content)
        assert erofs.missing(stored) == [0]

    def test_the_root_has_the_mode_of_the_top_layer_s(self, stored, tmp_path):
        about = places.about(places.directory(stored[1]))
        with open(f"{places.directory(stored[1])}/about.json", "w") as out:
            out.write(jsontext.dumps({**about, "root": [0o711, os.getuid(), os.getgid()]}))
        erofs.prepare(str(tmp_path), stored)
        assert stat.S_IMODE(os.stat(tmp_path / "upper").st_mode) == 0o711


def test_an_archive_that_is_not_to_be_trusted_is_refused(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "tar").write_bytes(archive(("../x", b"")))
    with pytest.raises(InvalidArgument, match="leads outside"):
        layers.index(str(tmp_path / "tar"), str(tmp_path / "place"))


@pytest.mark.parametrize(("key", "limit"), [("image_entries", 10), ("image_depth", 5), ("image_size", 100)])
def test_the_limits_for_images_hold(key, limit, monkeypatch):
    bomb = archive(*((f"{'d/' * 6}{number}", b"x" * 10) for number in range(20)))
    settings = config.load()
    root = tree.read(Reader(io.BufferedReader(io.BytesIO(bomb))))
    assert len(list(nodes.files(root))) >= 20
    monkeypatch.setattr(config, "load", lambda: {**settings, key: limit})
    with pytest.raises(InvalidArgument, match="refused image: it has") as caught:
        tree.read(Reader(io.BufferedReader(io.BytesIO(bomb))))
    assert key in caught.value.hint
