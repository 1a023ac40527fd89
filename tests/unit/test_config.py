"""config.py: reading and checking /etc/mydocker/config.yaml, and its compiled copy."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import config, jsontext, paths
from mydocker.errors import InvalidArgument

DEFAULTS = {
    "storage_driver": "",
    "log_size": 10_000_000,
    "log_files": 3,
    "cgroup_parent": "",
    "network_pool": "10.200.0.0/13",
    "network_size": 20,
    "registries": {},
    "registry_timeout": 60,
    "image_size": 100_000_000_000,
    "image_entries": 5_000_000,
    "image_depth": 2048,
    "image_layers": 500,
    "build_cache_size": 20_000_000_000,
    "build_cache_results": 2000,
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes the file, each time a new one."""
    path = tmp_path / "config.yaml"
    monkeypatch.setattr(paths, "CONFIG", str(path))
    monkeypatch.setattr(paths, "ROOT", str(tmp_path / "root"))

    def write(text):
        new = tmp_path / "new"
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.replace(new, path)

    return write


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "root" / "config.json"


@pytest.fixture
def compiled(monkeypatch):
    """Count how often the YAML is parsed."""
    times = []
    real = config._compile
    monkeypatch.setattr(config, "_compile", lambda: times.append(1) or real())
    return times


class TestValues:
    def test_without_a_file_all_are_the_defaults(self, write, cache):
        assert config.load() == DEFAULTS
        assert not cache.exists()

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}"])
    def test_an_empty_file_is_none(self, write, text):
        write(text)
        assert config.load() == DEFAULTS

    def test_what_it_says_goes_before_the_defaults(self, write):
        write("storage_driver: copy\nlog_files: 5\n")
        assert config.load() == {**DEFAULTS, "storage_driver": "copy", "log_files": 5}

    def test_registries(self, write):
        write("registries:\n  reg:5000: {insecure: true}\n  reg.example: {ca: /own.pem}\nregistry_timeout: 5\n")
        assert config.load()["registries"] == {"reg:5000": {"insecure": True}, "reg.example": {"ca": "/own.pem"}}
        assert config.load()["registry_timeout"] == 5

    @pytest.mark.parametrize("parent", ["lab.slice", "/lab/containers"])
    def test_a_cgroup_s_path(self, write, parent):
        write(f"cgroup_parent: {parent}")
        assert config.load()["cgroup_parent"] == parent

    def test_every_key_says_what_it_is(self):
        assert config.KEYS.keys() == DEFAULTS.keys()
        assert all(about for _, about in config.KEYS.values())


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("log_sise: 5", "unknown key 'log_sise'"),
            ("1: 2", "unknown key '1'"),
            ("log_size: 10m", "log_size in .* is an integer, not '10m'"),
            ("log_size: 1.5", "not '1.5'"),
            ("log_size: yes", "not 'True'"),
            ("log_files:", "log_files in .* not 'None'"),
            ("log_files: [3]", r"not '\[3\]'"),
            ("storage_driver: 5", "storage_driver in .* is text, not '5'"),
            ("storage_driver: btrfs", "unknown storage_driver 'btrfs'"),
            ("log_size: 4095", "too small"),
            ("log_files: 0", "too small"),
            ("cgroup_parent: 5", "cgroup_parent in .* is text, not '5'"),
            ("cgroup_parent: /", "cgroup_parent in .* is not a cgroup's path: '/'"),
            ("cgroup_parent: ../x", "is not a cgroup's path"),
            ("cgroup_parent: a//b", "is not a cgroup's path"),
            ('cgroup_parent: "a\\tb"', "cgroup_parent in .* is not a cgroup's path"),
            ("network_pool: 10.200.0.0", "invalid network_pool in .* '10.200.0.0'"),
            ("network_pool: 10", "network_pool in .* is text, not '10'"),
            ("network_pool: fd00::/8", "network_pool fd00::/8 in .* has no IPv4 subnets of size /20"),
            ("network_pool: 10.0.0.0/24", "has no IPv4 subnets of size /20"),
            ("network_size: 12", "has no IPv4 subnets of size /12"),
            ("network_size: 31", "has no IPv4 subnets of size /31"),
            ("network_size: /24", "network_size in .* is an integer, not '/24'"),
            *((f"image_{what}: 0", f"image_{what} in .* is too small") for what in ("entries", "depth", "layers")),
            ("registry_timeout: 0", "registry_timeout in .* is too small"),
            ("registries: [a]", "registries in .* is a list of `key: value` lines, not"),
            ("registries: {5: {insecure: true}}", "'5' is not a registry's HOST or HOST:PORT: registries in"),
            ("registries: {a/b: {insecure: true}}", "'a/b' is not a registry's HOST"),
            ("registries: {..: {ca: /x}}", "'..' is not a registry's HOST"),
            ("registries: {a: true}", "a is malformed: registries in"),
            ("registries: {a: {}}", "a is malformed"),
            ("registries: {a: {secure: true}}", "a is malformed"),
            ("registries: {a: {insecure: 1}}", "a is malformed"),
            ("registries: {a: {ca: own.pem}}", "the CA of a is not an absolute path"),
            ("- log_size", "is not a list of `key: value` lines"),
            ("just text", "is not a list of"),
            ("log_size: [", "can't read"),
            ("? [a]\n: b", "can't read"),
            ("a: &x\nb: *y", "can't read"),
            (b"\xff\xfe\xff", "can't read"),
            (b"a: \0", "can't read"),
            ("log_size: 2024-13-01", "can't read"),
            ("log_size: 0x_", "can't read"),
        ],
    )
    def test_in_one_line_that_names_the_file(self, write, cache, text, word):
        write(text)
        with pytest.raises(InvalidArgument, match=word) as caught:
            config.load()
        assert paths.CONFIG in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.hint
        assert not cache.exists()

    def test_a_directory(self, write):
        os.mkdir(paths.CONFIG)
        with pytest.raises(InvalidArgument, match="can't read"):
            config.load()


class TestCache:
    def test_the_file_is_read_once(self, write, compiled):
        write("log_files: 5\n")
        assert [config.load()["log_files"] for _ in range(3)] == [5, 5, 5]
        assert len(compiled) == 1

    def test_the_compiled_file_is_used(self, write, cache):
        write("log_files: 5\n")
        config.load()
        cache.write_text(cache.read_text().replace('"log_files": 5', '"log_files": 6'))
        assert config.load()["log_files"] == 6

    def test_a_file_that_was_replaced_is_read_again(self, write, compiled):
        for number in (5, 6):
            write(f"log_files: {number}\n")
            assert config.load()["log_files"] == number

    def test_another_file_has_another_cache(self, write, tmp_path, monkeypatch):
        write("log_files: 5\n")
        config.load()
        status = os.stat(paths.CONFIG)
        (tmp_path / "other.yaml").write_text("log_files: 7\n")
        monkeypatch.setattr(paths, "CONFIG", str(tmp_path / "other.yaml"))
        monkeypatch.setattr(config.os, "stat", lambda _: status)
        assert config.load()["log_files"] == 7

    def test_one_of_a_version_with_other_keys_is_not_used(self, write, cache, monkeypatch):
        write("log_files: 5\n")
        config.load()
        monkeypatch.setitem(config.KEYS, "new_key", (1, "new"))
        assert config.load()["new_key"] == 1

    @pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"stamp": 1}', "\xff"])
    def test_a_broken_one_is_made_again(self, write, cache, text):
        write("log_files: 5\n")
        config.load()
        cache.write_text(text, encoding="latin-1")
        assert config.load()["log_files"] == 5
        assert jsontext.loads(cache.read_bytes())["values"]["log_files"] == 5

    def test_one_with_other_values_is_made_again(self, write, cache):
        write("log_files: 5\n")
        config.load()
        cache.write_text(jsontext.dumps({**jsontext.loads(cache.read_bytes()), "values": []}))
        assert config.load()["log_files"] == 5

    def test_where_none_can_be_written_the_file_still_counts(self, write, tmp_path, monkeypatch):
        write("log_files: 5\n")
        (tmp_path / "file").touch()
        monkeypatch.setattr(paths, "ROOT", str(tmp_path / "file"))
        assert config.load()["log_files"] == 5


KEY = st.sampled_from([*DEFAULTS, "other", "1", "null"])
VALUE = st.sampled_from(
    ["", "5000", "3", "copy", "yes", "1e3", "[1]", "{a: b}", "&a x", "*a", "'", "|", "!!int x", "~"]
)


@given(text=st.lists(st.builds("{}: {}".format, KEY, VALUE), max_size=4).map("\n".join))
def test_any_file_gives_every_key_or_our_error(text, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_text(text)
        patch.setattr(paths, "CONFIG", str(path))
        try:
            values = config._compile()
        except InvalidArgument:
            return
    assert {key: type(value) for key, value in values.items()} == {key: type(value) for key, value in DEFAULTS.items()}
